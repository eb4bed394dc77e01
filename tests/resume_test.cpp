// Killed at any moment, continued by the same command.
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <thread>

#include "command.h"
#include "model/random.h"
#include "records/run_store.h"

namespace sonar::test {
namespace {

constexpr int kPrograms = 160, kKills = 20;

struct Contents {
  std::map<std::pair<long, int>, std::string> programs;
  std::map<std::pair<std::string, long>, double> points;
};

Contents contents(const std::string& run) {
  Contents result;
  const RunStore store(run, RunStore::Mode::read_only);
  for (const ProgramRow& row : store.programs()) {
    EXPECT_TRUE(result.programs.emplace(std::pair(row.job, row.index), row.knobs_text).second)
        << "a record stands twice";
  }
  for (const auto& timed : store.train_points())
    EXPECT_TRUE(
        result.points.emplace(std::pair(timed.point.network, timed.point.step), timed.point.val_accuracy).second);
  return result;
}

/// Starts or continues the run and kills it at a random moment. False when it ended by itself before that.
bool kill_at_random(const Folder& folder, const std::string& run, Random& random) {
  ProcessOptions options;
  options.command = {sonar_executable(), "search", folder / "tiny.toml", "--out", run};
  options.stderr_path = folder / "log";
  ChildProcess process(options);
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(0.2 + 2.5 * random.uniform());
  while (std::chrono::steady_clock::now() < end) {
    if (const std::optional<ProcessResult> ended = process.poll()) {
      std::ifstream log(folder / "log");
      const std::string said(std::istreambuf_iterator<char>(log), {});
      EXPECT_EQ(ended->exit_code, 0) << said.substr(said.size() - std::min<size_t>(said.size(), 2000));
      return false;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  ::kill(process.pid(), SIGKILL);
  process.kill();
  return true;
}

/// Of a finished run: the budget was spent once, and no program of a subgraph was tried twice.
void check_spent_once(const std::string& run) {
  const RunStore store(run, RunStore::Mode::read_only);
  std::map<long, MeasureJobRow> jobs;
  for (const MeasureJobRow& job : store.measure_jobs()) {
    EXPECT_TRUE(job.finished);
    jobs[job.id] = job;
  }
  long programs = 0;
  std::set<std::pair<SubgraphKey, Knobs>> tried;
  for (const ProgramRow& row : store.programs()) {
    if (jobs.at(row.job).purpose == MeasurePurpose::remeasure) continue;
    ++programs;
    EXPECT_TRUE(tried.insert({row.subgraph, row.knobs}).second) << row.subgraph << " " << row.knobs_text;
  }
  EXPECT_EQ(programs, kPrograms);
}

TEST(Resume, TwentyKillsLoseAndRepeatNothing) {
  const Folder folder("resume");
  folder.write("tiny.toml", tiny_configuration(kPrograms));
  const auto seed = static_cast<uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
  SCOPED_TRACE("seed " + std::to_string(seed));
  Random random(seed);
  std::string run = folder / "run-0";
  Contents before;
  // A machine that ends the run before it was killed often enough begins another.
  for (int kills = 0, runs = 1; kills < kKills;) {
    if (!kill_at_random(folder, run, random)) {
      check_spent_once(run);
      run = folder / ("run-" + std::to_string(runs++));
      before = {};
      continue;
    }
    ++kills;
    if (::access((run + "/run.db").c_str(), F_OK) != 0) continue;
    const Contents now = contents(run);
    // What was recorded stays as it was.
    for (const auto& [key, value] : before.programs) EXPECT_EQ(now.programs.at(key), value);
    for (const auto& [key, value] : before.points) EXPECT_EQ(now.points.at(key), value);
    before = now;
  }
  const ProcessResult last = sonar({"search", folder / "tiny.toml", "--out", run});
  ASSERT_EQ(last.exit_code, 0) << last.err;
  check_spent_once(run);

  // Training is the same to the bit as without a kill.
  const std::string unbroken = folder / "unbroken";
  ASSERT_EQ(sonar({"search", folder / "tiny.toml", "--out", unbroken}).exit_code, 0);
  const Contents killed = contents(run), whole = contents(unbroken);
  size_t common = 0;
  for (const auto& [key, accuracy] : whole.points)
    if (auto found = killed.points.find(key); found != killed.points.end()) {
      EXPECT_EQ(found->second, accuracy) << key.first << " step " << key.second;
      ++common;
    }
  EXPECT_GE(common, 4u);  // all networks of the first round
}

// Networks that leave a bracket stay in the search, and options of the halving look back at earlier rounds.
TEST(Resume, OptionsOfTheHalvingAndHyperband) {
  for (const char* search : {"algorithm = \"hyperband\"\nsettings = [\"growth=2\"]\n",
                             "survivors = \"crowded\"\n"
                             "settings = [\"confidence=1\", \"early_drop=0.5\", \"extrapolate=2\"]\n",
                             "settings = [\"levels=3\", \"extrapolate=2\"]\n"}) {
    SCOPED_TRACE(search);
    const Folder folder("options");
    std::string text = tiny_configuration(kPrograms);
    text.insert(text.find('\n') + 1, search);
    folder.write("tiny.toml", text);
    const std::string run = folder / "run";
    Random random(static_cast<uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count()));
    for (int kills = 0; kills < 3 && kill_at_random(folder, run, random); ++kills) {
    }
    const ProcessResult last = sonar({"search", folder / "tiny.toml", "--out", run});
    ASSERT_EQ(last.exit_code, 0) << last.err;
    check_spent_once(run);
    const RunStore store(run, RunStore::Mode::read_only);
    EXPECT_FALSE(store.decisions().empty());
  }
}

TEST(Resume, AKillBetweenAnEpochAndTheNextCheckpoint) {
  const Folder folder("epoch");
  folder.write("tiny.toml", tiny_configuration(kPrograms));
  ProcessOptions options;
  const std::vector<std::string> arguments = {
      "train", folder / "tiny.toml", "train.epochs=40", "--arch", "mobilenetv3-r16-w1.00-e2-k33333-d11111",
      "--out", folder / "run"};
  options.command = {sonar_executable()};
  options.command.insert(options.command.end(), arguments.begin(), arguments.end());
  options.stderr_path = folder / "log";
  ChildProcess process(options);
  size_t points = 0;
  while (points < 2) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    ASSERT_FALSE(process.poll()) << "ended before it was killed";
    if (::access((folder / "run/run.db").c_str(), F_OK) != 0) continue;
    try {
      points = RunStore(folder / "run", RunStore::Mode::read_only).train_points().size();
    } catch (const std::exception&) {  // the store is being made
    }
  }
  process.kill();
  const auto killed = contents(folder / "run").points;
  ASSERT_LT(killed.size(), 40u);
  const ProcessResult rest = sonar(arguments);
  ASSERT_EQ(rest.exit_code, 0) << rest.err;
  const auto whole = contents(folder / "run").points;
  EXPECT_EQ(whole.size(), 40u);
  for (const auto& [key, accuracy] : killed) EXPECT_EQ(whole.at(key), accuracy) << key.second;
}

TEST(Resume, TwoProcessesCannotRunOneRun) {
  const Folder folder("lock");
  folder.write("tiny.toml", tiny_configuration(kPrograms));
  ProcessOptions options;
  options.command = {sonar_executable(), "search", folder / "tiny.toml", "--out", folder / "run"};
  options.stderr_path = folder / "log";
  ChildProcess first(options);
  while (::access((folder / "run/config.toml").c_str(), F_OK) != 0)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  const ProcessResult second = sonar({"search", folder / "tiny.toml", "--out", folder / "run"});
  EXPECT_EQ(second.exit_code, 2) << second.err;
  EXPECT_NE(second.err.find(std::to_string(first.pid())), std::string::npos) << second.err;
}

TEST(Resume, InterruptLeavesAResumableRunAndAReport) {
  const Folder folder("interrupt");
  folder.write("tiny.toml", tiny_configuration(kPrograms));
  ProcessOptions options;
  options.command = {sonar_executable(), "search", folder / "tiny.toml", "--out", folder / "run"};
  options.stderr_path = folder / "log";
  ChildProcess process(options);
  // Wait until something has been measured.
  for (;;) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    ASSERT_FALSE(process.poll()) << "ended before it was interrupted";
    if (::access((folder / "run/run.db").c_str(), F_OK) != 0) continue;
    try {
      if (RunStore(folder / "run", RunStore::Mode::read_only).programs().size() >= 20) break;
    } catch (const std::exception&) {  // the store is being made
    }
  }
  ::kill(process.pid(), SIGINT);
  std::optional<ProcessResult> ended;
  for (int i = 0; i < 600 && !(ended = process.poll()); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(50));
  ASSERT_TRUE(ended);
  EXPECT_EQ(ended->exit_code, 130);
  EXPECT_EQ(::access((folder / "run/report.html").c_str(), F_OK), 0);
  const ProcessResult rest = sonar({"search", folder / "tiny.toml", "--out", folder / "run"});
  EXPECT_EQ(rest.exit_code, 0) << rest.err;
}

}  // namespace
}  // namespace sonar::test
