#include "policy/estimator_regression.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "policy/estimator_process.h"

namespace sonar {
namespace {

constexpr double kLeastError = 1e-4;       // 1 - accuracy is taken to be no less
constexpr double kUnknownDeviation = 0.3;  // of log(1 - accuracy), without networks to learn from
constexpr size_t kLeastNetworks = 8;       // to learn from: with fewer, a regression on curves or features is chance
constexpr double kPriorDeviation = 0.2;    // of log(1 - accuracy), of an untrained network
constexpr double kPriorWeight = 5;         // networks that the prior counts for

double log_error(double accuracy) { return std::log(std::max(kLeastError, 1 - accuracy)); }

/// Natural logarithms of the latencies less their mean; 0 for an infinite one.
std::vector<double> centred_logs(const std::vector<double>& latency_us) {
  std::vector<double> result(latency_us.size(), 0);
  double mean = 0, known = 0;
  for (size_t i = 0; i < result.size(); ++i) {
    if (!std::isfinite(latency_us[i]) || latency_us[i] <= 0) continue;
    result[i] = std::log(latency_us[i]);
    mean += result[i];
    ++known;
  }
  mean /= std::max(1.0, known);
  for (size_t i = 0; i < result.size(); ++i)
    if (std::isfinite(latency_us[i]) && latency_us[i] > 0) result[i] -= mean;
  return result;
}

/// What a curve up to `step` says: log errors of the best and the last accuracy, of the best up to half of `step` and
/// up to a quarter.
std::array<double, 4> curve_up_to(const NetworkState& network, long step) {
  double best = 0, last = 0, half = 0, quarter = 0;
  for (const TrainingSample& sample : network.curve) {
    if (sample.step > step) break;
    if (!std::isfinite(sample.accuracy)) continue;
    best = std::max(best, sample.accuracy);
    last = sample.accuracy;
    if (sample.step <= step / 2) half = best;
    if (sample.step <= step / 4) quarter = best;
  }
  return {log_error(best), log_error(last), log_error(half), log_error(quarter)};
}

struct Normal {
  double mean = 0, variance = 0;
};

/// A normal distribution given that it is below `bound`.
Normal below(const Normal& normal, double bound) {
  const double deviation = std::sqrt(normal.variance);
  if (!(deviation > 0)) return {std::min(normal.mean, bound), 0};
  const double z = (bound - normal.mean) / deviation;
  const double mass = std::erfc(-z / std::sqrt(2.0)) / 2;
  if (mass < 1e-4) return {bound - deviation / (1 + std::max(0.0, -z)), normal.variance / (1 + z * z)};
  const double ratio = std::exp(-z * z / 2) / std::sqrt(2 * M_PI) / mass;
  return {normal.mean - deviation * ratio, normal.variance * std::max(0.05, 1 - z * ratio - ratio * ratio)};
}

}  // namespace

std::vector<long> training_levels(long full_steps, double growth, int levels) {
  std::vector<long> result;
  double step = static_cast<double>(full_steps);
  for (int l = 0; l < levels; ++l, step /= growth) {
    const long level = std::max(1L, std::lround(step));
    if (result.empty() || level < result.back()) result.push_back(level);
  }
  std::reverse(result.begin(), result.end());
  return result;
}

double AccuracyEstimate::accuracy() const { return 1 - std::min(1.0, std::exp(log_error)); }

AccuracyForecast RegressionEstimator::estimate(const SearchState& state, const std::vector<double>& latency_us,
                                               const Rows& network_features) const {
  const size_t n = state.networks.size();
  const std::vector<long> levels = training_levels(state.options.full_steps, options_.growth, options_.levels);
  const auto top = static_cast<int>(levels.size()) - 1;
  const std::vector<double> logs = centred_logs(latency_us);
  const auto features_of = [&](size_t i, std::vector<double>& row) {
    row.clear();
    if (options_.features) row = network_features[i];
    row.push_back(logs[i]);
    row.push_back(logs[i] * logs[i]);
  };
  std::vector<int> reached(n, -1);
  std::vector<Normal> final(n);
  for (size_t i = 0; i < n; ++i)
    while (reached[i] < top && state.networks[i].steps >= levels[static_cast<size_t>(reached[i] + 1)]) ++reached[i];
  std::vector<std::vector<std::array<double, 4>>> curves(static_cast<size_t>(top));  // by level, of those beyond it
  for (size_t level = 0; options_.curves && level < curves.size(); ++level) {
    curves[level].resize(n);
    for (size_t i = 0; i < n; ++i)
      if (reached[i] >= static_cast<int>(level)) curves[level][i] = curve_up_to(state.networks[i], levels[level]);
  }
  std::vector<double> by_features;  // of the pass before
  std::vector<double> left(levels.size() + 1, 0);
  for (int pass = 0; pass < 2; ++pass) {
    for (size_t i = 0; i < n; ++i)
      if (reached[i] == top) final[i] = {log_error(state.networks[i].accuracy), 0};
    std::vector<double> predicted(n);
    for (int level = top - 1; level >= -1; --level) {
      const auto row_of = [&](size_t i, std::vector<double>& row) {
        if (level < 0 || by_features.empty())
          features_of(i, row);
        else
          row.assign(1, by_features[i]);
        if (level < 0 || !options_.curves) return;
        const std::array<double, 4>& curve = curves[static_cast<size_t>(level)][i];
        row.insert(row.end(), curve.begin(), curve.end() - (by_features.empty() ? 1 : 0));
      };
      std::vector<double> row;
      Rows rows;
      std::vector<double> values;
      double uncertain = 0;
      for (size_t i = 0; i < n; ++i) {
        if (reached[i] <= level) continue;
        row_of(i, row);
        rows.push_back(row);
        values.push_back(final[i].mean);
        uncertain += final[i].variance;
      }
      const bool learnt = values.size() >= kLeastNetworks;
      double mean = 0;
      for (double value : values) mean += value / static_cast<double>(values.size());
      if (!values.empty()) uncertain /= static_cast<double>(values.size());
      std::vector<Ridge> ridge;
      std::vector<GaussianProcess> process;
      double variance = 0;
      const double seen = level < 0 ? 0
                                    : static_cast<double>(levels[static_cast<size_t>(level)]) /
                                          static_cast<double>(state.options.full_steps);
      // Where all that was trained ends alike, nothing is uncertain by more than that.
      double spread = kPriorDeviation * kPriorDeviation;
      if (learnt) {
        double sum = 0;
        for (double value : values) sum += (value - mean) * (value - mean);
        spread = std::min(spread, sum / static_cast<double>(values.size() - 1));
      }
      const double prior = spread * (1 - seen);
      if (learnt) {
        ridge.emplace_back(rows, values);
        variance = ridge[0].variance();
        if (options_.process && level >= 0 && !by_features.empty()) {
          process.emplace_back(rows, ridge[0].leave_one_out(), 3, 1);
          variance = 0;
          for (double e : process[0].leave_one_out()) variance += e * e / static_cast<double>(values.size());
        }
        const auto m = static_cast<double>(values.size());
        variance = (m * variance + kPriorWeight * prior) / (m + kPriorWeight);
      } else {
        variance = prior;
      }
      variance += uncertain;
      left[static_cast<size_t>(level + 1)] = variance;
      for (size_t i = 0; i < n; ++i) {
        if (level < 0 && learnt) {
          features_of(i, row);
          predicted[i] = ridge[0].mean(row);
        }
        if (reached[i] != level) continue;
        const double bound = log_error(state.networks[i].accuracy);
        Normal normal;
        if (learnt) {
          if (level >= 0) row_of(i, row);
          normal = {level < 0 ? predicted[i] : ridge[0].mean(row), variance};
          if (!process.empty()) normal.mean += process[0].mean(row);
        } else {
          const double deviation = kUnknownDeviation * (level >= 0 ? 1 : 2);
          normal = {level >= 0 || values.empty() ? bound - deviation : mean, deviation * deviation};
        }
        final[i] = state.networks[i].steps > 0 ? below(normal, bound) : normal;
      }
      if (level < 0 && learnt) by_features = predicted;
    }
  }
  AccuracyForecast result;
  for (size_t i = 0; i < n; ++i)
    result.networks.push_back({final[i].mean, std::max(0.0, final[i].variance), reached[i]});
  for (size_t l = 1; l < left.size(); ++l) result.left.push_back(std::min(1.0, left[l] / left[0]));
  result.left.back() = 0;
  for (size_t l = result.left.size(); l-- > 1;) result.left[l - 1] = std::max(result.left[l - 1], result.left[l]);
  return result;
}

}  // namespace sonar
