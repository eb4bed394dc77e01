#include "policy/algorithm_sonar_plus.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "model/error.h"
#include "model/random.h"
#include "policy/search_policy.h"
#include "policy/synthetic_space.h"

namespace sonar {
namespace {

/// Of 64 in equal ratios.
double latency_of_point(const std::vector<double>& latency, size_t point) {
  const auto [low, high] = std::minmax_element(latency.begin(), latency.end());
  return *low * std::pow(*high / *low, static_cast<double>(point) / 63);
}

TEST(ExpectedExcess, IsThatOfANormalDistribution) {
  for (double deviation : {0.001, 0.3, 20.0})
    for (double z = -6; z <= 7; z += 0.0371) {
      const double truth =
          deviation * (z * std::erfc(-z / std::sqrt(2.0)) / 2 + std::exp(-z * z / 2) / std::sqrt(2 * M_PI));
      EXPECT_NEAR(expected_excess({0.5 + z * deviation, deviation}, 0.5), truth, 1.1e-9 * deviation) << z;
    }
  EXPECT_EQ(expected_excess({0.4, 0}, 0.5), 0);
  EXPECT_DOUBLE_EQ(expected_excess({0.7, 0}, 0.5), 0.2);
  EXPECT_EQ(expected_excess({-9, 1}, 0.5), 0);
}

TEST(Frontier, GainOverStepsIsTheMeanOverItsPoints) {
  Random random(1);
  std::vector<double> latency;
  for (int i = 0; i < 60; ++i) latency.push_back(10 * std::exp(3 * random.uniform()));
  Frontier frontier(latency, 64);
  for (double l : latency) {
    const Belief belief{random.uniform(), 0.2 * random.uniform()};
    double mean = 0;
    for (size_t g = frontier.first(l); g < 64; ++g)
      mean += expected_excess(belief, frontier.at(latency_of_point(latency, g))) / 64;
    EXPECT_NEAR(frontier.gain(l, belief), mean, 1e-9);
    if (random.uniform() < 0.5)
      frontier.add(l, random.uniform());
    else
      frontier.expect(l, belief);
  }
}

// A grid of 1, 10, 100 us.
TEST(Frontier, GainIsTheMeanRiseOverTheGrid) {
  Frontier frontier({1, 100, INFINITY}, 3);
  frontier.add(1, 0.2);
  frontier.add(100, 0.8);
  EXPECT_EQ(frontier.at(1), 0.2);
  EXPECT_EQ(frontier.at(50), 0.8);
  EXPECT_NEAR(frontier.gain(1, {0.5, 0}), (0.3 + 0.3 + 0) / 3, 1e-12);
  EXPECT_NEAR(frontier.gain(5, {0.5, 0}), (0.3 + 0) / 3, 1e-12);
  EXPECT_NEAR(frontier.gain(5, {0.1, 0}), 0, 1e-12);
  // E[max(0, x)] of a standard normal x is 1 / sqrt(2 pi); at the second point only, the third is 6 deviations off.
  EXPECT_NEAR(frontier.gain(10, {0.2, 0.1}), 0.1 / std::sqrt(2 * M_PI) / 3, 1e-9);
  EXPECT_GT(frontier.gain(10, {0.1, 0.1}), 0);
  frontier.expect(1, {0.5, 0});
  EXPECT_EQ(frontier.at(10), 0.5);
  EXPECT_EQ(frontier.at(100), 0.8);
}

/// Known to end at `accuracy`.
TrainingOption option(double latency, double accuracy, double cost) {
  TrainingOption result;
  result.latency_us = latency;
  result.estimate = {std::log(1 - accuracy), 0, -1};
  result.levels = {{100, cost, 0}};
  return result;
}

std::vector<size_t> options_of(const std::vector<TrainingChoice>& choices) {
  std::vector<size_t> result;
  for (const TrainingChoice& choice : choices) result.push_back(choice.option);
  return result;
}

TEST(ChooseTraining, OneOfTwoAlikeAndNoneThatAddsNothing) {
  Frontier frontier({1, 100}, 3);
  frontier.add(1, 0.2);
  const std::vector<TrainingOption> options = {option(1, 0.5, 1), option(1, 0.49, 1), option(100, 0.9, 1),
                                               option(10, 0.1, 1)};
  EXPECT_EQ(options_of(choose_training(options, frontier, 10, 10)), (std::vector<size_t>{0, 2}));
}

TEST(ChooseTraining, GainForItsCost) {
  const Frontier frontier({1, 100}, 3);
  const std::vector<TrainingOption> options = {option(1, 0.9, 10), option(1, 0.6, 1)};
  EXPECT_EQ(options_of(choose_training(options, frontier, 1, 10)), (std::vector<size_t>{1}));
}

TEST(ChooseTraining, TheLastMayOverdrawTheShareNotTheBudget) {
  const Frontier frontier({1, 100}, 3);
  const std::vector<TrainingOption> options = {option(1, 0.5, 4), option(10, 0.7, 4), option(100, 0.9, 4)};
  EXPECT_EQ(choose_training(options, frontier, 5, 100).size(), 2u);
  EXPECT_EQ(choose_training(options, frontier, 5, 7).size(), 1u);
  EXPECT_TRUE(choose_training(options, frontier, 5, 3).empty());
}

// Two networks of which one look tells all or nothing, each likely to end below the frontier.
TEST(ChooseTraining, ALowerLevelIsChosenWhenItTellsEnoughForItsCost) {
  Frontier frontier({1, 100}, 3);
  frontier.add(1, 0.9);
  TrainingOption uncertain = option(1, 0.9, 100);
  uncertain.estimate.variance = 0.04;
  uncertain.levels = {{10, 10, 0}, {100, 100, 0}};  // a tenth of the cost tells all
  const std::vector<TrainingChoice> told = choose_training({uncertain}, frontier, 1, 1000);
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].level, 0u);
  uncertain.levels[0].variance = 0.04;  // it tells nothing
  const std::vector<TrainingChoice> blind = choose_training({uncertain}, frontier, 1, 1000);
  ASSERT_EQ(blind.size(), 1u);
  EXPECT_EQ(blind[0].level, 1u);
}

PolicyOptions options_of(const std::string& algorithm, uint64_t seed = 1) {
  PolicyOptions options;
  options.algorithm = algorithm;
  options.full_steps = 100;
  options.minimum_slice = 2;
  options.count_steps = true;
  options.seed = seed;
  return options;
}

struct Outcome {
  double gap = 0;  // mean over the networks of the true front, achieved
  double spent = 0;
  std::vector<size_t> result;
  std::vector<long> steps;
  std::vector<double> accuracy;  // observed
};

Outcome search(const SyntheticSpace& world, const PolicyOptions& options, double budget) {
  SearchPolicy policy(options, world.networks, world.subgraphs, {"size"});
  const size_t n = world.networks.size();
  for (size_t i = 0; i < n; ++i) policy.tell_default(i, world.latency[i]);
  Outcome outcome;
  while (policy.begin_round({budget - outcome.spent, 0})) {
    const RoundPlan plan = policy.round();
    for (size_t m = 0; m < plan.members.size(); ++m) {
      const size_t i = plan.members[m];
      const long from = policy.state().networks[i].steps;
      if (plan.to_steps[m] == from) continue;
      for (long step = from + 10; step < plan.to_steps[m]; step += 10)
        policy.tell_training(i, step, world.accuracy(i, step), double(step));
      policy.tell_training(i, plan.to_steps[m], world.accuracy(i, plan.to_steps[m]), double(plan.to_steps[m]));
      outcome.spent += double(plan.to_steps[m] - from);
    }
    policy.end_round();
  }
  outcome.result = policy.result();
  std::vector<size_t> order(n);
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return world.latency[a] < world.latency[b]; });
  double best = 0, achieved = 0, front = 0;
  for (const NetworkState& network : policy.state().networks) outcome.accuracy.push_back(network.accuracy);
  for (size_t i : order) {
    const NetworkState& network = policy.state().networks[i];
    outcome.steps.push_back(policy.state().networks[i].steps);
    if (network.steps > 0) achieved = std::max(achieved, network.accuracy);
    if (world.final[i] <= best) continue;
    best = world.final[i];
    outcome.gap += best - achieved;
    ++front;
  }
  outcome.gap /= front;
  return outcome;
}

TEST(SonarPlus, IsNoWorseThanHalvingOnTheAverageAndKeepsToItsBudget) {
  double plus = 0, halving = 0;
  for (uint64_t seed = 1; seed <= 8; ++seed) {
    const SyntheticSpace world(150, seed);
    const Outcome outcome = search(world, options_of("sonar+", seed), 150 * 100 / 30.0);
    plus += outcome.gap;
    halving += search(world, options_of("pareto", seed), 150 * 100 / 30.0).gap;
    EXPECT_LE(outcome.spent, 500 + 1e-9);
    EXPECT_GT(outcome.spent, 390);
  }
  EXPECT_LE(plus, halving);
}

TEST(SonarPlus, ReturnsTheFrontOfWhatItTrained) {
  const SyntheticSpace world(60, 3);
  const Outcome outcome = search(world, options_of("sonar+"), 600);
  ASSERT_FALSE(outcome.result.empty());
  for (size_t a : outcome.result) EXPECT_GT(outcome.accuracy[a], 0) << a << " was not trained";
  for (size_t a : outcome.result)
    for (size_t b : outcome.result)
      // Latencies within a tenth of each other count as mistakable.
      EXPECT_FALSE(world.latency[a] < 0.89 * world.latency[b] && outcome.accuracy[a] >= outcome.accuracy[b])
          << a << " " << b;
  EXPECT_LT(outcome.result.size(), 40u);
}

TEST(SonarPlus, TheSameOutcomesGiveTheSameDecisionsAndSeedsMatter) {
  const SyntheticSpace world(80, 4);
  const auto steps = [&](uint64_t seed) { return search(world, options_of("sonar+", seed), 700).steps; };
  EXPECT_EQ(steps(1), steps(1));
  EXPECT_NE(steps(1), steps(2));
}

TEST(SonarPlus, AmpleBudgetOfAFewNetworksTrainsWhateverMayBeOnTheFront) {
  const SyntheticSpace world(6, 5);
  EXPECT_NEAR(search(world, options_of("sonar+"), 6 * 100).gap, 0, 1e-3);
}

TEST(SonarPlus, ABudgetBelowOneFullTrainingIsKept) {
  const SyntheticSpace world(30, 8);
  const Outcome outcome = search(world, options_of("sonar+"), 40);
  EXPECT_LE(outcome.spent, 40);
  EXPECT_GT(outcome.spent, 20);
  EXPECT_EQ(outcome.result.size(), 1u);
}

TEST(SonarPlus, TheFirstSampleIsSpreadOverTheLatencies) {
  const SyntheticSpace world(100, 6);
  SearchPolicy policy(options_of("sonar+"), world.networks, world.subgraphs, {"size"});
  for (size_t i = 0; i < 100; ++i) policy.tell_default(i, world.latency[i]);
  ASSERT_TRUE(policy.begin_round({10000, 0}));
  std::vector<int> trained(4);  // by quarter of the order of the latencies
  for (size_t m = 0; m < policy.round().members.size(); ++m)
    if (policy.round().to_steps[m] > 0) {
      const double latency = world.latency[policy.round().members[m]];
      const auto faster =
          std::count_if(world.latency.begin(), world.latency.end(), [&](double other) { return other < latency; });
      ++trained[static_cast<size_t>(faster / 25)];
    }
  EXPECT_GE(*std::min_element(trained.begin(), trained.end()), 1);
  EXPECT_LE(*std::max_element(trained.begin(), trained.end()) - *std::min_element(trained.begin(), trained.end()), 2);
}

TEST(SonarPlus, NetworksWithoutALatencyOrThatFailAreNotTrained) {
  SyntheticSpace world(12, 7);
  SearchPolicy policy(options_of("sonar+"), world.networks, world.subgraphs, {"size"});
  for (size_t i = 1; i < 12; ++i) policy.tell_default(i, world.latency[i]);  // the first has no valid program
  policy.tell_failure(1, "out of memory");
  for (double left = 1200; policy.begin_round({left, 0}); policy.end_round()) {
    const RoundPlan plan = policy.round();
    for (size_t m = 0; m < plan.members.size(); ++m) {
      EXPECT_NE(plan.members[m], 1u);
      EXPECT_TRUE(plan.members[m] != 0 || plan.to_steps[m] == 0);
      left -= double(plan.to_steps[m] - policy.state().networks[plan.members[m]].steps);
      if (plan.to_steps[m] > policy.state().networks[plan.members[m]].steps)
        policy.tell_training(plan.members[m], plan.to_steps[m], 0.1, double(plan.to_steps[m]));  // all identical
    }
  }
  EXPECT_FALSE(policy.result().empty());
}

TEST(SonarPlus, RefusesSettingsByName) {
  const auto message = [](const std::string& key, const std::string& value) -> std::string {
    PolicyOptions options = options_of("sonar+");
    options.settings[key] = value;
    try {
      make_algorithm(options);
    } catch (const UserError& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_NE(message("rounds", "many").find("rounds is 'many'"), std::string::npos);
  EXPECT_NE(message("rounds", "1").find("from 2 to 1000"), std::string::npos);
  EXPECT_NE(message("colour", "1").find("no setting 'colour'"), std::string::npos);
  EXPECT_EQ(message("rounds", "12"), "");
}

}  // namespace
}  // namespace sonar
