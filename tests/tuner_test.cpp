// An outside tuner in place of the built-in one: the main job, killed and continued, and each way to fail.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>

#include "command.h"
#include "records/run_store.h"

namespace sonar::test {
namespace {

using nlohmann::json;

const char* const kNetwork = "mobilenetv3-r8-w0.50-e2-k33333-d11111";

class OutsideTuner : public testing::Test {
 protected:
  OutsideTuner() : folder(std::string("tuner-") + testing::UnitTest::GetInstance()->current_test_info()->name()) {
    folder.write("tiny.toml", tiny_configuration(160));
  }
  static std::string tuner(const std::string& arguments = "") { return fake_tuner(arguments); }
  std::vector<std::string> tune(const std::string& tuner, const std::vector<std::string>& more = {}) const {
    std::vector<std::string> arguments = {"tune",   folder / "tiny.toml", "--arch", kNetwork, "--out", folder / "run",
                                          "--json", "data.classes=10",    tuner};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }
  /// Programs as measured: (subgraph, trial), each exactly once, re-measurements apart.
  std::set<std::pair<std::string, int>> trials() const {
    const RunStore store(folder / "run", RunStore::Mode::read_only);
    std::map<long, MeasurePurpose> purposes;
    for (const MeasureJobRow& job : store.measure_jobs()) purposes[job.id] = job.purpose;
    std::set<std::pair<std::string, int>> result;
    for (const ProgramRow& row : store.programs()) {
      if (purposes.at(row.job) == MeasurePurpose::remeasure) continue;
      EXPECT_TRUE(result.emplace(row.subgraph, row.knobs.at(0)).second) << row.subgraph << " " << row.knobs_text;
    }
    return result;
  }
  static void expect_error(const ProcessResult& result, int exit_code, const std::string& part) {
    EXPECT_EQ(result.exit_code, exit_code) << result.err;
    const size_t error = result.err.find("sonar: error: ");
    ASSERT_NE(error, std::string::npos) << result.err;
    const std::string message = result.err.substr(error);
    EXPECT_EQ(std::count(message.begin(), message.end(), '\n'), 1) << message;
    EXPECT_NE(message.find(part), std::string::npos) << "'" << part << "' in\n" << message;
  }
  Folder folder;
};

TEST_F(OutsideTuner, TunesANetworkWithinTheBudgetAndUnderAnIdentityOfItsOwn) {
  const ProcessResult result = sonar(tune(tuner("--measures --log " + (folder / "requests")), {"--programs", "90"}));
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const json tuned = json::parse(result.out);
  double sum = 0;
  long programs = 0;
  for (const json& subgraph : tuned.at("subgraphs")) {
    sum += subgraph.at("occurrences").get<double>() * subgraph.at("latency_us").get<double>();
    programs += subgraph.at("programs").get<long>();
    EXPECT_NEAR(subgraph.at("default_latency_us").get<double>(), 30.3, 1e-6);  // as measured again
    EXPECT_EQ(subgraph.at("knobs").get<std::string>().rfind("trial=", 0), 0u);
  }
  EXPECT_EQ(programs, 90);
  EXPECT_NEAR(tuned.at("latency_us").get<double>(), sum, 1e-6 * sum);
  EXPECT_LT(tuned.at("latency_us").get<double>(), 0.8 * tuned.at("default_latency_us").get<double>());
  EXPECT_TRUE(tuned.at("end_to_end_us").is_null());
  const RunStore store(folder / "run", RunStore::Mode::read_only);
  EXPECT_EQ(store.identity()->compiler, "Fake 1.0");
  EXPECT_EQ(store.identity()->target, "fake-target");
  // Each subgraph's trials go up from 0 without a gap, and every request says what the subgraph is.
  std::map<std::string, int> next;
  for (const auto& [key, trial] : trials()) EXPECT_EQ(trial, next[key]++) << key;
  std::ifstream requests(folder / "requests");
  bool measured_again = false;
  for (std::string line; std::getline(requests, line);) {
    const json request = json::parse(line);
    if (request.contains("hello")) continue;
    measured_again |= request.contains("measure");
    const json& s = request.at("subgraph");
    const std::string key = request.contains("tune") ? request["tune"] : request["measure"];
    EXPECT_NE(key.find("-h" + std::to_string(s.at("height").get<int>()) + "-"), std::string::npos) << line;
    EXPECT_NE(key.find("-i" + std::to_string(s.at("in_channels").get<int>()) + "-"), std::string::npos) << line;
  }
  EXPECT_TRUE(measured_again);

  // The run is bound to its tuner.
  const ProcessResult other = sonar(tune("search.tuner=halide", {"--programs", "90"}));
  EXPECT_EQ(other.exit_code, 2);
  EXPECT_NE(other.err.find("'halide' asked for"), std::string::npos) << other.err;
}

TEST_F(OutsideTuner, SearchesAsTheBuiltInOneDoes) {
  const ProcessResult result = sonar({"search", folder / "tiny.toml", "--out", folder / "run", "--json", tuner()});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  ASSERT_FALSE(json::parse(result.out).at("points").empty());
  EXPECT_EQ(trials().size(), 160u);
  const RunStore store(folder / "run", RunStore::Mode::read_only);
  EXPECT_EQ(store.rounds().size(), 2u);
  for (const ResultRow& row : store.results()) {
    EXPECT_GT(row.objectives.latency_us, 0);
    EXPECT_LT(row.end_to_end_us, 0);
  }
  const ProcessResult report = sonar({"report", folder / "run"});
  EXPECT_EQ(report.exit_code, 0) << report.err;
}

TEST_F(OutsideTuner, OneThatRunsOutIsAskedForNoMore) {
  const ProcessResult result = sonar(tune(tuner("--programs 3"), {"--programs", "400"}));
  ASSERT_EQ(result.exit_code, 0) << result.err;
  for (const json& subgraph : json::parse(result.out).at("subgraphs")) {
    const long none = subgraph.at("failures").value("no program", 0L);
    EXPECT_GT(none, 0);
    EXPECT_EQ(subgraph.at("programs").get<long>() - none, 3);
  }
}

TEST_F(OutsideTuner, AKilledRunKeepsItsTrialsAndRepeatsNone) {
  const std::string slow = tuner("--fault hang --at 40 --once " + (folder / "hung"));
  ProcessOptions options;
  options.command = {sonar_executable()};
  for (const std::string& argument : tune(slow, {"--programs", "90"})) options.command.push_back(argument);
  options.stderr_path = folder / "log";
  {
    ChildProcess process(options);
    for (int i = 0; i < 1200 && ::access((folder / "hung").c_str(), F_OK) != 0; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    ASSERT_EQ(::access((folder / "hung").c_str(), F_OK), 0);
    // What came before the hang is in the store soon.
    for (int i = 0; i < 1200 && trials().size() < 40; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(50));
    process.kill();
  }
  const auto before = trials();
  EXPECT_EQ(before.size(), 40u);
  const ProcessResult rest = sonar(tune(slow, {"--programs", "90"}));
  ASSERT_EQ(rest.exit_code, 0) << rest.err;
  const auto after = trials();
  EXPECT_EQ(after.size(), 90u);
  EXPECT_TRUE(std::includes(after.begin(), after.end(), before.begin(), before.end()));
}

TEST_F(OutsideTuner, ADeathCostsOneTrial) {
  const std::string dying = tuner("--fault die --at 20 --once " + (folder / "died"));
  const ProcessResult died = sonar(tune(dying, {"--programs", "60"}));
  ASSERT_EQ(died.exit_code, 0) << died.err;
  EXPECT_EQ(trials().size(), 60u);
  const RunStore store(folder / "run", RunStore::Mode::read_only);
  long crashes = 0, restarts = 0;
  for (const FailureCount& failure : store.failures()) {
    if (failure.kind != MeasureErrorKind::crash) continue;
    crashes += failure.count;
    EXPECT_NE(failure.first_message.find("exited with code 7: fake_tuner: out of luck"), std::string::npos);
  }
  for (const RunStore::EventRow& event : store.events())
    restarts += event.kind == "warning" && event.text.find("started anew") != std::string::npos;
  EXPECT_EQ(crashes, 1);
  EXPECT_EQ(restarts, 1);
}

TEST_F(OutsideTuner, OneThatDiesAgainAndAgainEndsTheRunWhichContinuesWhenItIsMended) {
  const std::string fake = "exec python3 '" + source_path("tests/fake_tuner.py") + "'";
  const std::string command = "search.tuner=sh '" + (folder / "tuner.sh") + "'";
  folder.write("tuner.sh", fake + " --fault die\n");
  expect_error(sonar(tune(command, {"--programs", "60"})), 3, "it was started anew 2 times and gave no answer");
  EXPECT_EQ(trials().size(), 2u);
  folder.write("tuner.sh", fake + "\n");
  const ProcessResult rest = sonar(tune(command, {"--programs", "60"}));
  EXPECT_EQ(rest.exit_code, 0) << rest.err;
  EXPECT_EQ(trials().size(), 60u);
}

TEST_F(OutsideTuner, ABadAnswerEndsTheRunWhichContinues) {
  const std::string bad = tuner("--fault zero --at 25 --once " + (folder / "bad"));
  const ProcessResult broken = sonar(tune(bad, {"--programs", "60"}));
  expect_error(broken, 3, "no positive number");
  EXPECT_NE(broken.err.find("fake_tuner.py"), std::string::npos) << broken.err;
  EXPECT_EQ(trials().size(), 25u);
  const ProcessResult rest = sonar(tune(bad, {"--programs", "60"}));
  EXPECT_EQ(rest.exit_code, 0) << rest.err;
  EXPECT_EQ(trials().size(), 60u);
}

TEST_F(OutsideTuner, WhatItCannotGiveIsRefused) {
  expect_error(sonar(tune(tuner(), {"search.latency=end-to-end"})), 2, "measures subgraphs only");
  expect_error(sonar(tune(tuner(), {"search.records=" + (folder / "records.db")})), 2, "cannot");
  expect_error(sonar(tune("search.tuner='open")), 2, "is not closed");
  expect_error(sonar(tune("search.tuner=no-such-tuner --fast")), 3, "no-such-tuner");
  expect_error(sonar(tune(tuner("--fault refusal"))), 3, "batch 7 cannot be tuned; set device.batch = 1");
}

TEST_F(OutsideTuner, DoctorTriesIt) {
  const ProcessResult good = sonar({"doctor", folder / "tiny.toml", tuner()});
  EXPECT_NE(good.out.find("Fake 1.0, fake-target; the default program of conv-"), std::string::npos) << good.out;
  const ProcessResult bad = sonar({"doctor", folder / "tiny.toml", tuner("--fault 'no hello'")});
  EXPECT_NE(bad.exit_code, 0);
  EXPECT_NE(bad.out.find("no compiler here"), std::string::npos) << bad.out;
}

}  // namespace
}  // namespace sonar::test
