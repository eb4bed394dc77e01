#include "policy/geometric_levels.h"

#include <algorithm>

#include "model/error.h"
#include "policy/estimator_regression.h"

namespace sonar {

GeometricLevels::GeometricLevels(const PolicyOptions& options, double growth, int levels, double finals)
    : steps_(training_levels(options.full_steps, growth, levels)), finals_(finals) {
  if (steps_.empty() || !(finals > 0)) throw InternalError("geometric levels: at least one level and a share for it");
  for (long& steps : steps_) steps = std::max(steps, std::min(options.minimum_slice, options.full_steps));
  steps_.erase(std::unique(steps_.begin(), steps_.end()), steps_.end());
}

GeometricLevels GeometricLevels::from(int first) const {
  GeometricLevels result = *this;
  result.steps_.erase(result.steps_.begin(), result.steps_.begin() + std::min(first, rounds() - 1));
  return result;
}

size_t GeometricLevels::affordable(double total, double mean_step_cost) const {
  return static_cast<size_t>(share(0, total) / (mean_step_cost * static_cast<double>(steps(0))));
}

size_t count_paid(const SearchState& state, const std::vector<size_t>& networks, long steps, double share) {
  share *= 1 + 1e-9;
  size_t count = 0;
  for (size_t i : networks) {
    share -= state.step_cost(i) * static_cast<double>(std::max(0L, steps - state.networks[i].steps));
    if (share < 0) break;
    ++count;
  }
  return count;
}

double round_cost(const SearchState& state, size_t round) {
  std::vector<long> before(state.networks.size(), 0);
  for (size_t k = 0; k < round; ++k)
    for (size_t m = 0; m < state.rounds[k].members.size(); ++m) {
      long& steps = before[state.rounds[k].members[m]];
      steps = std::max(steps, state.rounds[k].to_steps[m]);
    }
  double cost = 0;
  for (size_t m = 0; m < state.rounds[round].members.size(); ++m) {
    const size_t i = state.rounds[round].members[m];
    const long to = std::min(state.rounds[round].to_steps[m], state.networks[i].steps);
    cost += state.step_cost(i) * static_cast<double>(std::max(0L, to - before[i]));
  }
  return cost;
}

}  // namespace sonar
