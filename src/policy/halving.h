// The plan of one round of successive halving: how far each network is trained, how many programs are tried
// (design 5.1-5.4). Pure: no clock. A ledger's unit is whatever the caller counts in: optimiser steps and programs, or
// seconds.
#pragma once
#include <string>
#include <vector>

namespace sonar {

/// K = max(1, ceil(log2 n)).
int round_count(size_t networks);

struct Ledger {
  double total = 0, spent = 0;
  double remaining() const { return total > spent ? total - spent : 0; }
  /// What a round may spend: what remains divided by the rounds that remain (this one included).
  double share(int rounds_left) const { return remaining() / rounds_left; }
};

enum class Share {
  steps = 1,    // every network of S_k gets the same further optimiser steps
  seconds = 2,  // every network gets the same further cost
};

struct NetworkProgress {
  long steps_done = 0;
  double step_cost = 1;  // ledger units of one optimiser step of this network
};

/// Target steps (absolute, >= steps_done, <= full_steps) that spend at most `share` (but see minimum_slice), the same
/// further steps (or cost) for each; what a network capped at full_steps leaves is given to the others.
/// A network that is not fully trained always gets at least min(minimum_slice, full_steps - steps_done) steps.
std::vector<long> plan_training(const std::vector<NetworkProgress>& networks, double share, long full_steps,
                                long minimum_slice, Share rule);

/// How many candidates a training ledger can pay for: the largest n <= networks for which the first round's share
/// (total / round_count(n)) covers one minimum slice for each at the mean step cost. At least 1 when anything is
/// affordable, else 0.
size_t affordable_candidates(size_t networks, double total, double mean_step_cost, long minimum_slice);

/// Programs in the next batch of a subgraph: min(beta, max(4, programs_left / unique_subgraphs)), never above
/// programs_left.
long batch_size(long programs_left, size_t unique_subgraphs, long beta);

}  // namespace sonar
