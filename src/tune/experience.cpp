#include "tune/experience.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "model/error.h"

namespace sonar {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr size_t kFirstFit = 24;      // rows
constexpr size_t kMostRows = 20000;   // the latest; a fit then takes about 0.2 s, 10 % of the rows apart
constexpr size_t kLeastMeasured = 8;  // valid programs, before a subgraph's best ones are worth passing on
constexpr size_t kSources = 4;        // nearest subgraphs that programs are taken from
constexpr double kFarthest = 8;       // distance

std::vector<float> shape_features(const Subgraph& s) {
  const auto log2_of = [](double value) { return static_cast<float>(std::log2(1 + value)); };
  std::vector<float> features = {log2_of(s.batch * double(s.out_height()) * s.out_width()),
                                 log2_of(s.out_width()),
                                 log2_of(s.in_channels),
                                 log2_of(s.out_channels),
                                 log2_of(s.squeeze),
                                 float(s.kernel),
                                 float(s.stride),
                                 float(s.padding),
                                 log2_of(s.macs()),
                                 log2_of(s.weight_bytes()),
                                 float(static_cast<int>(s.activation)),
                                 s.residual ? 1.0f : 0.0f};
  if (s.kind == SubgraphKind::fused_depthwise) features.push_back(log2_of(s.middle_channels));
  return features;
}

void append_features(const ProgramSpace& space, const Knobs& knobs, const std::vector<float>& shape,
                     FeatureRows& rows) {
  const std::vector<float> features = space.features(knobs);
  if (rows.columns == 0) rows.columns = features.size() + shape.size();
  if (features.size() + shape.size() != rows.columns)
    throw InternalError("features of another length than those of its kind: " + space.subgraph().key());
  rows.values.insert(rows.values.end(), features.begin(), features.end());
  rows.values.insert(rows.values.end(), shape.begin(), shape.end());
}

double latency_of(const Outcome& outcome) {
  const auto* measurement = std::get_if<Measurement>(&outcome);
  return measurement ? measurement->median_us : kInfinity;
}

NamedKnobs named(const ProgramSpace& space, const Knobs& knobs) {
  NamedKnobs result;
  for (size_t i = 0; i < knobs.size(); ++i) result.emplace_back(space.knobs()[i].name, knobs[i]);
  return result;
}

}  // namespace

double distance(const Subgraph& a, const Subgraph& b) {
  if (a.kind != b.kind) return kInfinity;
  const auto log_ratio = [](double x, double y) { return std::abs(std::log2(std::max(x, 1.0) / std::max(y, 1.0))); };
  // Channels decide vectors and tiles; pixels, how often the tile is repeated; kernel and stride, what a tile reads.
  double result = log_ratio(a.out_channels, b.out_channels) + log_ratio(a.in_channels, b.in_channels);
  result += 0.5 * (log_ratio(a.out_height(), b.out_height()) + log_ratio(a.out_width(), b.out_width()));
  result += 0.5 * log_ratio(a.batch, b.batch) + 0.5 * log_ratio(a.squeeze, b.squeeze);
  if (a.kernel != b.kernel) result += (a.kernel == 1) != (b.kernel == 1) ? 4 : 1.5;
  if (a.stride != b.stride) result += 1.5;
  if ((a.padding == 0) != (b.padding == 0)) result += 1;
  if (a.residual != b.residual) result += 0.25;
  if (a.kind == SubgraphKind::fused_depthwise) {
    result += log_ratio(a.middle_channels, b.middle_channels);
    // Other stages have other knobs.
    result += (a.expands != b.expands ? 4 : 0) + (a.projects != b.projects ? 4 : 0);
  }
  return result;
}

size_t Experience::fitted_rows(size_t rows) {
  if (rows < kFirstFit) return 0;
  size_t fitted = kFirstFit;
  for (size_t next = fitted; next <= rows; next += std::max<size_t>(8, next / 10)) fitted = next;
  return fitted;
}

void Experience::add(const ProgramSpace& space, const Knobs& knobs, const Outcome& outcome, bool earlier) {
  const Subgraph& subgraph = space.subgraph();
  Kind& kind = kinds_[subgraph.kind];
  append_features(space, knobs, shape_features(subgraph), kind.features);
  kind.subgraphs.push_back(kind.subgraph_index.emplace(subgraph.key(), kind.subgraph_index.size()).first->second);
  kind.latency_us.push_back(latency_of(outcome));
  Source& source = sources_[subgraph.key()];
  source.subgraph = subgraph;
  source.earlier = source.earlier || earlier;
  correct(space, knobs, outcome);
}

void Experience::correct(const ProgramSpace& space, const Knobs& knobs, const Outcome& outcome) {
  Source& source = sources_.at(space.subgraph().key());
  const NamedKnobs program = named(space, knobs);
  if (const auto old = source.latencies.find(program); old != source.latencies.end()) {
    source.ranked.erase({old->second, program});
    source.latencies.erase(old);
  }
  const double latency = latency_of(outcome);
  if (std::isinf(latency)) return;
  source.latencies.emplace(program, latency);
  source.ranked.emplace(latency, program);
}

std::vector<float> Experience::predict(const ProgramSpace& space, const std::vector<Knobs>& programs) {
  Kind& kind = kinds_[space.subgraph().kind];
  const size_t rows = fitted_rows(kind.latency_us.size());
  if (rows == 0 || programs.empty()) return {};
  if (kind.fitted != rows) {
    // A score is the root of the throughput relative to the subgraph's best one among these rows; 0: failed.
    std::vector<double> best(kind.subgraph_index.size(), kInfinity);
    for (size_t row = 0; row < rows; ++row)
      best[kind.subgraphs[row]] = std::min(best[kind.subgraphs[row]], kind.latency_us[row]);
    const size_t first = rows - std::min(rows, kMostRows);
    FeatureRows features{kind.features.columns,
                         {kind.features.values.begin() + static_cast<long>(first * kind.features.columns),
                          kind.features.values.begin() + static_cast<long>(rows * kind.features.columns)}};
    std::vector<float> scores;
    for (size_t row = first; row < rows; ++row)
      scores.push_back(std::isinf(kind.latency_us[row])
                           ? 0.0f
                           : static_cast<float>(std::sqrt(best[kind.subgraphs[row]] / kind.latency_us[row])));
    kind.model = std::make_unique<CostModel>(features, scores);
    kind.fitted = rows;
  }
  FeatureRows features{kind.features.columns, {}};
  features.values.reserve(programs.size() * features.columns);
  const std::vector<float> shape = shape_features(space.subgraph());
  for (const Knobs& knobs : programs) append_features(space, knobs, shape, features);
  return kind.model->predict(features);
}

std::vector<Knobs> Experience::transferred(const ProgramSpace& space, size_t n) const {
  const Subgraph& subgraph = space.subgraph();
  std::vector<std::pair<double, const Source*>> nearest;
  for (const auto& [key, source] : sources_) {
    const bool own = source.subgraph == subgraph;
    if (own ? !source.earlier : source.ranked.size() < kLeastMeasured) continue;
    if (const double far = distance(source.subgraph, subgraph); far <= kFarthest) nearest.emplace_back(far, &source);
  }
  std::stable_sort(nearest.begin(), nearest.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  nearest.resize(std::min(nearest.size(), kSources));
  std::vector<Knobs> result;
  const auto take = [&](const Source& source, size_t place) {
    if (place >= source.ranked.size() || result.size() == n) return false;
    Knobs knobs = space.closest_legal(std::next(source.ranked.begin(), static_cast<long>(place))->second);
    if (std::find(result.begin(), result.end(), knobs) == result.end()) result.push_back(std::move(knobs));
    return true;
  };
  // Half of the places go to the subgraph's own programs of earlier runs; then in turns, the best of each source first.
  if (!nearest.empty() && nearest.front().second->subgraph == subgraph)
    for (size_t place = 0; place < (n + 1) / 2 && take(*nearest.front().second, place);) ++place;
  bool any = true;
  for (size_t place = 0; any && result.size() < n; ++place) {
    any = false;
    for (const auto& [far, source] : nearest) any = take(*source, place) || any;
  }
  return result;
}

}  // namespace sonar
