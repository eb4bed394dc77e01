#include "policy/estimator_latency.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <map>

#include "policy/estimator_ridge.h"

namespace sonar {
namespace {

constexpr size_t kLeastAlike = 6;  // keys of one form that are worth a regression
constexpr double kWide = 3;        // highest over lowest value of a feature that is taken by its logarithm

/// A key without its numbers, and the logarithms of its numbers.
std::pair<std::string, std::vector<double>> parsed(const std::string& key) {
  std::pair<std::string, std::vector<double>> result;
  result.second.reserve(8);
  for (size_t i = 0; i < key.size();) {
    if (!std::isdigit(static_cast<unsigned char>(key[i]))) {
      result.first += key[i++];
      continue;
    }
    double number = 0;
    for (; i < key.size() && std::isdigit(static_cast<unsigned char>(key[i])); ++i)
      number = 10 * number + (key[i] - '0');
    result.first += '#';
    result.second.push_back(std::log1p(number));
  }
  return result;
}

/// Fall of log(best latency) for one unit of log(programs): least squares within the subgraphs.
double fall_of(const std::vector<SubgraphState>& subgraphs) {
  double xy = 0, xx = 0;
  for (const SubgraphState& subgraph : subgraphs) {
    if (subgraph.curve.size() < 2 || !std::isfinite(subgraph.curve.front().best_us)) continue;
    const double from = std::log(subgraph.curve.front().programs), base = std::log(subgraph.curve.front().best_us);
    const TuningSample& last = subgraph.curve.back();
    const double x = std::log(last.programs) - from;
    if (x <= 0 || !std::isfinite(last.best_us)) continue;
    xy += x * (base - std::log(last.best_us));
    xx += x * x;
  }
  return xx > 0 ? std::max(0.0, xy / xx) : 0;
}

double log_of_full(const SearchState& state) {
  return std::log(static_cast<double>(std::max(2L, state.options.full_programs)));
}

/// How far a subgraph has shown itself, 0..1: log(programs) / log(full).
double shown(const SubgraphState& subgraph, double log_full) {
  const double programs = subgraph.curve.empty() ? 1 : std::max(1.0, subgraph.curve.back().programs);
  return subgraph.answered ? 1 : std::clamp(std::log(programs) / log_full, 0.0, 1.0);
}

/// Of each network, by the latencies of the subgraphs; one that was measured as a whole: as measured.
std::vector<double> network_latencies(const SearchState& state, const std::vector<double>& subgraph_us) {
  std::vector<double> result;
  for (const NetworkState& network : state.networks) {
    double sum = 0;
    for (auto [subgraph, count] : network.subgraphs) sum += count * subgraph_us[subgraph];
    result.push_back(network.measured_us ? *network.measured_us : sum);
  }
  return result;
}

}  // namespace

std::vector<double> fully_tuned_us(const SearchState& state) {
  const size_t n = state.subgraphs.size();
  const double full = log_of_full(state);
  const double fall = fall_of(state.subgraphs);
  std::vector<double> result(n), sure(n, 0);
  std::map<std::string, std::vector<size_t>> alike;
  Rows numbers(n);
  for (size_t i = 0; i < n; ++i) {
    const SubgraphState& subgraph = state.subgraphs[i];
    result[i] = subgraph.best_us;
    if (!std::isfinite(subgraph.best_us) || subgraph.best_us <= 0) continue;
    sure[i] = shown(subgraph, full);
    result[i] = std::log(subgraph.best_us) - fall * (1 - sure[i]) * full;
    auto [form, values] = parsed(subgraph.key);
    numbers[i] = std::move(values);
    alike[form].push_back(i);
  }
  for (const auto& [form, members] : alike) {
    if (members.size() >= kLeastAlike) {
      Rows rows;
      std::vector<double> values;
      for (size_t i : members) {
        rows.push_back(numbers[i]);
        values.push_back(result[i]);
      }
      const Ridge ridge(rows, values);
      for (size_t i : members) {
        const double predicted = ridge.mean(numbers[i]);
        result[i] = predicted + sure[i] * (result[i] - predicted);
      }
    }
    for (size_t i : members) result[i] = std::exp(result[i]);
  }
  return result;
}

std::vector<double> fully_tuned_networks_us(const SearchState& state, bool features) {
  const std::vector<double> subgraph_us = fully_tuned_us(state);
  std::vector<double> result = network_latencies(state, subgraph_us);
  if (!features) return result;
  const double full = log_of_full(state);
  const Rows all = network_features(state);
  Rows rows;
  std::vector<double> values;
  std::vector<size_t> places;
  for (size_t i = 0; i < result.size(); ++i) {
    if (state.networks[i].measured_us || !std::isfinite(result[i]) || result[i] <= 0) continue;
    rows.push_back(all[i]);
    values.push_back(std::log(result[i]));
    places.push_back(i);
  }
  if (rows.size() < 4 * kLeastAlike || rows[0].empty()) return result;
  const Ridge ridge(rows, values);
  std::vector<double> shown_us;
  for (size_t s = 0; s < subgraph_us.size(); ++s)
    shown_us.push_back(std::isfinite(subgraph_us[s]) ? subgraph_us[s] * shown(state.subgraphs[s], full) : 0);
  for (size_t r = 0; r < rows.size(); ++r) {
    double sure = 0;  // of its latency, the part that its subgraphs have shown themselves
    for (auto [s, count] : state.networks[places[r]].subgraphs) sure += count * shown_us[s];
    sure /= std::exp(values[r]);
    const double predicted = ridge.mean(rows[r]);
    result[places[r]] = std::exp(predicted + sure * (values[r] - predicted));
  }
  return result;
}

Rows network_features(const SearchState& state) {
  const size_t n = state.networks.size();
  Rows rows(n);
  const auto add = [&](const std::vector<double>& column) {
    double low = INFINITY, high = -INFINITY, known = 0, sum = 0;
    for (double value : column)
      if (std::isfinite(value)) {
        low = std::min(low, value);
        high = std::max(high, value);
        ++known;
      }
    if (known == 0 || low == high) return;
    const bool wide = low > 0 && high > kWide * low;
    for (double value : column)
      if (std::isfinite(value)) sum += (wide ? std::log(value) : value) / known;
    for (size_t i = 0; i < n; ++i)
      rows[i].push_back(!std::isfinite(column[i]) ? sum : wide ? std::log(column[i]) : column[i]);
  };
  for (size_t f = 0; f < state.feature_names.size(); ++f) {
    std::vector<double> column;
    for (const NetworkState& network : state.networks) column.push_back(network.features[f]);
    add(column);
  }
  std::vector<double> macs;
  for (size_t i = 0; i < n; ++i) macs.push_back(state.macs(i) > 0 ? state.macs(i) : NAN);
  add(macs);
  return rows;
}

}  // namespace sonar
