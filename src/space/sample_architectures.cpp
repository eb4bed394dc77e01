#include <set>
#include <string>

#include "model/error.h"
#include "model/random.h"
#include "space/space.h"

namespace sonar {
namespace {

constexpr uint64_t kMostArchitectures = 10'000'000;

}  // namespace

std::vector<Architecture> sample_architectures(const Space& space, uint64_t count, uint64_t seed) {
  const uint64_t size = space.size();
  const bool all = count == 0 || count >= size;
  const uint64_t drawn = all ? size : count;
  if (drawn > kMostArchitectures)
    throw UserError("the space holds " + std::to_string(size) + " architectures and " + std::to_string(drawn) +
                    " candidates are asked for; ask for at most " + std::to_string(kMostArchitectures));
  std::vector<Architecture> result;
  result.reserve(drawn);
  if (all) {
    for (uint64_t i = 0; i < size; ++i) result.push_back(space.at(i));
    return result;
  }
  // Floyd's algorithm: every subset is equally likely, and nothing of the space's size is held.
  Random random(derive_seed(seed, "sample_architectures"));
  std::set<uint64_t> chosen;
  for (uint64_t last = size - count; last < size; ++last)
    if (!chosen.insert(random.below(last + 1)).second) chosen.insert(last);
  for (uint64_t i : chosen) result.push_back(space.at(i));
  return result;
}

}  // namespace sonar
