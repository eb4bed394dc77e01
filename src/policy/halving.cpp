#include "policy/halving.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "model/error.h"

namespace sonar {
namespace {

// What one network may be given: further steps between `least` and `most`, one per `step_level` of the common level.
struct Need {
  long least = 0, most = 0;
  double cost = 1, step_level = 1;
  long steps_at(double level) const {
    const double steps = std::floor(level / step_level);
    return steps >= static_cast<double>(most) ? most : std::max(least, static_cast<long>(steps));
  }
};

double cost_at(const std::vector<Need>& needs, double level) {
  double cost = 0;
  for (const Need& need : needs) cost += static_cast<double>(need.steps_at(level)) * need.cost;
  return cost;
}

// The highest common level whose cost stays within the share; cost_at is a rising staircase, so bisection finds the
// last double before the step that is too high.
double highest_level(const std::vector<Need>& needs, double share) {
  double low = 0, high = 0;
  if (cost_at(needs, low) > share) return low;
  for (const Need& need : needs) high = std::max(high, static_cast<double>(need.most) * need.step_level);
  high = std::nextafter(high * (1 + 1e-12), INFINITY);  // above the last stair, whatever the rounding of the division
  if (cost_at(needs, high) <= share) return high;
  while (true) {
    const double middle = low + (high - low) / 2;
    if (middle <= low || middle >= high) return low;
    (cost_at(needs, middle) <= share ? low : high) = middle;
  }
}

}  // namespace

int round_count(size_t networks) {
  int rounds = 1;
  while (rounds < 63 && (size_t{1} << rounds) < networks) ++rounds;
  return rounds;
}

std::vector<long> plan_training(const std::vector<NetworkProgress>& networks, double share, long full_steps,
                                long minimum_slice, Share rule) {
  if (!(share >= 0) || std::isinf(share)) throw InternalError(fmt::format("plan_training: the share is {}", share));
  if (full_steps < 0 || minimum_slice < 0) throw InternalError("plan_training: a number of steps is negative");
  std::vector<Need> needs;
  for (const NetworkProgress& network : networks) {
    if (!(network.step_cost > 0) || std::isinf(network.step_cost) || network.steps_done < 0)
      throw InternalError(fmt::format("plan_training: a network has {} steps done at a step cost of {}",
                                      network.steps_done, network.step_cost));
    Need need;
    need.most = std::max(0L, full_steps - network.steps_done);
    need.least = std::min(minimum_slice, need.most);
    need.cost = network.step_cost;
    need.step_level = rule == Share::steps ? 1 : network.step_cost;
    needs.push_back(need);
  }
  const double level = highest_level(needs, share);
  std::vector<long> targets;
  for (size_t i = 0; i < networks.size(); ++i) targets.push_back(networks[i].steps_done + needs[i].steps_at(level));
  return targets;
}

size_t affordable_candidates(size_t networks, double total, double mean_step_cost, long minimum_slice) {
  const double slice = mean_step_cost * static_cast<double>(minimum_slice);
  // More networks cost more and share less (more rounds), so affordability ends once.
  size_t low = 0, high = networks;
  while (low < high) {
    const size_t middle = low + (high - low + 1) / 2;
    if (total / round_count(middle) >= slice * static_cast<double>(middle))
      low = middle;
    else
      high = middle - 1;
  }
  return low;
}

long batch_size(long programs_left, size_t unique_subgraphs, long beta) {
  if (programs_left <= 0 || unique_subgraphs == 0) return 0;
  const long each = std::max(4L, programs_left / static_cast<long>(unique_subgraphs));
  return std::min({beta, each, programs_left});
}

}  // namespace sonar
