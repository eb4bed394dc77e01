// The decisions of one search, as ask and tell: what a real run and a replay of a trace have in common. It has no
// clock, no thread and no device: whoever carries the jobs out tells what came back, in whatever order it came.
//
//   policy.tell_default(...) for each subgraph
//   while (policy.begin_round(remaining)) {
//     train the members to their targets, policy.tell_training(...)
//     while (auto batch = policy.next_batch(scheduler, programs_left)) try it, policy.tell_batch(...)
//     policy.end_round();
//   }
//   policy.result();
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "policy/algorithm.h"

namespace sonar {

/// What one network was judged by at the end of a round, and how.
struct Decision {
  size_t network = 0;
  Objectives objectives;  // the algorithm's estimates
  Verdict verdict;        // dominated_by: index of a network
};

class SearchPolicy {
 public:
  /// `networks` and `subgraphs`: what is known of them from the start (names, subgraphs, features; key, MACs). The
  /// scheduler stays the caller's, who tells it batches; it has one task for each subgraph, in the same order.
  SearchPolicy(const PolicyOptions& options, std::vector<NetworkState> networks, std::vector<SubgraphState> subgraphs,
               std::vector<std::string> feature_names);

  const SearchState& state() const { return state_; }
  const Algorithm& algorithm() const { return *algorithm_; }

  void tell_timed_step(size_t network, double cost) { state_.networks[network].timed_step_cost = cost; }
  /// Trained to `step`; nothing for an accuracy: not validated there. Points of one network come in order of step.
  /// `images`: that it was validated on; 0: not known.
  void tell_training(size_t network, long step, std::optional<double> accuracy, double cost, double images = 0);
  void tell_failure(size_t network, const std::string& why) { state_.networks[network].failure = why; }
  /// Of the network as a whole: it replaces the sum from now on. Infinity: it failed.
  void tell_network_latency(size_t network, double latency_us) { state_.networks[network].measured_us = latency_us; }
  /// A number that stands for the network's latency, which proxy-command ranks by: milliseconds, or any other.
  void tell_proxy(size_t network, double proxy_ms) { state_.networks[network].proxy_ms = proxy_ms; }
  void tell_default(size_t subgraph, double latency_us, double cost = 0);
  /// A batch ended: programs tried in it, best latency and cost since the start of the subgraph.
  void tell_batch(size_t subgraph, long programs, double best_us, double cost = 0);
  /// The best latency as of now, between batches too: programs of a batch that is still out count, and so do repeated
  /// measurements.
  void tell_latency(size_t subgraph, double best_us) { state_.subgraphs[subgraph].best_us = best_us; }
  /// Nothing more is tried of this subgraph.
  void tell_answered(size_t subgraph) { state_.subgraphs[subgraph].answered = true; }

  int rounds() const { return algorithm_->rounds(state_); }
  bool last_round() const { return state_.round() + 1 >= rounds(); }
  /// Plans the next round, which is open from now on; false when none is left. Throws InternalError when one is open.
  bool begin_round(const Remaining& remaining);
  const RoundPlan& round() const { return state_.rounds.back(); }
  /// The open round planned anew; it stays as it was.
  RoundPlan plan_again(const Remaining& remaining) const { return algorithm_->plan(state_, remaining); }
  void set_targets(const std::vector<long>& to_steps) { state_.rounds.back().to_steps = to_steps; }

  /// By subgraph: occurrences over the members of the open round, or else over the result. 0: not tuned.
  std::vector<long> occurrences() const;
  std::optional<BatchPlan> next_batch(TaskScheduler& scheduler, long programs_left) const;

  /// Judges the members and closes the round: one decision for each, those that cannot be trained first.
  std::vector<Decision> end_round();
  std::vector<size_t> result() const { return algorithm_->result(state_); }

  /// A round as recorded. `dropped`: the members that its verdicts dropped; nothing: it is still open.
  void restore_round(const RoundPlan& plan, const std::optional<std::vector<size_t>>& dropped);

 private:
  SearchState state_;
  std::unique_ptr<Algorithm> algorithm_;
};

}  // namespace sonar
