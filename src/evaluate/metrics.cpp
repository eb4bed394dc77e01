#include "evaluate/metrics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "model/error.h"
#include "policy/pareto.h"

namespace sonar {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

/// Pairs of equal neighbours in a sorted range, by `same`.
template <class Same>
double tied_pairs(size_t n, Same same) {
  double pairs = 0;
  for (size_t first = 0, last; first < n; first = last) {
    for (last = first + 1; last < n && same(first, last); ++last) {
    }
    const auto size = static_cast<double>(last - first);
    pairs += size * (size - 1) / 2;
  }
  return pairs;
}

/// Sorts, and returns the number of exchanges of neighbours that it takes: the discordant pairs.
double merge_sort(std::vector<double>& values, std::vector<double>& buffer, size_t begin, size_t end) {
  if (end - begin < 2) return 0;
  const size_t middle = begin + (end - begin) / 2;
  double exchanges = merge_sort(values, buffer, begin, middle) + merge_sort(values, buffer, middle, end);
  size_t i = begin, j = middle, out = begin;
  while (i < middle && j < end) {
    if (values[j] < values[i]) {
      exchanges += static_cast<double>(middle - i);
      buffer[out++] = values[j++];
    } else {
      buffer[out++] = values[i++];
    }
  }
  std::copy(values.begin() + static_cast<long>(i), values.begin() + static_cast<long>(middle),
            buffer.begin() + static_cast<long>(out));
  std::copy(values.begin() + static_cast<long>(j), values.begin() + static_cast<long>(end),
            buffer.begin() + static_cast<long>(out + middle - i));
  std::copy(buffer.begin() + static_cast<long>(begin), buffer.begin() + static_cast<long>(end),
            values.begin() + static_cast<long>(begin));
  return exchanges;
}

}  // namespace

Truth::Truth(const Trace& trace) : trace_(trace) {
  double slowest = 0, worst = std::numeric_limits<double>::infinity();
  for (size_t i = 0; i < trace.networks.size(); ++i) {
    if (!std::isfinite(trace.networks[i].final_latency_us)) continue;
    by_latency_.push_back(i);
    slowest = std::max(slowest, trace.networks[i].final_latency_us);
    worst = std::min(worst, trace.networks[i].final_accuracy);
  }
  if (by_latency_.empty())
    throw UserError(trace.folder +
                    ": no network has a valid program for all of its subgraphs; nothing can be compared");
  std::stable_sort(by_latency_.begin(), by_latency_.end(), [&](size_t a, size_t b) {
    return trace.networks[a].final_latency_us < trace.networks[b].final_latency_us;
  });
  Points points;
  for (size_t i : by_latency_) points.push_back({trace.networks[i].final_accuracy, trace.networks[i].final_latency_us});
  const std::vector<int> ranks = non_dominated_ranks(points, {true, false});
  for (size_t k = 0; k < by_latency_.size(); ++k)
    if (ranks[k] == 0) front_.push_back(by_latency_[k]);
  reference_ = {worst, slowest};
  front_volume_ = volume(front_);
}

AccuracyGap Truth::gap(const std::vector<double>& accuracy) const {
  AccuracyGap result;
  double sum = 0, missed = 0, best = -1;
  size_t next = 0;
  for (size_t p : front_) {
    const Trace::Network& network = trace_.networks[p];
    for (; next < by_latency_.size() && trace_.networks[by_latency_[next]].final_latency_us <= network.final_latency_us;
         ++next)
      if (accuracy[by_latency_[next]] > best) best = accuracy[by_latency_[next]];  // false for NaN
    if (best >= 0) {
      sum += network.final_accuracy - best;
    } else {
      ++result.misses;
      missed += network.final_accuracy - network.chance;
    }
  }
  const auto all = static_cast<double>(front_.size()), found = all - static_cast<double>(result.misses);
  result.gap = found > 0 ? 100 * sum / found : kNan;
  result.gap_with_misses = 100 * (sum + missed) / all;
  return result;
}

std::vector<AccuracyGap> Truth::gaps(const std::vector<TrainedSlice>& slices, const std::vector<double>& at) const {
  std::vector<AccuracyGap> result;
  std::vector<double> accuracy(trace_.networks.size(), kNan);
  size_t next = 0;
  for (double moment : at) {
    for (; next < slices.size() && slices[next].spent_s <= moment; ++next)
      accuracy[slices[next].network] = slices[next].accuracy;
    result.push_back(gap(accuracy));
  }
  return result;
}

double Truth::volume(const std::vector<size_t>& networks) const {
  Points points;
  for (size_t i : networks)
    if (std::isfinite(trace_.networks[i].final_latency_us))
      points.push_back({trace_.networks[i].final_accuracy, trace_.networks[i].final_latency_us});
  return points.empty() ? 0 : hypervolume(points, {true, false}, reference_);
}

double Truth::hypervolume_ratio(const std::vector<size_t>& networks) const {
  return front_volume_ > 0 ? volume(networks) / front_volume_ : 1;
}

double kendall_tau(const std::vector<double>& a, const std::vector<double>& b) {
  const size_t n = a.size();
  if (b.size() != n) throw InternalError("kendall_tau: the rankings differ in length");
  std::vector<std::pair<double, double>> pairs(n);
  for (size_t i = 0; i < n; ++i) pairs[i] = {a[i], b[i]};
  std::sort(pairs.begin(), pairs.end());
  const double all = static_cast<double>(n) * (static_cast<double>(n) - 1) / 2;
  const double tied_a = tied_pairs(n, [&](size_t i, size_t j) { return pairs[i].first == pairs[j].first; });
  const double tied_both = tied_pairs(n, [&](size_t i, size_t j) { return pairs[i] == pairs[j]; });
  std::vector<double> values(n), buffer(n);
  for (size_t i = 0; i < n; ++i) values[i] = pairs[i].second;
  const double discordant = merge_sort(values, buffer, 0, n);
  const double tied_b = tied_pairs(n, [&](size_t i, size_t j) { return values[i] == values[j]; });
  const double scale = std::sqrt((all - tied_a) * (all - tied_b));
  return scale > 0 ? (all - tied_a - tied_b + tied_both - 2 * discordant) / scale : kNan;
}

}  // namespace sonar
