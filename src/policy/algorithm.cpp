#include "policy/algorithm.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numeric>

#include "model/error.h"
#include "model/random.h"
#include "policy/algorithms.h"
#include "policy/geometric_levels.h"
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
      {"pareto",
       make_pareto,
       {"levels", "growth", "finals", "confidence", "early_drop", "extrapolate", "validation_images"}},
      {"threshold", make_threshold, {"early_drop", "extrapolate", "validation_images"}},
      {"brute-force", make_brute_force, {}},
      {"random", make_random, {}},
      {"proxy-flops", make_proxy_flops, {}},
      {"proxy-untuned", make_proxy_untuned, {}},
      {"proxy-command", make_proxy_command, {}},
      {"hyperband", make_hyperband, {"levels", "growth", "finals", "brackets"}},
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

std::map<std::string, std::string> algorithm_settings(const std::vector<std::string>& texts, const std::string& place) {
  std::map<std::string, std::string> settings;
  for (const std::string& text : texts) {
    const size_t equals = text.find('=');
    if (equals == std::string::npos || equals == 0)
      throw UserError(fmt::format("{} {}: write key=value, like rounds=10", place, text));
    if (!settings.emplace(text.substr(0, equals), text.substr(equals + 1)).second)
      throw UserError(fmt::format("{}: {} is given twice", place, text.substr(0, equals)));
  }
  return settings;
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

double setting_number(const PolicyOptions& options, const std::string& key, double otherwise, double low, double high) {
  const auto found = options.settings.find(key);
  if (found == options.settings.end()) return otherwise;
  const std::string& text = found->second;
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !(value >= low && value <= high))
    throw UserError(
        fmt::format("{}: {} is '{}'; it must be a number from {} to {}", options.algorithm, key, text, low, high));
  return value;
}

RoundPlan plan_to_level(const SearchState& state, std::vector<size_t> members, double train_share, double tune_share,
                        long steps) {
  RoundPlan plan;
  plan.members = std::move(members);
  plan.train_share = train_share;
  plan.tune_share = tune_share;
  std::vector<NetworkProgress> progress;
  for (size_t i : plan.members) progress.push_back({state.networks[i].steps, state.step_cost(i)});
  plan.to_steps = plan_training(progress, plan.train_share, steps, state.options.minimum_slice, state.options.share);
  return plan;
}

RoundPlan plan_equal_training(const SearchState& state, const Remaining& remaining, int rounds_left) {
  return plan_to_level(state, state.alive(), Ledger{remaining.train}.share(rounds_left),
                       Ledger{remaining.tune}.share(rounds_left), state.options.full_steps);
}

std::vector<Verdict> best_paid(const SearchState& state, const std::vector<size_t>& members,
                               const std::vector<Objectives>& objectives, long steps, double share) {
  const std::vector<std::string> names = names_of(state, members);
  const std::vector<size_t> order = order_by_front(objectives, names);
  std::vector<size_t> networks;
  for (size_t m : order) networks.push_back(members[m]);
  const size_t count = std::max<size_t>(1, count_paid(state, networks, steps, share));
  return best_by_front(objectives, names, count, "the next round can train");
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
