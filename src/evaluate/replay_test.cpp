#include "evaluate/replay.h"

#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "evaluate/test_traces.h"
#include "model/error.h"
#include "model/random.h"
#include "sonar/evaluate.h"

namespace sonar {
namespace {

using nlohmann::json;
using test::TraceFolder;

struct HandMade {
  HandMade() {
    test::write_hand_made(folder);
    trace = read_trace(folder.path);
  }
  TraceFolder folder;
  Trace trace;
};

ReplaySetup setup(const std::string& algorithm, double train_s, double tune_s) {
  ReplaySetup result;
  result.policy.algorithm = algorithm;
  result.train_budget_s = train_s;
  result.tune_budget_s = tune_s;
  return result;
}

TEST(Replay, BruteForceFindsTheTruthAndCostsIt) {
  const HandMade made;
  const ReplayRun run = replay(made.trace, Truth(made.trace), setup("brute-force", 0, 0), 1);
  EXPECT_NEAR(run.selected.gap, 0, 1e-12);
  EXPECT_NEAR(run.achieved.gap, 0, 1e-12);
  EXPECT_NEAR(run.train_spent_s, 400, 1e-9);
  EXPECT_NEAR(run.tune_spent_s, 66, 1e-9);
  EXPECT_EQ(run.kendall_tau, 1);
  EXPECT_EQ(run.hypervolume_ratio, 1);
  EXPECT_EQ(run.survivors.size(), 4u);
}

// Two rounds. Round 1: half of 200 s for four networks at 10 + 20 + 40 + 30 s an epoch: one epoch each.
// Accuracies 0.25, 0.3, 0.4, 0.2. Latencies after the defaults (6 s) and a share of 13 s: all tuned a little, in the
// order small < middle < large, useless slower than large: front 1 is small, middle, large, and useless is dropped.
// Round 2: 100 s for three networks at 70 s an epoch: 1.42 epochs more each.
TEST(Replay, ParetoByHand) {
  const HandMade made;
  const ReplayRun run = replay(made.trace, Truth(made.trace), setup("pareto", 200, 32), 1);
  ASSERT_EQ(run.rounds.size(), 2u);
  EXPECT_EQ(run.rounds[0].networks, 4);
  EXPECT_EQ(run.rounds[0].survivors, 3);
  EXPECT_NEAR(run.rounds[0].train_spent_s, 100, 1e-9);
  EXPECT_EQ(run.survivors, (std::vector<size_t>{0, 1, 2}));
  EXPECT_NEAR(run.train_spent_s, 100 + 1.42 * 70, 1e-9);
  EXPECT_LE(run.tune_spent_s, 32);
  // At 2.42 epochs: 0.4 + 0.21 x 0.1, 0.5 + 0.21 x 0.2, 0.7 + 0.21 x 0.2.
  EXPECT_NEAR(run.achieved.gap, 100 * ((0.5 - 0.421) + (0.7 - 0.542) + (0.9 - 0.742)) / 3, 1e-9);
  EXPECT_NEAR(run.selected.gap, 0, 1e-12);
  ASSERT_EQ(run.decisions.size(), 7u);
  EXPECT_FALSE(run.decisions[3].verdict.kept);
  EXPECT_NEAR(run.decisions[2].objectives.accuracy, 0.4, 1e-12);
}

TEST(Replay, ThresholdKeepsTheMoreAccurateHalfWithin) {
  const HandMade made;
  ReplaySetup with = setup("threshold", 400, 66);
  with.policy.threshold_us = 1e6;  // all are within
  const ReplayRun run = replay(made.trace, Truth(made.trace), with, 1);
  EXPECT_EQ(run.survivors, (std::vector<size_t>{2}));
}

TEST(Replay, RandomTrainsInFullWhatItCanPay) {
  const HandMade made;
  const Truth truth(made.trace);
  std::set<std::vector<size_t>> samples;
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    const ReplayRun run = replay(made.trace, truth, setup("random", 200, 66), seed);
    EXPECT_EQ(run.candidates, 2);  // a network costs 100 s on average
    EXPECT_EQ(run.rounds.size(), 1u);
    EXPECT_LE(run.train_spent_s, 200 + 1e-9);
    double full = 0;
    for (size_t i : run.survivors) full += made.trace.networks[i].training.full_seconds();
    EXPECT_NEAR(run.train_spent_s, full, 1e-9);  // each in full, or not begun
    samples.insert(run.survivors);
  }
  // The pairs that 200 s pay for; of the two others (240 and 280 s), one network, whichever comes first.
  EXPECT_EQ(samples, (std::set<std::vector<size_t>>{{0, 1}, {0, 2}, {0, 3}, {1, 3}, {1}, {2}, {3}}));
}

TEST(Replay, ProxiesTuneTheirFrontOnly) {
  const HandMade made;
  const Truth truth(made.trace);
  const ReplayRun flops = replay(made.trace, truth, setup("proxy-flops", 400, 40), 1);
  EXPECT_EQ(flops.survivors, (std::vector<size_t>{0, 1, 2}));
  EXPECT_EQ(flops.rounds[0].tune_spent_s, 0);  // not even defaults
  EXPECT_EQ(flops.kendall_tau, 1);             // of the MACs: 10, 30, 60, 70
  const ReplayRun untuned = replay(made.trace, truth, setup("proxy-untuned", 400, 40), 1);
  EXPECT_NEAR(untuned.rounds[0].tune_spent_s, 6, 1e-9);
  EXPECT_GT(untuned.tune_spent_s, 6);
  EXPECT_EQ(untuned.kendall_tau, 1);  // of 20, 60, 140, 180
}

TEST(Replay, AColumnOfTheTraceIsAProxy) {
  HandMade made;
  made.trace.feature_names.push_back("phone_ms");
  const double worst_first[] = {4, 3, 2, 1};
  for (size_t i = 0; i < 4; ++i) made.trace.networks[i].features.push_back(worst_first[i]);
  const Truth truth(made.trace);
  ReplaySetup proxy = setup("proxy-command", 400, 40);
  const auto refusal = [&] {
    try {
      replay(made.trace, truth, proxy, 1);
    } catch (const UserError& error) {
      return std::string(error.what());
    }
    return std::string("no error");
  };
  EXPECT_NE(refusal().find("has no column 'proxy_ms' to rank by"), std::string::npos) << refusal();
  EXPECT_NE(refusal().find("phone_ms"), std::string::npos) << refusal();
  proxy.proxy_column = "phone_ms";
  const ReplayRun run = replay(made.trace, truth, proxy, 1);
  EXPECT_EQ(run.kendall_tau, -1);
  EXPECT_EQ(run.rounds[0].tune_spent_s, 0);
  EXPECT_EQ(run.decisions[0].objectives.latency_us, 4000);
  // By MACs in that column it is proxy-flops.
  const double macs[] = {10, 30, 60, 70};
  for (size_t i = 0; i < 4; ++i) made.trace.networks[i].features.back() = macs[i];
  EXPECT_EQ(replay(made.trace, truth, proxy, 1).survivors,
            replay(made.trace, truth, setup("proxy-flops", 400, 40), 1).survivors);
  made.trace.networks[2].features.back() = std::numeric_limits<double>::quiet_NaN();
  EXPECT_NE(refusal().find("has no number in the column 'phone_ms'"), std::string::npos) << refusal();
}

TEST(Replay, WholeRowsStopAtRowsOnly) {
  const HandMade made;
  ReplaySetup with = setup("pareto", 400, 66);
  with.whole_rows = true;
  const ReplayRun run = replay(made.trace, Truth(made.trace), with, 1);
  // A share of 200 s pays the first row of all (200 s): epoch 2. Then the rest of three of them.
  EXPECT_NEAR(run.rounds[0].train_spent_s, 200, 1e-9);
  EXPECT_NEAR(run.decisions[0].objectives.accuracy, 0.4, 1e-12);
  EXPECT_NEAR(run.train_spent_s, 340, 1e-9);
  EXPECT_NEAR(run.achieved.gap, 0, 1e-12);
}

TEST(Replay, TheSameSeedDecidesTheSame) {
  const HandMade made;
  const Truth truth(made.trace);
  const ReplayRun a = replay(made.trace, truth, setup("pareto", 120, 20), 7);
  const ReplayRun b = replay(made.trace, truth, setup("pareto", 120, 20), 7);
  EXPECT_EQ(a.survivors, b.survivors);
  EXPECT_EQ(a.tune_spent_s, b.tune_spent_s);
}

/// Networks with curves of any shape, costs that are no straight lines, subgraphs some of which have no valid program.
void write_random(const TraceFolder& folder, uint64_t seed) {
  Random random(seed);
  const size_t networks = 1 + random.below(30), subgraphs = 1 + random.below(12);
  std::string names = "network,subgraphs,chance\n", training = "network,epoch,val_accuracy,seconds\n",
              tuning = "subgraph,programs,latency_us,seconds\n";
  const auto add = [](std::string& text, double value) { text += "," + std::to_string(value); };
  std::set<size_t> used;
  for (size_t i = 0; i < networks; ++i) {
    const std::string name = "n" + std::to_string(i);
    names += name + ",";
    for (size_t k = 0, n = 1 + random.below(4); k < n; ++k) {
      const size_t subgraph = random.below(subgraphs);
      used.insert(subgraph);
      names += (k ? ";s" : "s") + std::to_string(subgraph) + ":" + std::to_string(1 + random.below(3));
    }
    names += ",0.1\n";
    double epoch = 0, seconds = 0;
    for (size_t row = 0, n = 1 + random.below(6); row < n; ++row) {
      epoch += 0.25 + random.uniform() * 2;
      seconds += 0.001 + random.uniform() * 30;
      training += name;
      add(training, epoch);
      add(training, 0.1 + 0.9 * random.uniform());  // no worse than chance
      add(training, seconds);
      training += "\n";
    }
  }
  for (size_t s : used) {
    double latency = 100 * (1 + random.uniform()), seconds = 0;
    long programs = 1;
    const bool hopeless = random.below(10) == 0, late = random.below(4) == 0;
    for (size_t row = 0, n = 1 + random.below(8); row < n; ++row) {
      seconds += 0.01 + random.uniform();
      latency *= 0.5 + random.uniform() / 2;
      tuning += "s" + std::to_string(s);
      add(tuning, static_cast<double>(programs));
      tuning += "," + (hopeless || (row == 0 && late) ? "" : std::to_string(latency));
      add(tuning, seconds);
      tuning += "\n";
      programs += 1 + static_cast<long>(random.below(40));
    }
  }
  folder.write("networks.csv", names);
  folder.write("training.csv", training);
  folder.write("tuning.csv", tuning);
}

/// The gap at any moment is that of the slices that had ended: at the end of each round, what the round says.
void expect_slices_explain_the_gaps(const Truth& truth, const ReplayRun& run) {
  std::vector<double> ends;
  for (size_t i = 1; i < run.slices.size(); ++i) EXPECT_GE(run.slices[i].spent_s, run.slices[i - 1].spent_s);
  for (const ReplayRound& round : run.rounds) ends.push_back((round.train_spent_s + round.tune_spent_s) * (1 + 1e-9));
  const std::vector<AccuracyGap> gaps = truth.gaps(run.slices, ends);
  ASSERT_EQ(gaps.size(), run.rounds.size());
  for (size_t r = 0; r < gaps.size(); ++r) {
    EXPECT_EQ(gaps[r].misses, run.rounds[r].achieved.misses) << "round " << r;
    EXPECT_EQ(gaps[r].gap_with_misses, run.rounds[r].achieved.gap_with_misses) << "round " << r;
  }
}

TEST(Replay, NeverOverspendsBeyondTheMinimum) {
  long compared = 0;
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    const TraceFolder folder;
    write_random(folder, seed);
    const Trace trace = read_trace(folder.path);
    std::unique_ptr<Truth> truth;
    try {
      truth = std::make_unique<Truth>(trace);
    } catch (const UserError&) {  // every network has a hopeless subgraph
      continue;
    }
    for (const char* algorithm : {"pareto", "threshold", "random", "proxy-untuned", "proxy-flops"}) {
      for (const double speedup : {1.0, 1.7, 4.0, 12.0}) {
        ReplaySetup with = setup(algorithm, trace.brute_force_train_s / speedup, trace.brute_force_tune_s / speedup);
        with.policy.threshold_us = 120;
        with.whole_rows = seed % 3 == 0 && with.policy.algorithm != "random";
        ReplayRun run;
        try {
          run = replay(trace, *truth, with, seed);
        } catch (const UserError& error) {
          const std::string text = error.what();
          EXPECT_TRUE(text.find("pays for no network") != std::string::npos ||
                      text.find("default programs") != std::string::npos ||
                      text.find("are not known") != std::string::npos)
              << text;
          continue;
        }
        ++compared;
        expect_slices_explain_the_gaps(*truth, run);
        EXPECT_LE(run.tune_spent_s, with.tune_budget_s * (1 + 1e-9)) << algorithm << " " << seed;
        // Training: at most one slice of each member of each round beyond the budget.
        double slices = 0;
        double longest = 0;
        for (const Trace::Network& network : trace.networks) {
          double slice = network.training.at(with.minimum_slice).seconds;
          const auto& rows = network.training.rows;
          for (size_t r = 1; r < rows.size(); ++r)
            slice = std::max(slice, with.whole_rows ? network.training.full_seconds()
                                                    : with.minimum_slice * (rows[r].seconds - rows[r - 1].seconds) /
                                                          (rows[r].epoch - rows[r - 1].epoch));
          longest = std::max(longest, slice);
        }
        for (const ReplayRound& round : run.rounds) slices += static_cast<double>(round.networks) * longest;
        EXPECT_LE(run.train_spent_s, with.train_budget_s + slices) << algorithm << " " << seed;
        EXPECT_GT(run.train_spent_s, 0);
        EXPECT_LE(run.hypervolume_ratio, 1 + 1e-9);
        if (std::isfinite(run.achieved.gap)) {
          EXPECT_GE(run.achieved.gap, -1e-9);
        }
      }
    }
  }
  EXPECT_GT(compared, 500);
}

TEST(ReplayVerb, JsonHasTheDocumentedFields) {
  const HandMade made;
  ReplayOptions options;
  options.speedup = 2;
  options.seeds = 3;
  const json result = json::parse(replay_trace(made.folder.path, options, true));
  ASSERT_EQ(result.at("runs").size(), 3u);
  for (const char* name : {"selected", "achieved", "misses", "survivors", "hypervolume_ratio", "kendall_tau",
                           "train_spent", "tune_spent"}) {
    EXPECT_TRUE(result.at("mean").at(name).is_number()) << name;
    EXPECT_TRUE(result.at("runs")[0].at(name).is_number()) << name;
  }
  EXPECT_LE(result.at("mean").at("train_spent").get<double>(), 0.5 + 1e-9);
  EXPECT_LE(result.at("mean").at("tune_spent").get<double>(), 0.5 + 1e-9);
  EXPECT_NEAR(result.at("brute_force").at("unshared_tune_s").get<double>(), 143, 1e-9);
  EXPECT_NE(replay_trace(made.folder.path, options, false).find("143 s if each network"), std::string::npos);
}

TEST(ReplayVerb, BadOptionsAreNamed) {
  const HandMade made;
  const auto complaint = [&](auto change) -> std::string {
    ReplayOptions options;
    options.speedup = 2;
    change(options);
    try {
      replay_trace(made.folder.path, options, true);
    } catch (const UserError& error) {
      return error.what();
    }
    return "none";
  };
  const auto has = [](const std::string& text, const std::string& what) {
    EXPECT_NE(text.find(what), std::string::npos) << text;
  };
  has(complaint([](auto& o) { o.algorithm = "paretto"; }), "there is no algorithm 'paretto'; it can be pareto");
  has(complaint([](auto& o) { o.settings["eta"] = "3"; }), "algorithm pareto has no setting 'eta'");
  has(complaint([](auto& o) { o.speedup = 0; }), "no budget: give --speedup");
  has(complaint([](auto& o) { o.speedup = -1; }), "--speedup is -1");
  has(complaint([](auto& o) { o.speedup = 1000; }), "pays for no network");
  has(complaint([](auto& o) { o.tune_budget_s = 3; }), "default programs of 3 unique subgraphs, which take 6 s");
  has(complaint([](auto& o) { o.tune_budget_s = 3; }), "--speedup can be at most 11");
  has(complaint([](auto& o) { o.algorithm = "threshold"; }), "needs --threshold");
  has(complaint([](auto& o) { o.share = "fair"; }), "--share is 'fair'");
  has(complaint([](auto& o) { o.seeds = 0; }), "--seeds is 0");
}

TEST(RankVerb, RanksCrowdingAndHypervolumeByHand) {
  const TraceFolder folder;
  folder.write("points.csv", "accuracy,latency\n0.5,10\n0.7,30\n0.9,60\n0.45,80\n");
  const std::string file = folder.path + "/points.csv";
  const json result = json::parse(rank_points(file, {"accuracy"}, {}, true));
  ASSERT_EQ(result.at("points").size(), 4u);
  EXPECT_EQ(result.at("points")[3].at("rank"), 1);
  EXPECT_EQ(result.at("points")[1].at("row"), 2);
  EXPECT_NEAR(result.at("points")[1].at("crowding").get<double>(), 2, 1e-12);
  EXPECT_TRUE(result.at("points")[0].at("crowding").is_null());  // infinite
  EXPECT_NEAR(result.at("hypervolume").get<double>(), 17.5, 1e-9);
  EXPECT_NEAR(json::parse(rank_points(file, {"accuracy"}, {0, 100}, true)).at("hypervolume").get<double>(),
              90 * 0.5 + 70 * 0.2 + 40 * 0.2, 1e-9);
  EXPECT_EQ(rank_points(file, {"accuracy"}, {}, false).rfind("row,rank,crowding\n1,0,inf\n2,0,2\n", 0), 0u);
  EXPECT_THROW(rank_points(file, {"speed"}, {}, true), UserError);
  EXPECT_THROW(rank_points(file, {"accuracy"}, {1}, true), UserError);
  folder.write("points.csv", "accuracy,latency\n0.5,ten\n");
  EXPECT_THROW(rank_points(file, {"accuracy"}, {}, true), UserError);
  folder.write("points.csv", "accuracy,latency\n");
  EXPECT_THROW(rank_points(file, {"accuracy"}, {}, true), UserError);
}

}  // namespace
}  // namespace sonar
