#include <gtest/gtest.h>

#include <algorithm>

#include "device/device.h"
#include "device/quantile.h"
#include "model/random.h"

namespace sonar {
namespace {

TEST(Quantile, ClosedForms) {
  const std::vector<double> one = {3};
  for (double q : {0.0, 0.3, 1.0}) EXPECT_DOUBLE_EQ(quantile(one.data(), 1, q), 3);
  // Of 0..n-1, type 7 gives q (n - 1).
  std::vector<double> ramp;
  for (int n = 1; n <= 20; ++n) {
    ramp.push_back(n - 1);
    for (int k = 0; k <= 20; ++k) EXPECT_NEAR(quantile(ramp.data(), ramp.size(), k / 20.0), k / 20.0 * (n - 1), 1e-12);
  }
  const double four[] = {1, 2, 4, 8};
  EXPECT_DOUBLE_EQ(quantile(four, 4, 0.25), 1.75);
  EXPECT_DOUBLE_EQ(quantile(four, 4, 0.5), 3);
  EXPECT_DOUBLE_EQ(quantile(four, 4, 0.75), 5);
  EXPECT_DOUBLE_EQ(relative_spread(four, 4), 3.25 / 3);
}

TEST(Summarize, KeepsTheOrderOfTheSamples) {
  const Measurement m = summarize({8, 1, 4, 2}, 40, true);
  EXPECT_EQ(m.samples_us, (std::vector<double>{8, 1, 4, 2}));
  EXPECT_DOUBLE_EQ(m.median_us, 3);
  EXPECT_DOUBLE_EQ(m.minimum_us, 1);
  EXPECT_DOUBLE_EQ(m.spread, 3.25 / 3);
  EXPECT_EQ(m.runs, 40);
  EXPECT_TRUE(m.stopped_early);
}

TEST(Summarize, SpreadIsFreeOfScaleAndZeroForEqualSamples) {
  EXPECT_EQ(summarize({7, 7, 7}, 3, false).spread, 0);
  EXPECT_EQ(summarize({}, 0, false).samples_us.size(), 0u);
  Random random(4);
  for (int i = 0; i < 100; ++i) {
    std::vector<double> samples, scaled;
    const int n = 1 + random.below(30);
    for (int k = 0; k < n; ++k) {
      samples.push_back(1 + random.uniform());
      scaled.push_back(1000 * samples.back());
    }
    EXPECT_NEAR(summarize(samples, n, false).spread, summarize(scaled, n, false).spread, 1e-12);
  }
}

}  // namespace
}  // namespace sonar
