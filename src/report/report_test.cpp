#include "report/report.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <regex>
#include <set>

#include "model/error.h"
#include "records/temporary_folder.h"
#include "report/example_run.h"
#include "report/sound_page.h"

namespace sonar {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::Not;
constexpr auto kWrite = RunStore::Mode::create_or_open;
constexpr auto kRead = RunStore::Mode::read_only;

ReportData gather(const std::string& folder) { return gather_report(RunStore(folder, kRead)); }

TEST(Report, AFinishedRunShowsItsNumbers) {
  TemporaryFolder folder;
  write_example_run(folder.path(), {});
  const ReportData data = gather(folder.path());
  EXPECT_TRUE(data.finished);
  EXPECT_FALSE(data.writer.has_value());
  EXPECT_EQ(data.networks.size(), 64u);
  EXPECT_EQ(data.planned_rounds, 6);
  EXPECT_EQ(data.rounds.size(), 6u);
  const size_t failed = std::count_if(data.programs.begin(), data.programs.end(),
                                      [](const auto& p) { return std::holds_alternative<MeasureError>(p.outcome); });
  EXPECT_EQ(data.failed_programs, static_cast<long>(failed));
  EXPECT_GT(failed, 0u);

  const std::string html = report_html(data);
  expect_sound_page(html);
  EXPECT_THAT(html, HasSubstr("candidate networks"));
  EXPECT_THAT(html, HasSubstr("6 of 6"));
  EXPECT_THAT(html, HasSubstr("less than brute force"));
  EXPECT_THAT(html, HasSubstr("/data/&lt;birds&gt; &amp; &quot;bees&quot;/train"));
  EXPECT_THAT(html, Not(HasSubstr("<birds>")));
  EXPECT_THAT(html, HasSubstr("signal 11 (Segmentation fault) in &lt;runner&gt;"));
  EXPECT_THAT(html, HasSubstr("Example CPU @ 2.5 GHz"));
  for (const NetworkView& view : data.networks) EXPECT_THAT(html, HasSubstr(view.network.name));
  for (const NetworkView& view : data.networks) EXPECT_TRUE(view.alive || !view.reason.empty());
  // Each candidate is one point of the front plot.
  const size_t plot = html.find("accuracy against latency of all candidates");
  const std::string svg = html.substr(plot, html.find("</svg>", plot) - plot);
  EXPECT_EQ(count(svg, "class=\"pt "), data.networks.size());
  const auto front =
      std::count_if(data.networks.begin(), data.networks.end(), [](const auto& v) { return v.on_front; });
  EXPECT_EQ(count(svg, "front-pt"), static_cast<size_t>(front));
}

TEST(Report, SectionsComeInOrder) {
  TemporaryFolder folder;
  write_example_run(folder.path(), {});
  const std::string html = report_html(gather(folder.path()));
  size_t previous = html.find("class=\"tiles\"");
  ASSERT_NE(previous, std::string::npos);
  for (const char* id : {"front", "training", "tuning", "use", "failures", "networks", "events", "configuration"}) {
    const size_t at = html.find(fmt::format("<h2 id=\"{}\"", id));
    ASSERT_NE(at, std::string::npos) << id;
    EXPECT_GT(at, previous) << id;
    previous = at;
  }
}

TEST(Report, TheFrontIsTheNonDominatedSetOfTheNetworksAlive) {
  for (int rounds : {-1, 0, 2}) {
    TemporaryFolder folder;
    ExampleRun example;
    example.rounds_to_run = rounds;
    write_example_run(folder.path(), example);
    const ReportData data = gather(folder.path());
    const json front = json::parse(front_json(data));
    std::vector<std::pair<double, double>> points;
    for (const auto& p : front.at("points"))
      points.emplace_back(p.at("val_accuracy").is_null() ? -1.0 : p.at("val_accuracy").get<double>(),
                          p.at("latency_us").get<double>());
    ASSERT_EQ(points.size(), data.alive());
    for (size_t i = 0; i < points.size(); ++i) {
      const auto& p = front.at("points")[i];
      EXPECT_TRUE(p.at("architecture").is_string());
      bool dominated = false;
      for (const auto& [accuracy, latency] : points)
        dominated |= accuracy >= points[i].first && latency <= points[i].second &&
                     (accuracy > points[i].first || latency < points[i].second);
      EXPECT_EQ(p.at("on_front").get<bool>(), !dominated && points[i].first >= 0);
    }
    expect_sound_page(report_html(data));
    EXPECT_EQ(json::parse(front_json(data, FrontScope::all)).at("points").size(), data.networks.size());
  }
}

TEST(Report, CsvAgreesWithJsonAndQuotes) {
  TemporaryFolder folder;
  write_example_run(folder.path(), {});
  write_front_csv(folder.path(), folder / "front.csv");
  std::ifstream in(folder / "front.csv");
  std::string line;
  std::getline(in, line);
  EXPECT_EQ(line, "architecture,val_accuracy,latency_us,on_front,test_accuracy,end_to_end_us,round,reason");
  const json points = json::parse(front_json(gather(folder.path()))).at("points");
  for (const auto& point : points) {
    ASSERT_TRUE(std::getline(in, line));
    std::vector<std::string> cells;
    std::stringstream split(line);
    for (std::string cell; cells.size() < 7 && std::getline(split, cell, ',');) cells.push_back(cell);
    EXPECT_EQ(cells[0], point.at("architecture"));
    EXPECT_EQ(std::stod(cells[1]), point.at("val_accuracy").get<double>());
    EXPECT_EQ(std::stod(cells[2]), point.at("latency_us").get<double>());
    EXPECT_EQ(cells[3] == "1", point.at("on_front").get<bool>());
    EXPECT_EQ(std::stod(cells[4]), point.at("test_accuracy").get<double>());
  }
  EXPECT_FALSE(std::getline(in, line));
  EXPECT_THAT(message_of<EnvironmentError>([&] { write_front_csv(folder.path(), folder / "no/front.csv"); }),
              HasSubstr("no/front.csv cannot be written (No such file or directory)"));

  TemporaryFolder other;
  RunStore store(other.path(), kWrite);
  store.put_networks({{"a,\"b\"", 1, 1, 1, {}}});
  EXPECT_THAT(front_csv(gather(other.path())), HasSubstr("\n\"a,\"\"b\"\"\",,,0,,,0,\n"));
}

TEST(Report, AThresholdNamesTheMostAccurateNetworkWithin) {
  TemporaryFolder folder;
  ExampleRun example;
  example.threshold_us = 120;
  write_example_run(folder.path(), example);
  const ReportData data = gather(folder.path());
  const NetworkView *chosen = nullptr, *best = nullptr;
  for (const NetworkView& view : data.networks) {
    if (view.selected) chosen = &view;
    if (view.alive && view.objectives.latency_us <= 120 &&
        (!best || view.objectives.accuracy > best->objectives.accuracy))
      best = &view;
  }
  ASSERT_NE(best, nullptr);
  EXPECT_EQ(chosen, best);
  const std::string html = report_html(data);
  expect_sound_page(html);
  EXPECT_THAT(html, HasSubstr("The most accurate network within 120 µs is"));
  EXPECT_THAT(html, HasSubstr("threshold 120 µs"));
  EXPECT_THAT(front_text(data), HasSubstr("chosen"));
  EXPECT_EQ(json::parse(status_json(data)).at("selected").at("architecture"), best->network.name);
}

TEST(Report, AThresholdThatNothingReachesNamesTheFastest) {
  TemporaryFolder folder;
  ExampleRun example;
  example.threshold_us = 0.5;
  write_example_run(folder.path(), example);
  const ReportData data = gather(folder.path());
  EXPECT_THAT(report_html(data), HasSubstr("No network reaches 0.50 µs; the fastest is"));
  EXPECT_THAT(status_text(data), HasSubstr("no network reaches it yet"));
}

TEST(Report, AZeroThresholdIsNoThreshold) {
  TemporaryFolder folder;
  write_example_run(folder.path(), {});
  RunStore(folder.path(), kWrite).put_value("threshold_us", "0");
  const ReportData data = gather(folder.path());
  EXPECT_THAT(report_html(data), Not(HasSubstr("No network reaches")));
  EXPECT_THAT(status_text(data), Not(HasSubstr("threshold")));
  EXPECT_TRUE(json::parse(status_json(data)).at("threshold_us").is_null());
}

TEST(Report, ResultsThatMarkOnlyTheAnswerStillShowTheFront) {
  TemporaryFolder folder;
  RunStore store(folder.path(), kWrite);
  store.put_value("threshold_us", "50");
  store.put_networks({{"fast", 1, 1, 1, {}}, {"chosen one", 1, 1, 1, {}}, {"slow", 1, 1, 1, {}}, {"bad", 1, 1, 1, {}}});
  store.put_results({{"fast", {0.2, 10}, false, -1, -1, 0},
                     {"chosen one", {0.5, 40}, true, -1, -1, 0},
                     {"slow", {0.8, 1000}, false, -1, -1, 0},
                     {"bad", {0.1, 2000}, false, -1, -1, 0}});
  const ReportData data = gather(folder.path());
  for (const NetworkView& view : data.networks) {
    EXPECT_EQ(view.on_front, view.network.name == "chosen one");
    EXPECT_EQ(view.selected, view.network.name == "chosen one");
    EXPECT_EQ(view.non_dominated, view.network.name != "bad");
  }
  EXPECT_EQ(count(report_html(data), "class=\"pt front-pt\""), 3u);
}

TEST(Report, BudgetsAndRoundsComeFromTheConfigurationWhenTheyAreNotStored) {
  TemporaryFolder folder;
  RunStore store(folder.path(), kWrite);
  store.bind_configuration(
      {{"search.time", "20m"}, {"search.epochs", "3"}, {"search.programs", "500"}, {"train.epochs", "8"}});
  store.put_value("full_steps", "800");
  store.put_value("elapsed_s", "300");
  store.put_networks({{"a", 1, 1, 1, {}}, {"b", 1, 1, 1, {}}, {"c", 1, 1, 1, {}}});
  store.put_train_point({"a", 120, 0.5, 1, 20, 10}, 0, 20);
  json status = json::parse(status_json(gather(folder.path())));
  EXPECT_EQ(status.at("time_left_s"), 900);
  EXPECT_EQ(status.at("train").at("budget"), 300);  // 3 epochs of 100 steps
  EXPECT_EQ(status.at("train").at("left"), 180);
  EXPECT_EQ(status.at("tune").at("budget"), 500);
  EXPECT_EQ(status.at("rounds"), 2);
  store.put_value("algorithm", "brute-force");
  EXPECT_EQ(json::parse(status_json(gather(folder.path()))).at("rounds"), 1);
}

TEST(Report, StatusOfALiveRun) {
  TemporaryFolder folder;
  ExampleRun example;
  example.rounds_to_run = 3;
  example.stop_mid_round = true;
  write_example_run(folder.path(), example);
  {
    const std::string text = status_text(gather(folder.path()));
    EXPECT_THAT(text, HasSubstr("stopped"));
    EXPECT_THAT(text, HasSubstr("'sonar search' with the same configuration and folder continues it"));
  }
  RunStore writer(folder.path(), kWrite);
  const ReportData data = gather(folder.path());
  const json status = json::parse(status_json(data));
  EXPECT_EQ(status.at("state"), "running");
  EXPECT_EQ(status.at("process"), getpid());
  EXPECT_EQ(status.at("round"), 3);
  EXPECT_EQ(status.at("rounds"), 6);
  EXPECT_EQ(status.at("networks"), 64);
  EXPECT_EQ(status.at("survivors"), data.alive());
  EXPECT_LT(data.alive(), 64u);
  EXPECT_EQ(status.at("programs"), data.programs.size());
  long failures = 0;
  for (const auto& failure : status.at("failures")) failures += failure.at("count").get<long>();
  EXPECT_EQ(status.at("failed_programs"), failures);
  EXPECT_GT(status.at("tune").at("busy_fraction").get<double>(), 0);
  EXPECT_LE(status.at("train").at("busy_fraction").get<double>(), 1);
  EXPECT_NEAR(status.at("time_left_s").get<double>(), 7200 - data.elapsed_s, 1e-6);
  EXPECT_EQ(status.at("last_event").at("kind"), "resume");
  const std::string text = status_text(data);
  EXPECT_THAT(text, HasSubstr("3 of 6; "));
  EXPECT_THAT(text, HasSubstr("x run timeout: no answer within 2 s"));
  EXPECT_THAT(text, HasSubstr("best so far"));
}

TEST(Report, BusyTimeCountsOverlapsOnce) {
  TemporaryFolder folder;
  RunStore store(folder.path(), kWrite);
  store.put_usage({Side::tune, 0, 0, 4, ""});
  store.put_usage({Side::tune, 0, 2, 5, ""});
  store.put_usage({Side::tune, 1, 9, 10, ""});
  store.put_usage({Side::tune, 1, 8, 7, "a clock that went back"});
  const ReportData data = gather(folder.path());
  EXPECT_EQ(data.tune_use.cores, 2);
  EXPECT_DOUBLE_EQ(data.tune_use.busy_s, 6);
  EXPECT_DOUBLE_EQ(data.tune_use.fraction, 6.0 / 20);
  EXPECT_EQ(data.train_use.cores, 0);
}

TEST(Report, BudgetsAreShownWithTheirUnits) {
  TemporaryFolder folder;
  RunStore store(folder.path(), kWrite);
  store.put_value("tune_budget", "20000");
  store.put_value("tune_spent", "5000");
  store.put_value("tune_unit", "programs");
  const ReportData data = gather(folder.path());
  EXPECT_THAT(status_text(data), HasSubstr("budget: 5,000 of 20,000 programs spent, 15,000 left"));
  const json status = json::parse(status_json(data));
  EXPECT_EQ(status.at("tune").at("left"), 15000);
  EXPECT_EQ(status.at("tune").at("unit"), "programs");
  EXPECT_TRUE(status.at("train").at("budget").is_null());
}

TEST(Report, BruteForceCostIsTheRecordedRateTimesTheFullWork) {
  TemporaryFolder folder;
  RunStore store(folder.path(), kWrite);
  store.put_networks({{"a", 1, 1, 1, {{"s", 1}}}, {"b", 1, 1, 1, {{"t", 1}}}});
  store.put_value("full_steps", "1000");
  store.put_train_point({"a", 100, 0.5, 1, 20, 10}, 1, 20);  // 0.2 s a step
  store.put_value("train_seconds", "20");
  EXPECT_THAT(report_html(gather(folder.path())), Not(HasSubstr("would take"))) << "what is not spent yet is not saved";
  store.put_value("finished", "1");
  // 1000 steps x 2 networks x 0.2 s = 400 s = 20 times what was spent.
  EXPECT_THAT(report_html(gather(folder.path())), HasSubstr("would take 6 min 40 s (<strong>20×</strong>)"));
  store.put_value("brute_force_train_seconds", "50");
  EXPECT_THAT(report_html(gather(folder.path())), HasSubstr("would take 50.0 s (<strong>2.5×</strong>)"));
}

TEST(Report, DegenerateRunsNeitherCrashNorPrintNoNumbers) {
  auto check = [](RunStore& store) {
    const ReportData data = gather_report(store);
    expect_sound_page(report_html(data));
    EXPECT_TRUE(json::accept(front_json(data, FrontScope::all)));
    EXPECT_TRUE(json::accept(status_json(data)));
    for (const std::string& text : {status_text(data), front_text(data), front_csv(data)}) {
      EXPECT_THAT(text, Not(HasSubstr("nan"))) << text;
      EXPECT_THAT(text, Not(HasSubstr("inf"))) << text;
    }
  };
  {
    TemporaryFolder folder;
    RunStore store(folder.path(), kWrite);
    check(store);  // nothing at all
    store.put_networks({{"only", 0, 0, 0, {}}});
    check(store);  // no subgraphs
    store.put_train_point({"only", 0, std::nan(""), std::nan(""), 0, 0}, 0, 0);
    store.put_train_point({"only", 5, 0.5, 1, 0, 0}, 0, 0);
    store.put_train_point({"unknown", 5, 0.5, 1, 0, 0}, 0, 0);
    check(store);
    store.put_round({0, {"only"}, {}, 0, 0, 0, 0, -1});
    check(store);
    store.put_decisions({{0, "only", {0.5, INFINITY}, 0, true, "only one"}}, 0);
    check(store);
    store.put_results({{"only", {0.5, INFINITY}, true, -1, -1, 0}});
    check(store);
    store.put_value("finished", "1");
    store.put_value("threshold_us", "nan");
    store.put_value("full_steps", "inf");
    check(store);
  }
  {
    TemporaryFolder folder;
    RunStore store(folder.path(), kWrite);
    store.put_networks({{"a", 1e6, 1e5, 1, {{"s", 2}, {"t", 1}}}, {"b", 1e6, 1e5, 1, {{"s", 1}}}});
    MeasureJobRow job;
    job.subgraph = "s";
    job.purpose = MeasurePurpose::fallback;
    job.programs = {{1}};
    const long id = store.put_measure_job(job);
    store.put_program({id, 0, "s", {1}, "", MeasureError{MeasureErrorKind::compile_error, "bad \xff bytes\x01"}, 0, 1});
    check(store);  // everything fails
    store.put_program({id, 1, "s", {2}, "", Measurement{{0}, 0, 0, std::nan(""), 1, false}, 0, 1});
    check(store);  // a latency of zero is none
    store.put_program({id, 2, "s", {2}, "", Measurement{{7}, 7, 7, 0, 1, false}, 0, 1});
    store.put_train_point({"b", 5, 0.5, 1, 1, 1}, 0, 0);
    store.put_usage({Side::train, 0, 5, 5, ""});
    store.put_usage({Side::train, 0, std::nan(""), INFINITY, ""});
    store.put_event(std::nan(""), "odd", "an event out of time");
    check(store);
    const ReportData data = gather_report(store);
    EXPECT_TRUE(std::isinf(data.networks[0].objectives.latency_us)) << "t has no program";
    EXPECT_EQ(data.networks[1].objectives.latency_us, 7);
    EXPECT_TRUE(data.networks[1].on_front);
    EXPECT_THAT(report_html(data), HasSubstr("Not drawn: 1 network without an accuracy or a valid latency."));
  }
}

TEST(Report, TheKneeIsThePointFarthestAboveTheEnds) {
  TemporaryFolder folder;
  RunStore store(folder.path(), kWrite);
  store.put_networks(
      {{"fast", 1, 1, 1, {}}, {"bend", 1, 1, 1, {}}, {"on the line", 1, 1, 1, {}}, {"slow", 1, 1, 1, {}}});
  store.put_results({{"fast", {0.2, 10}, true, -1, -1, 0},
                     {"bend", {0.7, 100}, true, -1, -1, 0},
                     {"on the line", {0.75, 500}, true, -1, -1, 0},
                     {"slow", {0.8, 1000}, true, -1, -1, 0}});
  for (const NetworkView& view : gather(folder.path()).networks) EXPECT_EQ(view.knee, view.network.name == "bend");
}

TEST(Report, NetworksCannotSmuggleMarkup) {
  TemporaryFolder folder;
  RunStore store(folder.path(), kWrite);
  const std::string evil = "<script>alert('1')</script>\"onload=\"x";
  store.put_networks({{evil, 1, 1, 1, {{evil, 1}}}});
  store.bind_identity({evil, evil, evil, 1, 1, 1});
  store.put_event(1, evil, evil);
  store.put_value("algorithm", evil);
  const long job = store.put_measure_job({});
  store.put_program({job, 0, evil, {1}, evil, MeasureError{MeasureErrorKind::crash, evil}, 0, 1});
  store.put_program({job, 1, evil, {1}, evil, Measurement{{7}, 7, 7, 0, 1, false}, 0, 1});
  store.put_train_point({evil, 5, 0.5, 1, 1, 1}, 0, 0);
  store.put_round({1, {evil}, {5}, 0, 0, 0, 0, -1});
  store.put_decisions({{1, evil, {0.5, 7}, 0, true, evil}}, 1);
  const std::string html = report_html(gather(folder.path()));
  EXPECT_THAT(html, Not(HasSubstr("<script>alert")));
  EXPECT_THAT(html, Not(HasSubstr("\"onload")));
  expect_sound_page(html);
}

TEST(Report, AThousandNetworksStaySmallAndQuick) {
  TemporaryFolder folder;
  ExampleRun example;
  example.networks = 1000;
  example.programs = 20000;
  write_example_run(folder.path(), example);
  const auto start = std::chrono::steady_clock::now();
  write_report(folder.path(), folder / "report.html");
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const auto size = std::filesystem::file_size(folder / "report.html");
  std::printf("1,000 networks, 20,000 programs: %.2f MB in %.2f s\n", size / 1e6, seconds);
  EXPECT_LT(size, 5'000'000u);
  std::ifstream in(folder / "report.html");
  expect_sound_page(std::string(std::istreambuf_iterator<char>(in), {}));
  // To look at the page: SONAR_KEEP_REPORT=file report_test --gtest_filter=*Thousand*
  if (const char* keep = std::getenv("SONAR_KEEP_REPORT"))
    std::filesystem::copy_file(folder / "report.html", keep, std::filesystem::copy_options::overwrite_existing);
}

}  // namespace
}  // namespace sonar
