// The algorithms that train in full and eliminate none: brute force, and as many random candidates as the budget pays.
#include <algorithm>

#include "model/random.h"
#include "policy/algorithms.h"

namespace sonar {
namespace {

class Full : public Algorithm {
 public:
  int rounds(const SearchState&) const override { return 1; }
  RoundPlan plan(const SearchState& state, const Remaining& remaining) const override {
    RoundPlan plan;
    plan.members = state.alive();
    plan.to_steps.assign(plan.members.size(), state.options.full_steps);
    plan.train_share = remaining.train;
    plan.tune_share = remaining.tune;
    return plan;
  }
  std::vector<Verdict> judge(const SearchState& state, const std::vector<size_t>& members,
                             const std::vector<Objectives>&) const override {
    return keep_all(members.size(), "kept: " + state.options.algorithm + " eliminates none");
  }
};

/// All trained and tuned in full, whatever it costs.
class BruteForce : public Full {
 public:
  size_t affordable(size_t networks, double, double, const PolicyOptions&) const override { return networks; }
  std::optional<BatchPlan> next_batch(const SearchState& state, TaskScheduler& scheduler, long, size_t) const override {
    for (size_t i = 0; i < state.subgraphs.size(); ++i) {
      const long left = state.options.full_programs - scheduler.programs(i);
      if (left <= 0 || scheduler.busy(i) || scheduler.exhausted(i) || state.subgraphs[i].answered) continue;
      scheduler.expect(i);
      return BatchPlan{i, std::min(left, state.options.batch_programs)};
    }
    return std::nullopt;
  }
};

/// Candidates in a random order, each trained in full, until the training budget is used up.
class RandomSearch : public Full {
 public:
  size_t affordable(size_t networks, double total, double mean_step_cost, const PolicyOptions& options) const override {
    return std::min(networks, static_cast<size_t>(total / (mean_step_cost * static_cast<double>(options.full_steps))));
  }
  long least_training(const PolicyOptions& options) const override { return options.full_steps; }
  RoundPlan plan(const SearchState& state, const Remaining& remaining) const override {
    RoundPlan all = Full::plan(state, remaining);
    if (!(remaining.train > 0)) return all;  // of one network, without a budget
    std::vector<size_t> order(all.members.size());
    for (size_t m = 0; m < order.size(); ++m) order[m] = m;
    Random random(derive_seed(state.options.seed, "order of random search"));
    random.shuffle(order);
    double left = remaining.train;
    std::vector<bool> paid(order.size());
    for (size_t m : order) {
      const NetworkState& network = state.networks[all.members[m]];
      const auto further = static_cast<double>(state.options.full_steps - network.steps);
      const double cost = further * state.step_cost(all.members[m]);
      paid[m] = network.steps > 0 || cost <= left * (1 + 1e-9);
      if (paid[m]) left -= cost;
    }
    RoundPlan plan = all;
    plan.members.clear();
    plan.to_steps.clear();
    for (size_t m = 0; m < order.size(); ++m) {
      if (!paid[m]) continue;
      plan.members.push_back(all.members[m]);
      plan.to_steps.push_back(all.to_steps[m]);
    }
    return plan.members.empty() ? all : plan;
  }
  std::vector<size_t> result(const SearchState& state) const override {
    std::vector<size_t> trained = state.alive();
    // Those that the budget did not pay for were never begun. A network that is only tuned is none of them.
    if (std::any_of(trained.begin(), trained.end(), [&](size_t i) { return state.networks[i].steps > 0; }))
      std::erase_if(trained, [&](size_t i) { return state.networks[i].steps == 0; });
    return trained;
  }
};

}  // namespace

std::unique_ptr<Algorithm> make_brute_force(const PolicyOptions&) { return std::make_unique<BruteForce>(); }
std::unique_ptr<Algorithm> make_random(const PolicyOptions&) { return std::make_unique<RandomSearch>(); }

}  // namespace sonar
