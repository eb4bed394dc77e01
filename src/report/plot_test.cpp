#include "report/plot.h"

#include <gtest/gtest.h>

#include <cmath>

#include "model/random.h"

namespace sonar {
namespace {

void expect_sound(const Axis& axis, double low, double high) {
  EXPECT_TRUE(std::isfinite(axis.low) && std::isfinite(axis.high) && axis.low < axis.high) << low << " " << high;
  EXPECT_GE(axis.ticks.size(), 2u) << low << " " << high;
  EXPECT_LE(axis.ticks.size(), 60u) << low << " " << high;
  for (double tick : axis.ticks) {
    EXPECT_GE(axis.position(tick), -1e-6) << low << " " << high;
    EXPECT_LE(axis.position(tick), 1 + 1e-6) << low << " " << high;
  }
  for (size_t i = 1; i < axis.ticks.size(); ++i) EXPECT_LT(axis.ticks[i - 1], axis.ticks[i]);
}

TEST(Axis, LinearTicksAreRound) {
  const Axis axis = linear_axis(0.31, 0.78, 5);
  ASSERT_EQ(axis.ticks.size(), 4u);
  for (int i = 0; i < 4; ++i) EXPECT_NEAR(axis.ticks[i], 0.4 + 0.1 * i, 1e-12);
  EXPECT_DOUBLE_EQ(axis.step, 0.1);
  EXPECT_DOUBLE_EQ(axis.position(0.31), 0);
  EXPECT_DOUBLE_EQ(axis.position(0.78), 1);
}

TEST(Axis, LogPositionsAreProportionalToLogarithms) {
  const Axis axis = log_axis(1, 10000, 4);
  EXPECT_NEAR(axis.position(100), 0.5, 1e-12);
  EXPECT_NEAR(axis.position(10), 0.25, 1e-12);
  EXPECT_EQ(axis.ticks, (std::vector<double>{1, 10, 100, 1000, 10000}));
}

TEST(Axis, AnyInputGivesASoundAxis) {
  const double odd[] = {0, 1, -1, 5, 1e-9, 1e12, INFINITY, -INFINITY, std::nan("")};
  for (double low : odd)
    for (double high : odd) {
      expect_sound(linear_axis(low, high, 6), low, high);
      if (!(low < 0 || high < 0)) expect_sound(log_axis(low, high, 6), low, high);
    }
  Random random(3);
  for (int i = 0; i < 2000; ++i) {
    const double low = std::exp(20 * random.uniform() - 10), high = low * (1 + 3 * random.uniform() * random.uniform());
    expect_sound(linear_axis(low, high, 6), low, high);
    expect_sound(log_axis(low, high, 6), low, high);
    expect_sound(latency_axis(low, high, 6), low, high);
  }
}

TEST(Axis, TickTextsDiffer) {
  for (auto [low, high] : {std::pair{0.0, 1.0}, {0.651, 0.658}, {1234.0, 1239.0}, {0.0, 5e6}}) {
    const Axis axis = linear_axis(low, high, 6);
    const TickText text = plain_ticks(axis);
    for (size_t i = 1; i < axis.ticks.size(); ++i) EXPECT_NE(text(axis.ticks[i - 1]), text(axis.ticks[i]));
  }
}

TEST(PathData, DrawsStepsHorizontallyFirst) {
  PathData path;
  path.step_to(1, 2);
  path.step_to(3.25, 4);
  EXPECT_EQ(path.text(), "M1,2H3.2V4");
}

}  // namespace
}  // namespace sonar
