#include "policy/curve_extrapolation.h"

#include <gtest/gtest.h>

#include <cmath>

#include "model/random.h"

namespace sonar {
namespace {

/// Errors that are powers of the training: 1 - accuracy = e_i (step / 128)^-p_i, so that log(1 - accuracy) falls by
/// p_i log 2 with each doubling, as it did in the one before.
SearchState powers(size_t n, long upto, uint64_t seed) {
  Random random(seed);
  SearchState state;
  state.options.full_steps = 128;
  for (size_t i = 0; i < n; ++i) {
    const double end = 0.1 + 0.2 * random.uniform(), power = 0.05 + 0.2 * random.uniform();
    NetworkState network;
    network.subgraphs = {{i, 1}};
    for (long step = 8; step <= upto; step *= 2)
      network.curve.push_back({step, 1 - end * std::pow(double(step) / 128, -power), double(step)});
    network.steps = upto;
    network.accuracy = network.curve.back().accuracy;
    network.timed_step_cost = 1 - end;  // what it ends with
    state.networks.push_back(network);
    SubgraphState subgraph;
    subgraph.best_us = 10 + double(i);
    state.subgraphs.push_back(subgraph);
  }
  return state;
}

std::vector<size_t> all(const SearchState& state) {
  std::vector<size_t> result;
  for (size_t i = 0; i < state.networks.size(); ++i) result.push_back(i);
  return result;
}

TEST(ExtrapolatedAccuracies, FollowPowerLawsToTheEnd) {
  const SearchState state = powers(60, 32, 1);
  double observed = 0, foretold = 0;
  const std::vector<double> result = extrapolated_accuracies(state, all(state), 10);  // two doublings are left
  for (size_t i = 0; i < result.size(); ++i) {
    const double truth = state.networks[i].timed_step_cost;
    EXPECT_GE(result[i], state.networks[i].accuracy);
    observed += std::abs(state.networks[i].accuracy - truth) / 60;
    foretold += std::abs(result[i] - truth) / 60;
  }
  EXPECT_LT(foretold, 0.3 * observed);  // the regression is drawn towards a rise that is the same for all
}

TEST(ExtrapolatedAccuracies, GoNoFurtherThanAskedAndThanFullTraining) {
  const SearchState state = powers(60, 32, 2);
  const std::vector<double> one = extrapolated_accuracies(state, all(state), 1);
  const std::vector<double> two = extrapolated_accuracies(state, all(state), 2);
  const std::vector<double> many = extrapolated_accuracies(state, all(state), 9);
  EXPECT_EQ(two, many);
  for (size_t i = 0; i < one.size(); ++i) EXPECT_LT(one[i], two[i]);
  EXPECT_EQ(extrapolated_accuracies(state, all(state), 0)[3], state.networks[3].accuracy);
}

TEST(ExtrapolatedAccuracies, StayAsObservedWhereNothingCanBeLearnt) {
  const SearchState few = powers(7, 32, 3), young = powers(40, 8, 4);  // one point a curve
  for (const SearchState& state : {few, young}) {
    const std::vector<double> result = extrapolated_accuracies(state, all(state), 5);
    for (size_t i = 0; i < result.size(); ++i) EXPECT_EQ(result[i], state.networks[i].accuracy);
  }
  // The last rise is the same for all: nothing tells who will rise more.
  SearchState alike = powers(40, 32, 5);
  for (NetworkState& network : alike.networks) {
    network.curve[2].accuracy = 1 - 0.8 * (1 - network.curve[1].accuracy);
    network.accuracy = network.curve[2].accuracy;
  }
  const std::vector<double> result = extrapolated_accuracies(alike, all(alike), 5);
  for (size_t i = 0; i < result.size(); ++i) EXPECT_EQ(result[i], alike.networks[i].accuracy);
}

}  // namespace
}  // namespace sonar
