// Latency proxies by a user's command.
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>

#include "command.h"
#include "evaluate/trace.h"
#include "records/run_store.h"

namespace sonar::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

std::string contents(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

class ProxyCommands : public testing::Test {
 protected:
  /// The command: its calls are listed in FOLDER/calls, each file is kept, and a network's milliseconds are the
  /// thousands of bytes of its file. When the file FOLDER/fault is there, the third call runs it instead.
  ProxyCommands() : folder(std::string("proxies-") + testing::UnitTest::GetInstance()->current_test_info()->name()) {
    folder.write("tiny.toml", tiny_configuration(100));
    folder.write("command", "cd '" + folder.path +
                                "'\necho \"$1\" >> calls\ncp \"$1\" kept/\n"
                                "if [ -e fault ] && [ $(wc -l < calls) = 3 ]; then . ./fault; fi\n"
                                "echo \"$(($(wc -c < \"$1\") / 1000)).5\"\n");
    fs::create_directories(folder / "kept");
  }

  std::vector<std::string> search(const std::string& algorithm = "proxy-command", std::vector<std::string> more = {}) {
    std::vector<std::string> arguments = {"search",
                                          folder / "tiny.toml",
                                          "--out",
                                          folder / "run",
                                          "search.algorithm=" + algorithm,
                                          "search.proxy=sh '" + (folder / "command") + "'"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }

  /// Of each network, how often it was asked for.
  std::map<std::string, int> calls() const {
    std::map<std::string, int> result;
    std::ifstream file(folder / "calls");
    for (std::string line; std::getline(file, line);) ++result[fs::path(line).stem().string()];
    return result;
  }

  void expect_all_asked_once_but_one_twice() const {
    std::multiset<int> times;
    for (const auto& [network, count] : calls()) times.insert(count);
    EXPECT_EQ(times, (std::multiset<int>{1, 1, 1, 2}));
  }

  const Folder folder;
};

TEST_F(ProxyCommands, RankNetworksOfWhichTheFrontIsTuned) {
  const ProcessResult result = sonar(search("proxy-command", {"--json"}));
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const RunStore store(folder / "run", RunStore::Mode::read_only);
  const std::map<std::string, double> proxies = store.proxies();
  ASSERT_EQ(proxies.size(), 4u);
  for (const auto& [network, count] : calls()) EXPECT_EQ(count, 1) << network;
  for (const auto& [network, value] : proxies) {
    const std::string kept = folder / ("kept/" + network + ".onnx");
    EXPECT_EQ(value, static_cast<double>(fs::file_size(kept) / 1000) + 0.5) << network;
    const ProcessResult written =
        sonar({"onnx", folder / "tiny.toml", "--arch", network, "--out", folder / "again.onnx"});
    ASSERT_EQ(written.exit_code, 0) << written.err;
    EXPECT_NE(written.out.find(network + ", 1 x 3 x "), std::string::npos) << written.out;
    EXPECT_EQ(contents(kept), contents(folder / "again.onnx"));
  }
  EXPECT_TRUE(fs::is_empty(folder / "run/work/proxy"));
  ASSERT_EQ(store.rounds().size(), 3u);
  for (const DecisionRow& decision : store.decisions())
    EXPECT_EQ(decision.objectives.latency_us, 1000 * proxies.at(decision.network));
  std::set<int> tuned_in;
  for (const MeasureJobRow& job : store.measure_jobs())
    if (job.purpose == MeasurePurpose::batch) tuned_in.insert(job.round);
  EXPECT_EQ(tuned_in, std::set<int>{2});

  const ProcessResult other = sonar(search("proxy-command", {"search.proxy=true"}));
  EXPECT_EQ(other.exit_code, 2);
  EXPECT_NE(other.err.find("'true' asked for"), std::string::npos) << other.err;
}

TEST_F(ProxyCommands, ACommandThatFailsEndsTheRunWhichGoesOnWhereItStopped) {
  folder.write("fault", "echo the phone is off >&2\nexit 4\n");
  const ProcessResult failed = sonar(search("proxy-command", {fake_tuner()}));
  EXPECT_EQ(failed.exit_code, 3) << failed.err;
  EXPECT_NE(failed.err.find("it exited with code 4: the phone is off"), std::string::npos) << failed.err;
  EXPECT_NE(failed.err.find("nothing measured is lost"), std::string::npos) << failed.err;
  EXPECT_EQ(RunStore(folder / "run", RunStore::Mode::read_only).proxies().size(), 2u);
  EXPECT_FALSE(fs::is_empty(folder / "run/work/proxy"));  // to try it by hand
  const ProcessResult result = sonar(search("proxy-command", {fake_tuner()}));
  ASSERT_EQ(result.exit_code, 0) << result.err;
  expect_all_asked_once_but_one_twice();
}

TEST_F(ProxyCommands, AKilledRunAsksForNoNetworkAgain) {
  folder.write("fault", "touch hanging\nsleep 600\n");
  ProcessOptions options;
  options.command = {sonar_executable()};
  for (const std::string& argument : search("proxy-command", {fake_tuner()})) options.command.push_back(argument);
  options.stderr_path = folder / "log";
  {
    ChildProcess process(options);
    for (int waited = 0; !fs::exists(folder / "hanging") && !process.poll() && waited < 6000; ++waited)
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    ASSERT_FALSE(process.poll()) << contents(folder / "log");
    ::kill(process.pid(), SIGKILL);
  }
  const ProcessResult result = sonar(search("proxy-command", {fake_tuner()}));
  ASSERT_EQ(result.exit_code, 0) << result.err;
  expect_all_asked_once_but_one_twice();
}

TEST_F(ProxyCommands, OfABruteForceAreInItsTraceOnWhichProxiesAreReplayed) {
  const ProcessResult result =
      sonar(search("brute-force", {"search.epochs=0", "search.programs=0", "search.full_programs=3",
                                   "search.transfer=false", "search.cost_model=false"}));
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const ProcessResult written = sonar({"trace", folder / "run", "--out", folder / "trace"});
  ASSERT_EQ(written.exit_code, 0) << written.err;
  const Trace trace = read_trace(folder / "trace");
  const auto column = std::find(trace.feature_names.begin(), trace.feature_names.end(), "proxy_ms");
  ASSERT_NE(column, trace.feature_names.end());
  const std::map<std::string, double> proxies = RunStore(folder / "run", RunStore::Mode::read_only).proxies();
  for (const Trace::Network& network : trace.networks)
    EXPECT_EQ(network.features[static_cast<size_t>(column - trace.feature_names.begin())], proxies.at(network.name));

  const auto replay = [&](std::vector<std::string> more) {
    std::vector<std::string> arguments = {"replay", folder / "trace", "--speedup", "2", "--json"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return sonar(arguments);
  };
  for (const std::vector<std::string>& how : std::vector<std::vector<std::string>>{
           {"--algorithm", "proxy-command"}, {"--algorithm", "proxy-command", "--proxy-column", "macs"}}) {
    const ProcessResult replayed = replay(how);
    ASSERT_EQ(replayed.exit_code, 0) << replayed.err;
    EXPECT_LE(json::parse(replayed.out).at("mean").at("tune_spent").get<double>(), 0.5 + 1e-9);
  }
  const ProcessResult absent = replay({"--algorithm", "proxy-command", "--proxy-column", "phone_ms"});
  EXPECT_EQ(absent.exit_code, 2);
  EXPECT_NE(absent.err.find("has no column 'phone_ms' to rank by"), std::string::npos) << absent.err;
  const ProcessResult idle = replay({"--algorithm", "pareto", "--proxy-column", "macs"});
  EXPECT_EQ(idle.exit_code, 2);
  EXPECT_NE(idle.err.find("give --algorithm proxy-command"), std::string::npos) << idle.err;
}

}  // namespace
}  // namespace sonar::test
