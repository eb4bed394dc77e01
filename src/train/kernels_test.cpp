#include "train/kernels.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "model/random.h"

namespace sonar {
namespace {

constexpr Activation kActivations[] = {Activation::none, Activation::relu, Activation::hard_swish,
                                       Activation::hard_sigmoid};

std::vector<float> random_values(size_t count, uint64_t seed, double low = -4, double high = 4) {
  Random random(seed);
  std::vector<float> values(count);
  for (float& value : values) value = float(low + (high - low) * random.uniform());
  return values;
}

double activate(double z, Activation activation) {
  switch (activation) {
    case Activation::none:
      return z;
    case Activation::relu:
      return std::max(z, 0.0);
    case Activation::hard_swish:
      return z * std::clamp(z + 3, 0.0, 6.0) / 6;
    case Activation::hard_sigmoid:
      return std::clamp(z + 3, 0.0, 6.0) / 6;
    default:
      return 0;
  }
}

double slope(double z, Activation activation) {
  const double h = 1e-6;
  return (activate(z + h, activation) - activate(z - h, activation)) / (2 * h);
}

bool near_kink(double z) { return std::abs(z) < 1e-4 || std::abs(std::abs(z) - 3) < 1e-4; }

struct Case {
  long rows;
  int channels;
};
// Few channels are joined into long rows, many are cut into panels, and neither need divide.
const Case kCases[] = {{1, 1}, {7, 3}, {64, 8}, {96, 24}, {130, 72}, {65, 513}, {3, 1100}};

TEST(Kernels, MomentsAreExactFarFromZero) {
  for (const auto [rows, channels] : kCases) {
    const std::vector<float> x = random_values(size_t(rows * channels), 1, 1000, 1001);
    std::vector<double> sum(size_t(channels), 0.5), squares(size_t(channels), 0.25);
    add_moments(x.data(), rows, channels, x.data(), sum.data(), squares.data());
    for (int c = 0; c < channels; ++c) {
      double expected = 0.5, expected_squares = 0.25;
      for (long r = 0; r < rows; ++r) {
        const double value = double(x[size_t(r * channels + c)]) - x[size_t(c)];
        expected += value;
        expected_squares += value * value;
      }
      EXPECT_NEAR(sum[size_t(c)], expected, 1e-4 * double(rows));
      EXPECT_NEAR(squares[size_t(c)], expected_squares, 1e-4 * double(rows));
    }
  }
}

TEST(Kernels, ScaleShiftActivate) {
  for (const auto [rows, channels] : kCases) {
    const auto x = random_values(size_t(rows * channels), 2);
    const auto scale = random_values(size_t(channels), 3), shift = random_values(size_t(channels), 4);
    for (Activation activation : kActivations) {
      std::vector<float> y(x.size());
      scale_shift_activate(x.data(), rows, channels, scale.data(), shift.data(), activation, y.data());
      for (size_t i = 0; i < x.size(); ++i) {
        const size_t c = i % size_t(channels);
        ASSERT_NEAR(y[i], activate(double(x[i]) * scale[c] + shift[c], activation), 1e-4);
      }
    }
  }
}

TEST(Kernels, BatchNormGradients) {
  for (const auto [rows, channels] : kCases) {
    const auto x = random_values(size_t(rows * channels), 5), dy = random_values(x.size(), 6);
    const auto scale = random_values(size_t(channels), 7), shift = random_values(size_t(channels), 8);
    const auto mean = random_values(size_t(channels), 9), inverse_std = random_values(size_t(channels), 10, 0.5, 2);
    const auto mean_g = random_values(size_t(channels), 11), mean_gn = random_values(size_t(channels), 12);
    for (Activation activation : kActivations) {
      std::vector<double> sum_g(size_t(channels), 1.0), sum_gn(size_t(channels), 2.0);
      add_batch_norm_sums(dy.data(), x.data(), rows, channels, scale.data(), shift.data(), mean.data(),
                          inverse_std.data(), activation, sum_g.data(), sum_gn.data());
      std::vector<float> dx(x.size());
      batch_norm_input_gradient(dy.data(), x.data(), rows, channels, scale.data(), shift.data(), mean.data(),
                                inverse_std.data(), mean_g.data(), mean_gn.data(), activation, dx.data());
      for (int channel = 0; channel < channels; ++channel) {
        const size_t c = size_t(channel);
        double expected_g = 1, expected_gn = 2;
        bool kink = false;
        for (long r = 0; r < rows; ++r) {
          const size_t i = size_t(r * channels + channel);
          const double z = double(x[i]) * scale[c] + shift[c], n = (double(x[i]) - mean[c]) * inverse_std[c];
          const double g = dy[i] * slope(z, activation);
          expected_g += g;
          expected_gn += g * n;
          kink = kink || near_kink(z);
          if (!near_kink(z)) {
            ASSERT_NEAR(dx[i], scale[c] * (g - mean_g[c] - n * mean_gn[c]), 2e-3);
          }
        }
        if (kink) continue;
        EXPECT_NEAR(sum_g[c], expected_g, 1e-3 + 1e-4 * double(rows));
        EXPECT_NEAR(sum_gn[c], expected_gn, 1e-3 + 1e-3 * double(rows));
      }
    }
  }
}

TEST(Kernels, SgdStepIsNesterovs) {
  auto weights = random_values(37, 1), gradient = random_values(37, 2), velocity = random_values(37, 3);
  const auto w = weights, g = gradient, v = velocity;
  sgd_step(weights.data(), gradient.data(), velocity.data(), 37, 0.1f, 0.9f, 0.01f);
  for (size_t i = 0; i < 37; ++i) {
    const double decayed = g[i] + 0.01 * w[i], moved = 0.9 * v[i] + decayed;
    EXPECT_NEAR(velocity[i], moved, 1e-5);
    EXPECT_NEAR(weights[i], w[i] - 0.1 * (decayed + 0.9 * moved), 1e-5);
    EXPECT_EQ(gradient[i], 0.f);
  }
}

TEST(Kernels, MovingAverageConvergesGeometrically) {
  std::vector<float> average(5, 1.f);
  const std::vector<float> value(5, 3.f);
  for (int i = 0; i < 10; ++i) move_average(average.data(), value.data(), 5, 0.8f);
  for (float a : average) EXPECT_NEAR(a, 3 - 2 * std::pow(0.8, 10), 1e-5);
}

}  // namespace
}  // namespace sonar
