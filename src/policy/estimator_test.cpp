#include <gtest/gtest.h>

#include <cmath>

#include "model/random.h"
#include "policy/estimator_latency.h"
#include "policy/estimator_process.h"
#include "policy/estimator_regression.h"
#include "policy/estimator_ridge.h"

namespace sonar {
namespace {

double noise(Random& random) { return random.uniform() + random.uniform() + random.uniform() - 1.5; }

TEST(InverseFactor, TimesItselfIsTheInverse) {
  constexpr size_t n = 7;
  Random random(3);
  std::vector<double> half(n * n), a(n * n, 0);
  for (double& value : half) value = noise(random);
  for (size_t i = 0; i < n; ++i)
    for (size_t j = 0; j < n; ++j)
      for (size_t k = 0; k < n; ++k) a[i * n + j] += half[i * n + k] * half[j * n + k] + (i == j ? 0.1 : 0);
  const std::vector<double> factor = inverse_factor_of(a, n);
  for (size_t i = 0; i < n; ++i)
    for (size_t j = 0; j < n; ++j) {
      double product = 0;  // of a and factor' factor
      for (size_t k = 0; k < n; ++k)
        for (size_t m = 0; m < n; ++m) product += a[i * n + k] * factor[m * n + k] * factor[m * n + j];
      EXPECT_NEAR(product, i == j ? 1 : 0, 1e-9);
    }
}

TEST(Ridge, OneDesignServesSeveralRegressions) {
  Rows rows;
  std::vector<double> y, z;
  Random random(4);
  for (int i = 0; i < 50; ++i) {
    rows.push_back({random.uniform(), noise(random), noise(random)});
    y.push_back(rows.back()[0] + 0.1 * noise(random));
    z.push_back(noise(random));
  }
  const auto design = std::make_shared<const RidgeDesign>(rows);
  for (const std::vector<double>& values : {y, z}) {
    const Ridge shared(design, values), alone(rows, values);
    EXPECT_EQ(shared.leave_one_out(), alone.leave_one_out());
    for (size_t i = 0; i < rows.size(); ++i) EXPECT_NEAR(shared.fitted()[i], alone.mean(rows[i]), 1e-12);
  }
}

TEST(Ridge, FindsAStraightLine) {
  Rows rows;
  std::vector<double> y;
  Random random(1);
  for (int i = 0; i < 60; ++i) {
    rows.push_back({random.uniform(), 1000 * random.uniform(), 7});
    y.push_back(2 + 3 * rows.back()[0] - 0.004 * rows.back()[1] + 0.01 * noise(random));
  }
  const Ridge ridge(rows, y);
  EXPECT_NEAR(ridge.predict({0.5, 500, 7}).mean, 1.5, 0.02);
  EXPECT_NEAR(std::sqrt(ridge.variance()), 0.005, 0.005);
  EXPECT_GT(ridge.predict({3, 500, 7}).variance, ridge.predict({0.5, 500, 7}).variance);  // far from what it has seen
}

TEST(Ridge, MoreFeaturesThanRowsAndPureNoiseStayNearTheMean) {
  Rows rows;
  std::vector<double> y;
  Random random(2);
  for (int i = 0; i < 8; ++i) {
    rows.emplace_back();
    for (int j = 0; j < 20; ++j) rows.back().push_back(noise(random));
    y.push_back(5 + noise(random));
  }
  const Ridge ridge(rows, y);
  const double predicted = ridge.predict(std::vector<double>(20, 0.3)).mean;
  EXPECT_GT(predicted, 3.5);
  EXPECT_LT(predicted, 6.5);
  EXPECT_NEAR(Ridge({{1.0}}, {4}).predict({9}).mean, 4, 1e-12);
}

TEST(GaussianProcess, FollowsACurveAndReturnsToZeroFarAway) {
  Rows rows;
  std::vector<double> y;
  for (int i = 0; i < 40; ++i) {
    rows.push_back({i / 10.0});
    y.push_back(std::sin(i / 10.0));
  }
  const GaussianProcess process(rows, y, 1, 1e-3);
  EXPECT_NEAR(process.mean({1.55}), std::sin(1.55), 0.01);
  EXPECT_NEAR(process.mean({40}), 0, 1e-6);
  for (double error : process.leave_one_out()) EXPECT_NEAR(error, 0, 0.15);
  // One point: y K / (K + noise), and without it 0.
  const GaussianProcess one({{2.0}}, {3}, 1, 0.5);
  EXPECT_NEAR(one.mean({2}), 3 / 1.5, 1e-12);
  EXPECT_NEAR(one.leave_one_out()[0], 3, 1e-12);
}

SubgraphState subgraph(const std::string& key, std::vector<TuningSample> curve) {
  SubgraphState state;
  state.key = key;
  state.default_us = curve.front().best_us;
  state.best_us = curve.back().best_us;
  state.curve = std::move(curve);
  return state;
}

// Eight subgraphs of one form take 2 us a channel once tuned and twice that by default; six are tuned in full.
TEST(TunedLatency, UntunedSubgraphsFollowThoseThatAreTuned) {
  SearchState state;
  state.options.full_programs = 64;
  for (int c = 1; c <= 8; ++c) {
    const double us = 2.0 * c + 2;
    std::vector<TuningSample> curve = {{1, 2 * us, 0}};
    if (c != 4 && c != 5) curve.push_back({64, us, 1});
    state.subgraphs.push_back(subgraph("conv-c" + std::to_string(c), curve));
  }
  state.subgraphs.push_back(subgraph("dense-c3", {{1, 8, 0}}));
  state.subgraphs.push_back(subgraph("conv-c9", {{1, INFINITY, 0}}));
  const std::vector<double> us = LatencyEstimator(state).subgraphs_us(state);
  EXPECT_NEAR(us[0], 4, 1e-9);     // tuned in full: what was measured
  EXPECT_NEAR(us[3], 10, 0.7);     // not the default program's 20
  EXPECT_NEAR(us[8], 4, 1e-9);     // alone of its form: the usual fall
  EXPECT_TRUE(std::isinf(us[9]));  // no valid program yet
}

TEST(TunedLatency, WhatIsKeptFromEarlierStatesChangesNothing) {
  SearchState state;
  state.options.full_programs = 64;
  state.feature_names = {"width"};
  Random random(5);
  for (size_t c = 0; c < 40; ++c) {
    state.subgraphs.push_back(subgraph("conv-c" + std::to_string(c), {{1, c == 7 ? INFINITY : 5 + noise(random), 0}}));
    NetworkState network;
    network.features = {static_cast<double>(c)};
    network.subgraphs = {{c, 1}, {c / 2, 2}};
    state.networks.push_back(network);
  }
  LatencyEstimator kept(state);
  const uint64_t print = LatencyEstimator::fingerprint(state);
  for (int step = 0; step < 30; ++step) {
    SubgraphState& told = state.subgraphs[static_cast<size_t>(random.below(40))];
    told.best_us = std::min(told.best_us, 5.0) * 0.9;
    told.curve.push_back({told.curve.back().programs + 4, told.best_us, 0});
    if (step == 20) state.networks[3].measured_us = 17;
    EXPECT_EQ(kept.networks_us(state, true), LatencyEstimator(state).networks_us(state, true));
    EXPECT_EQ(LatencyEstimator::fingerprint(state), print);
  }
  state.networks[2].features[0] = -1;
  EXPECT_NE(LatencyEstimator::fingerprint(state), print);
}

TEST(TunedLatency, ANetworkMeasuredAsAWholeIsAsMeasured) {
  SearchState state;
  state.subgraphs = {subgraph("a", {{1, 3, 0}}), subgraph("b", {{1, 5, 0}})};
  state.networks.resize(2);
  state.networks[0].subgraphs = {{0, 2}, {1, 1}};
  state.networks[1].subgraphs = {{1, 1}};
  state.networks[1].measured_us = 17;
  EXPECT_EQ(LatencyEstimator(state).networks_us(state, true), (std::vector<double>{11, 17}));
}

/// Networks whose accuracy after full training is 0.5 + 0.4 x feature; curves that are halfway after 100 of 300 steps.
SearchState line(size_t networks) {
  SearchState state;
  state.options.full_steps = 300;
  state.feature_names = {"width", "constant", "unknown"};
  state.subgraphs = {subgraph("a", {{1, 3, 0}})};
  for (size_t i = 0; i < networks; ++i) {
    NetworkState network;
    network.features = {double(i) / double(networks), 3, NAN};
    network.subgraphs = {{0, 1}};
    state.networks.push_back(network);
  }
  return state;
}

double truth(const NetworkState& network) { return 0.5 + 0.4 * network.features[0]; }

void train(NetworkState& network, long steps) {
  for (long step = 100; step <= steps; step += 100) {
    network.curve.push_back({step, truth(network) * double(step) / 300, double(step)});
    network.accuracy = network.curve.back().accuracy;
    network.steps = step;
  }
}

TEST(RegressionEstimator, UntrainedNetworksFollowTheirFeatures) {
  SearchState state = line(40);
  for (size_t i = 0; i < 40; i += 2) train(state.networks[i], 300);
  const AccuracyForecast forecast =
      RegressionEstimator({}).estimate(state, std::vector<double>(40, 3), network_features(state));
  EXPECT_NEAR(forecast.networks[0].accuracy(), truth(state.networks[0]), 1e-12);  // trained in full: as observed
  EXPECT_EQ(forecast.networks[0].variance, 0);
  for (size_t i : {1, 21, 39}) {
    EXPECT_NEAR(forecast.networks[i].accuracy(), truth(state.networks[i]), 0.06);
    EXPECT_GT(forecast.networks[i].variance, 0);
    EXPECT_LT(forecast.networks[i].variance, 0.1);
  }
  EXPECT_LT(forecast.networks[1].accuracy(), forecast.networks[21].accuracy());
  EXPECT_LT(forecast.networks[21].accuracy(), forecast.networks[39].accuracy());
  EXPECT_EQ(forecast.left.back(), 0);
  for (size_t l = 1; l < forecast.left.size(); ++l) EXPECT_LE(forecast.left[l], forecast.left[l - 1]);
}

TEST(RegressionEstimator, ANetworkIsNeverPredictedBelowWhatWasObserved) {
  SearchState state = line(40);
  for (size_t i = 0; i < 40; i += 2) train(state.networks[i], 300);
  NetworkState& lucky = state.networks[1];
  lucky.curve = {{50, 0.95, 50}};
  lucky.steps = 50;
  lucky.accuracy = 0.95;
  EXPECT_GE(RegressionEstimator({})
                .estimate(state, std::vector<double>(40, 3), network_features(state))
                .networks[1]
                .accuracy(),
            0.95);
}

TEST(RegressionEstimator, UnluckyDataGivesFiniteEstimates) {
  SearchState state = line(6);
  state.feature_names.clear();
  for (NetworkState& network : state.networks) network.features.clear();
  const auto all_finite = [&] {
    const std::vector<double> latency = LatencyEstimator(state).networks_us(state, true);
    for (const AccuracyEstimate& e :
         RegressionEstimator({}).estimate(state, latency, network_features(state)).networks) {
      EXPECT_TRUE(std::isfinite(e.accuracy()) && std::isfinite(e.variance));
      EXPECT_GE(e.accuracy(), 0);
      EXPECT_LE(e.accuracy(), 1);
    }
  };
  all_finite();  // nothing known at all
  for (NetworkState& network : state.networks) {
    network.curve = {{300, 0.1, 300}};
    network.steps = 300;
    network.accuracy = 0.1;
  }
  state.networks[5].curve.clear();
  state.networks[5].steps = 0;
  state.networks[5].accuracy = 0;
  all_finite();  // all the same
  state.networks[0].accuracy = 1;
  state.networks[1].curve[0].accuracy = NAN;
  state.networks[1].accuracy = 0;
  state.subgraphs[0].best_us = INFINITY;
  all_finite();
}

TEST(TrainingLevels, AreGeometricAndEndWithFullTraining) {
  EXPECT_EQ(training_levels(900, 3, 3), (std::vector<long>{100, 300, 900}));
  EXPECT_EQ(training_levels(2, 3, 3), (std::vector<long>{1, 2}));
  EXPECT_EQ(training_levels(900, 3, 1), (std::vector<long>{900}));
}

}  // namespace
}  // namespace sonar
