#include "policy/estimator_latency.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <map>

#include "policy/estimator_ridge.h"

namespace sonar {
namespace {

constexpr size_t kLeastAlike = 6;  // keys of one form that are worth a regression

/// A key without its numbers, and the logarithms of its numbers.
std::pair<std::string, std::vector<double>> parsed(const std::string& key) {
  std::pair<std::string, std::vector<double>> result;
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

}  // namespace

std::vector<double> fully_tuned_us(const SearchState& state) {
  const size_t n = state.subgraphs.size();
  const double full = std::log(static_cast<double>(std::max(2L, state.options.full_programs)));
  const double fall = fall_of(state.subgraphs);
  std::vector<double> result(n), sure(n, 0);
  std::map<std::string, std::vector<size_t>> alike;
  Rows numbers(n);
  for (size_t i = 0; i < n; ++i) {
    const SubgraphState& subgraph = state.subgraphs[i];
    result[i] = subgraph.best_us;
    if (!std::isfinite(subgraph.best_us) || subgraph.best_us <= 0) continue;
    const double programs = subgraph.curve.empty() ? 1 : std::max(1.0, subgraph.curve.back().programs);
    sure[i] = subgraph.answered ? 1 : std::clamp(std::log(programs) / full, 0.0, 1.0);
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
        const double predicted = ridge.predict(numbers[i]).mean;
        result[i] = predicted + sure[i] * (result[i] - predicted);
      }
    }
    for (size_t i : members) result[i] = std::exp(result[i]);
  }
  return result;
}

std::vector<double> network_latencies(const SearchState& state, const std::vector<double>& subgraph_us) {
  std::vector<double> result;
  for (const NetworkState& network : state.networks) {
    double sum = 0;
    for (auto [subgraph, count] : network.subgraphs) sum += count * subgraph_us[subgraph];
    result.push_back(network.measured_us ? *network.measured_us : sum);
  }
  return result;
}

}  // namespace sonar
