// The store under kill -9, cut logs, full disks and folders that may not be written.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <thread>

#include "model/error.h"
#include "model/random.h"
#include "records/run_store.h"
#include "records/temporary_folder.h"

namespace sonar {
namespace {

using testing::HasSubstr;
constexpr auto kWrite = RunStore::Mode::create_or_open;
constexpr auto kRead = RunStore::Mode::read_only;

ProgramRow program(long job, int index) {
  ProgramRow row;
  row.job = job;
  row.index = index;
  row.subgraph = "conv-a";
  row.knobs = {index, 1};
  row.outcome = Measurement{{1.5 + index}, 1.5 + index, 1.5 + index, 0, 1, false};
  return row;
}

/// Runs body in a child and returns its exit status; the text it returns comes back in `report`.
template <class Body>
int in_child(const Body& body, std::string& report) {
  int ends[2];
  if (pipe(ends) != 0) return -1;
  const pid_t child = fork();
  if (child == 0) {
    close(ends[0]);
    const std::string text = body();
    const bool written = write(ends[1], text.data(), text.size()) == static_cast<ssize_t>(text.size());
    _exit(written ? 0 : 1);
  }
  close(ends[1]);
  char buffer[4096];
  report.clear();
  for (ssize_t size; (size = read(ends[0], buffer, sizeof buffer)) > 0;) report.append(buffer, size);
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  return status;
}

TEST(RunStoreCrash, EveryReturnedWriteSurvivesKillNine) {
  TemporaryFolder folder;
  Random random(11);
  long job;
  {
    RunStore store(folder.path(), kWrite);
    job = store.put_measure_job({0, 1, "conv-a", MeasurePurpose::batch, 0, {}, false});
  }
  int next = 0;  // index of the next program to write
  for (int life = 0; life < 20; ++life) {
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    const pid_t child = fork();
    if (child == 0) {
      close(ends[0]);
      RunStore store(folder.path(), kWrite);
      for (int i = next;; ++i) {
        store.put_train_point({"net", i, 0.5, 0, 0, 1}, 1, i);  // may be there already, from the life before
        store.put_program(program(job, i));
        if (write(ends[1], &i, sizeof i) != sizeof i) _exit(1);
      }
    }
    close(ends[1]);
    std::thread killer([&] {
      std::this_thread::sleep_for(std::chrono::microseconds(3000 + random.below(60000)));
      kill(child, SIGKILL);
    });
    int reported = next - 1, last;
    while (read(ends[0], &last, sizeof last) == sizeof last) reported = last;
    close(ends[0]);
    killer.join();
    int status = 0;
    waitpid(child, &status, 0);
    ASSERT_TRUE(WIFSIGNALED(status)) << "the child must die by the signal, not by an error";

    RunStore store(folder.path(), life % 2 ? kWrite : kRead);
    const auto programs = store.programs();
    const auto points = store.train_points();
    ASSERT_GE(static_cast<int>(programs.size()), reported + 1);
    ASSERT_LE(static_cast<int>(programs.size()), reported + 2) << "at most the write under way";
    for (size_t i = 0; i < programs.size(); ++i) {
      ASSERT_EQ(programs[i].index, static_cast<int>(i)) << "each exactly once, in order";
      ASSERT_EQ(std::get<Measurement>(programs[i].outcome).median_us, 1.5 + i);
    }
    ASSERT_GE(points.size(), programs.size());
    ASSERT_LE(points.size(), programs.size() + 1);
    for (size_t i = 0; i < points.size(); ++i) ASSERT_EQ(points[i].point.step, static_cast<long>(i));
    next = static_cast<int>(programs.size());
  }
  EXPECT_GT(next, 20);
}

TEST(RunStoreCrash, ADeadWritersLockIsFree) {
  TemporaryFolder folder;
  std::string report;
  in_child(
      [&] {
        RunStore store(folder.path(), kWrite);
        store.put_value("x", "1");
        kill(getpid(), SIGKILL);
        return std::string();
      },
      report);
  EXPECT_FALSE(RunStore::writer(folder.path()).has_value());
  EXPECT_EQ(RunStore(folder.path(), kWrite).value("x"), "1");
}

TEST(RunStoreCrash, TheLockIsNotInheritedByPrograms) {
  TemporaryFolder folder;
  pid_t child;
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  {
    RunStore store(folder.path(), kWrite);
    child = fork();
    if (child == 0) {
      dup2(ends[1], 1);
      execlp("sh", "sh", "-c", "echo up; exec sleep 60", nullptr);
      _exit(1);
    }
    char buffer[3];
    ASSERT_EQ(read(ends[0], buffer, 3), 3);  // exec has happened
  }
  EXPECT_FALSE(RunStore::writer(folder.path()).has_value());
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  close(ends[0]);
  close(ends[1]);
}

TEST(RunStoreCrash, ALogCutAnywhereOpensToAPrefix) {
  TemporaryFolder folder;
  constexpr int kRows = 40;
  RunStore live(folder.path(), kWrite);
  const long job = live.put_measure_job({0, 1, "conv-a", MeasurePurpose::batch, 0, {}, false});
  for (int i = 0; i < kRows; ++i) live.put_program(program(job, i));
  const size_t whole = std::filesystem::file_size(folder / "run.db-wal");
  ASSERT_GT(whole, 0u);
  std::vector<size_t> cuts;
  for (size_t cut = 0; cut < whole; cut += cut < 100 ? 1 : 997) cuts.push_back(cut);
  cuts.push_back(whole);
  size_t previous = 0;
  for (size_t i = 0; i < cuts.size(); ++i) {
    TemporaryFolder copy;
    std::filesystem::copy_file(folder / "run.db", copy / "run.db");
    std::filesystem::copy_file(folder / "run.db-wal", copy / "run.db-wal");
    std::filesystem::resize_file(copy / "run.db-wal", cuts[i]);
    RunStore store(copy.path(), i % 2 ? kWrite : kRead);
    const auto programs = store.programs();
    ASSERT_GE(programs.size(), previous) << "a longer log holds no less";
    previous = programs.size();
    for (size_t k = 0; k < programs.size(); ++k) ASSERT_EQ(programs[k].index, static_cast<int>(k));
  }
  EXPECT_EQ(previous, static_cast<size_t>(kRows));
}

TEST(RunStoreCrash, AFullDiskIsNamedAndTheRunGoesOnWhenThereIsSpace) {
  TemporaryFolder folder;
  std::string report;
  in_child(
      [&]() -> std::string {
        if (unshare(CLONE_NEWNS) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return "skip";
        mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr);
        if (mount("none", folder.path().c_str(), "tmpfs", 0, "size=1m") != 0) return "skip";
        try {
          std::ofstream(folder / "ballast") << std::string(400'000, 'x');
          RunStore store(folder / "run", kWrite);
          const long job = store.put_measure_job({0, 1, "conv-a", MeasurePurpose::batch, 0, {}, false});
          std::string message;
          int written = 0;
          try {
            for (; written < 100'000; ++written) store.put_program(program(job, written));
          } catch (const EnvironmentError& error) {
            message = error.what();
          }
          if (static_cast<int>(store.programs().size()) != written) return "a refused row was kept, or a kept row lost";
          std::filesystem::remove(folder / "ballast");
          store.put_program(program(job, written));
          if (static_cast<int>(store.programs().size()) != written + 1) return "the run does not go on";
          return message;
        } catch (const std::exception& error) {
          return std::string("unexpected: ") + error.what();
        }
      },
      report);
  if (report == "skip") GTEST_SKIP() << "may not mount a small file system here";
  EXPECT_THAT(report, HasSubstr("run.db cannot grow: the disk is full"));
  EXPECT_THAT(report, HasSubstr("free some space and start again"));
}

TEST(RunStoreCrash, AReadOnlyFolderCanBeReadButNotWritten) {
  TemporaryFolder folder;
  std::filesystem::permissions(folder.path(), std::filesystem::perms(0755));
  {
    RunStore store(folder.path(), kWrite);
    store.put_value("x", "1");
  }
  std::filesystem::permissions(folder.path(), std::filesystem::perms(0555));
  std::string report;
  in_child(
      [&]() -> std::string {
        if (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0)) return "skip";  // root may write anywhere
        const std::string value = RunStore(folder.path(), kRead).value("x").value_or("none");
        return value + "|" + message_of<EnvironmentError>([&] { RunStore(folder.path(), kWrite); }) + "|" +
               message_of<EnvironmentError>([&] { RunStore(folder / "new", kWrite); });
      },
      report);
  std::filesystem::permissions(folder.path(), std::filesystem::perms(0755));
  if (report == "skip") GTEST_SKIP() << "cannot give up root";
  EXPECT_THAT(report, testing::StartsWith("1|"));
  EXPECT_THAT(report, HasSubstr("run.lock cannot be opened for writing"));
  EXPECT_THAT(report, HasSubstr("new cannot be made"));
}

}  // namespace
}  // namespace sonar
