// `sonar compare`: the page and the files beside it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "evaluate/csv.h"
#include "evaluate/test_traces.h"
#include "model/error.h"
#include "model/random.h"
#include "report/compare_files.h"
#include "report/sound_page.h"

namespace sonar {
namespace {

using nlohmann::json;
using test::TraceFolder;
using testing::HasSubstr;

/// 120 networks of one chain of subgraphs each; accuracy follows latency, noisily.
void write_trace(const TraceFolder& folder, bool with_macs) {
  Random random(5);
  std::string networks = with_macs ? "network,subgraphs,chance,macs\n" : "network,subgraphs,chance\n",
              training = "network,epoch,val_accuracy,seconds\n", tuning = "subgraph,programs,latency_us,seconds\n";
  for (int i = 0; i < 120; ++i) {
    const std::string name = "<net \"" + std::to_string(i) + "\">, a&b";  // what must be quoted and escaped
    networks += csv_field(name) + ",s" + std::to_string(i % 30) + ":1;t" + std::to_string(i % 40) + ":2,0.1";
    if (with_macs) networks += "," + std::to_string(1000 + 20 * (i % 30) + 30 * (i % 40));
    networks += "\n";
    const double top = 0.6 + 0.002 * (i % 30) + 0.003 * (i % 40) + 0.05 * random.uniform();
    for (int epoch : {1, 2, 4, 8})
      training += csv_field(name) + "," + std::to_string(epoch) + "," + std::to_string(top * (1 - 0.3 / epoch)) + "," +
                  std::to_string(10 * epoch) + "\n";
  }
  for (const char* kind : {"s", "t"})
    for (int i = 0; i < (*kind == 's' ? 30 : 40); ++i)
      for (int programs : {1, 8, 64})
        tuning += kind + std::to_string(i) + "," + std::to_string(programs) + "," +
                  std::to_string((20 + i) * (1 + (0.5 + 0.3 * (i % 3)) / programs)) + "," + std::to_string(programs) +
                  "\n";
  folder.write("networks.csv", networks);
  folder.write("training.csv", training);
  folder.write("tuning.csv", tuning);
}

std::string text_of(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

struct Compared {
  explicit Compared(bool with_macs = true) {
    write_trace(folder, with_macs);
    options.algorithms = {"pareto", "random"};
    options.speedups = {2, 6};
    options.seeds = 4;
    options.json = true;
    result = json::parse(compare_searches({folder.path}, options, out));
  }
  TraceFolder folder;
  std::string out = folder.path + "/deep/out";
  CompareOptions options;
  json result;
};

TEST(ComparePage, IsOneSoundPageWithEveryFigure) {
  const Compared compared;
  const std::string html = text_of(compared.out + "/compare.html");
  expect_sound_page(html);
  for (const char* id : {"figure5", "figure6", "figure7", "table2", "searches"})
    EXPECT_EQ(count(html, "id=\"" + std::string(id) + "\""), 1u) << id;
  EXPECT_EQ(count(html, "true front and networks returned by"), 4u);              // a panel for each search
  EXPECT_EQ(count(html, "MACs consider optimal"), 2u);                            // one for each algorithm
  EXPECT_THAT(html, HasSubstr("networks that brute force, random 6x and MACs"));  // at its smallest budget
  EXPECT_EQ(count(html, "achieved gap against time spent on"), 1u);
  EXPECT_EQ(count(html, "class=\"band"), 4u);
  EXPECT_THAT(html, HasSubstr("&lt;net &quot;"));
}

TEST(ComparePage, WithoutMacsThereIsNoFlopsProxy) {
  const Compared compared(false);
  const std::string html = text_of(compared.out + "/compare.html");
  expect_sound_page(html);
  EXPECT_THAT(html, HasSubstr("multiply-accumulates of its networks are not known"));
  EXPECT_EQ(count(html, "as the latency"), 0u);
  EXPECT_TRUE(compared.result.at("truths")[0].at("kendall_tau").at("MACs").at("mean").is_null());
}

TEST(ComparePage, FilesHoldWhatTheFiguresShow) {
  const Compared compared;
  const json& truth = compared.result.at("truths")[0];
  ASSERT_EQ(compared.result.at("files").size(), 6u);

  std::map<std::string, long> series;
  CsvReader five(compared.out + "/figure5.csv");
  while (five.next()) ++series[std::string(five.field(five.column("series")))];
  EXPECT_EQ(series.at("all"), 120);
  EXPECT_EQ(series.at("true front"), truth.at("true_front").get<long>());
  for (const json& search : truth.at("searches"))
    EXPECT_EQ(series.at(search.at("name")) / 4.0, search.at("figures").at("survivors").at("mean").get<double>());

  long rows = 0, optimal = 0;
  CsvReader six(compared.out + "/figure6.csv");
  while (six.next()) {
    ++rows;
    optimal += six.field(six.column("brute_force")) == "1";
  }
  EXPECT_EQ(rows, 240);
  EXPECT_EQ(optimal, 2 * truth.at("true_front").get<long>());

  std::map<std::string, double> last;  // the end of each curve
  CsvReader seven(compared.out + "/figure7.csv");
  while (seven.next())
    if (!seven.field(seven.column("achieved")).empty())
      last[std::string(seven.field(seven.column("search")))] = seven.number(seven.column("achieved"));
  for (const json& search : truth.at("searches")) {
    EXPECT_EQ(last.at(search.at("name")), search.at("figures").at("achieved").at("mean").get<double>());
    // And it says what a replay says.
    ReplayOptions of_replay;
    of_replay.algorithm = search.at("algorithm");
    of_replay.speedup = search.at("speedup");
    of_replay.seeds = 4;
    const json replayed = json::parse(replay_trace(compared.folder.path, of_replay, true)).at("mean");
    for (const auto& [name, value] : search.at("figures").items())
      EXPECT_EQ(value.at("mean"), replayed.at(name)) << search.at("name") << " " << name;
  }

  CsvReader table(compared.out + "/table2.csv");
  long metrics = 0;
  while (table.next()) {
    ++metrics;
    const std::string name(table.field(table.column("metric")));
    EXPECT_EQ(table.number(table.column("kendall_tau")), truth.at("kendall_tau").at(name).at("mean").get<double>());
  }
  EXPECT_EQ(metrics, 2 + 4);

  CsvReader searches(compared.out + "/searches.csv");
  long figures = 0;
  while (searches.next()) ++figures;
  EXPECT_EQ(figures, 4 * static_cast<long>(truth.at("searches")[0].at("figures").size()));
}

TEST(ComparePage, TextHasBothTablesAndTheFiles) {
  Compared compared;
  compared.options.json = false;
  compared.options.speedups = {2, 5000};
  const std::string text = compare_searches({compared.folder.path}, compared.options, compared.out);
  for (const char* part : {"pareto 2x", "achieved gap", "Kendall's tau", "untuned", "MACs", "/compare.html",
                           "/figure7.csv", "note: pareto 5000x is not possible"})
    EXPECT_THAT(text, HasSubstr(part));
}

TEST(ComparePage, AFolderThatCannotBeMadeIsNamed) {
  const Compared compared;
  const std::string out = compared.folder.path + "/networks.csv/out";
  const std::string message =
      message_of<EnvironmentError>([&] { compare_searches({compared.folder.path}, compared.options, out); });
  EXPECT_THAT(message, HasSubstr(out + ": cannot be made"));
}

}  // namespace
}  // namespace sonar
