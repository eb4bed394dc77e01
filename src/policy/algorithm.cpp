#include "policy/algorithm.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "model/error.h"
#include "model/random.h"
#include "policy/algorithms.h"
#include "policy/survivors.h"

namespace sonar {
namespace {

struct Maker {
  const char* name;
  std::unique_ptr<Algorithm> (*make)(const PolicyOptions&);
  std::vector<std::string> settings;  // that it knows
};

/// The visible list.
const std::vector<Maker>& makers() {
  static const std::vector<Maker> list = {
      {"pareto", make_pareto, {}},
      {"threshold", make_threshold, {}},
      {"brute-force", make_brute_force, {}},
      {"random", make_random, {}},
      {"proxy-flops", make_proxy_flops, {}},
      {"proxy-untuned", make_proxy_untuned, {}},
      {"proxy-command", make_proxy_command, {}},
      {"sonar+",
       make_sonar_plus,
       {"rounds", "growth", "levels", "start", "looks", "process", "contenders", "latency_model", "features",
        "curves"}},
  };
  return list;
}

}  // namespace

size_t Algorithm::affordable(size_t networks, double total, double mean_step_cost, const PolicyOptions& options) const {
  return affordable_candidates(networks, total, mean_step_cost, options.minimum_slice);
}

std::optional<BatchPlan> Algorithm::next_batch(const SearchState& state, TaskScheduler& scheduler, long programs_left,
                                               size_t live) const {
  const long size = batch_size(programs_left, live, state.options.batch_programs);
  if (size <= 0) return std::nullopt;
  const int task = scheduler.ask();
  if (task < 0) return std::nullopt;
  return BatchPlan{static_cast<size_t>(task), size};
}

std::vector<Objectives> Algorithm::estimates(const SearchState& state, const std::vector<size_t>& networks) const {
  std::vector<Objectives> result;
  result.reserve(networks.size());
  for (size_t i : networks) result.push_back({state.networks[i].accuracy, state.latency_us(i)});
  return result;
}

std::vector<bool> Algorithm::answers(const std::vector<Objectives>& objectives, const PolicyOptions&) const {
  return on_front(objectives);
}

std::unique_ptr<Algorithm> make_algorithm(const PolicyOptions& options) {
  for (const Maker& maker : makers()) {
    if (maker.name != options.algorithm) continue;
    for (const auto& [key, value] : options.settings)
      if (std::find(maker.settings.begin(), maker.settings.end(), key) == maker.settings.end())
        throw UserError(fmt::format("algorithm {} has no setting '{}'; {}", options.algorithm, key,
                                    maker.settings.empty()
                                        ? std::string("it has none")
                                        : fmt::format("it has {}", fmt::join(maker.settings, ", "))));
    return maker.make(options);
  }
  throw UserError(
      fmt::format("there is no algorithm '{}'; it can be {}", options.algorithm, fmt::join(algorithm_names(), ", ")));
}

const std::vector<std::string>& algorithm_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> result;
    for (const Maker& maker : makers()) result.emplace_back(maker.name);
    return result;
  }();
  return names;
}

std::vector<size_t> sample_candidates(size_t networks, size_t count, uint64_t seed, const std::string& stream) {
  std::vector<size_t> order(networks);
  std::iota(order.begin(), order.end(), size_t{0});
  if (count >= networks) return order;
  Random random(derive_seed(seed, stream));
  random.shuffle(order);
  order.resize(count);
  std::sort(order.begin(), order.end());
  return order;
}

RoundPlan plan_equal_training(const SearchState& state, const Remaining& remaining, int rounds_left) {
  RoundPlan plan;
  plan.members = state.alive();
  std::vector<NetworkProgress> progress;
  for (size_t i : plan.members) progress.push_back({state.networks[i].steps, state.step_cost(i)});
  plan.train_share = Ledger{remaining.train}.share(rounds_left);
  plan.tune_share = Ledger{remaining.tune}.share(rounds_left);
  const PolicyOptions& options = state.options;
  plan.to_steps = plan_training(progress, plan.train_share, options.full_steps, options.minimum_slice, options.share);
  return plan;
}

std::vector<std::string> names_of(const SearchState& state, const std::vector<size_t>& networks) {
  std::vector<std::string> names;
  for (size_t i : networks) names.push_back(state.networks[i].name);
  return names;
}

std::vector<Verdict> keep_all(size_t networks, const std::string& reason) {
  std::vector<Verdict> verdicts(networks);
  for (Verdict& verdict : verdicts) verdict.reason = reason;
  return verdicts;
}

}  // namespace sonar
