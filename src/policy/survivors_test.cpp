#include "policy/survivors.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

#include "model/error.h"
#include "model/random.h"
#include "policy/pareto.h"

namespace sonar {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

std::vector<std::string> names_for(size_t n) {
  std::vector<std::string> names;
  for (size_t i = 0; i < n; ++i) names.push_back("net" + std::to_string(i));
  return names;
}

std::vector<Verdict> judge(const std::vector<Objectives>& objectives, SurvivorRule rule) {
  return pareto_survivors(objectives, names_for(objectives.size()), rule);
}

std::vector<size_t> kept(const std::vector<Verdict>& verdicts) {
  std::vector<size_t> indices;
  for (size_t i = 0; i < verdicts.size(); ++i)
    if (verdicts[i].kept) indices.push_back(i);
  return indices;
}

bool dominates(const Objectives& a, const Objectives& b) {
  return a.accuracy >= b.accuracy && a.latency_us <= b.latency_us &&
         (a.accuracy > b.accuracy || a.latency_us < b.latency_us);
}

// Algorithm 1, line by line.
std::vector<size_t> algorithm_1(const std::vector<Objectives>& s) {
  std::vector<bool> in_next(s.size(), false);
  size_t size = 0;
  while (size <= 0.5 * static_cast<double>(s.size()) && size < s.size()) {
    std::vector<size_t> front;
    for (size_t i = 0; i < s.size(); ++i) {
      if (in_next[i]) continue;
      bool on_front = true;
      for (size_t k = 0; k < s.size(); ++k) on_front = on_front && (in_next[k] || !dominates(s[k], s[i]));
      if (on_front) front.push_back(i);
    }
    for (size_t i : front) in_next[i] = true;
    size += front.size();
  }
  std::vector<size_t> indices;
  for (size_t i = 0; i < s.size(); ++i)
    if (in_next[i]) indices.push_back(i);
  return indices;
}

std::vector<Objectives> random_networks(size_t n, Random& random) {
  std::vector<Objectives> networks;
  for (size_t i = 0; i < n; ++i)
    networks.push_back({static_cast<double>(random.below(12)) / 12, 1 + static_cast<double>(random.below(12))});
  return networks;
}

TEST(ParetoSurvivors, PaperRuleIsAlgorithmOne) {
  Random random(1);
  for (size_t n = 0; n < 40; ++n)
    for (int repeat = 0; repeat < 10; ++repeat) {
      const std::vector<Objectives> networks = random_networks(n, random);
      ASSERT_EQ(kept(judge(networks, SurvivorRule::paper)), algorithm_1(networks));
    }
}

TEST(ParetoSurvivors, DroppedNetworksNameADominatingOneOfTheFirstFront) {
  Random random(2);
  for (SurvivorRule rule : {SurvivorRule::paper, SurvivorRule::at_most_half}) {
    size_t dropped = 0;
    for (int repeat = 0; repeat < 200; ++repeat) {
      const std::vector<Objectives> networks = random_networks(30, random);
      const std::vector<Verdict> verdicts = judge(networks, rule);
      for (size_t i = 0; i < networks.size(); ++i) {
        const Verdict& verdict = verdicts[i];
        if (verdict.kept) {
          EXPECT_EQ(verdict.dominated_by, -1);
          EXPECT_EQ(verdict.reason, "on front " + std::to_string(verdict.rank + 1));
          continue;
        }
        ++dropped;
        ASSERT_GE(verdict.dominated_by, 0);
        EXPECT_EQ(verdicts[verdict.dominated_by].rank, 0);
        EXPECT_TRUE(dominates(networks[verdict.dominated_by], networks[i]));
        EXPECT_NE(verdict.reason.find("dominated by net" + std::to_string(verdict.dominated_by)), std::string::npos);
      }
    }
    EXPECT_GT(dropped, 1000u);
  }
}

TEST(ParetoSurvivors, HalfIsNotMoreThanHalf) {
  // Fronts {0, 1}, {2}, {3}: two of four are |S|/2, so the paper's rule goes on for one more front.
  const std::vector<Objectives> networks = {{0.9, 20}, {0.8, 10}, {0.7, 30}, {0.6, 40}};
  EXPECT_EQ(kept(judge(networks, SurvivorRule::paper)), (std::vector<size_t>{0, 1, 2}));
  EXPECT_EQ(kept(judge(networks, SurvivorRule::at_most_half)), (std::vector<size_t>{0, 1}));
  const std::vector<Verdict> verdicts = judge(networks, SurvivorRule::paper);
  EXPECT_EQ(verdicts[3].reason, "on front 3, after half were kept; dominated by net0");
}

TEST(ParetoSurvivors, AtMostHalfKeepsTheFirstFrontAndNoMoreThanHalfBeyondIt) {
  Random random(3);
  for (int repeat = 0; repeat < 300; ++repeat) {
    const std::vector<Objectives> networks = random_networks(1 + random.below(40), random);
    const std::vector<Verdict> verdicts = judge(networks, SurvivorRule::at_most_half);
    const size_t count = kept(verdicts).size();
    int last_kept = 0;
    for (const Verdict& verdict : verdicts)
      if (verdict.kept) last_kept = std::max(last_kept, verdict.rank);
    if (last_kept > 0) {
      EXPECT_LE(2 * count, networks.size());
    }
    const auto next = std::count_if(verdicts.begin(), verdicts.end(),
                                    [&](const Verdict& verdict) { return verdict.rank == last_kept + 1; });
    if (next > 0) {
      EXPECT_GT(2 * (count + next), networks.size());
    }
    for (const Verdict& verdict : verdicts) EXPECT_EQ(verdict.kept, verdict.rank <= last_kept);
  }
}

TEST(ParetoSurvivors, CrowdedIsExactlyHalfButForTheFirstFrontWhichIsNeverCut) {
  Random random(4);
  for (int repeat = 0; repeat < 300; ++repeat) {
    const std::vector<Objectives> networks = random_networks(1 + random.below(40), random);
    const std::vector<Verdict> verdicts = judge(networks, SurvivorRule::crowded);
    std::vector<int> ranks;
    Points points;
    for (size_t i = 0; i < networks.size(); ++i) {
      ranks.push_back(verdicts[i].rank);
      points.push_back({networks[i].accuracy, networks[i].latency_us});
    }
    ASSERT_EQ(ranks, non_dominated_ranks(points, {true, false}));
    const auto first = static_cast<size_t>(std::count(ranks.begin(), ranks.end(), 0));
    ASSERT_EQ(kept(verdicts).size(), std::max(first, networks.size() / 2));
    // Nothing is kept of a front behind one that has lost a member; within the front that is cut, none that was dropped
    // is farther from its neighbours than one that was kept.
    const std::vector<double> crowding = crowding_distances(points, ranks);
    for (size_t i : kept(verdicts))
      for (size_t j = 0; j < networks.size(); ++j) {
        if (verdicts[j].kept) continue;
        ASSERT_LE(ranks[i], ranks[j]);
        if (ranks[i] == ranks[j]) {
          ASSERT_GE(crowding[i], crowding[j]);
        }
        ASSERT_TRUE(dominates(networks[static_cast<size_t>(verdicts[j].dominated_by)], networks[j]));
      }
  }
}

TEST(ParetoSurvivors, CrowdedByHand) {
  // Fronts {0}, {1, 2, 3, 4}, of which 2 is nearest to its neighbours and 1 and 4 are the ends; three of six are half.
  const std::vector<Objectives> networks = {{0.9, 1}, {0.5, 10}, {0.52, 11}, {0.7, 30}, {0.8, 50}, {0.1, 60}};
  const std::vector<Verdict> verdicts = judge(networks, SurvivorRule::crowded);
  EXPECT_EQ(kept(verdicts), (std::vector<size_t>{0, 1, 4}));
  EXPECT_EQ(verdicts[2].reason, "on front 2, of which only the least crowded fit into the half; dominated by net0");
  EXPECT_EQ(verdicts[5].reason, "on front 3, beyond the better half; dominated by net0");
}

TEST(BestByFront, KeepsTheFirstOfTheOrderAndMayCutTheFirstFront) {
  Random random(5);
  for (int repeat = 0; repeat < 200; ++repeat) {
    std::vector<Objectives> networks = random_networks(1 + random.below(30), random);
    if (random.below(3) == 0) networks[random.below(networks.size())].latency_us = kInfinity;
    const std::vector<size_t> order = order_by_front(networks, names_for(networks.size()));
    ASSERT_EQ(order.size(), networks.size());
    for (size_t count = 0; count <= networks.size() + 1; ++count) {
      const std::vector<Verdict> verdicts = best_by_front(networks, names_for(networks.size()), count, "are paid for");
      std::vector<size_t> wanted(order.begin(), order.begin() + static_cast<long>(std::min(count, order.size())));
      for (size_t o = 1; o < order.size(); ++o) ASSERT_LE(verdicts[order[o - 1]].rank, verdicts[order[o]].rank);
      std::sort(wanted.begin(), wanted.end());
      ASSERT_EQ(kept(verdicts), wanted);
    }
  }
  const std::vector<Objectives> front = {{0.5, 10}, {0.52, 11}, {0.7, 30}, {0.8, 50}};
  const std::vector<Verdict> verdicts = best_by_front(front, names_for(4), 3, "are paid for");
  EXPECT_EQ(kept(verdicts), (std::vector<size_t>{0, 2, 3}));
  EXPECT_EQ(verdicts[1].reason, "on front 1, crowded: 3 are kept, as many as are paid for");
  EXPECT_EQ(verdicts[1].dominated_by, -1);
}

TEST(SurvivorRules, AreKnownByName) {
  EXPECT_EQ(survivor_rule("crowded", "x"), SurvivorRule::crowded);
  EXPECT_EQ(survivor_rule("at-most-half", "x"), SurvivorRule::at_most_half);
  try {
    survivor_rule("half", "--survivors");
    FAIL();
  } catch (const UserError& error) {
    EXPECT_STREQ(error.what(), "--survivors is 'half'; it can be paper, at-most-half, crowded");
  }
}

TEST(ParetoSurvivors, ASingleFrontStaysWhole) {
  const std::vector<Objectives> networks = {{0.9, 20}, {0.8, 10}, {0.95, 30}, {0.8, 10}};
  for (SurvivorRule rule : {SurvivorRule::paper, SurvivorRule::at_most_half})
    EXPECT_EQ(kept(judge(networks, rule)).size(), 4u);
  EXPECT_EQ(kept(judge({{0.5, 1}}, SurvivorRule::at_most_half)).size(), 1u);
  EXPECT_TRUE(judge({}, SurvivorRule::paper).empty());
}

TEST(ParetoSurvivors, NetworksWithoutALatencyAreTheLastFront) {
  const std::vector<Objectives> networks = {{0.99, kInfinity}, {0.9, 20}, {0.8, 10}, {0.5, kInfinity}};
  std::vector<Verdict> verdicts = judge(networks, SurvivorRule::at_most_half);
  EXPECT_EQ(kept(verdicts), (std::vector<size_t>{1, 2}));
  EXPECT_EQ(verdicts[0].rank, 1);
  EXPECT_EQ(verdicts[0].dominated_by, -1);
  EXPECT_EQ(verdicts[0].reason, "no valid program for one of its subgraphs");
  EXPECT_EQ(verdicts[3].rank, 1);

  verdicts = judge({{0.9, 20}, {0.8, 10}, {0.99, kInfinity}}, SurvivorRule::paper);
  EXPECT_EQ(kept(verdicts), (std::vector<size_t>{0, 1}));

  verdicts = judge({{0.9, kInfinity}, {0.8, kInfinity}, {0.99, kInfinity}}, SurvivorRule::paper);
  EXPECT_EQ(kept(verdicts).size(), 3u);
}

TEST(ParetoSurvivors, RefusesEstimatesThatAreNotNumbers) {
  const auto message = [](Objectives network) -> std::string {
    try {
      pareto_survivors({network}, {"mobilenetv3-r32"}, SurvivorRule::paper);
    } catch (const InternalError& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_EQ(message({std::numeric_limits<double>::quiet_NaN(), 1}),
            "survivors: the accuracy of mobilenetv3-r32 is nan");
  EXPECT_EQ(message({0.5, std::numeric_limits<double>::quiet_NaN()}),
            "survivors: the latency of mobilenetv3-r32 is nan");
  EXPECT_THROW(pareto_survivors({{0.5, 1}}, {}, SurvivorRule::paper), InternalError);
}

TEST(ThresholdSurvivors, KeepsTheMoreAccurateHalfOfL) {
  const std::vector<Objectives> networks = {{0.5, 10}, {0.7, 30}, {0.7, 20}, {0.6, 40},
                                            {0.4, 5},  {0.9, 60}, {0.8, 70}, {0.7, 80}};
  const std::vector<Verdict> verdicts = threshold_survivors(networks, names_for(8), 40, SurvivorRule::paper);
  // L by accuracy: 2, 1 (slower), 3 | 0, 4. R: fronts {5}, {6}, {7}; one is no more than half of three.
  EXPECT_EQ(kept(verdicts), (std::vector<size_t>{1, 2, 3, 5, 6}));
  EXPECT_EQ(verdicts[2].rank, 0);
  EXPECT_EQ(verdicts[1].rank, 1);
  EXPECT_EQ(verdicts[0].dominated_by, 3);
  EXPECT_EQ(verdicts[0].reason, "number 4 by accuracy of the 5 within the threshold, behind net3");
  EXPECT_EQ(verdicts[7].reason, "on front 3 of those above the threshold, after half were kept; dominated by net5");
}

TEST(ThresholdSurvivors, AnEmptySideIsANoOp) {
  Random random(4);
  for (int repeat = 0; repeat < 50; ++repeat) {
    const std::vector<Objectives> networks = random_networks(20, random);
    const std::vector<std::string> names = names_for(20);
    EXPECT_EQ(kept(threshold_survivors(networks, names, 0.5, SurvivorRule::paper)),
              kept(pareto_survivors(networks, names, SurvivorRule::paper)));
    EXPECT_EQ(kept(threshold_survivors(networks, names, 100, SurvivorRule::paper)).size(), 10u);
  }
  EXPECT_EQ(kept(threshold_survivors({{0.5, 1}}, {"a"}, 2, SurvivorRule::paper)).size(), 1u);
  EXPECT_TRUE(threshold_survivors({}, {}, 2, SurvivorRule::paper).empty());
}

TEST(ThresholdSurvivors, TiesGoByLatencyThenOrder) {
  const std::vector<Objectives> networks = {{0.5, 10}, {0.5, 9}, {0.5, 9}, {0.5, 11}};
  EXPECT_EQ(kept(threshold_survivors(networks, names_for(4), 20, SurvivorRule::paper)), (std::vector<size_t>{1, 2}));
  EXPECT_EQ(most_accurate_within(networks, 20), 1);
}

TEST(MostAccurateWithin, IsMinusOneWhenNoneReachesTheThreshold) {
  const std::vector<Objectives> networks = {{0.9, 30}, {0.5, 10}, {0.7, 20}, {0.99, kInfinity}};
  EXPECT_EQ(most_accurate_within(networks, 9.9), -1);
  EXPECT_EQ(most_accurate_within(networks, 10), 1);
  EXPECT_EQ(most_accurate_within(networks, 29), 2);
  EXPECT_EQ(most_accurate_within(networks, 1e9), 0);
}

}  // namespace
}  // namespace sonar
