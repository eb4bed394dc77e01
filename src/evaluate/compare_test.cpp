#include "evaluate/compare.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "evaluate/run_outcome.h"
#include "evaluate/test_traces.h"
#include "model/error.h"

namespace sonar {
namespace {

using test::TraceFolder;

struct HandMade {
  HandMade() { test::write_hand_made(folder); }
  TraceFolder folder;
  const std::string& trace = folder.path;
  std::string out = folder.path + "/out";
};

CompareOptions options(const std::vector<std::string>& algorithms, const std::vector<double>& speedups, long seeds) {
  CompareOptions result;
  result.algorithms = algorithms;
  result.speedups = speedups;
  result.seeds = seeds;
  return result;
}

double tau_of(const ComparedTruth& truth, const std::string& name) {
  for (const RankedMetric& metric : truth.ranks)
    if (metric.name == name) return metric.tau.mean;
  ADD_FAILURE() << "no metric " << name;
  return NAN;
}

TEST(Estimate, IsStudentsInterval) {
  const Estimate three = estimate({1, NAN, 3, 2, INFINITY});
  EXPECT_EQ(three.values, 3);
  EXPECT_DOUBLE_EQ(three.mean, 2);
  EXPECT_DOUBLE_EQ(three.deviation, 1);
  EXPECT_NEAR(three.half_width, 4.3027 / std::sqrt(3), 1e-4);
  // 0.975 quantiles of t with 10, 11, 19 and 99 degrees, from the usual tables, on both sides of the table's end.
  for (auto [values, quantile] : {std::pair{11, 2.2281}, {12, 2.2010}, {20, 2.0930}, {100, 1.9842}}) {
    std::vector<double> sample;
    for (int i = 0; i < values; ++i) sample.push_back(i);
    const Estimate of_sample = estimate(sample);
    EXPECT_NEAR(of_sample.half_width * std::sqrt(values) / of_sample.deviation, quantile, 1e-4) << values;
  }
  EXPECT_TRUE(std::isnan(estimate({}).mean));
  EXPECT_EQ(estimate({5}).mean, 5);
  EXPECT_TRUE(std::isnan(estimate({5}).half_width));
}

TEST(Compare, TruthIsWhatBruteForceKnows) {
  const HandMade made;
  const Comparison comparison = compare({made.trace}, options({"pareto"}, {1}, 2), made.out);
  ASSERT_EQ(comparison.truths.size(), 1u);
  const ComparedTruth& truth = comparison.truths[0];
  EXPECT_EQ(truth.macs, (std::vector<double>{10, 30, 60, 70}));
  EXPECT_EQ(truth.untuned_us, (std::vector<double>{20, 60, 140, 180}));
  EXPECT_EQ(truth.on_front, (std::vector<bool>{true, true, true, false}));
  EXPECT_EQ(truth.flops_front, (std::vector<bool>{true, true, true, false}));
  EXPECT_EQ(truth.brute_force_s(), 466);
  EXPECT_EQ(tau_of(truth, "MACs"), 1);
  EXPECT_EQ(tau_of(truth, "untuned"), 1);
  EXPECT_EQ(tau_of(truth, "pareto 1x"), truth.searches[0].figure("kendall_tau").mean);
}

TEST(Compare, ADeceptiveProxyHasAnotherFront) {
  HandMade made;
  made.folder.write("networks.csv",  // the least accurate network has fewest MACs, the fastest has most
                    "network,subgraphs,chance,macs\nsmall,a:1,0.1,90\nmiddle,a:1;b:1,0.1,30\nlarge,a:2;c:1,0.1,60\n"
                    "useless,b:2;c:1,0.1,10\n");
  const Comparison comparison = compare({made.trace}, options({"pareto"}, {1}, 1), made.out);
  EXPECT_EQ(comparison.truths[0].flops_front, (std::vector<bool>{false, true, true, true}));
  // Of six pairs of 10, 30, 60, 80 us with 90, 30, 60, 10: only (30, 60) agrees.
  EXPECT_NEAR(tau_of(comparison.truths[0], "MACs"), (1 - 5) / 6.0, 1e-12);
}

TEST(Compare, SearchesAreTheReplaysOfTheirSeeds) {
  const HandMade made;
  const Trace trace = read_trace(made.trace);
  const Truth truth(trace);
  const Comparison comparison = compare({made.trace}, options({"pareto", "random"}, {1.5, 3, 1.5}, 6), made.out);
  const std::vector<ComparedSearch>& searches = comparison.truths[0].searches;
  ASSERT_EQ(searches.size(), 4u);  // a budget that is named twice counts once
  for (const ComparedSearch& search : searches) {
    ASSERT_EQ(search.refused, "");
    ReplayOptions of_replay;
    of_replay.algorithm = search.algorithm;
    of_replay.speedup = search.speedup;
    std::vector<double> achieved, misses, totals;
    size_t next = 0;
    for (uint64_t seed = 1; seed <= 6; ++seed) {
      const ReplayRun run = replay(trace, truth, replay_setup(trace, of_replay), seed);
      achieved.push_back(run.achieved.gap);
      misses.push_back(static_cast<double>(run.achieved.misses));
      totals.push_back(run.train_spent_s + run.tune_spent_s);
      for (size_t i : run.survivors) {
        ASSERT_LT(next, search.returned.size());
        EXPECT_EQ(search.returned[next].seed, static_cast<long>(seed));
        EXPECT_EQ(search.returned[next].name, trace.networks[i].name);
        EXPECT_EQ(search.returned[next++].place, i);
      }
    }
    EXPECT_EQ(next, search.returned.size());
    EXPECT_EQ(search.figure("achieved").mean, estimate(achieved).mean) << search.name;
    EXPECT_EQ(search.figure("achieved_misses").mean, estimate(misses).mean) << search.name;
    // The curve ends with all that was trained, at the last second spent.
    ASSERT_FALSE(search.curve.empty());
    EXPECT_EQ(search.curve.back().achieved.mean, estimate(achieved).mean) << search.name;
    EXPECT_EQ(search.curve.back().achieved.half_width, estimate(achieved).half_width) << search.name;
    EXPECT_EQ(search.curve.back().misses, estimate(misses).mean) << search.name;
    EXPECT_NEAR(search.curve.back().seconds, *std::max_element(totals.begin(), totals.end()), 1e-9) << search.name;
    for (size_t i = 1; i < search.curve.size(); ++i) {
      EXPECT_GT(search.curve[i].seconds, search.curve[i - 1].seconds);
      EXPECT_LE(search.curve[i].achieved_with_misses.mean, search.curve[i - 1].achieved_with_misses.mean + 1e-9);
    }
  }
}

TEST(Compare, AnAlgorithmMayHaveSettingsOfItsOwn) {
  const HandMade made;
  const Trace trace = read_trace(made.trace);
  const Comparison comparison =
      compare({made.trace}, options({"pareto", "pareto:levels=2:growth=4"}, {1.5}, 3), made.out);
  const std::vector<ComparedSearch>& searches = comparison.truths[0].searches;
  ASSERT_EQ(searches.size(), 2u);
  EXPECT_EQ(searches[1].name, "pareto:levels=2:growth=4 1.5x");
  EXPECT_EQ(searches[1].algorithm, "pareto");
  ReplayOptions of_replay;
  of_replay.speedup = 1.5;
  of_replay.settings = {{"levels", "2"}, {"growth", "4"}};
  const ReplayRun run = replay(trace, Truth(trace), replay_setup(trace, of_replay), 1);
  EXPECT_EQ(searches[1].figure("train_spent").mean, run.train_spent_s / trace.brute_force_train_s);
  EXPECT_NE(searches[0].figure("train_spent").mean, searches[1].figure("train_spent").mean);
  try {
    compare({made.trace}, options({"pareto:levels"}, {1.5}, 1), made.out);
    FAIL();
  } catch (const UserError& error) {
    EXPECT_NE(std::string(error.what()).find("--algorithms pareto:levels levels: write key=value"), std::string::npos)
        << error.what();
  }
}

TEST(Compare, ABudgetThatCannotPayIsSaidNotFatal) {
  const HandMade made;
  const Comparison comparison = compare({made.trace}, options({"pareto"}, {2, 1000}, 1), made.out);
  const std::vector<ComparedSearch>& searches = comparison.truths[0].searches;
  EXPECT_EQ(searches[0].refused, "");
  EXPECT_NE(searches[1].refused.find("--speedup"), std::string::npos) << searches[1].refused;
  EXPECT_TRUE(searches[1].figures.empty());
  for (const RankedMetric& metric : comparison.truths[0].ranks) EXPECT_NE(metric.name, "pareto 1000x");
  // Unless nothing is left.
  const std::string message =
      message_of<UserError>([&] { compare({made.trace}, options({"pareto"}, {1000}, 1), made.out); });
  EXPECT_NE(message.find("--speedup"), std::string::npos) << message;
}

TEST(Compare, MetricsOfTheUserAreRanked) {
  HandMade made;
  const std::string file = made.trace + "/metrics.csv";
  CompareOptions with = options({"pareto"}, {1}, 1);
  with.metrics = {file};
  made.folder.write("metrics.csv", "engine,network,other\n4,small,1\n3,middle,\n2,large,3\n1,useless,4\n");
  const Comparison comparison = compare({made.trace}, with, made.out);
  EXPECT_EQ(tau_of(comparison.truths[0], "engine"), -1);
  EXPECT_EQ(tau_of(comparison.truths[0], "other"), 1);
  EXPECT_EQ(comparison.truths[0].ranks[3].networks, 3);  // one is not available

  const auto refused = [&](const std::string& text) {
    made.folder.write("metrics.csv", text);
    return message_of<UserError>([&] { compare({made.trace}, with, made.out); });
  };
  std::string message = refused("network,engine\nsmall,1\nsmal,2\n");
  EXPECT_NE(message.find("metrics.csv:3"), std::string::npos) << message;
  EXPECT_NE(message.find("smal is not in"), std::string::npos) << message;
  message = refused("network,engine\nsmall,1\nsmall,2\n");
  EXPECT_NE(message.find("metrics.csv:3: network small stands there twice"), std::string::npos) << message;
  message = refused("network,engine\nsmall,fast\n");
  EXPECT_NE(message.find("metrics.csv:2"), std::string::npos) << message;
  message = refused("network\nsmall\n");
  EXPECT_NE(message.find("no column beside network"), std::string::npos) << message;
  message = refused("name,engine\nsmall,1\n");
  EXPECT_NE(message.find("network"), std::string::npos) << message;
  with.metrics = {file, file};
  message = message_of<UserError>([&] { compare({made.trace}, with, made.out); });
  EXPECT_NE(message.find("2 times for 1 truths"), std::string::npos) << message;
}

TEST(Compare, OneFileServesAllTracesOrOneEach) {
  HandMade made;
  TraceFolder other;
  test::write_hand_made(other);
  made.folder.write("up.csv", "network,engine\nsmall,1\nmiddle,2\nlarge,3\n");
  made.folder.write("down.csv", "network,engine\nsmall,3\nmiddle,2\nlarge,1\n");
  CompareOptions with = options({"pareto"}, {1}, 1);
  with.metrics = {made.trace + "/up.csv"};
  Comparison comparison = compare({made.trace, other.path}, with, made.out);
  EXPECT_EQ(tau_of(comparison.truths[0], "engine"), 1);
  EXPECT_EQ(tau_of(comparison.truths[1], "engine"), 1);
  with.metrics.push_back(made.trace + "/down.csv");
  comparison = compare({made.trace, other.path}, with, made.out);
  EXPECT_EQ(tau_of(comparison.truths[0], "engine"), 1);
  EXPECT_EQ(tau_of(comparison.truths[1], "engine"), -1);
}

TEST(Compare, BadInputIsNamed) {
  const HandMade made;
  const TraceFolder empty;
  const auto message = [&](const std::vector<std::string>& inputs, const CompareOptions& with) {
    return message_of<UserError>([&] { compare(inputs, with, made.out); });
  };
  const CompareOptions good = options({"pareto"}, {2}, 1);
  EXPECT_NE(message({"/nowhere"}, good).find("/nowhere: is no folder"), std::string::npos);
  EXPECT_NE(message({empty.path}, good).find("neither a trace"), std::string::npos);
  EXPECT_NE(message({made.trace}, options({"paretto"}, {2}, 1)).find("'paretto'"), std::string::npos);
  EXPECT_NE(message({made.trace}, options({"brute-force"}, {2}, 1)).find("leave it out"), std::string::npos);
  EXPECT_NE(message({made.trace}, options({"pareto"}, {0}, 1)).find("--speedups 0"), std::string::npos);
  EXPECT_NE(message({made.trace}, options({"pareto"}, {2}, 0)).find("--seeds is 0"), std::string::npos);
}

/// A run of two of the hand-made networks and one of its own, worked out by hand.
void write_run(const std::string& folder, bool finished) {
  RunStore store(folder, RunStore::Mode::create_or_open);
  store.put_value("algorithm", "pareto");
  store.put_value("measure_wall_s", "9");
  store.put_networks(
      {{"large", 60, 0, 0, {{"a", 2}, {"c", 1}}}, {"small", 10, 0, 0, {{"a", 1}}}, {"stranger", 10, 0, 0, {{"a", 3}}}});
  RoundRow round;
  round.networks = {"large", "small", "stranger"};
  round.to_steps = {20, 20, 20};
  store.put_round(round);
  const auto train = [&](const char* network, long step, double accuracy, double seconds, double elapsed_s) {
    TrainPoint point;
    point.network = network;
    point.step = step;
    point.val_accuracy = accuracy;
    point.seconds = seconds;
    point.val_images = 100;
    store.put_train_point(point, 0, elapsed_s);
  };
  const auto measure = [&](const char* subgraph, const char* knobs, MeasurePurpose purpose, double us,
                           double elapsed_s) {
    MeasureJobRow job;
    job.subgraph = subgraph;
    job.purpose = purpose;
    job.programs = {{1}};
    ProgramRow row;
    row.job = store.put_measure_job(job);
    row.subgraph = subgraph;
    row.knobs_text = knobs;
    if (us > 0)
      row.outcome = Measurement{{us}, us, us, 0, 1, false};
    else
      row.outcome = MeasureError{MeasureErrorKind::crash, "it died"};
    row.compile_s = 1;  // all alike: 1.8 s of the 9 each, but for the microseconds
    row.elapsed_s = elapsed_s;
    store.put_program(row);
  };
  measure("a", "k=1", MeasurePurpose::fallback, 20, 1);
  measure("c", "k=1", MeasurePurpose::fallback, 100, 2);
  train("small", 10, 0.45, 20, 3);
  measure("a", "k=2", MeasurePurpose::batch, 5, 4);  // too good, says the second reading
  train("large", 10, 0.6, 40, 5);
  train("stranger", 10, 0.9, 15, 6);
  train("small", 20, 0.4, 40, 7);  // its best stays 0.45
  measure("a", "k=2", MeasurePurpose::remeasure, 12, 8);
  measure("c", "k=2", MeasurePurpose::batch, -1, 9);
  train("large", 20, 0.85, 100, 10);
  if (finished) {
    store.put_results({{"small", {0.45, 12}, true}, {"large", {0.85, 124}, true}});
    store.put_value("finished", "1");
  } else {
    store.put_decisions({{0, "large", {0.95, 90}, 0, true, ""},  // as expected, not as observed
                         {0, "small", {0.5, 10}, 0, true, ""},
                         {0, "stranger", {0.3, 36}, 1, false, ""}},
                        10);
  }
}

TEST(RunOutcome, HasBothSidesOnOneClock) {
  const TraceFolder folder;
  write_run(folder.path, true);
  const RunOutcome outcome = read_outcome(folder.path);
  EXPECT_EQ(outcome.algorithm, "pareto");
  EXPECT_TRUE(outcome.finished);
  EXPECT_EQ(outcome.elapsed_s, 10);
  ASSERT_EQ(outcome.candidates.size(), 3u);
  EXPECT_EQ(outcome.candidates[0].latency_us, 2 * 12 + 100);
  EXPECT_EQ(outcome.candidates[1].latency_us, 12);
  ASSERT_EQ(outcome.validations.size(), 5u);
  const double train_s[] = {20, 60, 75, 95, 155}, accuracy[] = {0.45, 0.6, 0.9, 0.45, 0.85};
  const double programs[] = {2, 3, 3, 3, 5};  // measured by then
  for (size_t i = 0; i < 5; ++i) {
    EXPECT_DOUBLE_EQ(outcome.validations[i].train_s, train_s[i]);
    EXPECT_DOUBLE_EQ(outcome.validations[i].accuracy, accuracy[i]);
    EXPECT_NEAR(outcome.validations[i].tune_s, 1.8 * programs[i], 1e-3);
  }
  EXPECT_DOUBLE_EQ(outcome.train_s, 155);
  EXPECT_NEAR(outcome.tune_s, 9, 1e-12);
}

TEST(RunOutcome, WhatAnUnfinishedRunReturnsIsAsObserved) {
  const TraceFolder folder;
  write_run(folder.path, false);
  {  // kept for what is expected of it, but never trained
    RunStore store(folder.path, RunStore::Mode::create_or_open);
    auto networks = store.networks();
    networks.push_back(networks.back());
    networks.back().name = "hopeful";
    store.put_networks(networks);
    RoundRow round;
    round.round = 1;
    round.networks = {"hopeful"};
    round.to_steps = {0};
    store.put_round(round);
    store.put_decisions({{1, "hopeful", {0.99, 5}, 0, true, ""}}, 11);
  }
  const RunOutcome outcome = read_outcome(folder.path);
  ASSERT_EQ(outcome.candidates.size(), 4u);
  ASSERT_EQ(outcome.returned.size(), 2u);
  for (const RunOutcome::Returned& network : outcome.returned) {
    const bool large = outcome.candidates[network.candidate].name == "large";
    EXPECT_EQ(network.objectives.accuracy, large ? 0.85 : 0.45);
    EXPECT_EQ(network.objectives.latency_us, large ? 124 : 12);
  }
}

TEST(Compare, ARealRunIsJudgedByTheTruthBeforeIt) {
  HandMade made;
  for (const bool finished : {true, false}) {
    const TraceFolder run;
    write_run(run.path, finished);
    const Comparison comparison = compare({made.trace, run.path}, options({"pareto"}, {1}, 1), made.out);
    ASSERT_EQ(comparison.truths[0].searches.size(), 2u);
    const ComparedSearch& search = comparison.truths[0].searches[1];
    EXPECT_TRUE(search.real());
    EXPECT_EQ(search.name, std::filesystem::path(run.path).filename());
    // The front: small 0.5, middle 0.7, large 0.9; observed: small 0.45, large 0.85.
    EXPECT_NEAR(search.figure("achieved").mean, 100 * (0.05 + 0.25 + 0.05) / 3, 1e-9);
    EXPECT_NEAR(search.figure("selected").mean, 100 * (0 + 0.2 + 0) / 3, 1e-9);
    EXPECT_EQ(search.figure("survivors").mean, 2);
    EXPECT_EQ(search.figure("candidates").mean, 2);
    EXPECT_EQ(search.figure("kendall_tau").mean, 1);
    EXPECT_NEAR(search.figure("train_spent").mean, 155 / 400.0, 1e-12);
    ASSERT_EQ(search.returned.size(), 2u);
    for (const ReturnedNetwork& network : search.returned) EXPECT_TRUE(network.answer) << network.name;
    EXPECT_EQ(comparison.truths[0].ranks.back().name, search.name);
    std::string notes;
    for (const std::string& note : search.notes) notes += note + "\n";
    EXPECT_NE(notes.find("1 of its 3 networks are not in"), std::string::npos) << notes;
    EXPECT_EQ(notes.find("has not finished") == std::string::npos, finished) << notes;
    // By its clock: from second 3 on small alone, from 5 on large too, which is at 0.85 from 10 on.
    ASSERT_FALSE(search.clock.empty());
    EXPECT_EQ(search.clock.front().seconds, 3);
    EXPECT_EQ(search.clock.back().seconds, 10);
    for (const GapPoint& point : search.clock) {
      const double large = point.seconds < 5 ? 0.45 : point.seconds < 10 ? 0.6 : 0.85;
      EXPECT_NEAR(point.achieved.mean, 100 * (0.05 + 0.25 + 0.9 - large) / 3, 1e-9) << point.seconds;
    }
    EXPECT_NEAR(search.curve.back().seconds, 155 + 9, 1e-9);
    EXPECT_EQ(search.curve.back().achieved.mean, search.figure("achieved").mean);
  }
}

TEST(Compare, ARunWithoutATruthIsRefused) {
  const TraceFolder run;
  write_run(run.path, true);
  const HandMade made;
  const CompareOptions with = options({"pareto"}, {1}, 1);
  std::string message = message_of<UserError>([&] { compare({run.path, made.trace}, with, made.out); });
  EXPECT_NE(message.find("no truth stands before it"), std::string::npos) << message;
  // A trace of other networks says nothing about it.
  made.folder.write("networks.csv",
                    "network,subgraphs,chance,macs\np,a:1,0.1,10\nq,a:1;b:1,0.1,30\nr,a:2;c:1,0.1,60\n");
  made.folder.write("training.csv", "network,epoch,val_accuracy,seconds\np,4,0.4,20\nq,4,0.5,40\nr,4,0.7,80\n");
  message = message_of<UserError>([&] { compare({made.trace, run.path}, with, made.out); });
  EXPECT_NE(message.find("none of its 3 networks is in"), std::string::npos) << message;
}

}  // namespace
}  // namespace sonar
