// A run's curves as a trace, and replays of it.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "command.h"
#include "evaluate/csv.h"
#include "evaluate/replay.h"
#include "records/run_store.h"

namespace sonar::test {
namespace {

using nlohmann::json;

const std::vector<std::string> kIndependent = {"search.transfer=false", "search.cost_model=false"};

std::string read_file(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

ProcessResult search(const Folder& folder, const std::string& run, std::vector<std::string> more) {
  std::vector<std::string> arguments = {"search", folder / "tiny.toml", "--out", folder / run};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return sonar(arguments);
}

TEST(Trace, ReplayingARunsOwnCurvesReproducesItsDecisions) {
  const Folder folder("replay-own");
  folder.write("tiny.toml", tiny_configuration(200));
  const ProcessResult result = search(folder, "run", kIndependent);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const ProcessResult written = sonar({"trace", folder / "run", "--out", folder / "trace"});
  ASSERT_EQ(written.exit_code, 0) << written.err;
  EXPECT_NE(written.out.find("were not trained and tuned in full"), std::string::npos) << written.out;

  // The same counted budgets: 10 epochs of 8 steps, 200 programs.
  const Trace trace = with_counted_costs(read_trace(folder / "trace"), 8);
  ReplaySetup setup;
  setup.steps_per_epoch = 8;
  setup.minimum_slice = 0.5;
  setup.train_budget_s = 80;
  setup.tune_budget_s = 200;
  const Truth truth(trace);
  const ReplayRun replayed = replay(trace, truth, setup, 3);

  const RunStore store(folder / "run", RunStore::Mode::read_only);
  std::map<std::pair<int, std::string>, DecisionRow> decided;
  for (const DecisionRow& row : store.decisions()) decided[{row.round, row.network}] = row;
  ASSERT_EQ(replayed.rounds.size(), store.rounds().size());
  size_t next = 0;
  for (size_t round = 0; round < replayed.rounds.size(); ++round)
    for (long n = 0; n < replayed.rounds[round].networks; ++n) {
      const Decision& decision = replayed.decisions[next++];
      const std::string& name = trace.networks[decision.network].name;
      const auto found = decided.find({static_cast<int>(round), name});
      ASSERT_NE(found, decided.end()) << name << " in round " << round;
      // Trained as far, and seen as accurate.
      EXPECT_EQ(decision.objectives.accuracy, found->second.objectives.accuracy) << name;
      if (round > 0) continue;  // before its last decision the run has measured the fastest programs once more
      EXPECT_EQ(decision.verdict.kept, found->second.kept) << name;
      EXPECT_EQ(decision.verdict.rank, found->second.rank) << name;
    }
}

TEST(Trace, OfABruteForceReplaysEveryAlgorithm) {
  const Folder folder("trace-brute");
  folder.write("tiny.toml", tiny_configuration(0));
  std::vector<std::string> more = kIndependent;
  more.insert(more.end(), {"search.algorithm=brute-force", "search.epochs=0", "search.full_programs=4"});
  const ProcessResult result = search(folder, "run", more);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const ProcessResult written = sonar({"trace", folder / "run", "--out", folder / "trace"});
  ASSERT_EQ(written.exit_code, 0) << written.err;
  EXPECT_EQ(written.out.find("note:"), std::string::npos) << written.out;

  const RunStore store(folder / "run", RunStore::Mode::read_only);
  const Trace trace = read_trace(folder / "trace");
  ASSERT_EQ(trace.networks.size(), 4u);
  for (const Trace::Network& network : trace.networks) {
    EXPECT_EQ(network.training.rows.back().epoch, 4);
    EXPECT_EQ(network.training.rows[1].epoch, 0.5);  // of 8 steps, of which a slice has 4 at least
    EXPECT_DOUBLE_EQ(network.chance, 0.1);
    EXPECT_GE(network.test_accuracy, 0);
  }
  for (const Trace::Subgraph& subgraph : trace.subgraphs) {
    EXPECT_LE(subgraph.tuning.full_programs(), 4);
    EXPECT_GT(subgraph.macs + 1, 0);
  }
  for (const char* algorithm : {"pareto", "random", "brute-force", "proxy-flops", "proxy-untuned"}) {
    const ProcessResult replayed =
        sonar({"replay", folder / "trace", "--algorithm", algorithm, "--speedup", "2", "--seeds", "2", "--json"});
    ASSERT_EQ(replayed.exit_code, 0) << algorithm << ": " << replayed.err;
    const json mean = json::parse(replayed.out).at("mean");
    if (std::string(algorithm) == "brute-force") {
      EXPECT_NEAR(mean.at("selected").get<double>(), 0, 1e-9);
      EXPECT_NEAR(mean.at("tune_spent").get<double>(), 1, 1e-9);
    } else {
      EXPECT_LE(mean.at("tune_spent").get<double>(), 0.5 + 1e-9);
    }
  }

  // The same run as the truth of a comparison, and a search of the same networks beside it.
  const ProcessResult searched = search(folder, "real", {"search.programs=100"});
  ASSERT_EQ(searched.exit_code, 0) << searched.err;
  const ProcessResult compared = sonar({"compare", folder / "run", folder / "real", "--algorithms", "pareto,random",
                                        "--speedups", "2", "--seeds", "3", "--out", folder / "cmp", "--json"});
  ASSERT_EQ(compared.exit_code, 0) << compared.err;
  const json result_of = json::parse(compared.out), &truth = result_of.at("truths").at(0);
  EXPECT_EQ(truth.at("trace"), "run");
  ASSERT_EQ(truth.at("searches").size(), 3u);
  for (const char* file : {"networks.csv", "training.csv", "tuning.csv"})  // of the same records, the same trace
    EXPECT_EQ(read_file(folder / ("cmp/trace-run/" + std::string(file))),
              read_file(folder / ("trace/" + std::string(file))));
  std::map<std::string, double> ends;
  CsvReader curves(folder / "cmp/figure7.csv");
  while (curves.next())
    if (!curves.field(curves.column("achieved")).empty())
      ends[std::string(curves.field(curves.column("search"))) + " " +
           std::string(curves.field(curves.column("axis")))] = curves.number(curves.column("achieved"));
  for (const json& of_search : truth.at("searches")) {
    const std::string name = of_search.at("name");
    const json& figures = of_search.at("figures");
    if (const json& achieved = figures.at("achieved").at("mean"); achieved.is_null())  // all is missed
      EXPECT_FALSE(ends.count(name + " ledgers")) << name;
    else
      EXPECT_EQ(achieved.get<double>(), ends.at(name + " ledgers")) << name;
    if (of_search.at("speedup").is_null()) continue;
    const ProcessResult replayed = sonar({"replay", folder / "trace", "--algorithm", of_search.at("algorithm"),
                                          "--speedup", "2", "--seeds", "3", "--json"});
    const json mean = json::parse(replayed.out).at("mean");
    for (const auto& [figure, value] : figures.items()) EXPECT_EQ(value.at("mean"), mean.at(figure)) << figure;
  }
  EXPECT_EQ(truth.at("searches")[2].at("name"), "real");
  EXPECT_EQ(truth.at("searches")[2].at("figures").at("candidates").at("mean"), 4);
  EXPECT_EQ(ends.at("real clock"), ends.at("real ledgers"));
  const RunStore real(folder / "real", RunStore::Mode::read_only);
  std::map<std::string, Objectives> stated;
  for (const ResultRow& row : real.results()) stated[row.network] = row.objectives;
  size_t returned = 0;
  CsvReader points(folder / "cmp/figure5.csv");
  while (points.next()) {
    if (points.field(points.column("series")) != "real") continue;
    ++returned;
    const Objectives& objectives = stated.at(std::string(points.field(points.column("network"))));
    EXPECT_EQ(points.number(points.column("search_accuracy")), objectives.accuracy);
    EXPECT_EQ(points.number(points.column("search_latency_us")), objectives.latency_us);
  }
  EXPECT_EQ(returned, stated.size());
  EXPECT_NE(read_file(folder / "cmp/compare.html").find("</html>"), std::string::npos);
}

TEST(Trace, CurvesThatDependOnTheOrderAreRefused) {
  const Folder folder("trace-order");
  folder.write("tiny.toml", tiny_configuration(60));
  const ProcessResult result = search(folder, "run", {"search.epochs=4", "search.candidates=2"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const ProcessResult refused = sonar({"trace", folder / "run", "--out", folder / "trace"});
  EXPECT_EQ(refused.exit_code, 2);
  for (const char* text : {"search.transfer=false", "search.cost_model=false", "--force"})
    EXPECT_NE(refused.err.find(text), std::string::npos) << refused.err;
  EXPECT_FALSE(std::filesystem::exists(folder / "trace"));
  const ProcessResult forced = sonar({"trace", folder / "run", "--out", folder / "trace", "--force"});
  EXPECT_EQ(forced.exit_code, 0) << forced.err;
  EXPECT_NE(forced.out.find("note: "), std::string::npos);
}

TEST(Proxies, SearchTunesTheirFrontOnly) {
  const Folder folder("proxy");
  folder.write("tiny.toml", tiny_configuration(100));
  const ProcessResult result = search(folder, "run", {"search.algorithm=proxy-untuned", "--json"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const RunStore store(folder / "run", RunStore::Mode::read_only);
  const auto rounds = store.rounds();
  ASSERT_EQ(rounds.size(), 3u);
  std::set<SubgraphKey> tuned, of_survivors;
  for (const MeasureJobRow& job : store.measure_jobs())
    if (job.purpose == MeasurePurpose::batch) {
      EXPECT_EQ(job.round, 2);
      tuned.insert(job.subgraph);
    }
  for (const NetworkRow& network : store.networks())
    if (std::count(rounds[2].networks.begin(), rounds[2].networks.end(), network.name))
      for (const auto& [key, count] : network.subgraphs) of_survivors.insert(key);
  EXPECT_FALSE(tuned.empty());
  for (const SubgraphKey& key : tuned) EXPECT_TRUE(of_survivors.count(key)) << key;

  const ProcessResult timed = search(
      folder, "other", {"search.algorithm=proxy-flops", "search.epochs=0", "search.programs=0", "search.time=60s"});
  EXPECT_EQ(timed.exit_code, 2);
  EXPECT_NE(timed.err.find("set search.epochs and search.programs"), std::string::npos) << timed.err;
}

}  // namespace
}  // namespace sonar::test
