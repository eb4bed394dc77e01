// Successive halving by levels of training: each round brings its networks to the next level, and a round takes as many
// as its share of the training budget pays for (Karnin, Koren, Somekh 2013; Jamieson and Talwalkar 2016).
#pragma once
#include <vector>

#include "policy/search_state.h"

namespace sonar {

class GeometricLevels {
 public:
  /// At most `levels` levels, full training / growth^l, rising; the last is full training. None is below the minimum
  /// slice: the lowest is raised to it where it would be, and those that would be lower still are left out. The last
  /// round gets `finals` times the share of each of the others.
  GeometricLevels(const PolicyOptions& options, double growth, int levels, double finals);

  int rounds() const { return static_cast<int>(steps_.size()); }
  long steps(int round) const { return steps_[static_cast<size_t>(round)]; }
  /// The levels from `first` on.
  GeometricLevels from(int first) const;

  /// Of what is left of the training budget, the share of `round`.
  double share(int round, double remaining) const { return remaining / weight_left(round); }
  /// What was left before `round`, of which it got `share`.
  double remaining_before(int round, double share) const { return share * weight_left(round); }
  /// How many networks a budget of `total` brings to the first level, the mean cost of a step being so much.
  size_t affordable(double total, double mean_step_cost) const;

 private:
  double weight_left(int round) const { return rounds() - 1 - round + finals_; }
  std::vector<long> steps_;
  double finals_;
};

/// How many of `networks`, from the first on, `share` trains to `steps` each.
size_t count_paid(const SearchState& state, const std::vector<size_t>& networks, long steps, double share);

/// Ledger units that the members' training in round `round` of the state has cost.
double round_cost(const SearchState& state, size_t round);

}  // namespace sonar
