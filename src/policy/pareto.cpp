#include "policy/pareto.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <iterator>
#include <limits>
#include <numeric>

#include "model/error.h"

namespace sonar {
namespace {

void check_points(const Points& points, size_t objectives) {
  if (objectives == 0) throw UserError("points need at least one objective");
  for (size_t i = 0; i < points.size(); ++i) {
    if (points[i].size() != objectives)
      throw UserError(fmt::format("row {} has {} values where {} are expected", i + 1, points[i].size(), objectives));
    for (size_t j = 0; j < objectives; ++j)
      if (!std::isfinite(points[i][j]))
        throw UserError(fmt::format("row {}, column {}: {} is not a finite number; remove the row or give its value",
                                    i + 1, j + 1, points[i][j]));
  }
}

double to_minimize(double value, bool maximize) { return maximize ? -value : value; }

std::vector<int> ranks_of_one(const Points& points, bool maximize) {
  std::vector<std::pair<double, size_t>> sorted(points.size());
  for (size_t i = 0; i < points.size(); ++i) sorted[i] = {to_minimize(points[i][0], maximize), i};
  std::sort(sorted.begin(), sorted.end());
  std::vector<int> ranks(points.size());
  int rank = 0;
  for (size_t k = 0; k < sorted.size(); ++k) {
    if (k > 0 && sorted[k].first != sorted[k - 1].first) ++rank;
    ranks[sorted[k].second] = rank;
  }
  return ranks;
}

// In lexicographic order whatever comes earlier is no worse in x, so a front dominates a later, different point exactly
// when its lowest y so far is no higher. Those lowest values ascend with the rank, which allows a binary search.
std::vector<int> ranks_of_two(const Points& points, bool maximize_x, bool maximize_y) {
  struct Item {
    double x, y;
    size_t index;
  };
  std::vector<Item> sorted(points.size());
  for (size_t i = 0; i < points.size(); ++i)
    sorted[i] = {to_minimize(points[i][0], maximize_x), to_minimize(points[i][1], maximize_y), i};
  std::sort(sorted.begin(), sorted.end(),
            [](const Item& a, const Item& b) { return a.x != b.x ? a.x < b.x : a.y < b.y; });
  std::vector<int> ranks(points.size());
  std::vector<double> lowest_y;  // by rank
  for (size_t k = 0; k < sorted.size(); ++k) {
    const Item& item = sorted[k];
    if (k > 0 && item.x == sorted[k - 1].x && item.y == sorted[k - 1].y) {
      ranks[item.index] = ranks[sorted[k - 1].index];
      continue;
    }
    const auto front = std::upper_bound(lowest_y.begin(), lowest_y.end(), item.y);
    ranks[item.index] = static_cast<int>(front - lowest_y.begin());
    if (front == lowest_y.end())
      lowest_y.push_back(item.y);
    else
      *front = item.y;
  }
  return ranks;
}

// ENS-BS (Zhang et al. 2015): a point that some member of front f dominates is also dominated by a member of each front
// before f, so the first front that does not dominate it is found by binary search.
std::vector<int> ranks_of_many(const Points& points, const std::vector<bool>& maximize) {
  const size_t n = points.size(), m = maximize.size();
  Points values(points);
  for (auto& value : values)
    for (size_t j = 0; j < m; ++j) value[j] = to_minimize(value[j], maximize[j]);
  std::vector<size_t> order(n);
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return values[a] < values[b]; });

  std::vector<int> ranks(n);
  std::vector<std::vector<size_t>> fronts;
  for (size_t k = 0; k < n; ++k) {
    const auto& value = values[order[k]];
    if (k > 0 && value == values[order[k - 1]]) {
      ranks[order[k]] = ranks[order[k - 1]];
      continue;
    }
    const auto dominates = [&](const std::vector<size_t>& front) {
      return std::any_of(front.rbegin(), front.rend(), [&](size_t member) {
        for (size_t j = 0; j < m; ++j)
          if (values[member][j] > value[j]) return false;
        return true;
      });
    };
    const auto front = std::partition_point(fronts.begin(), fronts.end(), dominates);
    ranks[order[k]] = static_cast<int>(front - fronts.begin());
    if (front == fronts.end())
      fronts.push_back({order[k]});
    else
      front->push_back(order[k]);
  }
  return ranks;
}

// Points as their gains over the reference: all positive, more is better.
double volume_of_two(std::vector<std::pair<double, double>> gains) {
  std::sort(gains.begin(), gains.end(), std::greater<>());
  double volume = 0, height = 0;
  for (const auto& [x, y] : gains) {
    if (y <= height) continue;
    volume += x * (y - height);
    height = y;
  }
  return volume;
}

// Cuts the space at each value of the last objective; within a slice the points that reach it dominate a constant
// cross-section of one dimension less.
double volume_of_many(Points gains, size_t dimensions) {
  if (dimensions == 1) {
    double longest = 0;
    for (const auto& gain : gains) longest = std::max(longest, gain[0]);
    return longest;
  }
  if (dimensions == 2) {
    std::vector<std::pair<double, double>> pairs;
    for (const auto& gain : gains) pairs.emplace_back(gain[0], gain[1]);
    return volume_of_two(std::move(pairs));
  }
  const size_t last = dimensions - 1;
  std::sort(gains.begin(), gains.end(), [&](const auto& a, const auto& b) { return a[last] > b[last]; });
  double volume = 0;
  Points reaching;
  for (size_t i = 0; i < gains.size(); ++i) {
    // A point that another one covers within the cross-section would only slow the recursion.
    const auto covers = [&](const std::vector<double>& a, const std::vector<double>& b) {
      for (size_t j = 0; j < last; ++j)
        if (a[j] < b[j]) return false;
      return true;
    };
    if (std::none_of(reaching.begin(), reaching.end(), [&](const auto& other) { return covers(other, gains[i]); })) {
      std::erase_if(reaching, [&](const auto& other) { return covers(gains[i], other); });
      reaching.push_back(gains[i]);
    }
    const double floor = i + 1 < gains.size() ? gains[i + 1][last] : 0;
    if (gains[i][last] > floor) volume += (gains[i][last] - floor) * volume_of_many(reaching, last);
  }
  return volume;
}

}  // namespace

std::vector<int> non_dominated_ranks(const Points& points, const std::vector<bool>& maximize) {
  check_points(points, maximize.size());
  if (maximize.size() == 1) return ranks_of_one(points, maximize[0]);
  if (maximize.size() == 2) return ranks_of_two(points, maximize[0], maximize[1]);
  return ranks_of_many(points, maximize);
}

std::vector<double> crowding_distances(const Points& points, const std::vector<int>& ranks) {
  if (points.size() != ranks.size()) throw InternalError("crowding_distances: one rank per point is needed");
  if (points.empty()) return {};
  check_points(points, points[0].size());

  struct Item {
    int rank;
    double value;
    size_t index;
  };
  std::vector<double> distances(points.size(), 0);
  std::vector<Item> sorted(points.size());
  for (size_t j = 0; j < points[0].size(); ++j) {
    for (size_t i = 0; i < points.size(); ++i) sorted[i] = {ranks[i], points[i][j], i};
    std::sort(sorted.begin(), sorted.end(), [](const Item& a, const Item& b) {
      if (a.rank != b.rank) return a.rank < b.rank;
      return a.value != b.value ? a.value < b.value : a.index < b.index;
    });
    for (auto first = sorted.begin(), last = first; first != sorted.end(); first = last) {
      last = std::find_if(first, sorted.end(), [&](const Item& item) { return item.rank != first->rank; });
      const double range = std::prev(last)->value - first->value;
      distances[first->index] = distances[std::prev(last)->index] = std::numeric_limits<double>::infinity();
      if (range == 0) continue;
      for (auto item = std::next(first); item != std::prev(last); ++item)
        distances[item->index] += (std::next(item)->value - std::prev(item)->value) / range;
    }
  }
  return distances;
}

double hypervolume(const Points& points, const std::vector<bool>& maximize, const std::vector<double>& reference) {
  const size_t m = maximize.size();
  check_points(points, m);
  if (reference.size() != m)
    throw UserError(fmt::format("the reference point has {} values where {} are expected", reference.size(), m));
  for (size_t j = 0; j < m; ++j)
    if (!std::isfinite(reference[j]))
      throw UserError(fmt::format("value {} of the reference point, {}, is not a finite number", j + 1, reference[j]));

  Points gains;
  for (const auto& point : points) {
    std::vector<double> gain(m);
    for (size_t j = 0; j < m; ++j) gain[j] = maximize[j] ? point[j] - reference[j] : reference[j] - point[j];
    if (std::all_of(gain.begin(), gain.end(), [](double value) { return value > 0; })) gains.push_back(std::move(gain));
  }
  return volume_of_many(std::move(gains), m);
}

}  // namespace sonar
