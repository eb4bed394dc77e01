#include "policy/pareto.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "model/error.h"
#include "model/random.h"

namespace sonar {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

bool dominates(const std::vector<double>& a, const std::vector<double>& b, const std::vector<bool>& maximize) {
  bool better = false;
  for (size_t j = 0; j < a.size(); ++j) {
    const double gain = maximize[j] ? a[j] - b[j] : b[j] - a[j];
    if (gain < 0) return false;
    better = better || gain > 0;
  }
  return better;
}

// By the definition: remove the points that none of the rest dominates, again and again.
std::vector<int> ranks_by_definition(const Points& points, const std::vector<bool>& maximize) {
  std::vector<int> ranks(points.size(), -1);
  for (int rank = 0; std::count(ranks.begin(), ranks.end(), -1) > 0; ++rank) {
    std::vector<size_t> front;
    for (size_t i = 0; i < points.size(); ++i) {
      if (ranks[i] != -1) continue;
      bool free = true;
      for (size_t k = 0; k < points.size(); ++k)
        free = free && (ranks[k] != -1 || !dominates(points[k], points[i], maximize));
      if (free) front.push_back(i);
    }
    for (size_t i : front) ranks[i] = rank;
  }
  return ranks;
}

// `values` different values per coordinate (0: continuous); every seventh point repeats an earlier one.
Points random_points(size_t n, size_t objectives, uint64_t values, Random& random) {
  Points points;
  for (size_t i = 0; i < n; ++i) {
    std::vector<double> point;
    for (size_t j = 0; j < objectives; ++j)
      point.push_back(values == 0 ? random.uniform() : static_cast<double>(random.below(values)) - 1);
    points.push_back(i > 0 && random.below(7) == 0 ? points[random.below(i)] : point);
  }
  return points;
}

std::vector<bool> random_directions(size_t objectives, Random& random) {
  std::vector<bool> maximize;
  for (size_t j = 0; j < objectives; ++j) maximize.push_back(random.below(2) == 0);
  return maximize;
}

std::string message_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const UserError& error) {
    return error.what();
  }
  return "no UserError";
}

TEST(NonDominatedRanks, AgreeWithTheDefinition) {
  Random random(1);
  for (size_t objectives : {1, 2, 3, 4})
    for (uint64_t values : {0, 1, 2, 3, 5, 20})
      for (size_t n : {1, 2, 3, 10, 60})
        for (int repeat = 0; repeat < 6; ++repeat) {
          const Points points = random_points(n, objectives, values, random);
          const std::vector<bool> maximize = random_directions(objectives, random);
          ASSERT_EQ(non_dominated_ranks(points, maximize), ranks_by_definition(points, maximize))
              << n << " points, " << objectives << " objectives, " << values << " values";
        }
}

TEST(NonDominatedRanks, NoPoints) { EXPECT_TRUE(non_dominated_ranks({}, {true, false}).empty()); }

TEST(NonDominatedRanks, ChainsAndAntichainsHaveTheirClosedForms) {
  Points chain, antichain;
  std::vector<int> descending;
  for (int i = 0; i < 5000; ++i) {
    chain.push_back({i * 1.0, i * 1.0});
    antichain.push_back({i * 1.0, -i * 1.0});
    descending.push_back(4999 - i);
  }
  EXPECT_EQ(non_dominated_ranks(chain, {true, true}), descending);
  EXPECT_EQ(non_dominated_ranks(antichain, {true, true}), std::vector<int>(5000, 0));
  EXPECT_EQ(non_dominated_ranks(chain, {true, false}), std::vector<int>(5000, 0));
}

TEST(NonDominatedRanks, NegativeZeroEqualsZero) {
  EXPECT_EQ(non_dominated_ranks({{0.0, 1}, {-0.0, 1}, {0.0, 2}}, {false, false}), (std::vector<int>{0, 0, 1}));
  EXPECT_EQ(non_dominated_ranks({{0.0, 1, 1}, {-0.0, 1, 1}, {0.0, 2, 1}}, {false, false, false}),
            (std::vector<int>{0, 0, 1}));
}

TEST(NonDominatedRanks, TwoAndManyObjectivesAgreeOnLargeInput) {
  Random random(2);
  for (uint64_t values : {0, 40}) {
    Points points = random_points(3000, 2, values, random), padded = points;
    for (auto& point : padded) point.push_back(7);
    EXPECT_EQ(non_dominated_ranks(points, {true, false}), non_dominated_ranks(padded, {true, false, true}));
  }
}

TEST(NonDominatedRanks, RefusesWhatIsNotANumberByRowAndColumn) {
  EXPECT_EQ(message_of([] {
              non_dominated_ranks({{1, 2}, {1, std::nan("")}}, {true, true});
            }),
            "row 2, column 2: nan is not a finite number; remove the row or give its value");
  EXPECT_EQ(message_of([] {
              non_dominated_ranks({{-kInfinity, 2}}, {true, true});
            }),
            "row 1, column 1: -inf is not a finite number; remove the row or give its value");
  EXPECT_EQ(message_of([] {
              non_dominated_ranks({{1, 2}, {1, 2}, {3}}, {true, true});
            }),
            "row 3 has 1 values where 2 are expected");
  EXPECT_EQ(message_of([] { non_dominated_ranks({{}, {}}, {}); }), "points need at least one objective");
  EXPECT_EQ(message_of([] {
              hypervolume({{1, kInfinity}}, {true, true}, {0, 0});
            }),
            "row 1, column 2: inf is not a finite number; remove the row or give its value");
  EXPECT_EQ(message_of([] {
              hypervolume({{1, 1}}, {true, true}, {0, kInfinity});
            }),
            "value 2 of the reference point, inf, is not a finite number");
  EXPECT_EQ(message_of([] {
              hypervolume({{1, 1}}, {true, true}, {0});
            }),
            "the reference point has 1 values where 2 are expected");
}

TEST(CrowdingDistances, HandComputedFronts) {
  // Front 0: (0,10), (1,6), (4,3), (10,0); front 1: (5,9), (9,8).
  const Points points = {{1, 6}, {10, 0}, {5, 9}, {0, 10}, {4, 3}, {9, 8}};
  const std::vector<int> ranks = non_dominated_ranks(points, {false, false});
  ASSERT_EQ(ranks, (std::vector<int>{0, 0, 1, 0, 0, 1}));
  const std::vector<double> distances = crowding_distances(points, ranks);
  EXPECT_DOUBLE_EQ(distances[0], 4.0 / 10 + 7.0 / 10);
  EXPECT_DOUBLE_EQ(distances[4], 9.0 / 10 + 6.0 / 10);
  for (size_t end : {1, 2, 3, 5}) EXPECT_EQ(distances[end], kInfinity);
}

TEST(CrowdingDistances, EvenSpacingAndDuplicates) {
  Points points;
  for (int i = 0; i < 11; ++i) points.push_back({i * 1.0, 10.0 - i});
  std::vector<double> distances = crowding_distances(points, std::vector<int>(11, 0));
  EXPECT_EQ(distances.front(), kInfinity);
  EXPECT_EQ(distances.back(), kInfinity);
  for (int i = 1; i < 10; ++i) EXPECT_NEAR(distances[i], 0.4, 1e-12);

  distances = crowding_distances(Points(4, {3, 3}), std::vector<int>(4, 0));
  EXPECT_EQ(distances, (std::vector<double>{kInfinity, 0, 0, kInfinity}));
  EXPECT_EQ(crowding_distances({{1, 2}}, {0}), (std::vector<double>{kInfinity}));
  EXPECT_TRUE(crowding_distances({}, {}).empty());
  EXPECT_THROW(crowding_distances({{1, 2}}, {}), InternalError);
}

// Counts the unit cells between integer points and an integer reference that some point covers.
double volume_by_cells(const Points& points, const std::vector<bool>& maximize, const std::vector<double>& reference,
                       int size) {
  const size_t m = reference.size();
  std::vector<int> cell(m, 0);
  double volume = 0;
  while (true) {
    volume += std::any_of(points.begin(), points.end(), [&](const auto& point) {
      for (size_t j = 0; j < m; ++j)
        if ((maximize[j] ? point[j] - reference[j] : reference[j] - point[j]) < cell[j] + 1) return false;
      return true;
    });
    size_t digit = 0;
    while (digit < m && ++cell[digit] == size) cell[digit++] = 0;
    if (digit == m) return volume;
  }
}

TEST(Hypervolume, AgreesWithCountingCells) {
  Random random(3);
  for (size_t objectives : {1, 2, 3, 4, 5})
    for (size_t n : {0, 1, 2, 5, 12})
      for (int repeat = 0; repeat < 8; ++repeat) {
        const Points points = random_points(n, objectives, 7, random);  // values -1..5
        const std::vector<bool> maximize = random_directions(objectives, random);
        std::vector<double> reference;
        for (size_t j = 0; j < objectives; ++j) reference.push_back(static_cast<double>(random.below(6)));
        ASSERT_DOUBLE_EQ(hypervolume(points, maximize, reference), volume_by_cells(points, maximize, reference, 6));
      }
}

TEST(Hypervolume, AgreesWithInclusionAndExclusion) {
  Random random(4);
  for (size_t objectives : {2, 3, 4})
    for (int repeat = 0; repeat < 20; ++repeat) {
      const Points points = random_points(9, objectives, 0, random);
      double expected = 0;
      for (unsigned subset = 1; subset < 1u << points.size(); ++subset) {
        double volume = 1;
        for (size_t j = 0; j < objectives; ++j) {
          double least = 1;
          for (size_t i = 0; i < points.size(); ++i)
            if (subset >> i & 1) least = std::min(least, points[i][j]);
          volume *= least;
        }
        expected += __builtin_popcount(subset) % 2 ? volume : -volume;
      }
      const std::vector<bool> maximize(objectives, true);
      EXPECT_NEAR(hypervolume(points, maximize, std::vector<double>(objectives, 0)), expected, 1e-9);
    }
}

TEST(Hypervolume, PointsBeyondTheReferenceCountNothing) {
  EXPECT_EQ(hypervolume({{0.5, 30}, {0.9, 10}}, {true, false}, {0.6, 20}), (0.9 - 0.6) * (20 - 10));
  EXPECT_EQ(hypervolume({{0.6, 10}, {0.9, 20}}, {true, false}, {0.6, 20}), 0);
}

}  // namespace
}  // namespace sonar
