// The paper's two algorithms: Pareto halving (Algorithm 1) and its latency-threshold variant (section 3.2).
#include "policy/algorithms.h"

namespace sonar {
namespace {

class Halving : public Algorithm {
 public:
  int rounds(const SearchState& state) const override { return round_count(state.networks.size()); }
  RoundPlan plan(const SearchState& state, const Remaining& remaining) const override {
    return plan_equal_training(state, remaining, rounds(state) - state.round());
  }
};

class Pareto : public Halving {
 public:
  std::vector<Verdict> judge(const SearchState& state, const std::vector<size_t>& members,
                             const std::vector<Objectives>& objectives) const override {
    return pareto_survivors(objectives, names_of(state, members), state.options.survivors);
  }
};

class Threshold : public Halving {
 public:
  std::vector<Verdict> judge(const SearchState& state, const std::vector<size_t>& members,
                             const std::vector<Objectives>& objectives) const override {
    return threshold_survivors(objectives, names_of(state, members), state.options.threshold_us,
                               state.options.survivors);
  }
  std::vector<bool> answers(const std::vector<Objectives>& objectives, const PolicyOptions& options) const override {
    std::vector<bool> result(objectives.size());
    const int best = most_accurate_within(objectives, options.threshold_us);
    if (best >= 0) result[static_cast<size_t>(best)] = true;
    return result;
  }
};

}  // namespace

std::unique_ptr<Algorithm> make_pareto(const PolicyOptions&) { return std::make_unique<Pareto>(); }
std::unique_ptr<Algorithm> make_threshold(const PolicyOptions&) { return std::make_unique<Threshold>(); }

}  // namespace sonar
