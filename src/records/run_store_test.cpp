#include "records/run_store.h"

#include <SQLiteCpp/SQLiteCpp.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <limits>

#include "model/error.h"
#include "model/random.h"
#include "records/temporary_folder.h"

namespace sonar {
namespace {

using testing::HasSubstr;
constexpr auto kWrite = RunStore::Mode::create_or_open;
constexpr auto kRead = RunStore::Mode::read_only;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// Equal, NaN being equal to NaN.
bool same(double a, double b) { return a == b || (std::isnan(a) && std::isnan(b)); }

RecordIdentity some_identity() { return {"x86-64-linux-avx512", "CPU of 2 cores", "Halide 21.0.0", 3, 2, 1}; }

long some_job(RunStore& store, std::vector<Knobs> programs = {{1, 2}}) {
  MeasureJobRow job;
  job.subgraph = "conv-a";
  job.programs = std::move(programs);
  return store.put_measure_job(job);
}

ProgramRow measured(long job, int index, double median_us = 12.5) {
  ProgramRow row;
  row.job = job;
  row.index = index;
  row.subgraph = "conv-a";
  row.knobs = {1, -2, 3};
  row.knobs_text = "tile=1";
  row.outcome = Measurement{{median_us, median_us + 0.1}, median_us, median_us, 0.01, 20, false};
  return row;
}

void execute(const std::string& folder, const std::string& sql) {
  SQLite::Database(folder + "/run.db", SQLite::OPEN_READWRITE).exec(sql);
}

TEST(RunStore, ProxiesAreKeptAndBindTheConfiguration) {
  TemporaryFolder folder;
  {
    RunStore store(folder / "run", kWrite);
    store.bind_configuration({{"search.proxy", "a"}});
    store.bind_configuration({{"search.proxy", "b"}});
    EXPECT_TRUE(store.proxies().empty());
    store.put_proxy("net:1", 0.1);
    store.put_proxy("net 2", 12345.678901234567);
    store.put_proxy("net 2", 2e-7);
  }
  {
    RunStore store(folder / "run", kWrite);
    EXPECT_EQ(store.proxies(), (std::map<std::string, double>{{"net:1", 0.1}, {"net 2", 2e-7}}));
    store.bind_configuration({{"search.proxy", "b"}});
    try {
      store.bind_configuration({{"search.proxy", "c"}});
      FAIL() << "the numbers of b would count as those of c";
    } catch (const UserError& error) {
      EXPECT_THAT(error.what(), HasSubstr("search.proxy: b in the run, c asked for"));
    }
  }
  execute(folder / "run", "UPDATE value SET value = '1 ms' WHERE name = 'proxy_ms:net 2'");
  try {
    RunStore(folder / "run", kRead).proxies();
    FAIL() << "read";
  } catch (const EnvironmentError& error) {
    EXPECT_THAT(error.what(), HasSubstr("value.proxy_ms:net 2: '1 ms' is no number"));
  }
}

TEST(RunStore, NewStoreIsEmptyAndSaysWhatItIs) {
  TemporaryFolder folder;
  RunStore store(folder / "run", kWrite);
  EXPECT_EQ(store.folder(), folder / "run");
  EXPECT_TRUE(store.networks().empty());
  EXPECT_TRUE(store.programs().empty());
  EXPECT_TRUE(store.failures().empty());
  EXPECT_FALSE(store.identity().has_value());
  EXPECT_FALSE(store.value("elapsed_s").has_value());
  SQLite::Database db(folder / "run/run.db");
  EXPECT_EQ(db.execAndGet("PRAGMA user_version").getInt(), 2);
  EXPECT_EQ(db.execAndGet("SELECT value FROM meta WHERE name = 'schema_version'").getString(), "2");
  EXPECT_EQ(db.execAndGet("PRAGMA journal_mode").getString(), "wal");
}

TEST(RunStore, ConfigurationIsStoredOnceAndDifferencesAreNamed) {
  TemporaryFolder folder;
  RunStore store(folder.path(), kWrite);
  const std::vector<std::pair<std::string, std::string>> first = {{"train.epochs", "8"}, {"seed", "1"}, {"old", "x"}};
  store.bind_configuration({{"seed", "9"}});  // nothing is measured yet: the next values replace these
  store.bind_configuration(first);
  store.bind_configuration(first);
  EXPECT_EQ(store.configuration(), first);
  store.put_measure_job({.subgraph = "s", .requested = 1, .programs = {{1}}});
  const std::string message = message_of<UserError>([&] {
    store.bind_configuration({{"seed", "1"}, {"train.epochs", "12"}, {"new", "y"}});
  });
  EXPECT_THAT(message, HasSubstr("train.epochs: 8 in the run, 12 asked for"));
  EXPECT_THAT(message, HasSubstr("new: not set in the run, y asked for"));
  EXPECT_THAT(message, HasSubstr("old: x in the run, not set now"));
  EXPECT_THAT(message, testing::Not(HasSubstr("seed")));
  EXPECT_THAT(message, HasSubstr(folder.path()));
  EXPECT_EQ(store.configuration(), first);

  // A key of a later version had its default in this run, and may have no other value now.
  auto later = first;
  later.emplace_back("new", "y");
  store.bind_configuration(later, {{"new", "y"}, {"seed", "5"}});
  EXPECT_EQ(store.configuration(), first);
  EXPECT_THAT(message_of<UserError>([&] {
                store.bind_configuration(later, {{"new", "z"}, {"seed", "5"}});
              }),
              HasSubstr("new: not set in the run, y asked for"));
}

TEST(RunStore, IdentityOfAnotherMachineIsRefused) {
  TemporaryFolder folder;
  RunStore store(folder.path(), kWrite);
  store.bind_identity(some_identity());
  store.bind_identity(some_identity());
  EXPECT_EQ(store.identity(), some_identity());
  RecordIdentity other = some_identity();
  other.target = "arm-64-linux";
  other.protocol = 9;
  const std::string message = message_of<UserError>([&] { store.bind_identity(other); });
  EXPECT_THAT(message, HasSubstr("target: x86-64-linux-avx512 in the run, arm-64-linux now"));
  EXPECT_THAT(message, HasSubstr("measuring protocol: 2 in the run, 9 now"));
  EXPECT_THAT(message, testing::Not(HasSubstr("compiler")));
}

TEST(RunStore, NetworksAreKeptInOrderAndMayBePutAgain) {
  TemporaryFolder folder;
  RunStore store(folder.path(), kWrite);
  const NetworkRow z{"z", 1e6, 2e5, 3e4, {{"conv-b", 2}, {"conv-a", 1}}}, a{"a", 5, 6, 7, {}};
  store.put_networks({z});
  store.put_networks({z, a, a});
  const auto read = store.networks();
  ASSERT_EQ(read.size(), 2u);
  EXPECT_EQ(read[0].name, "z");
  EXPECT_EQ(read[0].subgraphs, z.subgraphs);
  EXPECT_EQ(read[0].peak_activation_bytes, 3e4);
  EXPECT_EQ(read[1].name, "a");
  const std::string message = message_of<UserError>([&] {
    store.put_networks({{"z", 1e6, 2e5, 3e4, {{"conv-c", 1}}}});
  });
  EXPECT_THAT(message, HasSubstr("network z has other subgraphs now"));
}

TEST(RunStore, RoundsAreReplacedAndDecisionsEndThem) {
  TemporaryFolder folder;
  RunStore store(folder.path(), kWrite);
  store.put_round({1, {"a", "b", "c"}, {10, 20, 30}, 100, 5, 6, 1.5, -1});
  store.put_round({1, {"b", "a"}, {40, 50}, 200, 7, 8, 2.5, -1});
  auto rounds = store.rounds();
  ASSERT_EQ(rounds.size(), 1u);
  EXPECT_EQ(rounds[0].networks, (std::vector<std::string>{"b", "a"}));
  EXPECT_EQ(rounds[0].to_steps, (std::vector<long>{40, 50}));
  EXPECT_LT(rounds[0].ended_s, 0);
  store.put_decisions(
      {{1, "b", {0.5, 100}, 0, true, "on front 1"}, {1, "a", {0.25, kInfinity}, 1, false, "no latency"}}, 9.5);
  EXPECT_EQ(store.rounds()[0].ended_s, 9.5);
  const auto decisions = store.decisions();
  ASSERT_EQ(decisions.size(), 2u);
  EXPECT_EQ(decisions[0].network, "b");
  EXPECT_TRUE(decisions[0].kept);
  EXPECT_EQ(decisions[1].objectives.latency_us, kInfinity);
  EXPECT_EQ(decisions[1].reason, "no latency");
  EXPECT_THROW(store.put_decisions({{2, "a", {}, 0, true, ""}}, 1), InternalError);
  EXPECT_THROW(store.put_decisions({}, 1), InternalError);
  EXPECT_EQ(store.decisions().size(), 2u) << "a refused call leaves nothing behind";
}

TEST(RunStore, TrainPointThatIsThereStays) {
  TemporaryFolder folder;
  RunStore store(folder.path(), kWrite);
  store.put_train_point({"b", 10, 0.5, 1.25, 3.5, 1000}, 1, 7.5);
  store.put_train_point({"a", 10, 0.25, std::nan(""), 3.5, 1000}, 1, 8);
  store.put_train_point({"b", 10, 0.75, 9, 9, 9}, 9, 9);
  const auto points = store.train_points();
  ASSERT_EQ(points.size(), 2u);
  EXPECT_EQ(points[0].point.network, "b");
  EXPECT_EQ(points[0].point.val_accuracy, 0.5);
  EXPECT_EQ(points[0].round, 1);
  EXPECT_EQ(points[0].elapsed_s, 7.5);
  EXPECT_TRUE(std::isnan(points[1].point.train_loss)) << "a diverged loss is kept as what it is";
}

TEST(RunStore, ProgramsComeBackInOrderOfArrivalAndOnce) {
  TemporaryFolder folder;
  RunStore store(folder.path(), kWrite);
  const long job = some_job(store, {{1, 2}, {}, {-3}});
  const long second = some_job(store, {});
  EXPECT_LT(job, second);
  store.put_program(measured(job, 1, 5));
  ProgramRow failed = measured(job, 0);
  failed.outcome = MeasureError{MeasureErrorKind::wrong_answer, "off by 3 at [0]"};
  store.put_program(failed);
  store.put_program(measured(job, 1, 77));
  const auto programs = store.programs();
  ASSERT_EQ(programs.size(), 2u);
  EXPECT_EQ(std::get<Measurement>(programs[0].outcome).median_us, 5) << "the first stays";
  EXPECT_EQ(programs[0].knobs, (Knobs{1, -2, 3}));
  EXPECT_EQ(std::get<MeasureError>(programs[1].outcome).message, "off by 3 at [0]");
  store.finish_measure_job(job);
  const auto jobs = store.measure_jobs();
  ASSERT_EQ(jobs.size(), 2u);
  EXPECT_TRUE(jobs[0].finished);
  EXPECT_FALSE(jobs[1].finished);
  EXPECT_EQ(jobs[0].programs, (std::vector<Knobs>{{1, 2}, {}, {-3}}));
  EXPECT_TRUE(jobs[1].programs.empty());
  EXPECT_THROW(store.finish_measure_job(99), InternalError);
  EXPECT_THROW(store.put_program(measured(99, 0)), InternalError) << "a program of no job";
  EXPECT_THROW(store.put_program(measured(job, 2, kInfinity)), InternalError) << "a failure is no number";
}

TEST(RunStore, JobsPutTogetherGetTheirIdsInOrder) {
  TemporaryFolder folder;
  RunStore store(folder.path(), kWrite);
  std::vector<MeasureJobRow> jobs(3);
  for (int i = 0; i < 3; ++i) jobs[i].subgraph = "conv-" + std::to_string(i);
  store.put_measure_jobs(jobs);
  const auto read = store.measure_jobs();
  ASSERT_EQ(read.size(), 3u);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(read[i].id, jobs[i].id);
    EXPECT_EQ(read[i].subgraph, jobs[i].subgraph);
  }
}

TEST(RunStore, FailuresAreCountedByCauseWithTheFirstMessage) {
  TemporaryFolder folder;
  RunStore store(folder.path(), kWrite);
  const long job = some_job(store);
  auto fail = [&](int index, MeasureErrorKind kind, const std::string& message) {
    ProgramRow row = measured(job, index);
    row.subgraph = "sub" + std::to_string(index);
    row.outcome = MeasureError{kind, message};
    store.put_program(row);
  };
  fail(5, MeasureErrorKind::crash, "signal 11");
  fail(4, MeasureErrorKind::run_timeout, "first");
  fail(3, MeasureErrorKind::run_timeout, "second");
  store.put_program(measured(job, 0));
  const auto failures = store.failures();
  ASSERT_EQ(failures.size(), 2u);
  EXPECT_EQ(failures[0].kind, MeasureErrorKind::run_timeout);
  EXPECT_EQ(failures[0].count, 2);
  EXPECT_EQ(failures[0].first_message, "first");
  EXPECT_EQ(failures[0].subgraph, "sub4");
  EXPECT_EQ(failures[1].kind, MeasureErrorKind::crash);
}

TEST(RunStore, ResultsReplaceAndTheDiaryAppends) {
  TemporaryFolder folder;
  RunStore store(folder.path(), kWrite);
  store.put_results({{"a", {0.5, 10}, true, 0.4, 11, 0.02}, {"b", {0.6, 20}, false, -1, -1, 0}});
  store.put_results({{"b", {0.7, 30}, true, -1, -1, 0}});
  const auto results = store.results();
  ASSERT_EQ(results.size(), 1u);
  EXPECT_EQ(results[0].network, "b");
  EXPECT_TRUE(results[0].on_front);
  EXPECT_EQ(results[0].test_accuracy, -1);
  EXPECT_EQ(results[0].end_to_end_us, -1);
  store.put_usage({Side::tune, 3, 1.5, 2.5, "compile"});
  ASSERT_EQ(store.usage().size(), 1u);
  EXPECT_EQ(store.usage()[0].side, Side::tune);
  EXPECT_EQ(store.usage()[0].core, 3);
  store.put_event(1.5, "warning", "first");
  store.put_event(0.5, "resume", "second");
  ASSERT_EQ(store.events().size(), 2u);
  EXPECT_EQ(store.events()[1].text, "second");
  store.put_value("classes", "10");
  store.put_value("classes", "12");
  EXPECT_EQ(store.value("classes"), "12");
}

// ---- two processes, and who may look ----

TEST(RunStore, SecondWriterIsRefusedByProcessId) {
  TemporaryFolder folder;
  EXPECT_FALSE(RunStore::writer(folder.path()).has_value());
  {
    RunStore store(folder.path(), kWrite);
    const std::string message = message_of<UserError>([&] { RunStore(folder.path(), kWrite); });
    EXPECT_EQ(message, "run " + folder.path() + " is in use by process " + std::to_string(getpid()) +
                           "; wait for it or stop it");
    EXPECT_EQ(RunStore::writer(folder.path()), getpid());
  }
  EXPECT_FALSE(RunStore::writer(folder.path()).has_value());
  RunStore again(folder.path(), kWrite);
}

TEST(RunStore, ReaderSeesALiveRunGrow) {
  TemporaryFolder folder;
  RunStore writer(folder.path(), kWrite);
  RunStore reader(folder.path(), kRead);
  writer.put_event(1, "warning", "x");
  EXPECT_EQ(reader.events().size(), 1u);
  writer.put_event(2, "warning", "y");
  EXPECT_EQ(reader.events().size(), 2u);
  EXPECT_THROW(reader.put_event(3, "warning", "z"), EnvironmentError);
}

TEST(RunStore, ReadingWhatIsNotThere) {
  TemporaryFolder folder;
  EXPECT_THAT(message_of<UserError>([&] { RunStore(folder / "none", kRead); }), HasSubstr("holds no run"));
  std::ofstream(folder / "run.db").close();
  EXPECT_THAT(message_of<UserError>([&] { RunStore(folder.path(), kRead); }),
              HasSubstr("is empty, no SONAR run store yet"));
}

// ---- files that are not ours, or damaged ----

TEST(RunStore, ForeignFilesAreRefusedAndLeftAlone) {
  TemporaryFolder folder;
  const std::string text = "this is a text file, and quite a long one, as text files go: " + std::string(2000, 'x');
  std::ofstream(folder / "run.db") << text;
  for (auto mode : {kWrite, kRead})
    EXPECT_THAT(message_of<UserError>([&] { RunStore(folder.path(), mode); }), HasSubstr("is no SONAR run store"));
  std::ifstream in(folder / "run.db");
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(in), {}), text);

  TemporaryFolder other;
  SQLite::Database(other / "run.db", SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE).exec("CREATE TABLE t (x)");
  for (auto mode : {kWrite, kRead})
    EXPECT_THAT(message_of<UserError>([&] { RunStore(other.path(), mode); }), HasSubstr("no SONAR run store"));
}

TEST(RunStore, AnotherSchemaVersionIsRefusedNamingBoth) {
  TemporaryFolder folder;
  { RunStore store(folder.path(), kWrite); }
  execute(folder.path(), "PRAGMA user_version = 7");
  for (auto mode : {kWrite, kRead})
    EXPECT_THAT(message_of<UserError>([&] { RunStore(folder.path(), mode); }),
                HasSubstr("has schema 7 of a SONAR run store, this SONAR writes 2; use"));
}

TEST(RunStore, StoredEnumsAndListsAreChecked) {
  TemporaryFolder folder;
  {
    RunStore store(folder.path(), kWrite);
    store.put_program(measured(some_job(store), 0));
    store.put_usage({Side::train, 0, 0, 1, ""});
  }
  auto expect = [&](const std::string& sql, auto read, const std::string& text) {
    execute(folder.path(), sql);
    RunStore store(folder.path(), kRead);
    EXPECT_THAT(message_of<EnvironmentError>([&] { read(store); }), HasSubstr(text)) << sql;
  };
  auto programs = [](RunStore& s) { s.programs(); };
  auto jobs = [](RunStore& s) { s.measure_jobs(); };
  expect(
      "UPDATE usage SET side = 3", [](RunStore& s) { s.usage(); }, "usage.side: 3 is not in 1..2");
  for (const char* bad : {"", "[", "[1", "[1,", "[1,]", "[1 2]", "[x]", "[1]]", "1]", "[99999999999999999999]"})
    expect("UPDATE program SET knobs = '" + std::string(bad) + "'", programs, "is no list of numbers");
  for (const char* bad : {"", "[", "[[1]", "[[1],", "[[1],]", "[1]", "[[1]]]"})
    expect("UPDATE measure_job SET programs = '" + std::string(bad) + "'", jobs, "is no list of lists");
  expect("UPDATE program SET knobs = '[]', samples_us = '[1,nope]'", programs, "program.samples_us: '[1,nope]' is no");
  expect("UPDATE measure_job SET purpose = 0", jobs, "measure_job.purpose: 0 is not in 1..3");
  expect("UPDATE program SET outcome = 9", programs, "program.outcome: 9 is not in 0..8");
  expect(
      "UPDATE program SET outcome = 9", [](RunStore& s) { s.failures(); }, "program.outcome: 9");
}

TEST(RunStore, DamagedPagesAreReportedAndNeverCrash) {
  TemporaryFolder folder;
  {
    RunStore store(folder.path(), kWrite);
    const long job = some_job(store);
    for (int i = 0; i < 500; ++i) store.put_program(measured(job, i));
  }
  std::ifstream in(folder / "run.db", std::ios::binary);
  const std::string whole(std::istreambuf_iterator<char>(in), {});
  Random random(5);
  int refused = 0;
  for (int i = 0; i < 150; ++i) {
    TemporaryFolder copy;
    std::string bytes = whole;
    for (int flips = 0; flips < 20; ++flips) bytes[random.below(bytes.size())] = static_cast<char>(random());
    std::ofstream(copy / "run.db", std::ios::binary) << bytes;
    try {
      RunStore store(copy.path(), random.below(2) ? kWrite : kRead);
      store.programs();
      store.measure_jobs();
    } catch (const EnvironmentError& error) {
      ++refused;
      EXPECT_THAT(error.what(), HasSubstr("run.db"));
    } catch (const UserError& error) {
      ++refused;
      EXPECT_THAT(error.what(), HasSubstr("run.db"));
    } catch (const InternalError& error) {
      // A broken schema text makes a statement fail that was right when it was written.
      ++refused;
      EXPECT_THAT(error.what(), HasSubstr("run.db"));
    }
  }
  EXPECT_GT(refused, 0);
}

// ---- what is written is what is read ----

class RandomRows {
 public:
  explicit RandomRows(uint64_t seed) : random_(seed) {}
  std::string text() {
    static const std::vector<std::string> kNasty = {
        "",           "'", "\"; DROP TABLE program; --", std::string("a\0b", 3), "\xff\xfe not utf-8", "µs ≤ 1",
        "line\nline", "?1"};
    if (random_.below(4) == 0) return kNasty[random_.below(kNasty.size())];
    std::string text(random_.below(40), ' ');
    for (char& c : text) c = static_cast<char>(1 + random_.below(255));
    return text;
  }
  double real() {
    static const std::vector<double> kNasty = {0, -0.0, 0.1, 1e-310, 1.7e308, kInfinity, std::nan(""), 1.0 / 3};
    if (random_.below(3) == 0) return kNasty[random_.below(kNasty.size())];
    return finite();
  }
  double finite() { return std::ldexp(random_.uniform() - 0.5, static_cast<int>(random_.below(200)) - 100); }
  long integer() { return static_cast<long>(random_()) >> random_.below(64); }
  int small() { return static_cast<int>(random_()); }
  bool flag() { return random_.below(2); }
  Knobs knobs() {
    Knobs knobs(random_.below(20));
    for (int& knob : knobs) knob = small();
    return knobs;
  }
  ProgramRow program(long job, int index) {
    ProgramRow row{job, index, text(), knobs(), text(), {}, real(), real()};
    if (flag()) {
      row.outcome = MeasureError{static_cast<MeasureErrorKind>(1 + random_.below(8)), text()};
    } else {
      Measurement m{{}, real(), real(), real(), integer(), flag()};
      m.samples_us.resize(random_.below(30));
      for (double& sample : m.samples_us) sample = finite();
      row.outcome = std::move(m);
    }
    return row;
  }

 private:
  Random random_;
};

TEST(RunStore, RandomRowsReadBackEqual) {
  for (uint64_t seed = 0; seed < 5; ++seed) {
    TemporaryFolder folder;
    RandomRows rows(seed);
    std::vector<MeasureJobRow> jobs;
    std::vector<ProgramRow> programs;
    std::vector<RunStore::TimedTrainPoint> points;
    std::vector<RunStore::EventRow> events;
    {
      RunStore store(folder.path(), kWrite);
      for (int i = 0; i < 100; ++i) {
        MeasureJobRow job{0,  rows.small(), rows.text(), static_cast<MeasurePurpose>(1 + i % 3), rows.small(),
                          {}, rows.flag()};
        for (int k = 0; k < i % 7; ++k) job.programs.push_back(rows.knobs());
        job.id = store.put_measure_job(job);
        jobs.push_back(job);
        programs.push_back(rows.program(job.id, rows.small()));
        store.put_program(programs.back());
        points.push_back(
            {{rows.text(), i, rows.real(), rows.real(), rows.real(), rows.small()}, rows.small(), rows.real()});
        store.put_train_point(points.back().point, points.back().round, points.back().elapsed_s);
        events.push_back({rows.real(), rows.text(), rows.text()});
        store.put_event(events.back().elapsed_s, events.back().kind, events.back().text);
      }
    }
    RunStore store(folder.path(), kRead);
    const auto read_jobs = store.measure_jobs();
    const auto read_programs = store.programs();
    const auto read_points = store.train_points();
    const auto read_events = store.events();
    ASSERT_EQ(read_jobs.size(), jobs.size());
    ASSERT_EQ(read_programs.size(), programs.size());
    ASSERT_EQ(read_points.size(), points.size());
    ASSERT_EQ(read_events.size(), events.size());
    for (size_t i = 0; i < jobs.size(); ++i) {
      EXPECT_EQ(read_jobs[i].id, jobs[i].id);
      EXPECT_EQ(read_jobs[i].round, jobs[i].round);
      EXPECT_EQ(read_jobs[i].subgraph, jobs[i].subgraph);
      EXPECT_EQ(read_jobs[i].purpose, jobs[i].purpose);
      EXPECT_EQ(read_jobs[i].requested, jobs[i].requested);
      EXPECT_EQ(read_jobs[i].programs, jobs[i].programs);
      EXPECT_EQ(read_jobs[i].finished, jobs[i].finished);
      const ProgramRow &a = programs[i], &b = read_programs[i];
      EXPECT_EQ(a.job, b.job);
      EXPECT_EQ(a.index, b.index);
      EXPECT_EQ(a.subgraph, b.subgraph);
      EXPECT_EQ(a.knobs, b.knobs);
      EXPECT_EQ(a.knobs_text, b.knobs_text);
      EXPECT_TRUE(same(a.compile_s, b.compile_s) && same(a.elapsed_s, b.elapsed_s));
      ASSERT_EQ(a.outcome.index(), b.outcome.index());
      if (const auto* m = std::get_if<Measurement>(&a.outcome)) {
        const auto& n = std::get<Measurement>(b.outcome);
        EXPECT_EQ(m->samples_us, n.samples_us);
        EXPECT_TRUE(same(m->median_us, n.median_us) && same(m->minimum_us, n.minimum_us) && same(m->spread, n.spread));
        EXPECT_EQ(m->runs, n.runs);
        EXPECT_EQ(m->stopped_early, n.stopped_early);
      } else {
        EXPECT_EQ(std::get<MeasureError>(a.outcome).kind, std::get<MeasureError>(b.outcome).kind);
        EXPECT_EQ(std::get<MeasureError>(a.outcome).message, std::get<MeasureError>(b.outcome).message);
      }
      EXPECT_EQ(points[i].point.network, read_points[i].point.network);
      EXPECT_EQ(points[i].point.step, read_points[i].point.step);
      EXPECT_TRUE(same(points[i].point.val_accuracy, read_points[i].point.val_accuracy));
      EXPECT_TRUE(same(points[i].point.seconds, read_points[i].point.seconds));
      EXPECT_EQ(points[i].round, read_points[i].round);
      EXPECT_EQ(events[i].kind, read_events[i].kind);
      EXPECT_EQ(events[i].text, read_events[i].text);
    }
  }
}

TEST(RunStore, AppendingTwentyThousandProgramsStaysLinear) {
  TemporaryFolder folder;
  RunStore store(folder.path(), kWrite);
  const long job = some_job(store);
  ProgramRow row = measured(job, 0);
  auto& samples = std::get<Measurement>(row.outcome).samples_us;
  samples.assign(20, 123.4567);
  row.knobs.assign(16, 4);
  using Clock = std::chrono::steady_clock;
  auto put = [&](int from, int to) {
    const auto start = Clock::now();
    for (row.index = from; row.index < to; ++row.index) store.put_program(row);
    return std::chrono::duration<double, std::micro>(Clock::now() - start).count() / (to - from);
  };
  const double early = put(0, 2000), rest = put(2000, 18000), late = put(18000, 20000);
  std::printf("put_program: %.1f us at first, %.1f us each, %.1f us at the end\n", early, rest, late);
  const auto start = Clock::now();
  EXPECT_EQ(store.programs().size(), 20000u);
  std::printf("programs(): %.0f ms for 20,000\n",
              std::chrono::duration<double, std::milli>(Clock::now() - start).count());
  EXPECT_LT(late, 10 * early + 100) << "a put must not slow down as the store grows";
}

}  // namespace
}  // namespace sonar
