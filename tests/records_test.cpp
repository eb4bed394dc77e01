// Records shared over runs, as a user shares them.
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <thread>

#include "command.h"
#include "records/record_library.h"

namespace sonar::test {
namespace {

using nlohmann::json;

constexpr auto kSmall = "mobilenetv3-r8-w0.50-e2-k33333-d11111";
constexpr int kPrograms = 40;  // of a tune: two of most subgraphs
constexpr auto kWide = "mobilenetv3-r8-w1.00-e2-k33333-d11111";

class Records : public testing::Test {
 protected:
  Records() : folder(std::string("records-") + testing::UnitTest::GetInstance()->current_test_info()->name()) {
    folder.write("tiny.toml", tiny_configuration(0));
  }

  std::vector<std::string> tune_arguments(const std::string& network, const std::string& out,
                                          const std::vector<std::string>& more = {}, int programs = kPrograms) const {
    std::vector<std::string> arguments{"tune",
                                       folder / "tiny.toml",
                                       "--arch",
                                       network,
                                       "--out",
                                       folder / out,
                                       "--json",
                                       "--programs",
                                       std::to_string(programs),
                                       "data.classes=10",
                                       "search.records=" + library()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }
  json tune(const std::string& network, const std::string& out, const std::vector<std::string>& more = {},
            int programs = kPrograms) const {
    const ProcessResult result = sonar(tune_arguments(network, out, more, programs));
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return result.exit_code == 0 ? json::parse(result.out) : json();
  }

  /// Programs that a run measured, by purpose.
  std::map<MeasurePurpose, long> measured(const std::string& out) const {
    const RunStore store(folder / out, RunStore::Mode::read_only);
    std::map<long, MeasurePurpose> purposes;
    for (const MeasureJobRow& job : store.measure_jobs()) purposes[job.id] = job.purpose;
    std::map<MeasurePurpose, long> count;
    for (const ProgramRow& row : store.programs()) ++count[purposes.at(row.job)];
    return count;
  }

  /// The library holds every program of these runs exactly once, and nothing else.
  void expect_exactly(const std::vector<std::string>& runs) const {
    std::set<std::pair<std::string, long>> expected, found;
    for (const std::string& run : runs)
      for (const LibraryRecord& record : RunStore(folder / run, RunStore::Mode::read_only).records())
        EXPECT_TRUE(expected.insert({record.origin.run, record.program.arrival}).second);
    RecordLibrary(library(), RecordLibrary::Mode::read_only).each([&](const LibraryRecord& record) {
      EXPECT_TRUE(found.insert({record.origin.run, record.program.arrival}).second) << "a record stands twice";
    });
    EXPECT_EQ(found, expected);
  }

  bool event(const std::string& out, const std::string& part) const {
    for (const auto& event : RunStore(folder / out, RunStore::Mode::read_only).events())
      if (event.text.find(part) != std::string::npos) return true;
    return false;
  }

  std::string library() const { return folder / "lab/records.db"; }

  Folder folder;
};

TEST_F(Records, TheSecondTuneAnswersFromThem) {
  const json first = tune(kSmall, "first");
  EXPECT_EQ(first.at("programs").get<long>(), kPrograms);
  EXPECT_EQ(first.at("subgraphs_from_records").get<long>(), 0);
  expect_exactly({"first"});

  const json second = tune(kSmall, "second");
  const long subgraphs = static_cast<long>(second.at("subgraphs").size());
  EXPECT_EQ(second.at("programs").get<long>(), 0);
  EXPECT_EQ(second.at("subgraphs_from_records").get<long>(), subgraphs);
  EXPECT_EQ(second.at("earlier_programs").get<long>(), kPrograms);
  // The best known programs of each, the default one among them, are measured again in this run's context: four at
  // most.
  const RunStore store(folder / "second", RunStore::Mode::read_only);
  std::map<SubgraphKey, MeasureJobRow> again;
  for (const MeasureJobRow& job : store.measure_jobs()) {
    EXPECT_EQ(job.purpose, MeasurePurpose::remeasure);
    EXPECT_TRUE(again.emplace(job.subgraph, job).second) << job.subgraph << " stands twice";
    EXPECT_EQ(std::set<Knobs>(job.programs.begin(), job.programs.end()).size(), job.programs.size());
    EXPECT_LE(job.programs.size(), 4u);
  }
  EXPECT_EQ(static_cast<long>(again.size()), subgraphs);
  long measured_again = 0;
  for (const auto& [key, job] : again) measured_again += static_cast<long>(job.programs.size());
  EXPECT_EQ(measured("second"), (std::map<MeasurePurpose, long>{{MeasurePurpose::remeasure, measured_again}}));
  std::set<std::pair<SubgraphKey, std::string>> texts;
  for (const ProgramRow& row : store.programs()) texts.emplace(row.subgraph, row.knobs_text);
  for (const EarlierRow& row : store.earlier())
    EXPECT_TRUE(!row.default_program || !row.latency_us || texts.count({row.subgraph, row.knobs})) << row.subgraph;
  EXPECT_GT(second.at("latency_us").get<double>(), 0);
  EXPECT_GT(second.at("default_latency_us").get<double>(), 0);
  EXPECT_GT(second.at("end_to_end_us").get<double>(), 0);
  for (const json& subgraph : second.at("subgraphs")) EXPECT_TRUE(subgraph.at("from_records").get<bool>());
  expect_exactly({"first", "second"});

  // Nothing at all is measured on request, whatever the budget, and the answer is what is known.
  const json third = tune(kSmall, "third", {"--from-records"}, 100000);
  EXPECT_TRUE(measured("third").empty());
  EXPECT_TRUE(third.at("end_to_end_us").is_null());
  std::map<std::string, double> latencies;
  for (const json& subgraph : second.at("subgraphs")) latencies[subgraph.at("key")] = subgraph.at("latency_us");
  for (const json& subgraph : third.at("subgraphs"))
    EXPECT_LE(subgraph.at("latency_us").get<double>(), latencies.at(subgraph.at("key")));
  expect_exactly({"first", "second"});
  EXPECT_TRUE(std::filesystem::exists(folder / "third/report.html"));

  // A larger budget than the library's is tuned for; the same subgraphs of another network are not tuned again.
  EXPECT_GT(tune(kSmall, "fourth", {}, 60).at("programs").get<long>(), 0);
  const json wide = tune(kWide, "wide");
  long shared = 0, programs = 0;
  for (const json& subgraph : wide.at("subgraphs")) {
    const bool known = latencies.count(subgraph.at("key")) > 0;
    EXPECT_EQ(subgraph.at("from_records").get<bool>(), known) << subgraph.at("key");
    if (known) {
      EXPECT_EQ(subgraph.at("programs").get<long>(), 0) << subgraph.at("key");
    }
    shared += known;
    programs += subgraph.at("programs").get<long>();
  }
  EXPECT_GT(shared, 0);
  const long missing = static_cast<long>(wide.at("subgraphs").size()) - shared;
  EXPECT_NEAR(static_cast<double>(programs),
              1.0 * kPrograms * static_cast<double>(missing) / static_cast<double>(wide.at("subgraphs").size()), 1);

  // What is not there cannot be answered.
  const ProcessResult refused =
      sonar(tune_arguments("mobilenetv3-r16-w1.00-e2-k33333-d11111", "none", {"--from-records"}));
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_NE(refused.err.find("holds no valid program of"), std::string::npos) << refused.err;
}

TEST_F(Records, AnotherIdentityIsSaidAndNotUsed) {
  tune(kSmall, "first");
  const ProcessResult lines = sonar({"records", "export", library()});
  ASSERT_EQ(lines.exit_code, 0) << lines.err;
  std::string text = lines.out;
  const std::string compiler = json::parse(text.substr(0, text.find('\n'))).at("identity").at("compiler");
  for (size_t at = 0; (at = text.find(compiler, at)) != std::string::npos;)
    text.replace(at, compiler.size(), "Halide 7");
  folder.write("other.jsonl", text);
  std::filesystem::remove_all(folder / "lab");
  const ProcessResult imported = sonar({"records", "import", library(), folder / "other.jsonl"});
  ASSERT_EQ(imported.exit_code, 0) << imported.err;

  const json second = tune(kSmall, "second");
  EXPECT_EQ(second.at("programs").get<long>(), kPrograms);
  EXPECT_EQ(second.at("subgraphs_from_records").get<long>(), 0);
  EXPECT_TRUE(event("second", "records of Halide 7 are not used by " + compiler));
  EXPECT_TRUE(RunStore(folder / "second", RunStore::Mode::read_only).earlier().empty());
  const json shown = json::parse(sonar({"records", "show", library(), "--json"}).out);
  EXPECT_EQ(shown.at("identities").size(), 2u);
}

TEST_F(Records, KillsRepeatNothingAndTheLibraryMayVanishMeanwhile) {
  tune(kWide, "earlier");
  ProcessOptions options;
  options.command = {sonar_executable()};
  for (const std::string& argument : tune_arguments(kSmall, "run")) options.command.push_back(argument);
  options.stderr_path = folder / "log";
  options.command.insert(options.command.end(), {"search.batch_programs=4"});
  std::vector<EarlierRow> earlier;
  for (int kills = 0; kills < 6; ++kills) {
    ChildProcess process(options);
    std::this_thread::sleep_for(std::chrono::milliseconds(1500 + 300 * kills));
    if (process.poll()) break;
    ::kill(process.pid(), SIGKILL);
    process.kill();
    const RunStore store(folder / "run", RunStore::Mode::read_only);
    if (!store.has_earlier()) continue;
    // What was taken stands; what the library is later is of no matter.
    if (!earlier.empty()) {
      EXPECT_EQ(store.earlier().size(), earlier.size());
    } else {
      earlier = store.earlier();
      std::filesystem::rename(folder / "lab", folder / "away");
    }
  }
  EXPECT_FALSE(earlier.empty());
  const json result = tune(kSmall, "run", {"search.batch_programs=4"});
  EXPECT_GT(result.at("latency_us").get<double>(), 0);
  expect_exactly({"run"});
}

TEST_F(Records, TwoRunsShareOneLibraryAtTheSameTime) {
  std::vector<std::unique_ptr<ChildProcess>> processes;
  for (const char* network : {kSmall, kWide}) {
    ProcessOptions options;
    options.command = {sonar_executable()};
    for (const std::string& argument : tune_arguments(network, network)) options.command.push_back(argument);
    options.stderr_path = folder / (network + std::string(".log"));
    processes.push_back(std::make_unique<ChildProcess>(options));
  }
  for (auto& process : processes) {
    std::optional<ProcessResult> ended;
    while (!(ended = process->poll())) std::this_thread::sleep_for(std::chrono::milliseconds(50));
    EXPECT_EQ(ended->exit_code, 0) << ended->describe();
  }
  expect_exactly({kSmall, kWide});
}

TEST_F(Records, ASearchStartsFromThemAndAddsItsOwn) {
  tune(kSmall, "tune");
  folder.write("search.toml", tiny_configuration(80));
  const ProcessResult result =
      sonar({"search", folder / "search.toml", "--out", folder / "search", "search.records=" + library()});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const RunStore store(folder / "search", RunStore::Mode::read_only);
  EXPECT_EQ(store.earlier().size(), size_t{kPrograms});
  for (const EarlierSubgraphRow& row : store.earlier_subgraphs()) EXPECT_FALSE(row.answered);
  expect_exactly({"tune", "search"});
}

TEST_F(Records, ALibraryThatCannotBeWrittenCostsAWarning) {
  const json result = tune(kSmall, "run", {"search.records=/proc/nowhere/records.db"});
  EXPECT_EQ(result.at("programs").get<long>(), kPrograms);
  EXPECT_TRUE(event("run", "/proc/nowhere cannot be made"));
  // Later, with another library, it is given all that the run has.
  EXPECT_EQ(tune(kSmall, "run").at("programs").get<long>(), kPrograms);
  expect_exactly({"run"});
}

TEST_F(Records, WhatIsNoLibraryIsRefused) {
  tune(kSmall, "run");
  const auto refused = [&](const std::vector<std::string>& arguments, const std::string& part) {
    const ProcessResult result = sonar(arguments);
    EXPECT_EQ(result.exit_code, 2) << result.err;
    EXPECT_NE(result.err.find(part), std::string::npos) << result.err;
  };
  refused(tune_arguments(kSmall, "new", {"search.records=" + (folder / "run/run.db")}), "is a SONAR run store");
  refused(tune_arguments(kSmall, "new", {"search.records=" + (folder / "tiny.toml")}), "is no SONAR record library");
  refused(tune_arguments(kSmall, "new", {"search.records=", "--from-records"}),
          "--from-records needs a record library");
  refused(tune_arguments(kSmall, "new", {"search.records=" + (folder / "none.db"), "--from-records"}), "no such file");
  refused({"records", "show", folder / "none.db"}, "no such file");
  refused({"records", "export", folder / "tiny.toml"}, "neither a record library nor a run directory");
  refused({"records", "import", library(), library()}, "cannot be imported into itself");
}

TEST_F(Records, ExportAndImportAreExact) {
  tune(kSmall, "run");
  const ProcessResult lines = sonar({"records", "export", library()});
  EXPECT_EQ(sonar({"records", "export", folder / "run"}).out, lines.out);
  ASSERT_EQ(sonar({"records", "export", library(), "--out", folder / "lines.jsonl"}).exit_code, 0);
  const std::string copy = folder / "copy.db";
  for (const std::string& from : {folder / "lines.jsonl", library(), folder / "run"})
    ASSERT_EQ(sonar({"records", "import", copy, from}).exit_code, 0);
  EXPECT_EQ(sonar({"records", "export", copy}).out, lines.out);

  // A bad line is named, and nothing of the file is imported.
  std::string text = lines.out;
  const size_t second = text.find('\n') + 1;
  text.insert(second, "{\"sonar_record\": 1, \"run\": NaN}\n\xff\xfe binary\n");
  folder.write("bad.jsonl", text);
  const std::string fresh = folder / "fresh.db";
  const ProcessResult refused = sonar({"records", "import", fresh, folder / "bad.jsonl"});
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_NE(refused.err.find("bad.jsonl:2: "), std::string::npos) << refused.err;
  EXPECT_FALSE(std::filesystem::exists(fresh));
  const ProcessResult skipped = sonar({"records", "import", fresh, folder / "bad.jsonl", "--skip-bad"});
  EXPECT_EQ(skipped.exit_code, 0) << skipped.err;
  EXPECT_NE(skipped.out.find("2 bad lines passed over"), std::string::npos) << skipped.out;
  EXPECT_NE(skipped.err.find("bad.jsonl:3: "), std::string::npos) << skipped.err;
  EXPECT_EQ(sonar({"records", "export", fresh}).out, lines.out);
}

}  // namespace
}  // namespace sonar::test
