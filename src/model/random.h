// A small seeded generator whose stream is the same on every platform and standard library.
// Streams are made per subgraph and per network (design 5.11): Random(derive_seed(seed, name)).
#pragma once
#include <cstdint>
#include <string_view>
#include <utility>

namespace sonar {

/// FNV-1a, 64 bits: a stable hash of a text, used for seeds and identities that are stored.
uint64_t stable_hash(std::string_view text);

/// Mixes a run's seed with a stream's name.
uint64_t derive_seed(uint64_t seed, std::string_view stream);

/// SplitMix64. Satisfies UniformRandomBitGenerator, but use the members: std distributions differ between libraries.
class Random {
 public:
  using result_type = uint64_t;
  explicit Random(uint64_t seed) : state_(seed) {}
  static constexpr uint64_t min() { return 0; }
  static constexpr uint64_t max() { return ~uint64_t{0}; }
  uint64_t operator()() {
    uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  /// Uniform in [0, n), n > 0.
  uint64_t below(uint64_t n);
  /// Uniform in [0, 1).
  double uniform();
  template <class Container>
  void shuffle(Container& values) {
    for (size_t i = values.size(); i > 1; --i) std::swap(values[i - 1], values[below(i)]);
  }

 private:
  uint64_t state_;
};

}  // namespace sonar
