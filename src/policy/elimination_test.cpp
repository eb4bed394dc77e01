#include "policy/elimination.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "model/random.h"

namespace sonar {
namespace {

std::vector<std::string> names_for(size_t n) {
  std::vector<std::string> names;
  for (size_t i = 0; i < n; ++i) names.push_back("net" + std::to_string(i));
  return names;
}

std::vector<size_t> kept(const std::vector<Verdict>& verdicts) {
  std::vector<size_t> indices;
  for (size_t i = 0; i < verdicts.size(); ++i)
    if (verdicts[i].kept) indices.push_back(i);
  return indices;
}

NetworkState trained(std::vector<TrainingSample> curve) {
  NetworkState network;
  network.curve = std::move(curve);
  network.steps = network.curve.back().step;
  for (const TrainingSample& sample : network.curve) network.accuracy = std::max(network.accuracy, sample.accuracy);
  return network;
}

TEST(AccuracyVariances, ImagesAndTheSpreadOfTheLastRises) {
  SearchState state;
  state.networks = {trained({{10, 0.2, 0, 100}, {30, 0.5, 0, 400}}), trained({{10, 0.3, 0, 100}, {30, 0.5, 0, 400}}),
                    trained({{10, 0.4, 0, 100}, {30, 0.8, 0, 400}})};
  state.rounds = {{{0, 1, 2}, {10, 10, 10}, 0, 0}, {{0, 1, 2}, {30, 30, 30}, 0, 0}};
  state.round_open = true;
  // Rises 0.3, 0.2, 0.4: variance 0.01. 400 images at 0.5 and 0.8.
  const std::vector<double> variance = accuracy_variances(state, {0, 1, 2}, 0);
  EXPECT_NEAR(variance[0], 0.01 + 0.25 / 400, 1e-12);
  EXPECT_NEAR(variance[2], 0.01 + 0.16 / 400, 1e-12);
  // Before a second round, the accuracies themselves: 0.2, 0.3, 0.4.
  state.networks = {trained({{10, 0.2, 0}}), trained({{10, 0.3, 0}}), trained({{10, 0.4, 0}})};
  state.rounds.pop_back();
  EXPECT_NEAR(accuracy_variances(state, {0, 1, 2}, 0)[0], 0.01, 1e-12);
  EXPECT_NEAR(accuracy_variances(state, {0, 1, 2}, 1000)[0], 0.01 + 0.16 / 1000, 1e-12);
}

TEST(ConfidentSurvivors, KeepWhatIsNotBehindByTheDeviationsAskedFor) {
  // Fronts {0, 2}, {1}, {3}: half of four are kept by the rule. net1 is 0.2 behind net0, with a deviation of the
  // difference of sqrt(0.0064 + 0.0036) = 0.1; net3 is 0.4 behind it and 0.5 behind net2.
  const std::vector<Objectives> networks = {{0.8, 10}, {0.6, 20}, {0.9, 30}, {0.4, 40}};
  const std::vector<double> variance = {0.0064, 0.0036, 0.01, 0.0036};
  const auto judge = [&](double confidence, size_t most) {
    return confident_survivors(networks, names_for(4), SurvivorRule::at_most_half, variance, confidence, most);
  };
  EXPECT_EQ(kept(judge(1.99, 4)), (std::vector<size_t>{0, 2}));
  EXPECT_EQ(kept(judge(2.01, 4)), (std::vector<size_t>{0, 1, 2}));
  EXPECT_EQ(kept(judge(5, 4)), (std::vector<size_t>{0, 1, 2, 3}));
  EXPECT_EQ(kept(judge(5, 3)), (std::vector<size_t>{0, 1, 2}));
  EXPECT_EQ(kept(judge(5, 0)), (std::vector<size_t>{0, 2}));
  EXPECT_EQ(judge(1, 4)[1].dominated_by, 0);
  EXPECT_EQ(judge(1, 4)[1].reason, "on front 2, dominated by net0 by 2.0 standard deviations");
  EXPECT_EQ(judge(5, 3)[1].reason, "on front 2, dominated by net0 by 2.0 standard deviations, which is not sure");
  EXPECT_EQ(
      judge(5, 3)[3].reason,
      "on front 3, dominated by net2 by 4.3 standard deviations; 3 are kept, as many as the next round can train");
}

// By brute force over all pairs.
TEST(ConfidentSurvivors, AgreeWithAllPairs) {
  Random random(1);
  size_t surely = 0, saved = 0, unpaid = 0;
  for (int repeat = 0; repeat < 500; ++repeat) {
    const size_t n = 2 + random.below(30);
    std::vector<Objectives> networks;
    std::vector<double> variance;
    for (size_t i = 0; i < n; ++i) {
      networks.push_back({random.uniform(), 1 + 9 * random.uniform()});
      variance.push_back(0.02 * random.uniform());
    }
    const double confidence = 5 * random.uniform();
    const size_t most = 1 + random.below(n);
    const std::vector<bool> front = on_front(networks);
    const std::vector<Verdict> base = pareto_survivors(networks, names_for(n), SurvivorRule::at_most_half);
    const std::vector<Verdict> verdicts =
        confident_survivors(networks, names_for(n), SurvivorRule::at_most_half, variance, confidence, most);
    std::vector<double> behind(n, 0);
    for (size_t i = 0; i < n; ++i)
      for (size_t j = 0; j < n; ++j)
        if (front[j] && networks[j].latency_us <= networks[i].latency_us && networks[j].accuracy > networks[i].accuracy)
          behind[i] =
              std::max(behind[i], (networks[j].accuracy - networks[i].accuracy) / std::sqrt(variance[i] + variance[j]));
    double last_kept = -1, first_unpaid = INFINITY;
    for (size_t i = 0; i < n; ++i) {
      if (base[i].kept) {
        ASSERT_TRUE(verdicts[i].kept);
      } else if (verdicts[i].kept) {
        ++saved;
        ASSERT_LT(behind[i], confidence);
        last_kept = std::max(last_kept, behind[i]);
      } else if (behind[i] < confidence) {
        ++unpaid;
        first_unpaid = std::min(first_unpaid, behind[i]);
      } else {
        ++surely;
      }
    }
    ASSERT_LE(last_kept, first_unpaid);
    ASSERT_LE(kept(verdicts).size(), std::max(kept(base).size(), most));
    if (std::isfinite(first_unpaid)) {
      ASSERT_GE(kept(verdicts).size(), most);
    }
  }
  EXPECT_GT(surely, 100u);
  EXPECT_GT(saved, 100u);
  EXPECT_GT(unpaid, 100u);
}

SearchState tuned() {
  SearchState state;
  const auto subgraph = [&](const char* key, double macs, double us) {
    SubgraphState s;
    s.key = key;
    s.macs = macs;
    s.best_us = us;
    state.subgraphs.push_back(s);
  };
  subgraph("conv-a", 100, 10);  // 10 a microsecond, the best of its kind
  subgraph("conv-b", 100, 25);
  subgraph("dense-a", 50, 50);
  subgraph("pool-a", 0, 7);
  for (auto subgraphs : std::vector<std::vector<std::pair<size_t, int>>>{{{0, 1}, {3, 1}}, {{1, 2}, {2, 1}}}) {
    NetworkState network;
    network.subgraphs = subgraphs;
    state.networks.push_back(network);
  }
  return state;
}

TEST(LatencyFloors, TwiceTheBestThroughputOfTheKind) {
  SearchState state = tuned();
  const std::vector<double> floors = latency_floors_us(state, {0, 1});
  EXPECT_NEAR(floors[0], 100 / 20.0, 1e-12);
  EXPECT_NEAR(floors[1], 2 * 100 / 20.0 + 50 / 2.0, 1e-12);
  state.options.peak_macs_per_us = 12;  // below twice the best
  EXPECT_NEAR(latency_floors_us(state, {1})[0], 2 * 100 / 12.0 + 50 / 2.0, 1e-12);
  state.networks[1].measured_us = 3;  // as a whole: no bound is above what was measured
  EXPECT_EQ(latency_floors_us(state, {1})[0], 3);
}

TEST(LatencyFloors, OfNetworksWhereSubgraphsDoNotTell) {
  SearchState state = tuned();
  for (SubgraphState& subgraph : state.subgraphs) subgraph.macs = 0;
  EXPECT_EQ(latency_floors_us(state, {0, 1}), (std::vector<double>{0, 0}));
  state.feature_names = {"macs"};
  state.networks[0].features = {170};  // 17 us: 10 a microsecond
  state.networks[1].features = {300};  // 100 us
  EXPECT_NEAR(latency_floors_us(state, {0, 1})[0], 170 / 20.0, 1e-12);
  EXPECT_NEAR(latency_floors_us(state, {0, 1})[1], 300 / 20.0, 1e-12);
}

TEST(DropHopeless, OnlyWhatIsBehindEvenAtItsBound) {
  const std::vector<Objectives> networks = {{0.8, 10}, {0.6, 20}, {0.6, 20}, {0.78, 20}, {0.1, 12}};
  const std::vector<double> floors = {5, 11, 9, 11, 11}, variance(5, 0.005);  // deviation of differences 0.1
  std::vector<Verdict> verdicts(5);
  verdicts[4].kept = false;
  verdicts[4].reason = "as it was";
  drop_hopeless(networks, names_for(5), floors, variance, 1.5, verdicts);
  // 1: at 11 us net0 is faster and two deviations ahead; 2 may become faster than it; 3 is too close; 4 was dropped.
  EXPECT_EQ(kept(verdicts), (std::vector<size_t>{0, 2, 3}));
  EXPECT_EQ(verdicts[1].dominated_by, 0);
  EXPECT_NE(verdicts[1].reason.find("even at 11 us, the lower bound of its latency, dominated by net0"),
            std::string::npos);
  EXPECT_EQ(verdicts[4].reason, "as it was");
}

}  // namespace
}  // namespace sonar
