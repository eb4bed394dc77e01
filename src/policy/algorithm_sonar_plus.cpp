// "sonar+": few networks are trained, in geometric levels, where the expected improvement of the frontier is highest
// for what it costs; final accuracies and latencies are predicted from all that was seen.
#include "policy/algorithm_sonar_plus.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <queue>

#include "model/error.h"
#include "model/random.h"
#include "policy/algorithms.h"
#include "policy/estimator_latency.h"
#include "policy/estimator_regression.h"

namespace sonar {
namespace {

constexpr size_t kGrid = 64;
constexpr double kFew = 20;           // networks trained in full that the budget pays for
constexpr double kNegligible = 1e-7;  // gain, fraction of accuracy

/// E[max(0, x - level)].
double expected_excess(double mean, double deviation, double level) {
  if (!(deviation > 0)) return std::max(0.0, mean - level);
  const double z = (mean - level) / deviation;
  if (z < -6) return 0;
  if (z > 6) return mean - level;
  return deviation * (z * std::erfc(-z / std::sqrt(2.0)) / 2 + std::exp(-z * z / 2) / std::sqrt(2 * M_PI));
}

}  // namespace

Frontier::Frontier(const std::vector<double>& latency_us, size_t points) : best_(points, 0) {
  double low = INFINITY, high = 0;
  for (double latency : latency_us) {
    if (!std::isfinite(latency) || latency <= 0) continue;
    low = std::min(low, latency);
    high = std::max(high, latency);
  }
  if (!(high > 0)) return;
  low_ = low;
  ratio_ = high > low ? std::log(high / low) : 1;
}

size_t Frontier::first(double latency_us) const {
  if (!(latency_us > low_)) return 0;
  const double place = std::log(latency_us / low_) / ratio_ * static_cast<double>(best_.size() - 1);
  return static_cast<size_t>(std::min(std::ceil(place - 1e-9), static_cast<double>(best_.size() - 1)));
}

void Frontier::add(double latency_us, double accuracy) {
  for (size_t g = first(latency_us); g < best_.size(); ++g) best_[g] = std::max(best_[g], accuracy);
}

double Frontier::gain(double latency_us, const AccuracyEstimate& estimate) const {
  double sum = 0, level = -1, excess = 0;
  for (size_t g = first(latency_us); g < best_.size(); ++g) {
    if (best_[g] != level) {
      level = best_[g];
      excess = expected_excess(estimate.accuracy, estimate.deviation, level);
      if (excess < kNegligible / 100) break;
    }
    sum += excess;
  }
  return sum / static_cast<double>(best_.size());
}

void Frontier::expect(double latency_us, const AccuracyEstimate& estimate) {
  for (size_t g = first(latency_us); g < best_.size(); ++g)
    best_[g] += expected_excess(estimate.accuracy, estimate.deviation, best_[g]);
}

std::vector<size_t> choose_training(const std::vector<TrainingOption>& options, Frontier frontier, double share,
                                    double most, bool by_cost) {
  const auto value = [&](size_t o) {
    const TrainingOption& option = options[o];
    const double gain = frontier.gain(option.latency_us, option.estimate);
    return gain < kNegligible ? 0 : gain / (by_cost ? option.full_cost : 1);
  };
  // Gains only shrink as the frontier rises, so a value computed earlier is an upper bound.
  std::priority_queue<std::pair<double, long>> queue;  // ties: the first option
  for (size_t o = 0; o < options.size(); ++o) queue.emplace(value(o), -static_cast<long>(o));
  std::vector<size_t> chosen;
  while (!queue.empty() && share > 0) {
    const auto o = static_cast<size_t>(-queue.top().second);
    queue.pop();
    if (options[o].cost > most) continue;
    const double now = value(o);
    if (now <= 0) continue;
    if (!queue.empty() && now < queue.top().first) {
      queue.emplace(now, -static_cast<long>(o));
      continue;
    }
    chosen.push_back(o);
    share -= options[o].cost;
    most -= options[o].cost;
    frontier.expect(options[o].latency_us, options[o].estimate);
  }
  return chosen;
}

namespace {

double number_of(const PolicyOptions& options, const std::string& key, double otherwise, double low, double high) {
  const auto found = options.settings.find(key);
  if (found == options.settings.end()) return otherwise;
  const std::string& text = found->second;
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !(value >= low && value <= high))
    throw UserError(fmt::format("sonar+: {} is '{}'; it must be a number from {} to {}", key, text, low, high));
  return value;
}

class SonarPlus : public Algorithm {
 public:
  explicit SonarPlus(const PolicyOptions& options)
      : rounds_(static_cast<int>(number_of(options, "rounds", 20, 2, 1000))),
        growth_(number_of(options, "growth", 2, 1.1, 100)),
        levels_(static_cast<int>(number_of(options, "levels", 0, 0, 10))),
        start_(number_of(options, "start", 0.15, 0.01, 1)),
        by_cost_(number_of(options, "by_cost", 1, 0, 1) != 0),
        latency_model_(static_cast<int>(number_of(options, "latency_model", 2, 0, 2))),
        features_(number_of(options, "features", 1, 0, 1) != 0),
        curves_(number_of(options, "curves", 1, 0, 1) != 0) {}

  size_t affordable(size_t networks, double total, double mean_step_cost, const PolicyOptions& options) const override {
    return total >= mean_step_cost * static_cast<double>(options.minimum_slice) ? networks : 0;
  }
  int rounds(const SearchState&) const override { return rounds_; }

  RoundPlan plan(const SearchState& state, const Remaining& remaining) const override {
    const int left = std::max(1, rounds_ - state.round());
    RoundPlan plan;
    plan.members = state.alive();
    plan.tune_share = remaining.tune / left;
    const bool first = state.round() == 0;
    plan.train_share = first && left > 1 ? remaining.train * start_ : remaining.train / left;
    std::vector<long> to(state.networks.size());
    for (size_t i : plan.members) to[i] = state.networks[i].steps;
    const std::vector<double> latency = latencies(state);
    const int level_count = state.rounds.empty() ? levels_for(state, remaining.train) : levels_of(state);
    if (first)
      sample(state, plan.members, latency, level_count, plan.train_share, remaining.train, to);
    else
      improve(state, plan.members, latency, level_count, plan.train_share, remaining.train, to);
    for (size_t i : plan.members) plan.to_steps.push_back(to[i]);
    return plan;
  }

  std::vector<Objectives> estimates(const SearchState& state, const std::vector<size_t>& networks) const override {
    const std::vector<double> latency = latencies(state);
    std::vector<Objectives> result;
    const std::vector<AccuracyEstimate> accuracy = estimator(levels_of(state)).estimate_all(state, latency);
    for (size_t i : networks) result.push_back({accuracy[i].accuracy, latency[i]});
    return result;
  }

  std::vector<Verdict> judge(const SearchState& state, const std::vector<size_t>& members,
                             const std::vector<Objectives>& objectives) const override {
    if (state.round() + 1 < rounds_) return keep_all(members.size(), "kept");
    std::vector<Objectives> observed = objectives;
    for (size_t m = 0; m < members.size(); ++m) {
      observed[m].accuracy = state.networks[members[m]].accuracy;
      if (state.networks[members[m]].steps == 0) observed[m].latency_us = INFINITY;  // it is not an answer
    }
    const std::vector<bool> front = answers(observed, state.options);
    if (std::find(front.begin(), front.end(), true) == front.end())
      return keep_all(members.size(), "kept: no network is both trained and has a latency");
    std::vector<Verdict> verdicts(members.size());
    for (size_t m = 0; m < members.size(); ++m) {
      Verdict& verdict = verdicts[m];
      verdict.kept = front[m];
      verdict.rank = front[m] ? 0 : 1;
      verdict.reason = front[m] ? "on the front of what was observed" : "dominated";
      if (front[m]) continue;
      for (size_t o = 0; o < members.size() && verdict.dominated_by < 0; ++o)
        if (front[o] && observed[o].accuracy >= observed[m].accuracy &&
            observed[o].latency_us <= observed[m].latency_us)
          verdict.dominated_by = static_cast<int>(o);
    }
    return verdicts;
  }

 private:
  RegressionEstimator estimator(int levels) const { return RegressionEstimator({growth_, levels, features_, curves_}); }
  /// With a budget for few networks, an intermediate level costs more than it tells.
  int levels_for(const SearchState& state, double budget) const {
    if (levels_ > 0) return levels_;
    double cost = 0;
    for (size_t i = 0; i < state.networks.size(); ++i) cost += state.step_cost(i);
    cost *= static_cast<double>(state.options.full_steps) / static_cast<double>(state.networks.size());
    return budget < kFew * cost ? 1 : 2;
  }
  /// The same in all rounds: by the share of the first.
  int levels_of(const SearchState& state) const {
    return levels_for(state, state.rounds.empty() ? 0 : state.rounds.front().train_share / start_);
  }
  std::vector<double> latencies(const SearchState& state) const {
    if (latency_model_ > 0) return fully_tuned_networks_us(state, latency_model_ > 1);
    std::vector<double> result;
    for (size_t i = 0; i < state.networks.size(); ++i) result.push_back(state.latency_us(i));
    return result;
  }

  /// A seeded sample, spread evenly over the order of the latencies, is trained to the first level.
  void sample(const SearchState& state, std::vector<size_t> members, const std::vector<double>& latency,
              int level_count, double share, double most, std::vector<long>& to) const {
    const long level = training_levels(state.options.full_steps, growth_, level_count).front();
    members.erase(std::remove_if(members.begin(), members.end(), [&](size_t i) { return !std::isfinite(latency[i]); }),
                  members.end());
    if (members.empty()) return;
    std::stable_sort(members.begin(), members.end(), [&](size_t a, size_t b) { return latency[a] < latency[b]; });
    double cost = 0;
    for (size_t i : members) cost += state.step_cost(i) * static_cast<double>(level);
    const double part = cost > 0 ? std::clamp(share / cost, 0.0, 1.0) : 1;
    const auto count = std::max<size_t>(1, static_cast<size_t>(part * static_cast<double>(members.size())));
    Random random(derive_seed(state.options.seed, "sonar+"));
    const double stride = static_cast<double>(members.size()) / static_cast<double>(count);
    for (size_t s = 0; s < count; ++s) {
      const auto place = static_cast<size_t>((static_cast<double>(s) + random.uniform()) * stride);
      const size_t i = members[std::min(place, members.size() - 1)];
      // A budget that does not pay for one level trains as far as it goes.
      const double steps = std::min(static_cast<double>(level), std::floor(most / state.step_cost(i)));
      to[i] = std::max(to[i], std::min(level, std::max(static_cast<long>(steps), state.options.minimum_slice)));
      most -= static_cast<double>(to[i] - state.networks[i].steps) * state.step_cost(i);
      if (most <= 0) return;
    }
  }

  void improve(const SearchState& state, const std::vector<size_t>& members, const std::vector<double>& latency,
               int level_count, double share, double most, std::vector<long>& to) const {
    const std::vector<long> levels = training_levels(state.options.full_steps, growth_, level_count);
    const std::vector<AccuracyEstimate> accuracy = estimator(level_count).estimate_all(state, latency);
    Frontier frontier(latency, kGrid);
    std::vector<TrainingOption> options;
    for (size_t i = 0; i < state.networks.size(); ++i) {
      const NetworkState& network = state.networks[i];
      if (std::isfinite(latency[i]) && network.steps > 0) frontier.add(latency[i], network.accuracy);
    }
    for (size_t i : members) {
      const NetworkState& network = state.networks[i];
      if (!std::isfinite(latency[i]) || network.steps >= state.options.full_steps) continue;
      TrainingOption option;
      option.network = i;
      option.to_step = *std::upper_bound(levels.begin(), levels.end(), network.steps);
      option.cost = state.step_cost(i) * static_cast<double>(option.to_step - network.steps);
      option.full_cost = state.step_cost(i) * static_cast<double>(state.options.full_steps - network.steps);
      option.latency_us = latency[i];
      option.estimate = accuracy[i];
      options.push_back(option);
    }
    for (size_t o : choose_training(options, frontier, share, most, by_cost_))
      to[options[o].network] = options[o].to_step;
  }

  int rounds_;
  double growth_;
  int levels_;
  double start_;
  bool by_cost_;
  int latency_model_;
  bool features_, curves_;
};

}  // namespace

std::unique_ptr<Algorithm> make_sonar_plus(const PolicyOptions& options) {
  return std::make_unique<SonarPlus>(options);
}

}  // namespace sonar
