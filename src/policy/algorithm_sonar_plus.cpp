// "sonar+": few networks are trained, in geometric levels, where the expected improvement of the frontier is highest
// for what it costs; final accuracies and latencies are predicted from all that was seen.
#include "policy/algorithm_sonar_plus.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <optional>
#include <queue>

#include "model/random.h"
#include "policy/algorithms.h"
#include "policy/estimator_latency.h"
#include "policy/estimator_regression.h"

namespace sonar {
namespace {

constexpr size_t kGrid = 64;
constexpr double kHopeless = 0.02;    // of the highest index of full training: lower levels are not looked at
constexpr double kFocus = 0.3;        // of the rounds: from there on, only contenders' subgraphs are tuned
constexpr double kMargin = 0.1;       // by which latencies may be mistaken, when dominance is judged
constexpr double kNegligible = 1e-7;  // gain, fraction of accuracy

/// E[max(0, x - b)] of a standard normal x, at -b = `z` of equal steps, and its derivative there.
class ExcessTable {
 public:
  static constexpr double kReach = 6, kSteps = 64;  // steps for each unit
  ExcessTable() {
    for (size_t i = 0; i < std::size(nodes_); ++i) {
      const double z = static_cast<double>(i) / kSteps - kReach;
      const double below = std::erfc(-z / std::sqrt(2.0)) / 2;
      nodes_[i] = {z * below + std::exp(-z * z / 2) / std::sqrt(2 * M_PI), below / kSteps};
    }
  }
  /// At z within the reach: a cubic between two nodes (Hermite).
  double at(double z) const {
    const double place = (z + kReach) * kSteps;
    const auto left = static_cast<size_t>(place);
    const Node &a = nodes_[left], &b = nodes_[left + 1];
    const double t = place - static_cast<double>(left), rise = b.value - a.value;
    return a.value + t * (a.slope + t * (3 * rise - 2 * a.slope - b.slope + t * (a.slope + b.slope - 2 * rise)));
  }

 private:
  struct Node {
    double value, slope;
  };
  Node nodes_[static_cast<size_t>(2 * kReach * kSteps) + 2];
};

const ExcessTable& excess_table() {
  static const ExcessTable table;
  return table;
}

/// expected_excess for several levels.
class Excess {
 public:
  explicit Excess(const Belief& belief)
      : table_(excess_table()), belief_(belief), scale_(belief.deviation > 0 ? 1 / belief.deviation : 0) {}
  double above(double level) const {
    const double difference = belief_.mean - level, z = difference * scale_;
    if (scale_ == 0 || z > ExcessTable::kReach) return std::max(0.0, difference);
    return z < -ExcessTable::kReach ? 0 : belief_.deviation * table_.at(z);
  }

 private:
  const ExcessTable& table_;
  Belief belief_;
  double scale_;
};

}  // namespace

double expected_excess(const Belief& belief, double level) { return Excess(belief).above(level); }

Frontier::Frontier(const std::vector<double>& latency_us, size_t points) : best_(points, 0), after_(points) {
  note_steps();
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

void Frontier::note_steps() {
  after_.back() = best_.size();
  for (size_t g = best_.size() - 1; g-- > 0;) after_[g] = best_[g] == best_[g + 1] ? after_[g + 1] : g + 1;
}

void Frontier::add(double latency_us, double accuracy) {
  for (size_t g = first(latency_us); g < best_.size() && best_[g] < accuracy; ++g) best_[g] = accuracy;
  note_steps();
}

double Frontier::gain_from(size_t first, const Belief& belief) const {
  const Excess excess(belief);
  double sum = 0;
  for (size_t g = first; g < best_.size(); g = after_[g]) {
    const double above = excess.above(best_[g]);
    if (above < kNegligible / 100) break;
    sum += static_cast<double>(after_[g] - g) * above;
  }
  return sum / static_cast<double>(best_.size());
}

void Frontier::expect(double latency_us, const Belief& belief) {
  const Excess excess(belief);
  for (size_t g = first(latency_us); g < best_.size(); ++g) best_[g] += excess.above(best_[g]);
  note_steps();
}

namespace {

/// Middles of seven parts of equal probability of a standard normal distribution.
constexpr double kQuantiles[] = {-1.4652, -0.7916, -0.3661, 0, 0.3661, 0.7916, 1.4652};

Belief belief_of(double log_error, double variance) {
  const double error = std::min(1.0, std::exp(log_error));
  return {1 - error, error * std::sqrt(variance)};
}

Belief belief_of(const AccuracyEstimate& estimate) { return belief_of(estimate.log_error, estimate.variance); }

/// Index of full training, of an option whose latency reaches the grid from `first` on.
double full_index(const Frontier& frontier, const TrainingOption& option, size_t first) {
  return frontier.gain_from(first, belief_of(option.estimate)) / option.levels.back().cost;
}

/// Index of training to a level below that.
double partial_index(const Frontier& frontier, const TrainingOption& option, size_t first, size_t level) {
  const TrainingOption::Level& to = option.levels[level];
  const double full = option.levels.back().cost;
  const double known = std::sqrt(std::max(0.0, option.estimate.variance - to.variance));
  double sum = 0, taken = 0, best = 0;
  const double part = 1.0 / std::size(kQuantiles);
  for (double z : kQuantiles) {  // from the best outcome on
    sum += part * frontier.gain_from(first, belief_of(option.estimate.log_error + z * known, to.variance));
    taken += part;
    const double index = sum / (to.cost + taken * (full - to.cost));
    if (index < best) break;  // worse outcomes add less still
    best = index;
  }
  return best;
}

}  // namespace

std::vector<TrainingChoice> choose_training(const std::vector<TrainingOption>& options, Frontier frontier, double share,
                                            double most) {
  struct Entry {
    double index;
    size_t option, level;
    bool operator<(const Entry& other) const {
      return index != other.index ? index < other.index : option > other.option;  // ties: the first option
    }
  };
  std::vector<size_t> first;
  std::vector<double> full;
  for (const TrainingOption& option : options) {
    first.push_back(frontier.first(option.latency_us));
    full.push_back(full_index(frontier, option, first.back()));
  }
  const double highest = full.empty() ? 0 : *std::max_element(full.begin(), full.end());
  const auto entry_of = [&](size_t o, double index_of_full) {
    const std::vector<TrainingOption::Level>& levels = options[o].levels;
    Entry entry{0, o, levels.size() - 1};
    if (levels.back().cost <= most) entry.index = std::max(0.0, index_of_full);
    for (size_t l = levels.size() - 1; l-- > 0;) {
      if (entry.index < kHopeless * highest) break;
      if (levels[l].cost > most) continue;
      const double index = partial_index(frontier, options[o], first[o], l);
      if (index > entry.index) entry = {index, o, l};
    }
    return entry;
  };
  // Entries have upper bounds of their indices. That of a level is at most the gain of the best outcome for the cost of
  // full training; and gains only shrink as the frontier rises, so an index computed earlier is a bound as well.
  std::vector<Entry> entries;
  for (size_t o = 0; o < options.size(); ++o) {
    const std::vector<TrainingOption::Level>& levels = options[o].levels;
    double bound = full[o];
    if (levels.size() > 1 && full[o] >= kHopeless * highest) {
      const double deviation = std::sqrt(options[o].estimate.variance);
      Belief best = belief_of(options[o].estimate);
      best.mean = belief_of(options[o].estimate.log_error + kQuantiles[0] * deviation, 0).mean;
      bound = std::max(bound, frontier.gain_from(first[o], best) / levels.back().cost);
    }
    entries.push_back({bound, o, levels.size() - 1});
  }
  std::priority_queue<Entry> queue(std::less<Entry>(), std::move(entries));
  std::vector<TrainingChoice> chosen;
  while (!queue.empty() && share > 0) {
    const size_t o = queue.top().option;
    queue.pop();
    const Entry now = entry_of(o, full_index(frontier, options[o], first[o]));
    if (now.index * options[o].levels.back().cost < kNegligible) continue;
    if (!queue.empty() && now < queue.top()) {
      queue.push(now);
      continue;
    }
    chosen.push_back({o, now.level});
    share -= options[o].levels[now.level].cost;
    most -= options[o].levels[now.level].cost;
    frontier.expect(options[o].latency_us, belief_of(options[o].estimate));
  }
  return chosen;
}

namespace {

class SonarPlus : public Algorithm {
 public:
  explicit SonarPlus(const PolicyOptions& options)
      : rounds_(static_cast<int>(setting_number(options, "rounds", 20, 2, 1000))),
        growth_(setting_number(options, "growth", 1.5, 1.1, 100)),
        levels_(static_cast<int>(setting_number(options, "levels", 4, 1, 10))),
        looks_(setting_number(options, "looks", 1, 0, 1) != 0),
        contenders_(static_cast<int>(setting_number(options, "contenders", 64, 0, 1e6))),
        process_(setting_number(options, "process", 1, 0, 1) != 0),
        start_(setting_number(options, "start", 0.15, 0.01, 1)),
        latency_model_(static_cast<int>(setting_number(options, "latency_model", 2, 0, 2))),
        features_(setting_number(options, "features", 1, 0, 1) != 0),
        curves_(setting_number(options, "curves", 1, 0, 1) != 0) {}

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
    const Forecast& forecast = forecast_of(state);
    if (first) {
      sample(state, plan.members, forecast.latency_us, plan.train_share, remaining.train, to);
    } else {
      const Frontier frontier = observed_frontier(state, forecast);
      const std::vector<TrainingOption> options = training_options(state, forecast, plan.members);
      for (const TrainingChoice& choice : choose_training(options, frontier, plan.train_share, remaining.train))
        to[options[choice.option].network] = options[choice.option].levels[choice.level].to_step;
      if (contenders_ > 0 && state.round() >= kFocus * rounds_)
        plan.members = contenders(state, forecast, options, frontier, to);
    }
    for (size_t i : plan.members) plan.to_steps.push_back(to[i]);
    return plan;
  }

  std::vector<Objectives> estimates(const SearchState& state, const std::vector<size_t>& networks) const override {
    const Forecast& forecast = forecast_of(state);
    std::vector<Objectives> result;
    result.reserve(networks.size());
    for (size_t i : networks) result.push_back({forecast.accuracy.networks[i].accuracy(), forecast.latency_us[i]});
    return result;
  }

  std::vector<Verdict> judge(const SearchState& state, const std::vector<size_t>& members,
                             const std::vector<Objectives>& objectives) const override {
    if (state.round() + 1 < rounds_) return keep_all(members.size(), "kept");
    const std::vector<size_t> front = observed_front(state, forecast_of(state), members);
    if (front.empty()) return keep_all(members.size(), "kept: no network is both trained and has a latency");
    std::vector<Verdict> verdicts(members.size());
    for (size_t m = 0; m < members.size(); ++m) {
      Verdict& verdict = verdicts[m];
      verdict.kept = std::binary_search(front.begin(), front.end(), members[m]);
      verdict.rank = verdict.kept ? 0 : 1;
      verdict.reason = verdict.kept ? "on the front of what was observed" : "dominated";
      if (verdict.kept) continue;
      for (size_t o = 0; o < members.size() && verdict.dominated_by < 0; ++o)
        if (o != m && std::binary_search(front.begin(), front.end(), members[o]) &&
            state.networks[members[o]].accuracy >= state.networks[members[m]].accuracy &&
            objectives[o].latency_us <= objectives[m].latency_us)
          verdict.dominated_by = static_cast<int>(o);
    }
    return verdicts;
  }

  std::vector<size_t> result(const SearchState& state) const override {
    return state.round() < rounds_ ? state.alive() : observed_front(state, forecast_of(state), state.alive());
  }

 private:
  /// What is predicted from the state as it stands.
  struct Forecast {
    std::vector<double> latency_us;
    AccuracyForecast accuracy;
  };
  const Forecast& forecast_of(const SearchState& state) const {
    const uint64_t print = fingerprint(state);
    if (!forecast_ || print != forecast_print_) {
      Forecast forecast;
      if (const uint64_t fixed = LatencyEstimator::fingerprint(state); !latencies_ || fixed != latencies_print_) {
        latencies_.emplace(state);
        latencies_print_ = fixed;
      }
      forecast.latency_us = latencies(state);
      forecast.accuracy = estimator().estimate(state, forecast.latency_us, latencies_->features());
      forecast_ = std::move(forecast);
      forecast_print_ = print;
    }
    return *forecast_;
  }
  /// Of all that a forecast depends on: FNV-1a by words, of each thing for itself, so that they are computed side by
  /// side.
  static uint64_t fingerprint(const SearchState& state) {
    constexpr uint64_t kStart = 1469598103934665603u;
    const auto mixed = [](uint64_t hash, uint64_t value) { return (hash ^ value) * 1099511628211u; };
    uint64_t hash = kStart;
    for (const NetworkState& network : state.networks) {
      uint64_t own = mixed(kStart, static_cast<uint64_t>(network.steps));
      own = mixed(own, network.curve.size());
      own = mixed(own, std::bit_cast<uint64_t>(network.accuracy));
      hash = mixed(hash, mixed(own, std::bit_cast<uint64_t>(network.measured_us.value_or(-1))));
    }
    for (const SubgraphState& subgraph : state.subgraphs)
      hash = mixed(hash, mixed(mixed(kStart, std::bit_cast<uint64_t>(subgraph.best_us)),
                               subgraph.curve.size() * 2 + subgraph.answered));
    return hash;
  }
  RegressionEstimator estimator() const {
    return RegressionEstimator({growth_, levels_, features_, curves_, process_});
  }
  std::vector<double> latencies(const SearchState& state) const {
    if (latency_model_ > 0) return latencies_->networks_us(state, latency_model_ > 1);
    std::vector<double> result;
    for (size_t i = 0; i < state.networks.size(); ++i) result.push_back(state.latency_us(i));
    return result;
  }

  /// A seeded sample, spread evenly over the order of the latencies, is trained to the second level (of one: to that).
  void sample(const SearchState& state, std::vector<size_t> members, const std::vector<double>& latency, double share,
              double most, std::vector<long>& to) const {
    const std::vector<long> levels = training_levels(state.options.full_steps, growth_, levels_);
    const long level = levels[std::min(levels.size() - 1, size_t{1})];
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

  Frontier observed_frontier(const SearchState& state, const Forecast& forecast) const {
    const std::vector<double>& latency = forecast.latency_us;
    Frontier frontier(latency, kGrid);
    for (size_t i = 0; i < state.networks.size(); ++i)
      if (std::isfinite(latency[i]) && state.networks[i].steps > 0)
        frontier.add(latency[i], state.networks[i].accuracy);
    return frontier;
  }

  std::vector<TrainingOption> training_options(const SearchState& state, const Forecast& known,
                                               const std::vector<size_t>& members) const {
    const std::vector<long> levels = training_levels(state.options.full_steps, growth_, levels_);
    const auto& [latency, forecast] = known;
    const bool last = state.round() + 1 >= rounds_;
    std::vector<TrainingOption> options;
    for (size_t i : members) {
      const NetworkState& network = state.networks[i];
      if (!std::isfinite(latency[i]) || network.steps >= state.options.full_steps) continue;
      TrainingOption option;
      option.network = i;
      option.latency_us = latency[i];
      option.estimate = forecast.networks[i];
      const double now = option.estimate.reached < 0 ? 1 : forecast.left[static_cast<size_t>(option.estimate.reached)];
      for (size_t l = 0; l < levels.size(); ++l) {
        if (levels[l] <= network.steps || (l + 1 < levels.size() && (last || !looks_))) continue;
        option.levels.push_back({levels[l], state.step_cost(i) * static_cast<double>(levels[l] - network.steps),
                                 option.estimate.variance * (now > 0 ? std::min(1.0, forecast.left[l] / now) : 0)});
      }
      options.push_back(std::move(option));
    }
    return options;
  }

  /// Those to tune for: what is trained now, what holds the frontier, and what has the highest indices.
  std::vector<size_t> contenders(const SearchState& state, const Forecast& forecast,
                                 const std::vector<TrainingOption>& options, const Frontier& frontier,
                                 const std::vector<long>& to) const {
    std::vector<bool> in(state.networks.size());
    for (size_t i : observed_front(state, forecast, state.alive())) in[i] = true;
    std::vector<std::pair<double, size_t>> order;
    for (const TrainingOption& option : options) {
      if (to[option.network] > state.networks[option.network].steps) in[option.network] = true;
      order.emplace_back(-full_index(frontier, option, frontier.first(option.latency_us)), option.network);
    }
    std::sort(order.begin(), order.end());
    for (size_t k = 0; k < order.size() && k < static_cast<size_t>(contenders_); ++k) in[order[k].second] = true;
    std::vector<size_t> result;
    for (size_t i : state.alive())
      if (in[i]) result.push_back(i);
    return result;
  }

  /// Of the networks trained, those that none as accurate beats in latency by more than the margin.
  std::vector<size_t> observed_front(const SearchState& state, const Forecast& forecast,
                                     const std::vector<size_t>& networks) const {
    const std::vector<double>& latency = forecast.latency_us;
    std::vector<size_t> order, front;
    for (size_t i : networks)
      if (state.networks[i].steps > 0 && std::isfinite(latency[i])) order.push_back(i);
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return latency[a] < latency[b]; });
    double best = -1;
    size_t next = 0;
    for (size_t i : order) {
      while (latency[order[next]] < latency[i] * (1 - kMargin))
        best = std::max(best, state.networks[order[next++]].accuracy);
      if (state.networks[i].accuracy > best) front.push_back(i);
    }
    std::sort(front.begin(), front.end());
    return front;
  }

  // These save time only: the forecast of the state with this print, and what is fixed in states with that one.
  mutable std::optional<Forecast> forecast_;
  mutable std::optional<LatencyEstimator> latencies_;
  mutable uint64_t forecast_print_ = 0, latencies_print_ = 0;
  int rounds_;
  double growth_;
  int levels_;
  bool looks_;
  int contenders_;
  bool process_;
  double start_;
  int latency_model_;
  bool features_, curves_;
};

}  // namespace

std::unique_ptr<Algorithm> make_sonar_plus(const PolicyOptions& options) {
  return std::make_unique<SonarPlus>(options);
}

}  // namespace sonar
