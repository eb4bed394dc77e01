#include "policy/halving.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "model/error.h"
#include "model/random.h"

namespace sonar {
namespace {

double cost(const std::vector<NetworkProgress>& networks, const std::vector<long>& targets) {
  double sum = 0;
  for (size_t i = 0; i < networks.size(); ++i)
    sum += static_cast<double>(targets[i] - networks[i].steps_done) * networks[i].step_cost;
  return sum;
}

std::vector<NetworkProgress> random_networks(size_t n, long full_steps, Random& random) {
  std::vector<NetworkProgress> networks;
  for (size_t i = 0; i < n; ++i)
    networks.push_back({static_cast<long>(random.below(full_steps + full_steps / 4)), 0.05 + random.uniform()});
  return networks;
}

TEST(RoundCount, IsTheCeiledLogarithmAndAtLeastOne) {
  EXPECT_EQ(round_count(0), 1);
  for (size_t n = 1; n <= 5000; ++n)
    ASSERT_EQ(round_count(n), std::max(1, static_cast<int>(std::ceil(std::log2(static_cast<double>(n)))))) << n;
}

TEST(Ledger, SharesWhatRemains) {
  Ledger ledger{100, 40};
  EXPECT_EQ(ledger.remaining(), 60);
  EXPECT_EQ(ledger.share(3), 20);
  EXPECT_EQ(ledger.share(1), 60);
  EXPECT_EQ((Ledger{100, 120}).share(2), 0);
}

TEST(PlanTraining, HoldsItsPromisesOnRandomInput) {
  Random random(1);
  for (int repeat = 0; repeat < 3000; ++repeat) {
    const long full = 1 + static_cast<long>(random.below(1000)), slice = static_cast<long>(random.below(30));
    const auto networks = random_networks(1 + random.below(20), full, random);
    const double share = random.below(10) == 0 ? 0 : std::pow(10, 5 * random.uniform()) - 1;
    for (Share rule : {Share::steps, Share::seconds}) {
      const std::vector<long> targets = plan_training(networks, share, full, slice, rule);
      ASSERT_EQ(targets.size(), networks.size());
      double least = 0, most = 0, one_more = 0;
      for (size_t i = 0; i < networks.size(); ++i) {
        const long left = std::max(0L, full - networks[i].steps_done);
        const long further = targets[i] - networks[i].steps_done;
        ASSERT_GE(further, std::min(slice, left));
        ASSERT_LE(further, left);
        least += static_cast<double>(std::min(slice, left)) * networks[i].step_cost;
        most += static_cast<double>(left) * networks[i].step_cost;
        one_more += networks[i].step_cost;
      }
      const double spent = cost(networks, targets);
      ASSERT_LE(spent, std::max(share, least) * (1 + 1e-12));
      // Nothing that one more step of each network could use is left over.
      ASSERT_GE(spent, std::min(share, most) - one_more - 1e-9);
    }
  }
}

TEST(PlanTraining, EqualStepsUnlessCapped) {
  Random random(2);
  for (int repeat = 0; repeat < 500; ++repeat) {
    const auto networks = random_networks(12, 400, random);
    const std::vector<long> targets = plan_training(networks, 3000 * random.uniform(), 400, 0, Share::steps);
    long steps = 0;
    for (size_t i = 0; i < networks.size(); ++i) steps = std::max(steps, targets[i] - networks[i].steps_done);
    for (size_t i = 0; i < networks.size(); ++i)
      EXPECT_TRUE(targets[i] >= 400 || targets[i] - networks[i].steps_done == steps);
  }
}

TEST(PlanTraining, EqualCostUnlessCapped) {
  Random random(3);
  for (int repeat = 0; repeat < 500; ++repeat) {
    const auto networks = random_networks(12, 400, random);
    const std::vector<long> targets = plan_training(networks, 3000 * random.uniform(), 400, 0, Share::seconds);
    double most = 0;
    for (size_t i = 0; i < networks.size(); ++i)
      most = std::max(most, static_cast<double>(targets[i] - networks[i].steps_done) * networks[i].step_cost);
    for (size_t i = 0; i < networks.size(); ++i)
      EXPECT_TRUE(targets[i] >= 400 ||
                  static_cast<double>(targets[i] - networks[i].steps_done + 1) * networks[i].step_cost > most - 1e-9);
  }
}

TEST(PlanTraining, WhatACapLeavesGoesToTheOthers) {
  EXPECT_EQ(plan_training({{90, 1}, {0, 1}, {0, 1}}, 90, 100, 1, Share::steps), (std::vector<long>{100, 40, 40}));
  EXPECT_EQ(plan_training({{100, 1}, {0, 1}, {0, 2}}, 90, 100, 1, Share::steps), (std::vector<long>{100, 30, 30}));
  EXPECT_EQ(plan_training({{100, 1}, {0, 1}, {0, 2}}, 90, 100, 1, Share::seconds), (std::vector<long>{100, 45, 22}));
  EXPECT_EQ(plan_training({{10, 1}, {0, 3}}, 1e9, 100, 1, Share::steps), (std::vector<long>{100, 100}));
  EXPECT_TRUE(plan_training({}, 10, 100, 1, Share::steps).empty());
}

TEST(PlanTraining, TheMinimumSliceIsPaidEvenWithoutMoney) {
  EXPECT_EQ(plan_training({{0, 1}, {95, 1}, {100, 1}}, 0, 100, 10, Share::steps), (std::vector<long>{10, 100, 100}));
  EXPECT_EQ(plan_training({{0, 1}, {95, 1}, {100, 1}}, 0, 100, 10, Share::seconds), (std::vector<long>{10, 100, 100}));
  // The cheap network yields to the minimum slice of the dear one instead of overspending.
  EXPECT_EQ(plan_training({{0, 1}, {0, 9}}, 100, 100, 10, Share::seconds), (std::vector<long>{10, 10}));
}

TEST(PlanTraining, RefusesNonsense) {
  EXPECT_THROW(plan_training({{0, 1}}, -1, 100, 1, Share::steps), InternalError);
  EXPECT_THROW(plan_training({{0, 1}}, INFINITY, 100, 1, Share::steps), InternalError);
  EXPECT_THROW(plan_training({{0, 0}}, 1, 100, 1, Share::steps), InternalError);
  EXPECT_THROW(plan_training({{-1, 1}}, 1, 100, 1, Share::steps), InternalError);
}

// Whole searches: halve, plan, spend.
TEST(PlanTraining, RoundsSpendTheLedgerAndNoMoreThanTheMinimumSlices) {
  Random random(4);
  for (int repeat = 0; repeat < 300; ++repeat) {
    const long full = 2000, slice = 5;
    std::vector<NetworkProgress> networks;
    for (size_t i = 0, n = 1 + random.below(64); i < n; ++i) networks.push_back({0, 0.1 + random.uniform()});
    const int rounds = round_count(networks.size());
    Ledger ledger{static_cast<double>(networks.size()) * std::pow(10, 4 * random.uniform()), 0};
    double slack = 0;
    bool all_full = false;
    double one_more = 0;
    for (int round = 0; round < rounds; ++round) {
      const Share rule = random.below(2) == 0 ? Share::steps : Share::seconds;
      const auto targets = plan_training(networks, ledger.share(rounds - round), full, slice, rule);
      ledger.spent += cost(networks, targets);
      all_full = true;
      one_more = 0;
      for (size_t i = 0; i < networks.size(); ++i) {
        slack += slice * networks[i].step_cost;
        one_more += networks[i].step_cost;
        networks[i].steps_done = targets[i];
        all_full = all_full && targets[i] == full;
      }
      if (round + 1 < rounds) networks.resize((networks.size() + 1) / 2);
    }
    EXPECT_LE(ledger.spent, ledger.total + slack);
    EXPECT_TRUE(all_full || ledger.spent >= ledger.total - one_more - 1e-6);
  }
}

TEST(AffordableCandidates, IsTheLargestThatTheFirstRoundPays) {
  Random random(5);
  for (int repeat = 0; repeat < 500; ++repeat) {
    const size_t networks = random.below(300);
    const double total = 3000 * random.uniform(), step_cost = random.uniform();
    const long slice = 1 + static_cast<long>(random.below(20));
    size_t expected = 0;
    for (size_t n = 1; n <= networks; ++n)
      if (total / round_count(n) >= static_cast<double>(n) * (step_cost * static_cast<double>(slice))) expected = n;
    EXPECT_EQ(affordable_candidates(networks, total, step_cost, slice), expected);
  }
  EXPECT_EQ(affordable_candidates(1024, 10, 1, 10), 1u);
  EXPECT_EQ(affordable_candidates(1024, 9.9, 1, 10), 0u);
}

TEST(BatchSize, FollowsTheDesignsFormula) {
  EXPECT_EQ(batch_size(10000, 10, 64), 64);
  EXPECT_EQ(batch_size(300, 10, 64), 30);
  EXPECT_EQ(batch_size(20, 10, 64), 4);
  EXPECT_EQ(batch_size(3, 10, 64), 3);
  EXPECT_EQ(batch_size(0, 10, 64), 0);
  EXPECT_EQ(batch_size(100, 10, 2), 2);
  EXPECT_EQ(batch_size(100, 0, 64), 0);
}

}  // namespace
}  // namespace sonar
