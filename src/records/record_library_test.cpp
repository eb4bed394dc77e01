#include "records/record_library.h"

#include <SQLiteCpp/SQLiteCpp.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <map>
#include <set>
#include <thread>

#include "model/error.h"
#include "records/temporary_folder.h"
#include "records/test_records.h"

namespace sonar {
namespace {

using testing::HasSubstr;
constexpr auto kWrite = RecordLibrary::Mode::create_or_open;
constexpr auto kRead = RecordLibrary::Mode::read_only;

const SubgraphKey kKey = measured_record("r", 1, "k=1", 1, 1).program.subgraph;

std::vector<LibraryRecord> all(const RecordLibrary& library) {
  std::vector<LibraryRecord> result;
  library.each([&](const LibraryRecord& record) { result.push_back(record); });
  return result;
}

/// Runs body in a child that ends with its return value as exit code; returns its process id.
template <class Body>
pid_t start_child(const Body& body) {
  const pid_t child = fork();
  if (child == 0) {
    int code = 99;
    try {
      code = body();
    } catch (const std::exception& error) {
      std::fprintf(stderr, "in the child: %s\n", error.what());
    }
    _exit(code);
  }
  return child;
}

int exit_code(pid_t child) {
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

TEST(RecordLibrary, WhatIsAppendedReadsBackAndStandsOnce) {
  TemporaryFolder folder;
  Random random(3);
  std::vector<LibraryRecord> records;
  for (int i = 0; i < 300; ++i) {
    records.push_back(random_record(random));
    records.back().program.arrival = i;
    records.back().origin.verb = "tune";  // a run has one verb
  }
  {
    RecordLibrary library(folder / "new/lib.db", kWrite);
    EXPECT_EQ(library.append(records), 300);
    EXPECT_EQ(library.append(records), 0);
    EXPECT_EQ(library.append({}), 0);
  }
  const RecordLibrary library(folder / "new/lib.db", kRead);
  const auto read = all(library);
  ASSERT_EQ(read.size(), records.size());
  for (size_t i = 0; i < read.size(); ++i) expect_same(read[i], records[i]);
}

TEST(RecordLibrary, ACopiedRunThatWentOnByItselfKeepsItsOwnRecords) {
  TemporaryFolder folder;
  RecordLibrary library(folder / "lib.db", kWrite);
  EXPECT_EQ(library.append({measured_record("r", 1, "k=1", 1, 100)}), 1);
  EXPECT_EQ(library.append({measured_record("r", 1, "k=2", 1, 200)}), 1);
}

TEST(RecordLibrary, TheLatestOutcomeOfAProgramCounts) {
  TemporaryFolder folder;
  RecordLibrary library(folder / "lib.db", kWrite);
  library.append({measured_record("a", 1, "k=1", 5, 100), measured_record("a", 2, "k=2", 6, 101),
                  measured_record("a", 3, "k=3", 1, 102), measured_record("b", 1, "k=1", 7, 200),
                  failed_record("b", 2, "k=3", MeasureErrorKind::wrong_answer, 201),
                  failed_record("b", 3, "k=2", MeasureErrorKind::device_unreachable, 202)});
  const KnownSubgraph known = library.known(test_identity(), kKey);
  EXPECT_EQ(known.programs, 3);
  EXPECT_EQ(known.failed, 1);
  EXPECT_EQ(known.best_us, 6);
  EXPECT_EQ(known.best, "k=2");
  const auto rows = library.select(test_identity(), kKey, 64, 64);
  ASSERT_EQ(rows.size(), 3u);
  EXPECT_EQ(rows[0].knobs, "k=2");
  EXPECT_EQ(rows[1].latency_us, 7);
  EXPECT_FALSE(rows[2].latency_us);
  RecordIdentity other = test_identity();
  other.threads = 2;
  EXPECT_EQ(library.known(other, kKey).programs, 0);
  EXPECT_TRUE(library.select(other, kKey, 64, 64).empty());
  EXPECT_EQ(library.failures(test_identity()).size(), 2u);
}

TEST(RecordLibrary, ATuneCountsWithItsBudgetOnceItHasFinished) {
  TemporaryFolder folder;
  RecordLibrary library(folder / "lib.db", kWrite);
  LibraryRecord record = measured_record("a", 1, "k=1", 5, 100);
  library.append({record});
  EXPECT_EQ(library.known(test_identity(), kKey).tuned_programs, 0);
  record.origin.tuned_programs = 64.5;
  library.append({record});  // there already; the run has become more
  EXPECT_EQ(library.known(test_identity(), kKey).tuned_programs, 64.5);
  record.origin.tuned_programs = -1;
  library.append({record});  // from an older copy
  EXPECT_EQ(library.known(test_identity(), kKey).tuned_programs, 64.5);
  // A run that only measured an answer once more has tuned nothing.
  LibraryRecord again = measured_record("b", 1, "k=1", 5, 200);
  again.purpose = MeasurePurpose::remeasure;
  again.origin.tuned_programs = 1000;
  library.append({again});
  EXPECT_EQ(library.known(test_identity(), kKey).tuned_programs, 64.5);
}

TEST(RecordLibrary, TheSelectionHoldsTheBestASampleAndTheDefaultProgram) {
  TemporaryFolder folder;
  RecordLibrary library(folder / "lib.db", kWrite);
  std::vector<LibraryRecord> records;
  for (int i = 0; i < 100; ++i) {
    const std::string knobs = "k=" + std::to_string(i);
    records.push_back(i < 90 ? measured_record("a", i, knobs, 1 + i, 100 + i)
                             : failed_record("a", i, knobs, MeasureErrorKind::crash, 100 + i));
  }
  library.append(records);
  for (size_t best : {0, 1, 10})
    for (size_t others : {0, 1, 7, 30}) {
      const auto rows = library.select(test_identity(), kKey, best, others, "k=77");
      size_t defaults = 0, failed = 0, fast = 0;
      std::set<std::string> different;
      for (size_t i = 0; i < rows.size(); ++i) {
        different.insert(rows[i].knobs);
        defaults += rows[i].default_program;
        failed += !rows[i].latency_us;
        fast += rows[i].latency_us && *rows[i].latency_us <= static_cast<double>(best);
        if (i > 0 && rows[i].latency_us) {
          EXPECT_LE(*rows[i - 1].latency_us, *rows[i].latency_us);
        }
      }
      EXPECT_EQ(different.size(), rows.size());
      EXPECT_EQ(defaults, 1u);
      EXPECT_EQ(fast, best);
      EXPECT_GE(rows.size(), best + others);
      EXPECT_LE(rows.size(), best + others + 1);
      if (others == 30) {
        EXPECT_GE(failed, 2u);  // a tenth of the ranks
      }
    }
}

TEST(RecordLibrary, AnotherIdentityIsNamedInOneLine) {
  TemporaryFolder folder;
  RecordLibrary library(folder / "lib.db", kWrite);
  EXPECT_EQ(why_unused(library, test_identity()), "");  // it holds nothing
  LibraryRecord record = measured_record("a", 1, "k=1", 5, 100);
  record.identity.compiler = "Halide 20.0.0";
  library.append({record});
  EXPECT_EQ(why_unused(library, test_identity()), "records of Halide 20.0.0 are not used by Halide 21.0.0");
  record.identity.program_space = 2;
  record.identity.target = "arm-64-linux";
  record.program.arrival = 2;
  library.append({record});
  EXPECT_EQ(why_unused(library, test_identity()), "records of Halide 20.0.0 are not used by Halide 21.0.0");
  RecordIdentity wanted = record.identity;
  wanted.program_space = 4;
  EXPECT_EQ(why_unused(library, wanted), "records of program space 2 are not used by program space 4");
  EXPECT_EQ(why_unused(library, record.identity), "");
}

TEST(RecordLibrary, OtherFilesAreRefusedByName) {
  TemporaryFolder folder;
  { RunStore store(folder / "run", RunStore::Mode::create_or_open); }
  { RecordLibrary library(folder / "lib.db", kWrite); }
  std::ofstream(folder / "text") << "search.records = here\n" << std::string(5000, '#');
  SQLite::Database(folder / "foreign.db", SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE).exec("CREATE TABLE t (x)");
  for (auto mode : {kWrite, kRead}) {
    const auto refusal = [&](const std::string& name) {
      return message_of<UserError>([&] { RecordLibrary(folder / name, mode); });
    };
    EXPECT_THAT(refusal("run/run.db"), HasSubstr("is a SONAR run store, but no SONAR record library"));
    EXPECT_THAT(refusal("text"), HasSubstr("text is no SONAR record library"));
    EXPECT_THAT(refusal("foreign.db"), HasSubstr("is an SQLite database, but no SONAR record library"));
    EXPECT_THAT(refusal("run"), HasSubstr("run is a folder"));
  }
  EXPECT_THAT(message_of<UserError>([&] { RecordLibrary(folder / "none", kRead); }), HasSubstr("no such file"));
  // And a library is no run.
  std::filesystem::create_directories(folder / "other");
  std::filesystem::copy_file(folder / "lib.db", folder / "other/run.db");
  EXPECT_THAT(message_of<UserError>([&] { RunStore(folder / "other", RunStore::Mode::read_only); }),
              HasSubstr("is a SONAR record library, but no SONAR run store"));
  SQLite::Database(folder / "lib.db", SQLite::OPEN_READWRITE).exec("PRAGMA user_version = 9");
  EXPECT_THAT(message_of<UserError>([&] { RecordLibrary(folder / "lib.db", kWrite); }),
              HasSubstr("has schema 9 of a SONAR record library, this SONAR writes 1; use the SONAR that wrote it"));
}

TEST(RecordLibrary, DamageIsAnErrorAndNoCrash) {
  TemporaryFolder folder;
  {
    RecordLibrary library(folder / "lib.db", kWrite);
    std::vector<LibraryRecord> records;
    for (int i = 0; i < 100; ++i) records.push_back(measured_record("r", i, "k=" + std::to_string(i), 1 + i, 1 + i));
    library.append(records);
  }
  std::ifstream file(folder / "lib.db", std::ios::binary);
  const std::string whole{std::istreambuf_iterator<char>(file), {}};
  Random random(17);
  int refused = 0;
  for (int trial = 0; trial < 400; ++trial) {
    std::string damaged = whole.substr(0, trial % 4 == 0 ? random.below(whole.size()) : whole.size());
    for (uint64_t n = random.below(30); n > 0 && !damaged.empty(); --n)
      damaged[random.below(damaged.size())] = static_cast<char>(random.below(256));
    std::filesystem::remove(folder / "damaged.db-wal");
    std::filesystem::remove(folder / "damaged.db-shm");
    std::ofstream(folder / "damaged.db", std::ios::binary | std::ios::trunc) << damaged;
    try {
      RecordLibrary library(folder / "damaged.db", trial % 2 ? kWrite : kRead);
      all(library);
      library.subgraphs(test_identity());
      library.select(test_identity(), kKey, 5, 5);
      if (trial % 2) library.append({measured_record("new", trial, "k=1", 1, 1)});
    } catch (const std::exception& error) {
      ++refused;
      EXPECT_THAT(error.what(), HasSubstr("damaged.db"));
    }
  }
  EXPECT_GT(refused, 0);
}

TEST(RecordLibrary, ManyProcessesMakeItAndWriteAtTheSameTime) {
  TemporaryFolder folder;
  constexpr int kProcesses = 6, kBatches = 30, kEach = 5;
  std::vector<pid_t> children;
  for (int p = 0; p < kProcesses; ++p)
    children.push_back(start_child([&] {
      RecordLibrary library(folder / "lib.db", kWrite);
      for (int b = 0; b < kBatches; ++b) {
        std::vector<LibraryRecord> records;
        for (int i = 0; i < kEach; ++i)
          records.push_back(measured_record("run-" + std::to_string(p), b * kEach + i, "k=" + std::to_string(i), 1, 5));
        if (library.append(records) != kEach) return 1;
      }
      return 0;
    }));
  for (pid_t child : children) EXPECT_EQ(exit_code(child), 0);
  const auto identities = RecordLibrary(folder / "lib.db", kRead).identities();
  ASSERT_EQ(identities.size(), 1u);
  EXPECT_EQ(identities[0].records, kProcesses * kBatches * kEach);
  EXPECT_EQ(identities[0].runs, kProcesses);
}

TEST(RecordLibrary, KillNineAtAnyMomentLosesAndRepeatsNothing) {
  TemporaryFolder folder;
  Random random(21);
  constexpr int kRows = 400;
  std::vector<LibraryRecord> records;
  for (int i = 0; i < kRows; ++i)
    records.push_back(measured_record("r", i + 1, "k=" + std::to_string(i), 1 + i, i + 1));
  // Each life gives the library all that the run holds by then, as a resumed run does, in small batches, and dies.
  const auto give = [&](int until) {
    RecordLibrary library(folder / "lib.db", kWrite);
    for (int i = 0; i < until; i += 7) library.append({records.begin() + i, records.begin() + std::min(until, i + 7)});
    return 0;
  };
  int killed = 0;
  for (int life = 1; life <= 25; ++life) {
    const pid_t child = start_child([&] { return give(kRows * life / 25); });
    std::this_thread::sleep_for(std::chrono::microseconds(500 + random.below(12'000)));
    kill(child, SIGKILL);
    killed += exit_code(child) == -SIGKILL;
    if (!std::filesystem::exists(folder / "lib.db")) continue;
    RecordLibrary library(folder / "lib.db", kWrite);
    std::set<long> arrivals;
    for (const LibraryRecord& record : all(library))
      EXPECT_TRUE(arrivals.insert(record.program.arrival).second) << "a record stands twice";
  }
  EXPECT_GT(killed, 3);
  give(kRows);
  EXPECT_EQ(all(RecordLibrary(folder / "lib.db", kRead)).size(), static_cast<size_t>(kRows));
}

TEST(RecordLibrary, AFullDiskIsNamedAndWhatIsMissingFollows) {
  TemporaryFolder folder;
  const pid_t child = start_child([&] {
    if (unshare(CLONE_NEWNS) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return 77;
    mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr);
    if (mount("none", folder.path().c_str(), "tmpfs", 0, "size=1m") != 0) return 77;
    std::ofstream(folder / "ballast") << std::string(500'000, 'x');
    RecordLibrary library(folder / "lib.db", kWrite);
    std::vector<LibraryRecord> refused;
    std::string message;
    for (int b = 0; b < 10'000 && refused.empty(); ++b) {
      std::vector<LibraryRecord> records;
      for (int i = 0; i < 50; ++i) records.push_back(measured_record("r", b * 50 + i, "k=1", 1, 1 + b));
      try {
        library.append(records);
      } catch (const EnvironmentError& error) {
        message = error.what();
        refused = records;
      }
    }
    if (message.find("lib.db cannot grow: the disk is full") == std::string::npos) return 1;
    const size_t before = all(library).size();
    if (before % 50 != 0) return 2;  // part of a batch was kept
    std::filesystem::remove(folder / "ballast");
    if (library.append(refused) != 50) return 3;
    return all(library).size() == before + 50 ? 0 : 4;
  });
  const int code = exit_code(child);
  if (code == 77) GTEST_SKIP() << "may not mount a small file system here";
  EXPECT_EQ(code, 0);
}

TEST(RecordLibrary, WithoutPermissionItIsReadOrNamed) {
  TemporaryFolder folder;
  std::filesystem::create_directories(folder / "lab");
  {
    RecordLibrary library(folder / "lab/lib.db", kWrite);
    library.append({measured_record("r", 1, "k=1", 1, 1)});
  }
  std::filesystem::permissions(folder.path(), std::filesystem::perms(0755));
  std::filesystem::permissions(folder / "lab/lib.db", std::filesystem::perms(0444));
  std::filesystem::permissions(folder / "lab", std::filesystem::perms(0555));
  const pid_t child = start_child([&] {
    if (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0)) return 77;  // root may write anywhere
    if (all(RecordLibrary(folder / "lab/lib.db", kRead)).size() != 1) return 1;
    const std::string written = message_of<EnvironmentError>(
        [&] { RecordLibrary(folder / "lab/lib.db", kWrite).append({measured_record("r", 2, "k=1", 1, 1)}); });
    if (written.find("lib.db cannot be opened or written") == std::string::npos) return 2;
    const std::string made = message_of<EnvironmentError>([&] { RecordLibrary(folder / "lab/new/lib.db", kWrite); });
    return made.find("cannot be made") != std::string::npos ? 0 : 3;
  });
  const int code = exit_code(child);
  std::filesystem::permissions(folder / "lab", std::filesystem::perms(0755));
  if (code == 77) GTEST_SKIP() << "cannot give up root";
  EXPECT_EQ(code, 0);
}

}  // namespace
}  // namespace sonar
