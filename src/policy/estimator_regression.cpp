#include "policy/estimator_regression.h"

#include <algorithm>
#include <cmath>

#include "policy/estimator_latency.h"
#include "policy/estimator_ridge.h"

namespace sonar {
namespace {

constexpr double kLeastError = 1e-4;       // 1 - accuracy is taken to be no less
constexpr double kUnknownDeviation = 0.3;  // of log(1 - accuracy), without networks to learn from
constexpr size_t kLeastNetworks = 5;       // to learn from

double log_error(double accuracy) { return std::log(std::max(kLeastError, 1 - accuracy)); }

/// Columns that differ between networks; missing values are the mean of the others, wide positive ones logarithms.
Rows features_of(const SearchState& state, const std::vector<double>& latency_us, bool named) {
  const size_t n = state.networks.size();
  Rows columns;
  const auto add = [&](std::vector<double> column) {
    double low = INFINITY, high = -INFINITY, sum = 0, known = 0;
    for (double value : column)
      if (std::isfinite(value)) {
        low = std::min(low, value);
        high = std::max(high, value);
        ++known;
      }
    if (known == 0 || low == high) return;
    const bool wide = low > 0 && high > 8 * low;
    for (double& value : column) {
      if (!std::isfinite(value)) continue;
      if (wide) value = std::log(value);
      sum += value / known;
    }
    for (double& value : column)
      if (!std::isfinite(value)) value = sum;
    columns.push_back(std::move(column));
  };
  if (named)
    for (size_t f = 0; f < state.feature_names.size(); ++f) {
      std::vector<double> column;
      for (const NetworkState& network : state.networks) column.push_back(network.features[f]);
      add(std::move(column));
    }
  std::vector<double> latency, macs;
  for (size_t i = 0; i < n; ++i) {
    latency.push_back(latency_us[i] > 0 ? std::log(latency_us[i]) : NAN);
    double sum = 0;
    for (auto [subgraph, count] : state.networks[i].subgraphs) sum += count * state.subgraphs[subgraph].macs;
    macs.push_back(sum > 0 ? std::log(sum) : NAN);
  }
  double mean = 0, known = 0;
  for (double value : latency)
    if (std::isfinite(value)) {
      mean += value;
      ++known;
    }
  mean /= std::max(1.0, known);
  std::vector<double> square;
  for (double value : latency) square.push_back((value - mean) * (value - mean));
  add(latency);
  add(square);
  add(macs);
  Rows rows(n);
  for (size_t i = 0; i < n; ++i)
    for (const auto& column : columns) rows[i].push_back(column[i]);
  return rows;
}

/// Best and last accuracy by `step`.
std::pair<double, double> accuracies_at(const NetworkState& network, long step) {
  double best = 0, last = 0;
  for (const TrainingSample& sample : network.curve) {
    if (sample.step > step) break;
    if (!std::isfinite(sample.accuracy)) continue;
    best = std::max(best, sample.accuracy);
    last = sample.accuracy;
  }
  return {best, last};
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

std::vector<AccuracyEstimate> RegressionEstimator::estimate_all(const SearchState& state,
                                                                const std::vector<double>& latency_us) const {
  const size_t n = state.networks.size();
  const std::vector<long> levels =
      training_levels(state.options.full_steps, options_.growth, options_.curves ? options_.levels : 1);
  const auto top = static_cast<int>(levels.size()) - 1;
  const Rows features = features_of(state, latency_us, options_.features);
  std::vector<int> reached(n, -1);
  std::vector<Normal> final(n);
  for (size_t i = 0; i < n; ++i) {
    while (reached[i] < top && state.networks[i].steps >= levels[static_cast<size_t>(reached[i] + 1)]) ++reached[i];
    if (reached[i] == top) final[i] = {log_error(state.networks[i].accuracy), 0};
  }
  for (int level = top - 1; level >= -1; --level) {
    const auto row_of = [&](size_t i) {
      std::vector<double> row = features[i];
      if (level >= 0) {
        const auto [best, last] = accuracies_at(state.networks[i], levels[static_cast<size_t>(level)]);
        row.push_back(log_error(best));
        row.push_back(best);
        row.push_back(log_error(last));
      }
      return row;
    };
    Rows rows;
    std::vector<double> values;
    double uncertain = 0;
    for (size_t i = 0; i < n; ++i) {
      if (reached[i] <= level) continue;
      rows.push_back(row_of(i));
      values.push_back(final[i].mean);
      uncertain += final[i].variance;
    }
    const bool learnt = values.size() >= kLeastNetworks;
    double mean = 0;
    for (double value : values) mean += value / static_cast<double>(values.size());
    if (!values.empty()) uncertain /= static_cast<double>(values.size());
    std::vector<Ridge> ridge;
    if (learnt) ridge.emplace_back(rows, values);
    for (size_t i = 0; i < n; ++i) {
      if (reached[i] != level) continue;
      const double bound = log_error(state.networks[i].accuracy);
      Normal normal;
      if (learnt) {
        const Ridge::Prediction prediction = ridge[0].predict(row_of(i));
        normal = {prediction.mean, prediction.variance + uncertain};
      } else {
        const double spread = kUnknownDeviation * (level >= 0 ? 1 : 2);
        normal = {level >= 0 || values.empty() ? bound - spread : mean, spread * spread};
      }
      final[i] = state.networks[i].steps > 0 ? below(normal, bound) : normal;
    }
  }
  std::vector<AccuracyEstimate> result;
  for (size_t i = 0; i < n; ++i) {
    const double error = std::min(1.0, std::exp(final[i].mean));
    result.push_back({1 - error, error * std::sqrt(std::max(0.0, final[i].variance))});
  }
  return result;
}

std::vector<AccuracyEstimate> RegressionEstimator::estimate(const SearchState& state,
                                                            const std::vector<size_t>& networks) const {
  const std::vector<AccuracyEstimate> all = estimate_all(state, network_latencies(state, fully_tuned_us(state)));
  std::vector<AccuracyEstimate> result;
  for (size_t i : networks) result.push_back(all[i]);
  return result;
}

}  // namespace sonar
