#include "policy/elimination.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "model/error.h"
#include "policy/architecture_features.h"

namespace sonar {
namespace {

constexpr double kHeadroom = 2;  // throughput that tuning may still reach, over the best of the kind (task_scheduler)

double variance_of(const std::vector<double>& values) {
  if (values.size() < 2) return 0;
  const double n = static_cast<double>(values.size());
  const double mean = std::accumulate(values.begin(), values.end(), 0.0) / n;
  double sum = 0;
  for (double value : values) sum += (value - mean) * (value - mean);
  return sum / (n - 1);
}

/// Of each network, best accuracy up to the step that the rounds before left it at; negative: there was none.
std::vector<double> accuracies_before(const SearchState& state) {
  std::vector<long> steps(state.networks.size(), -1);
  for (size_t k = 0; k + 1 < state.rounds.size(); ++k)
    for (size_t m = 0; m < state.rounds[k].members.size(); ++m) {
      long& step = steps[state.rounds[k].members[m]];
      step = std::max(step, state.rounds[k].to_steps[m]);
    }
  std::vector<double> result(state.networks.size(), -1);
  for (size_t i = 0; i < result.size(); ++i)
    for (const TrainingSample& sample : state.networks[i].curve)
      if (sample.step <= steps[i]) result[i] = std::max(result[i], sample.accuracy);
  return result;
}

/// The part of a key that names its kind.
std::string kind_of(const SubgraphKey& key) { return key.substr(0, key.find_first_of("-_")); }

/// Of each network the most accurate of the first front that is no slower than `latency_us` of it, or -1; and by how
/// many standard deviations of the difference it is ahead.
struct Dominator {
  int index = -1;
  double deviations = 0;
};
class FirstFront {
 public:
  FirstFront(const std::vector<Objectives>& objectives, const std::vector<double>& variance)
      : objectives_(objectives), variance_(variance), on_(on_front(objectives)) {
    for (size_t i = 0; i < objectives.size(); ++i)
      if (on_[i]) front_.push_back(i);
  }
  bool has(size_t i) const { return on_[i]; }
  Dominator over(size_t i, double latency_us) const {
    Dominator best;
    for (size_t j : front_) {
      const double ahead = objectives_[j].accuracy - objectives_[i].accuracy;
      if (j == i || objectives_[j].latency_us > latency_us || ahead < 0) continue;
      const double deviation = std::sqrt(variance_[i] + variance_[j]);
      const double deviations = deviation > 0 ? ahead / deviation : (ahead > 0 ? INFINITY : 0);
      if (best.index < 0 || deviations > best.deviations) best = {static_cast<int>(j), deviations};
    }
    return best;
  }

 private:
  const std::vector<Objectives>& objectives_;
  const std::vector<double>& variance_;
  std::vector<bool> on_;
  std::vector<size_t> front_;
};

}  // namespace

std::vector<double> accuracy_variances(const SearchState& state, const std::vector<size_t>& networks, double images) {
  std::vector<double> rises, accuracies;
  const std::vector<double> before = accuracies_before(state);
  for (size_t i : networks) {
    accuracies.push_back(state.networks[i].accuracy);
    if (before[i] >= 0) rises.push_back(state.networks[i].accuracy - before[i]);
  }
  const double rise = variance_of(rises.size() >= 2 ? rises : accuracies);
  std::vector<double> result;
  for (size_t i : networks) {
    const NetworkState& network = state.networks[i];
    const double seen =
        network.curve.empty() || network.curve.back().images <= 0 ? images : network.curve.back().images;
    const double a = std::clamp(network.accuracy, 0.0, 1.0);
    result.push_back(rise + (seen > 0 ? a * (1 - a) / seen : 0));
  }
  return result;
}

std::vector<Verdict> confident_survivors(const std::vector<Objectives>& objectives,
                                         const std::vector<std::string>& names, SurvivorRule rule,
                                         const std::vector<double>& variance, double confidence, size_t most) {
  if (variance.size() != objectives.size()) throw InternalError("survivors: one variance per network is needed");
  std::vector<Verdict> verdicts = pareto_survivors(objectives, names, rule);
  const FirstFront front(objectives, variance);
  std::vector<std::pair<double, size_t>> others;
  size_t kept = 0;
  for (size_t i = 0; i < objectives.size(); ++i) {
    Verdict& verdict = verdicts[i];
    kept += verdict.kept;
    if (verdict.kept || std::isinf(objectives[i].latency_us)) continue;
    const Dominator by = front.over(i, objectives[i].latency_us);
    verdict.dominated_by = by.index;
    verdict.reason = fmt::format("on front {}, dominated by {} by {:.1f} standard deviations", verdict.rank + 1,
                                 names[static_cast<size_t>(by.index)], by.deviations);
    if (by.deviations < confidence) others.emplace_back(by.deviations, i);
  }
  std::sort(others.begin(), others.end());
  for (auto [deviations, i] : others) {
    if (kept >= most) {
      verdicts[i].reason += fmt::format("; {} are kept, as many as the next round can train", kept);
      continue;
    }
    ++kept;
    verdicts[i].kept = true;
    verdicts[i].reason += ", which is not sure";
    verdicts[i].dominated_by = -1;
  }
  return verdicts;
}

std::vector<double> latency_floors_us(const SearchState& state, const std::vector<size_t>& networks) {
  std::map<std::string, double> best;  // by kind: multiply-accumulates a microsecond
  for (const SubgraphState& subgraph : state.subgraphs)
    if (subgraph.macs > 0 && std::isfinite(subgraph.best_us) && subgraph.best_us > 0) {
      double& of_kind = best[kind_of(subgraph.key)];
      of_kind = std::max(of_kind, subgraph.macs / subgraph.best_us);
    }
  const double peak = state.options.peak_macs_per_us;
  const auto reachable = [&](double throughput) {
    const double ahead = kHeadroom * throughput;
    return peak > 0 ? std::min(peak, ahead) : ahead;
  };
  const auto stated = [&](size_t i) { return stated_macs(state.feature_names, state.networks[i].features); };
  double best_network = 0;
  for (size_t i = 0; i < state.networks.size(); ++i)
    if (const double latency = state.latency_us(i); std::isfinite(latency) && latency > 0 && stated(i) > 0)
      best_network = std::max(best_network, stated(i) / latency);
  std::vector<double> result;
  for (size_t i : networks) {
    double floor = 0;
    if (state.macs(i) > 0) {
      for (auto [subgraph, count] : state.networks[i].subgraphs)
        if (const double macs = state.subgraphs[subgraph].macs; macs > 0)
          if (const double throughput = best[kind_of(state.subgraphs[subgraph].key)]; throughput > 0)
            floor += count * macs / reachable(throughput);
    } else if (stated(i) > 0 && best_network > 0) {
      floor = stated(i) / reachable(best_network);
    }
    result.push_back(std::min(floor, state.latency_us(i)));
  }
  return result;
}

void drop_hopeless(const std::vector<Objectives>& objectives, const std::vector<std::string>& names,
                   const std::vector<double>& floor_us, const std::vector<double>& variance, double margin,
                   std::vector<Verdict>& verdicts) {
  if (floor_us.size() != objectives.size() || variance.size() != objectives.size() ||
      verdicts.size() != objectives.size())
    throw InternalError("survivors: one bound, variance and verdict per network is needed");
  const FirstFront front(objectives, variance);
  for (size_t i = 0; i < objectives.size(); ++i) {
    if (!verdicts[i].kept || front.has(i)) continue;
    const Dominator by = front.over(i, floor_us[i]);
    if (by.index < 0 || by.deviations < margin) continue;
    verdicts[i].kept = false;
    verdicts[i].dominated_by = by.index;
    verdicts[i].reason = fmt::format(
        "{}; even at {:.4g} us, the lower bound of its latency, dominated by {} by {:.1f} standard deviations",
        verdicts[i].reason, floor_us[i], names[static_cast<size_t>(by.index)], by.deviations);
  }
}

}  // namespace sonar
