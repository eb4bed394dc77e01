#include "policy/curve_extrapolation.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "policy/estimator_latency.h"
#include "policy/estimator_ridge.h"

namespace sonar {
namespace {

constexpr double kLeastError = 1e-4;  // 1 - accuracy is taken to be no less
constexpr size_t kLeastNetworks = 8;  // to learn from

double log_error(double accuracy) { return std::log(std::max(kLeastError, 1 - accuracy)); }

/// log(1 - best accuracy) by `step`; nothing before the first point of the curve.
std::optional<double> log_error_at(const NetworkState& network, double step) {
  const std::vector<TrainingSample>& curve = network.curve;
  if (curve.empty() || step < static_cast<double>(curve.front().step) || curve.front().step <= 0) return std::nullopt;
  double best = 0;
  for (size_t p = 0; p < curve.size(); ++p) {
    if (static_cast<double>(curve[p].step) > step) {
      const double from = std::log(static_cast<double>(curve[p - 1].step)),
                   to = std::log(static_cast<double>(curve[p].step));
      const double before = log_error(best), after = log_error(std::max(best, curve[p].accuracy));
      return before + (after - before) * (std::log(step) - from) / (to - from);
    }
    best = std::max(best, curve[p].accuracy);
  }
  return log_error(best);
}

}  // namespace

std::vector<double> extrapolated_accuracies(const SearchState& state, const std::vector<size_t>& networks,
                                            double doublings) {
  std::vector<double> result;
  for (size_t i : networks) result.push_back(state.networks[i].accuracy);
  if (!(doublings > 0)) return result;
  const Rows named = network_features(state);

  // As many steps back in time as enough curves have: the last doubling, and the one before it.
  struct Curve {
    size_t place;                // in `networks`
    std::vector<double> errors;  // now, at half of its training, at a quarter
    std::vector<double> features;
  };
  std::vector<Curve> curves;
  size_t enough = 0;
  for (size_t n = 0; n < networks.size(); ++n) {
    const NetworkState& network = state.networks[networks[n]];
    const double latency = state.latency_us(networks[n]);
    if (network.curve.empty() || !std::isfinite(latency) || latency <= 0) continue;
    Curve curve{n, {}, named[networks[n]]};
    curve.features.push_back(std::log(latency));
    for (double part : {1.0, 0.5, 0.25})
      if (const auto error = log_error_at(network, part * static_cast<double>(network.curve.back().step)))
        curve.errors.push_back(*error);
      else
        break;
    enough += curve.errors.size() == 3;
    curves.push_back(std::move(curve));
  }
  const size_t lags = enough >= kLeastNetworks ? 2 : 1;
  const auto row_of = [&](const std::vector<double>& features, const double* errors) {
    std::vector<double> row(errors, errors + lags);
    row.insert(row.end(), features.begin(), features.end());
    return row;
  };
  Rows rows;
  std::vector<double> values;
  double rise = 0, alike = 0;
  for (const Curve& curve : curves) {
    if (curve.errors.size() <= lags) continue;
    rows.push_back(row_of(curve.features, &curve.errors[1]));
    values.push_back(curve.errors[0]);
    rise += curve.errors[0] - curve.errors[1];
  }
  if (rows.size() < kLeastNetworks) return result;
  rise /= static_cast<double>(rows.size());
  for (size_t r = 0; r < rows.size(); ++r)
    alike += std::pow(values[r] - rows[r][0] - rise, 2) / static_cast<double>(rows.size());
  const Ridge ridge(rows, values);
  if (!(ridge.variance() < alike)) return result;

  for (const Curve& curve : curves) {
    if (curve.errors.size() < lags) continue;
    const NetworkState& network = state.networks[networks[curve.place]];
    std::vector<double> errors(curve.errors.begin(), curve.errors.begin() + static_cast<long>(lags));
    double left = std::min(doublings, std::log2(static_cast<double>(state.options.full_steps) /
                                                static_cast<double>(network.curve.back().step)));
    for (; left > 0; left -= 1) {
      const double next = std::min(errors[0], ridge.mean(row_of(curve.features, errors.data())));
      const double reached = errors[0] + std::min(1.0, left) * (next - errors[0]);
      errors.insert(errors.begin(), reached);
      errors.pop_back();
    }
    result[curve.place] = std::max(network.accuracy, 1 - std::exp(errors[0]));
  }
  return result;
}

}  // namespace sonar
