#include "evaluate/metrics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "evaluate/test_traces.h"
#include "model/random.h"

namespace sonar {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

TEST(Truth, GapsMissesAndHypervolumeByHand) {
  const test::TraceFolder folder;
  test::write_hand_made(folder);
  const Trace trace = read_trace(folder.path);
  const Truth truth(trace);
  ASSERT_EQ(truth.front(), (std::vector<size_t>{0, 1, 2}));

  AccuracyGap gap = truth.gap({0.5, 0.7, 0.9, 0.45});
  EXPECT_NEAR(gap.gap, 0, 1e-12);
  EXPECT_EQ(gap.misses, 0);
  // small stands for middle (0.2 short) and large (0.4 short).
  gap = truth.gap({0.5, kNan, kNan, kNan});
  EXPECT_NEAR(gap.gap, 100 * 0.6 / 3, 1e-9);
  // Only middle, seen at 0.6: small is missed, middle 0.1 short, large 0.3.
  gap = truth.gap({kNan, 0.6, kNan, kNan});
  EXPECT_EQ(gap.misses, 1);
  EXPECT_NEAR(gap.gap, 20, 1e-9);
  EXPECT_NEAR(gap.gap_with_misses, 100 * (0.4 + 0.1 + 0.3) / 3, 1e-9);
  // What is slower than the whole front finds nothing.
  gap = truth.gap({kNan, kNan, kNan, 0.45});
  EXPECT_EQ(gap.misses, 3);
  EXPECT_TRUE(std::isnan(gap.gap));

  // Reference point: 80 us, 0.45. True front: 70 x 0.05 + 50 x 0.2 + 20 x 0.2 = 17.5.
  EXPECT_NEAR(truth.hypervolume_ratio({0, 1, 2}), 1, 1e-12);
  EXPECT_NEAR(truth.hypervolume_ratio({2}), 20 * 0.45 / 17.5, 1e-12);
  EXPECT_EQ(truth.hypervolume_ratio({}), 0);
}

double tau_by_pairs(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0, untied_a = 0, untied_b = 0;
  for (size_t i = 0; i < a.size(); ++i)
    for (size_t j = 0; j < i; ++j) {
      const int x = (a[i] > a[j]) - (a[i] < a[j]), y = (b[i] > b[j]) - (b[i] < b[j]);
      sum += x * y;
      untied_a += x != 0;
      untied_b += y != 0;
    }
  return sum / std::sqrt(untied_a * untied_b);
}

TEST(KendallTau, AgreesWithCountingPairsTiesIncluded) {
  Random random(5);
  for (int round = 0; round < 200; ++round) {
    std::vector<double> a, b;
    const size_t n = 2 + random.below(40), values = 2 + random.below(30);
    for (size_t i = 0; i < n; ++i) {
      a.push_back(static_cast<double>(random.below(values)));
      b.push_back(random.below(9) == 0 ? std::numeric_limits<double>::infinity()
                                       : static_cast<double>(random.below(values)));
    }
    const double expected = tau_by_pairs(a, b);
    if (std::isnan(expected))
      EXPECT_TRUE(std::isnan(kendall_tau(a, b)));
    else
      EXPECT_NEAR(kendall_tau(a, b), expected, 1e-12);
  }
  EXPECT_EQ(kendall_tau({1, 2, 3}, {10, 20, 30}), 1);
  EXPECT_EQ(kendall_tau({1, 2, 3}, {3, 2, 1}), -1);
  EXPECT_TRUE(std::isnan(kendall_tau({1}, {1})));
}

}  // namespace
}  // namespace sonar
