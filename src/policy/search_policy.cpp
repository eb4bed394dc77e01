#include "policy/search_policy.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "model/error.h"

namespace sonar {

SearchPolicy::SearchPolicy(const PolicyOptions& options, std::vector<NetworkState> networks,
                           std::vector<SubgraphState> subgraphs, std::vector<std::string> feature_names)
    : algorithm_(make_algorithm(options)) {
  state_.options = options;
  state_.feature_names = std::move(feature_names);
  state_.networks = std::move(networks);
  state_.subgraphs = std::move(subgraphs);
  for (const NetworkState& network : state_.networks) {
    if (network.features.size() != state_.feature_names.size())
      throw InternalError(fmt::format("search policy: {} has {} features, {} are named", network.name,
                                      network.features.size(), state_.feature_names.size()));
    for (auto [subgraph, count] : network.subgraphs)
      if (subgraph >= state_.subgraphs.size() || count <= 0)
        throw InternalError(fmt::format("search policy: {} has subgraph {} {} times", network.name, subgraph, count));
  }
}

void SearchPolicy::tell_training(size_t network, long step, std::optional<double> accuracy, double cost,
                                 double images) {
  NetworkState& n = state_.networks[network];
  if (accuracy) {
    n.accuracy = std::max(n.accuracy, *accuracy);
    if (n.curve.empty() || step > n.curve.back().step) n.curve.push_back({step, *accuracy, cost, images});
  }
  if (step > n.steps) {
    n.steps = step;
    n.cost = cost;
  }
}

void SearchPolicy::tell_default(size_t subgraph, double latency_us, double cost) {
  SubgraphState& s = state_.subgraphs[subgraph];
  s.default_us = s.best_us = latency_us;
  s.curve.insert(s.curve.begin(), {1, latency_us, cost});
}

void SearchPolicy::tell_batch(size_t subgraph, long programs, double best_us, double cost) {
  SubgraphState& s = state_.subgraphs[subgraph];
  const double before = s.curve.empty() ? 1 : s.curve.back().programs;
  s.curve.push_back({before + static_cast<double>(programs), best_us, cost});
  s.best_us = best_us;
}

bool SearchPolicy::begin_round(const Remaining& remaining) {
  if (state_.round_open) throw InternalError("search policy: the round before has not ended");
  if (state_.round() >= rounds()) return false;
  RoundPlan plan = algorithm_->plan(state_, remaining);
  if (plan.members.size() != plan.to_steps.size())
    throw InternalError("search policy: a plan needs one target for each member");
  restore_round(plan, std::nullopt);
  return true;
}

void SearchPolicy::restore_round(const RoundPlan& plan, const std::optional<std::vector<size_t>>& dropped) {
  state_.rounds.push_back(plan);
  state_.round_open = !dropped;
  if (dropped)
    for (size_t i : *dropped) state_.networks[i].alive = false;
}

std::vector<long> SearchPolicy::occurrences() const {
  std::vector<long> result(state_.subgraphs.size());
  for (size_t i : state_.round_open ? round().members : this->result())
    if (state_.networks[i].alive && state_.networks[i].failure.empty())
      for (auto [subgraph, count] : state_.networks[i].subgraphs)
        if (!state_.subgraphs[subgraph].answered) result[subgraph] += count;
  return result;
}

std::optional<BatchPlan> SearchPolicy::next_batch(TaskScheduler& scheduler, long programs_left) const {
  if (!state_.round_open) throw InternalError("search policy: no round is open");
  return algorithm_->next_batch(state_, scheduler, programs_left, scheduler.live());
}

std::vector<Decision> SearchPolicy::end_round() {
  if (!state_.round_open) throw InternalError("search policy: no round is open");
  std::vector<Decision> decisions;
  std::vector<size_t> members;
  for (size_t i : round().members) {
    if (state_.networks[i].failure.empty()) {
      members.push_back(i);
      continue;
    }
    Decision decision;
    decision.network = i;
    decision.objectives = {state_.networks[i].accuracy, state_.summed_us(i)};
    decision.verdict.kept = false;
    decision.verdict.reason = "cannot be trained: " + state_.networks[i].failure;
    decisions.push_back(decision);
  }
  const std::vector<Objectives> objectives = algorithm_->estimates(state_, members);
  std::vector<Verdict> verdicts = algorithm_->judge(state_, members, objectives);
  if (verdicts.size() != members.size()) throw InternalError("search policy: one verdict for each member is needed");
  for (size_t n = 0; n < members.size(); ++n) {
    Verdict& verdict = verdicts[n];
    if (verdict.dominated_by >= 0)
      verdict.dominated_by = static_cast<int>(members[static_cast<size_t>(verdict.dominated_by)]);
    decisions.push_back({members[n], objectives[n], std::move(verdict)});
  }
  for (const Decision& decision : decisions) state_.networks[decision.network].alive = decision.verdict.kept;
  state_.round_open = false;
  return decisions;
}

}  // namespace sonar
