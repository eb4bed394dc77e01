// Of tests: a space whose curves and latencies are known, and a search on it in which every step costs 1.
#pragma once
#include <cmath>
#include <string>
#include <vector>

#include "model/random.h"
#include "policy/search_policy.h"

namespace sonar {

/// Networks of rising latency and, but for a part that no feature tells, accuracy; learning curves that rise to the
/// end.
struct SyntheticSpace {
  SyntheticSpace(size_t n, uint64_t seed) {
    Random random(seed);
    for (size_t i = 0; i < n; ++i) {
      const double size = random.uniform();
      NetworkState network;
      network.name = "n" + std::to_string(i);
      network.features = {size};
      network.subgraphs = {{i, 1}};
      networks.push_back(network);
      SubgraphState subgraph;
      subgraph.key = "s" + std::to_string(i);
      subgraphs.push_back(subgraph);
      latency.push_back(10 * std::exp(2 * size));
      final.push_back(0.95 - 0.3 * std::exp(-3 * size) - 0.04 * random.uniform());
      speed.push_back(3 + 3 * random.uniform());
    }
  }
  double accuracy(size_t i, long step) const {
    return final[i] * (1 - std::exp(-speed[i] * double(step) / 100)) / (1 - std::exp(-speed[i]));
  }
  std::vector<NetworkState> networks;
  std::vector<SubgraphState> subgraphs;
  std::vector<double> latency, final, speed;
};

inline PolicyOptions synthetic_options(const std::string& algorithm, std::map<std::string, std::string> settings = {},
                                       uint64_t seed = 1) {
  PolicyOptions options;
  options.algorithm = algorithm;
  options.settings = std::move(settings);
  options.full_steps = 100;
  options.minimum_slice = 1;
  options.count_steps = true;
  options.seed = seed;
  return options;
}

/// What a run keeps of a round, and what came of it.
struct SyntheticRound {
  RoundPlan plan;
  std::vector<Decision> decisions;
  double spent = 0;
};

class SyntheticSearch {
 public:
  SyntheticSearch(const SyntheticSpace& space, const PolicyOptions& options, double budget)
      : space_(space), options_(options), budget_(budget), policy_(options, space.networks, space.subgraphs, {"size"}) {
    for (size_t i = 0; i < space.networks.size(); ++i) policy_.tell_default(i, space.latency[i]);
  }
  double remaining() const { return budget_ - spent; }
  SearchPolicy& policy() { return policy_; }
  /// One round; false when none is left.
  bool step() {
    if (!policy_.begin_round({remaining(), 0})) return false;
    train(policy_, policy_.round());
    SyntheticRound round;
    round.plan = policy_.round();
    for (size_t m = 0; m < round.plan.members.size(); ++m) {
      long& had = steps_.at(round.plan.members[m]);
      round.spent += double(round.plan.to_steps[m] - had);
      had = round.plan.to_steps[m];
    }
    spent += round.spent;
    round.decisions = policy_.end_round();
    rounds.push_back(std::move(round));
    return true;
  }
  void run() {
    while (step()) {
    }
  }
  /// Another process that is told what was recorded; `open`: after the last round was planned and trained.
  SearchPolicy retold() const {
    SearchPolicy policy(options_, space_.networks, space_.subgraphs, {"size"});
    for (const SyntheticRound& round : rounds) {
      std::vector<size_t> dropped;
      for (const Decision& decision : round.decisions)
        if (!decision.verdict.kept) dropped.push_back(decision.network);
      policy.restore_round(round.plan, dropped);
    }
    for (size_t i = 0; i < space_.networks.size(); ++i) policy.tell_default(i, space_.latency[i]);
    for (const SyntheticRound& round : rounds) train(policy, round.plan);
    return policy;
  }

  double spent = 0;
  std::vector<SyntheticRound> rounds;

 private:
  void train(SearchPolicy& policy, const RoundPlan& plan) const {
    for (size_t m = 0; m < plan.members.size(); ++m) {
      const size_t i = plan.members[m];
      if (plan.to_steps[m] > policy.state().networks[i].steps)
        policy.tell_training(i, plan.to_steps[m], space_.accuracy(i, plan.to_steps[m]), double(plan.to_steps[m]));
    }
  }
  const SyntheticSpace& space_;
  PolicyOptions options_;
  double budget_;
  SearchPolicy policy_;
  std::vector<long> steps_ = std::vector<long>(space_.networks.size(), 0);
};

}  // namespace sonar
