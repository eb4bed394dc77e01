#include "policy/estimator_latency.h"

#include <algorithm>
#include <bit>
#include <cctype>
#include <cmath>
#include <map>

#include "model/random.h"

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

}  // namespace

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

LatencyEstimator::LatencyEstimator(const SearchState& state)
    : log_full_(std::log(static_cast<double>(std::max(2L, state.options.full_programs)))),
      features_(network_features(state)),
      seen_(state.subgraphs.size()) {
  std::map<std::string, size_t> forms;
  for (size_t i = 0; i < state.subgraphs.size(); ++i) {
    auto [form, numbers] = parsed(state.subgraphs[i].key);
    const size_t place = forms.emplace(std::move(form), forms.size()).first->second;
    alike_.resize(forms.size());
    alike_[place].push_back(i);
    numbers_.push_back(std::move(numbers));
  }
  of_form_.resize(alike_.size());
}

uint64_t LatencyEstimator::fingerprint(const SearchState& state) {
  // FNV-1a by words, of each thing for itself, so that they are computed side by side.
  constexpr uint64_t kStart = 1469598103934665603u;
  const auto mixed = [](uint64_t hash, uint64_t value) { return (hash ^ value) * 1099511628211u; };
  uint64_t hash = mixed(kStart, static_cast<uint64_t>(state.options.full_programs));
  for (const NetworkState& network : state.networks) {
    uint64_t features = kStart, subgraphs = kStart;
    for (double value : network.features) features = mixed(features, std::bit_cast<uint64_t>(value));
    for (auto [subgraph, count] : network.subgraphs)
      subgraphs = mixed(subgraphs, subgraph * 65536 + static_cast<uint64_t>(count));
    hash = mixed(mixed(hash, features), subgraphs);
  }
  for (const SubgraphState& subgraph : state.subgraphs)
    hash = mixed(hash, std::hash<std::string>{}(subgraph.key) + std::bit_cast<uint64_t>(subgraph.macs));
  return hash;
}

void LatencyEstimator::look(const SubgraphState& subgraph, Seen& seen) const {
  const size_t batches = subgraph.curve.size();
  const double first_us = batches > 0 ? subgraph.curve.front().best_us : INFINITY;
  const double last_us = batches > 0 ? subgraph.curve.back().best_us : INFINITY;
  const double programs = batches > 0 ? std::max(1.0, subgraph.curve.back().programs) : 1;
  if (batches == seen.batches && first_us == seen.first_us && last_us == seen.last_us &&
      subgraph.best_us == seen.best_us && programs == seen.programs && subgraph.answered == seen.answered)
    return;
  seen = {batches, first_us, last_us, subgraph.best_us, programs, subgraph.answered};
  seen.valid = std::isfinite(subgraph.best_us) && subgraph.best_us > 0;
  seen.log_us = std::log(subgraph.best_us);
  seen.shown = subgraph.answered ? 1 : std::clamp(std::log(programs) / log_full_, 0.0, 1.0);
  if (batches < 2 || !std::isfinite(first_us) || !std::isfinite(last_us)) return;
  const double span = std::log(programs) - std::log(subgraph.curve.front().programs);
  if (span <= 0) return;
  seen.span = span;
  seen.fall = std::log(first_us) - std::log(last_us);
}

const RidgeDesign& LatencyEstimator::designed(Design& design, const std::vector<size_t>& members, const Rows& rows) {
  if (!design.rows || design.members != members) {
    Rows chosen;
    for (size_t i : members) chosen.push_back(rows[i]);
    design.rows = std::make_shared<const RidgeDesign>(chosen);
    design.members = members;
  }
  return *design.rows;
}

std::vector<double> LatencyEstimator::subgraphs_us(const SearchState& state) {
  const size_t n = state.subgraphs.size();
  double xy = 0, xx = 0;  // least squares within the subgraphs
  for (size_t i = 0; i < n; ++i) {
    look(state.subgraphs[i], seen_[i]);
    xy += seen_[i].span * seen_[i].fall;
    xx += seen_[i].span * seen_[i].span;
  }
  const double fall = xx > 0 ? std::max(0.0, xy / xx) : 0;
  std::vector<double> result(n);
  for (size_t i = 0; i < n; ++i)
    result[i] = seen_[i].valid ? seen_[i].log_us - fall * (1 - seen_[i].shown) * log_full_ : state.subgraphs[i].best_us;
  std::vector<size_t> members;
  std::vector<double> values;
  for (size_t form = 0; form < alike_.size(); ++form) {
    members.clear();
    for (size_t i : alike_[form])
      if (seen_[i].valid) members.push_back(i);
    if (members.size() >= kLeastAlike) {
      values.clear();
      for (size_t i : members) values.push_back(result[i]);
      designed(of_form_[form], members, numbers_);
      const std::vector<double> predicted = Ridge(of_form_[form].rows, values).fitted();
      for (size_t m = 0; m < members.size(); ++m)
        result[members[m]] = predicted[m] + seen_[members[m]].shown * (values[m] - predicted[m]);
    }
    for (size_t i : members) result[i] = std::exp(result[i]);
  }
  return result;
}

std::vector<double> LatencyEstimator::networks_us(const SearchState& state, bool by_features) {
  const std::vector<double> subgraph_us = subgraphs_us(state);
  std::vector<double> result, values;
  std::vector<size_t> places;
  for (const NetworkState& network : state.networks) {
    double sum = 0;
    for (auto [subgraph, count] : network.subgraphs) sum += count * subgraph_us[subgraph];
    result.push_back(network.measured_us ? *network.measured_us : sum);
    if (network.measured_us || !std::isfinite(sum) || sum <= 0) continue;
    places.push_back(result.size() - 1);
    values.push_back(std::log(sum));
  }
  if (!by_features || places.size() < 4 * kLeastAlike || features_[0].empty()) return result;
  designed(of_networks_, places, features_);
  const std::vector<double> predicted = Ridge(of_networks_.rows, values).fitted();
  std::vector<double> shown_us;
  for (size_t s = 0; s < subgraph_us.size(); ++s)
    shown_us.push_back(std::isfinite(subgraph_us[s]) ? subgraph_us[s] * seen_[s].shown : 0);
  for (size_t r = 0; r < places.size(); ++r) {
    double sure = 0;  // of its latency, the part that its subgraphs have shown themselves
    for (auto [s, count] : state.networks[places[r]].subgraphs) sure += count * shown_us[s];
    sure /= result[places[r]];
    result[places[r]] = std::exp(predicted[r] + sure * (values[r] - predicted[r]));
  }
  return result;
}

}  // namespace sonar
