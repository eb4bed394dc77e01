#include "model/random.h"

namespace sonar {

uint64_t stable_hash(std::string_view text) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (unsigned char c : text) hash = (hash ^ c) * 0x100000001b3u;
  return hash;
}

uint64_t derive_seed(uint64_t seed, std::string_view stream) {
  Random mix(seed ^ stable_hash(stream));
  return mix();
}

uint64_t Random::below(uint64_t n) {
  // Rejection keeps the draw exactly uniform.
  const uint64_t limit = max() - max() % n;
  uint64_t draw;
  do draw = (*this)();
  while (draw >= limit);
  return draw % n;
}

double Random::uniform() { return static_cast<double>((*this)() >> 11) * 0x1.0p-53; }

}  // namespace sonar
