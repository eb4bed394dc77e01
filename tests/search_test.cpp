// The main job, as a user runs it.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "command.h"
#include "records/run_store.h"

namespace sonar::test {
namespace {

using nlohmann::json;

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

TEST(Search, CountedBudgetsEndWithAFrontAndAReport) {
  const Folder folder("search");
  folder.write("tiny.toml", tiny_configuration(160));
  const std::string run = folder / "run";
  const ProcessResult result = sonar({"search", folder / "tiny.toml", "--out", run, "--json"});
  ASSERT_EQ(result.exit_code, 0) << result.err;

  const json front = json::parse(result.out);
  ASSERT_FALSE(front.at("points").empty());
  bool any_on_front = false;
  for (const json& point : front.at("points")) {
    EXPECT_TRUE(point.at("architecture").is_string());
    EXPECT_GT(point.at("val_accuracy").get<double>(), 0.0);
    EXPECT_GT(point.at("latency_us").get<double>(), 0.0);
    any_on_front |= point.at("on_front").get<bool>();
  }
  EXPECT_TRUE(any_on_front);

  const RunStore store(run, RunStore::Mode::read_only);
  // Two rounds for four networks, each round's survivors the next one's candidates.
  const auto rounds = store.rounds();
  ASSERT_EQ(rounds.size(), 2u);
  std::set<std::string> kept;
  for (const DecisionRow& decision : store.decisions())
    if (decision.round == 0 && decision.kept) kept.insert(decision.network);
  EXPECT_EQ(std::set<std::string>(rounds[1].networks.begin(), rounds[1].networks.end()), kept);
  // The training budget of 10 epochs of 8 steps is kept, up to rounding.
  std::map<std::string, long> steps;
  for (const auto& timed : store.train_points())
    steps[timed.point.network] = std::max(steps[timed.point.network], timed.point.step);
  long spent = 0;
  for (const auto& [network, n] : steps) spent += n;
  EXPECT_LE(spent, 80);
  EXPECT_GE(spent, 72);
  // The tuning budget is spent to the last program, the defaults included.
  std::map<long, MeasureJobRow> jobs;
  for (const MeasureJobRow& job : store.measure_jobs()) jobs[job.id] = job;
  long programs = 0;
  for (const ProgramRow& program : store.programs())
    programs += jobs.at(program.job).purpose != MeasurePurpose::remeasure;
  EXPECT_EQ(programs, 160);
  // No wrong program on this machine.
  for (const FailureCount& failure : store.failures())
    EXPECT_NE(failure.kind, MeasureErrorKind::wrong_answer) << failure.first_message;
  for (const ResultRow& row : store.results()) {
    EXPECT_GE(row.test_accuracy, 0.0);
    EXPECT_GT(row.end_to_end_us, 0.0);
  }

  const std::string report = read_file(run + "/report.html");
  for (const std::string& name : rounds[0].networks) EXPECT_NE(report.find(name), std::string::npos) << name;
  EXPECT_EQ(report.find("http://"), report.find("http://www.w3.org"));  // nothing is fetched
  EXPECT_NE(read_file(run + "/front.csv").find(front.at("points")[0].at("architecture").get<std::string>()),
            std::string::npos);

  const json state = json::parse(sonar({"status", run, "--json"}).out);
  EXPECT_TRUE(state.is_object());

  // Again: finished, nothing is done twice.
  const ProcessResult again = sonar({"search", folder / "tiny.toml", "--out", run, "--json"});
  EXPECT_EQ(again.exit_code, 0) << again.err;
  EXPECT_EQ(json::parse(again.out), front);

  // Another configuration on the same run is refused with the difference named.
  const ProcessResult other = sonar({"search", folder / "tiny.toml", "--out", run, "train.epochs=5"});
  EXPECT_EQ(other.exit_code, 2);
  EXPECT_NE(other.err.find("train.epochs"), std::string::npos) << other.err;
  EXPECT_NE(other.err.find("4"), std::string::npos) << other.err;
}

TEST(Search, NetworksInheritWeightsAndTheScheduleFollowsTheSlices) {
  const Folder folder("inherit");
  folder.write("tiny.toml", tiny_configuration(60));
  const auto accuracies = [&](const std::string& run, const std::vector<std::string>& overrides) {
    std::vector<std::string> arguments = {"search", folder / "tiny.toml", "--out", folder / run, fake_tuner()};
    arguments.insert(arguments.end(), overrides.begin(), overrides.end());
    const ProcessResult result = sonar(arguments);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    std::map<std::string, double> first;  // after the first round
    const RunStore store(folder / run, RunStore::Mode::read_only);
    for (const DecisionRow& decision : store.decisions())
      if (decision.round == 0) first[decision.network] = decision.objectives.accuracy;
    return first;
  };
  const auto plain = accuracies("plain", {}), heirs = accuracies("heirs", {"train.inherit=true"}),
             slices = accuracies("slices", {"train.schedule=slice"});
  ASSERT_EQ(plain.size(), 4u);
  int changed = 0;
  for (const auto& [network, accuracy] : plain) {
    // Networks of the lowest resolution have nobody to inherit from and train as ever, those above start from them.
    if (network.find("-r8-") != std::string::npos) {
      EXPECT_EQ(heirs.at(network), accuracy) << network;
    }
    changed += heirs.at(network) != accuracy;
  }
  EXPECT_GE(changed, 1);
  EXPECT_NE(slices, plain);
  // Curves that depend on the other networks make no trace.
  const ProcessResult trace = sonar({"trace", folder / "heirs", "--out", folder / "trace"});
  EXPECT_EQ(trace.exit_code, 2);
  EXPECT_NE(trace.err.find("train.inherit"), std::string::npos) << trace.err;
}

TEST(Search, TimeBudgetKeepsBothSidesBusyAndEndsInTime) {
  const Folder folder("time");
  folder.write("tiny.toml", tiny_configuration(0));
  const std::string run = folder / "run";
  const ProcessResult result = sonar({"search", folder / "tiny.toml", "--out", run, "--json", "search.epochs=0",
                                      "search.time=40s", "train.epochs=2000"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const RunStore store(run, RunStore::Mode::read_only);
  double busy[3] = {0, 0, 0};
  for (const UsageRow& row : store.usage()) busy[static_cast<int>(row.side)] += row.ended_s - row.started_s;
  const double wall = std::stod(store.value("wall_seconds").value());
  // A ratio of the run's own times; a loaded machine slows both alike.
  EXPECT_GT(busy[static_cast<int>(Side::train)] / wall, 0.5);
  EXPECT_GT(busy[static_cast<int>(Side::tune)] / wall, 0.5);
  EXPECT_EQ(store.rounds().size(), 2u);
}

TEST(Search, ThresholdThatNoNetworkReachesIsSaid) {
  const Folder folder("threshold");
  folder.write("tiny.toml", tiny_configuration(120));
  // Below what any machine reaches, but not below the bound of a device of such a peak.
  const ProcessResult result =
      sonar({"search", folder / "tiny.toml", "--out", folder / "run", "search.algorithm=threshold",
             "search.threshold_ms=0.000001", "device.peak_gflops=1e9", "search.epochs=4", fake_tuner()});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(result.out.find("no network reaches 1e-06 ms; the fastest is mobilenetv3-"), std::string::npos)
      << result.out;
}

TEST(Search, BruteForceTrainsAndTunesEverythingInFull) {
  const Folder folder("brute");
  folder.write("tiny.toml", tiny_configuration(0));
  const ProcessResult result =
      sonar({"search", folder / "tiny.toml", "--out", folder / "run", "search.algorithm=brute-force", "search.epochs=0",
             "search.candidates=2", "search.full_programs=4", "train.epochs=1"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const RunStore store(folder / "run", RunStore::Mode::read_only);
  std::map<SubgraphKey, long> programs;
  std::map<long, MeasureJobRow> jobs;
  for (const MeasureJobRow& job : store.measure_jobs()) jobs[job.id] = job;
  for (const ProgramRow& row : store.programs())
    if (jobs.at(row.job).purpose != MeasurePurpose::remeasure) ++programs[row.subgraph];
  for (const auto& [key, count] : programs) EXPECT_EQ(count, 4) << key;
  EXPECT_EQ(store.results().size(), 2u);
}

TEST(Single, TuneAndTrain) {
  const Folder folder("single");
  folder.write("tiny.toml", tiny_configuration(0));
  const std::string name = "mobilenetv3-r8-w0.50-e2-k33333-d11111";
  const ProcessResult tuned = sonar({"tune", folder / "tiny.toml", "--arch", name, "--out", folder / "tune", "--json",
                                     "--programs", "60", "data.classes=10"});
  ASSERT_EQ(tuned.exit_code, 0) << tuned.err;
  const json tune = json::parse(tuned.out);
  double sum = 0;
  long programs = 0;
  for (const json& subgraph : tune.at("subgraphs")) {
    sum += subgraph.at("occurrences").get<double>() * subgraph.at("latency_us").get<double>();
    programs += subgraph.at("programs").get<long>();
    EXPECT_GT(subgraph.at("gflops").get<double>(), 0.0);
  }
  EXPECT_NEAR(tune.at("latency_us").get<double>(), sum, 1e-6 * sum);
  EXPECT_EQ(programs, 60);

  const ProcessResult trained =
      sonar({"train", folder / "tiny.toml", "--arch", name, "--out", folder / "train", "--json", "train.epochs=2"});
  ASSERT_EQ(trained.exit_code, 0) << trained.err;
  EXPECT_EQ(json::parse(trained.out).at("points").back().at("step").get<long>(), 16);
}

TEST(Examples, SpaceOfEachIsDescribed) {
  const json paper = json::parse(sonar({"space", source_path("examples/paper-section-4.toml"), "--json"}).out);
  EXPECT_EQ(paper.at("architectures").get<long>(), 1024);
  EXPECT_GT(paper.at("unique_subgraphs").get<long>(), 500);
  for (const char* example : {"examples/01-quickstart.toml", "examples/02-threshold.toml"}) {
    const ProcessResult result = sonar({"space", source_path(example), "--json"});
    ASSERT_EQ(result.exit_code, 0) << result.err;
    EXPECT_GT(json::parse(result.out).at("architectures").get<long>(), 16) << example;
  }
}

TEST(Examples, QuickstartRunsOnASmallerBudget) {
  const Folder folder("quickstart");
  std::vector<std::string> arguments = {"search",          source_path("examples/01-quickstart.toml"),
                                        "--out",           folder / "run",
                                        "search.time=40s", "search.candidates=2",
                                        "train.epochs=1"};
  for (const std::string& core : own_core()) arguments.push_back(core);
  const ProcessResult result = sonar(arguments);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(result.out.find("Brute force would have cost"), std::string::npos) << result.out;
  EXPECT_NE(result.out.find("report: " + (folder / "run/report.html")), std::string::npos) << result.out;
}

TEST(Examples, ThresholdRunsOnASmallerBudget) {
  const Folder folder("threshold-example");
  // A limit that every network reaches on any machine: the answer is then the most accurate one.
  std::vector<std::string> arguments = {"search",
                                        source_path("examples/02-threshold.toml"),
                                        "--out",
                                        folder / "run",
                                        "--json",
                                        "search.epochs=2",
                                        "search.programs=150",
                                        "search.candidates=3",
                                        "search.threshold_ms=10000"};
  for (const std::string& core : own_core()) arguments.push_back(core);
  const ProcessResult result = sonar(arguments);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const json front = json::parse(result.out);
  double best = -1, answer = -1;
  for (const json& point : front.at("points")) {
    best = std::max(best, point.at("val_accuracy").get<double>());
    if (point.at("on_front").get<bool>()) answer = point.at("val_accuracy").get<double>();
  }
  EXPECT_GT(best, 0);
  EXPECT_EQ(answer, best);
}

}  // namespace
}  // namespace sonar::test
