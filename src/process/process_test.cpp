#include "process/process.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <thread>

#include "model/error.h"

namespace sonar {
namespace {

using Clock = std::chrono::steady_clock;
namespace fs = std::filesystem;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

ProcessOptions shell(const std::string& script) {
  ProcessOptions options;
  options.command = {"sh", "-c", script};
  return options;
}

// This executable in one of its roles (see main).
ProcessOptions role(const std::string& name, const std::string& argument = "") {
  ProcessOptions options;
  options.command = {fs::read_symlink("/proc/self/exe").string(), "--role", name, argument};
  return options;
}

// Gone, or a zombie that nobody has reaped yet.
bool is_dead(int pid) {
  std::ifstream stat("/proc/" + std::to_string(pid) + "/stat");
  std::string line;
  if (!std::getline(stat, line)) return true;
  return line.substr(line.rfind(')') + 2, 1) == "Z";
}

bool dies_within(int pid, double seconds) {
  const auto start = Clock::now();
  while (seconds_since(start) < seconds) {
    if (is_dead(pid)) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return is_dead(pid);
}

TEST(RunProcess, EndsSoonAfterItIsToStop) {
  std::atomic<bool> stop{false};
  std::thread later([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    stop = true;
  });
  const ProcessResult result = run_process(shell("echo before; sleep 600"), "", 0, &stop);
  later.join();
  EXPECT_EQ(result.signal, SIGKILL);
  EXPECT_FALSE(result.timed_out);
  EXPECT_EQ(result.out, "before\n");
  EXPECT_EQ(run_process(shell("exit 3"), "", 60, nullptr).exit_code, 3);
}

TEST(RunProcess, ExitCodesSignalsAndText) {
  EXPECT_EQ(run_process(shell("exit 0")).exit_code, 0);
  const ProcessResult seven = run_process(shell("echo one; echo first >&2; echo last >&2; exit 7"));
  EXPECT_EQ(seven.exit_code, 7);
  EXPECT_EQ(seven.signal, 0);
  EXPECT_FALSE(seven.timed_out);
  EXPECT_EQ(seven.out, "one\n");
  EXPECT_EQ(seven.err, "first\nlast\n");
  EXPECT_EQ(seven.describe(), "exited with code 7: last");
  const ProcessResult killed = run_process(shell("kill -SEGV $$"));
  EXPECT_EQ(killed.exit_code, -1);
  EXPECT_EQ(killed.signal, SIGSEGV);
  EXPECT_EQ(killed.describe(), "killed by signal 11 (Segmentation fault)");
}

TEST(RunProcess, InputPassesThroughInFull) {
  std::string text;
  for (int i = 0; i < 120000; ++i) text += std::to_string(i % 10);
  ProcessOptions options;
  options.command = {"cat"};
  EXPECT_EQ(run_process(options, text).out, text);
}

TEST(RunProcess, InputThatNobodyReadsIsNoError) {
  const ProcessResult result = run_process(shell("exit 3"), std::string(10 << 20, 'x'));
  EXPECT_EQ(result.exit_code, 3);
}

TEST(RunProcess, KeepsTheEndOfLongOutput) {
  const ProcessResult result = run_process(shell("head -c 5000000 /dev/zero | tr '\\0' a; echo end; echo oops >&2"));
  EXPECT_EQ(result.out.size(), size_t{1} << 20);
  EXPECT_EQ(result.out.substr(result.out.size() - 5), "aend\n");
  EXPECT_EQ(result.err, "oops\n");
}

TEST(RunProcess, EndlessOutputDoesNotEscapeTheTimeLimit) {
  ProcessOptions options;
  options.command = {"yes"};
  const ProcessResult result = run_process(options, "", 0.2);
  EXPECT_TRUE(result.timed_out);
  EXPECT_EQ(result.exit_code, -1);
  EXPECT_EQ(result.signal, 0);
  EXPECT_EQ(result.describe(), "timed out");
  EXPECT_EQ(result.out.substr(0, 200).find_first_not_of("y\n"), std::string::npos);
}

TEST(RunProcess, TimeoutKillsGrandchildren) {
  const auto start = Clock::now();
  const ProcessResult result = run_process(shell("sleep 1000 & echo $!; wait"), "", 0.3);
  EXPECT_TRUE(result.timed_out);
  EXPECT_LT(seconds_since(start), 100);
  const int grandchild = std::stoi(result.out);
  EXPECT_TRUE(dies_within(grandchild, 10));
}

TEST(RunProcess, WhatIsLeftInTheBackgroundIsKilledAtTheEnd) {
  const ProcessResult result = run_process(shell("sleep 1000 & echo $!"));
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_TRUE(dies_within(std::stoi(result.out), 10));
}

TEST(RunProcess, MissingCommandNamesItAndTheRemedy) {
  ProcessOptions options;
  options.command = {"sonar-no-such-command"};
  try {
    run_process(options);
    FAIL();
  } catch (const EnvironmentError& e) {
    EXPECT_STREQ(e.what(), "sonar-no-such-command not found in PATH; install it or give its full path");
  }
  options.command = {"/no/such/folder/tool"};
  try {
    run_process(options);
    FAIL();
  } catch (const EnvironmentError& e) {
    EXPECT_NE(std::string(e.what()).find("/no/such/folder/tool not found"), std::string::npos) << e.what();
  }
  options.command = {"/etc/passwd"};
  try {
    run_process(options);
    FAIL();
  } catch (const EnvironmentError& e) {
    EXPECT_STREQ(e.what(), "/etc/passwd cannot be executed: Permission denied");
  }
}

TEST(RunProcess, MemoryLimit) {
  ProcessOptions options = role("allocate", "300");
  EXPECT_EQ(run_process(options).out, "allocated\n");
  options.memory_limit_mb = 200;
  EXPECT_EQ(run_process(options).out, "refused\n");
}

TEST(RunProcess, CpuLimit) {
  ProcessOptions options = role("spin");
  options.cpu_limit_s = 0.5;
  const ProcessResult result = run_process(options, "", 60);
  EXPECT_EQ(result.describe(), "killed by signal 24 (CPU time limit exceeded)");
}

TEST(RunProcess, RunsOnTheGivenCores) {
  cpu_set_t ours;
  ASSERT_EQ(sched_getaffinity(0, sizeof ours, &ours), 0);
  for (int core = 0; core < CPU_SETSIZE; ++core) {
    if (!CPU_ISSET(core, &ours)) continue;
    ProcessOptions options = role("cores");
    options.cores = {core};
    EXPECT_EQ(run_process(options).out, std::to_string(core) + " \n");
  }
}

TEST(RunProcess, ACoreThatDoesNotExistIsAnError) {
  ProcessOptions options = shell("exit 0");
  for (int core : {CPU_SETSIZE - 1, CPU_SETSIZE + 5, -1}) {
    options.cores = {core};
    try {
      run_process(options);
      FAIL();
    } catch (const EnvironmentError& e) {
      EXPECT_NE(std::string(e.what()).find("on cores " + std::to_string(core) + ": Invalid argument"),
                std::string::npos)
          << e.what();
    }
  }
}

TEST(RunProcess, EnvironmentIsOursWithAdditions) {
  setenv("SONAR_TEST_KEPT", "kept", 1);
  setenv("SONAR_TEST_REPLACED", "old", 1);
  ProcessOptions options = shell("echo $SONAR_TEST_KEPT $SONAR_TEST_REPLACED $SONAR_TEST_ADDED");
  options.environment = {"SONAR_TEST_REPLACED=new", "SONAR_TEST_ADDED=a=b"};
  EXPECT_EQ(run_process(options).out, "kept new a=b\n");
}

TEST(RunProcess, NicenessIsAdded) {
  ProcessOptions options = shell("nice");
  const int before = std::stoi(run_process(options).out);
  options.niceness = 3;
  EXPECT_EQ(std::stoi(run_process(options).out), std::min(19, before + 3));
}

TEST(RunProcess, StderrGoesToTheEndOfAFile) {
  const std::string path = testing::TempDir() + "/process_test_stderr_" + std::to_string(getpid());
  fs::remove(path);
  ProcessOptions options = shell("echo hello >&2; echo out");
  options.stderr_path = path;
  for (int i = 0; i < 2; ++i) {
    const ProcessResult result = run_process(options);
    EXPECT_EQ(result.out, "out\n");
    EXPECT_EQ(result.err, "");
  }
  std::ifstream file(path);
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  EXPECT_EQ(text, "hello\nhello\n");
  fs::remove(path);
  options.stderr_path = "/no/such/folder/log";
  EXPECT_THROW(run_process(options), EnvironmentError);
}

TEST(RunProcess, NoDescriptorOfOursIsOpenInTheChild) {
  const int leaked = open("/dev/null", O_RDONLY);  // without O_CLOEXEC on purpose
  ASSERT_GE(leaked, 3);
  // ls opens the folder itself: one more than the three standard ones.
  EXPECT_EQ(run_process(shell("exec ls /proc/self/fd")).out, "0\n1\n2\n3\n");
  close(leaked);
}

TEST(RunProcess, ChildIsTheLeaderOfItsGroupAndHasNoSignalBlocked) {
  sigset_t block, before;
  sigemptyset(&block);
  sigaddset(&block, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &block, &before);
  const ProcessResult result = run_process(role("group"));
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  EXPECT_EQ(result.out, "leader, 0 blocked\n");
}

TEST(RunProcess, ManyThreadsAtOnce) {
  std::vector<std::thread> threads;
  std::vector<int> sums(6);
  for (int t = 0; t < 6; ++t) {
    threads.emplace_back([t, &sums] {
      for (int i = 0; i < 10; ++i) sums[t] += run_process(shell("cat; exit 2"), "x").exit_code;
    });
  }
  for (auto& thread : threads) thread.join();
  for (int sum : sums) EXPECT_EQ(sum, 20);
}

TEST(ChildProcess, SpeaksLines) {
  ProcessOptions options = shell("while read line; do echo \"got $line\"; done; echo bye");
  ChildProcess child(options);
  std::string line;
  EXPECT_EQ(child.read_line(line, 0), ChildProcess::Read::timeout);
  for (int i = 0; i < 100; ++i) {
    EXPECT_TRUE(child.write_line("line " + std::to_string(i)));
    ASSERT_EQ(child.read_line(line, 20), ChildProcess::Read::line);
    EXPECT_EQ(line, "got line " + std::to_string(i));
  }
  EXPECT_FALSE(child.poll());
  const ProcessResult end = child.kill();
  EXPECT_EQ(end.signal, SIGKILL);
  EXPECT_EQ(child.kill().signal, SIGKILL);
  EXPECT_EQ(child.poll()->signal, SIGKILL);
  EXPECT_FALSE(child.write_line("more"));
  EXPECT_EQ(child.read_line(line, 20), ChildProcess::Read::closed);
}

TEST(ChildProcess, EmptyLinesManyLinesAndACutLastLine) {
  ChildProcess child(shell("echo; echo a; echo; seq 1 100000; printf cut"));
  std::string line;
  for (const char* expected : {"", "a", ""}) {
    ASSERT_EQ(child.read_line(line, 20), ChildProcess::Read::line);
    EXPECT_EQ(line, expected);
  }
  for (int i = 1; i <= 100000; ++i) {
    ASSERT_EQ(child.read_line(line, 20), ChildProcess::Read::line);
    ASSERT_EQ(line, std::to_string(i));
  }
  EXPECT_EQ(child.read_line(line, 20), ChildProcess::Read::closed);
}

TEST(ChildProcess, LinesLongerThanAPipeInBothDirectionsDoNotBlock) {
  ProcessOptions options;
  options.command = {"cat"};
  ChildProcess child(options);
  const std::string sent(3 << 20, 'z');
  std::string line;
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(child.write_line(sent));  // cat writes before we read
  for (int i = 0; i < 3; ++i) {
    ASSERT_EQ(child.read_line(line, 30), ChildProcess::Read::line);
    EXPECT_EQ(line, sent);
  }
}

TEST(ChildProcess, AChildThatIsGoneIsSeen) {
  ChildProcess child(shell("read line; exit 4"));
  EXPECT_TRUE(child.write_line("go"));
  std::string line;
  EXPECT_EQ(child.read_line(line, 20), ChildProcess::Read::closed);
  const auto start = Clock::now();
  while (!child.poll() && seconds_since(start) < 20) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  ASSERT_TRUE(child.poll());
  EXPECT_EQ(child.poll()->exit_code, 4);
  EXPECT_EQ(child.kill().exit_code, 4);
  EXPECT_FALSE(child.write_line("anyone?"));  // and no SIGPIPE, or this test would be dead
}

TEST(ChildProcess, DestructorAndMoveKillTheRightChild) {
  std::optional<ChildProcess> first(shell("sleep 1000"));
  ChildProcess second(shell("sleep 1000"));
  const int first_pid = first->pid(), second_pid = second.pid();
  second = std::move(*first);
  EXPECT_EQ(second.pid(), first_pid);
  first.reset();
  EXPECT_TRUE(dies_within(second_pid, 10));
  EXPECT_FALSE(is_dead(first_pid));
}

TEST(ChildProcess, OutlivesTheThreadThatStartedIt) {
  std::optional<ChildProcess> child;
  std::thread([&] {
    ProcessOptions options;
    options.command = {"cat"};
    child.emplace(options);
  }).join();
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  std::string line;
  ASSERT_TRUE(child->write_line("still there"));
  ASSERT_EQ(child->read_line(line, 20), ChildProcess::Read::line);
  EXPECT_EQ(line, "still there");
}

TEST(ChildProcess, DiesWhenItsParentIsKilled) {
  std::optional<ChildProcess> parent(role("parent"));
  std::string line;
  ASSERT_EQ(parent->read_line(line, 20), ChildProcess::Read::line);
  const int grandchild = std::stoi(line);
  EXPECT_FALSE(is_dead(grandchild));
  ASSERT_EQ(::kill(parent->pid(), SIGKILL), 0);  // the parent alone: no handler, no destructor, not its child's group
  EXPECT_TRUE(dies_within(grandchild, 10));
}

TEST(SiblingExecutable, BesideUsInBinAndWhereTheVariableSays) {
  const fs::path own = fs::read_symlink("/proc/self/exe");
  unsetenv("SONAR_BIN");
  EXPECT_EQ(sibling_executable(own.filename().string()), own.string());
  try {
    sibling_executable("sonar-nobody");
    FAIL();
  } catch (const EnvironmentError& e) {
    EXPECT_NE(std::string(e.what()).find("sonar-nobody is neither in " + own.parent_path().string()), std::string::npos)
        << e.what();
  }
  setenv("SONAR_BIN", "/bin", 1);
  EXPECT_EQ(sibling_executable("sh"), "/bin/sh");
  EXPECT_THROW(sibling_executable(own.filename().string()), EnvironmentError);
  unsetenv("SONAR_BIN");
}

// What this executable does as a child of its own tests.
int play(const std::string& role, const std::string& argument) {
  if (role == "allocate") {
    const size_t bytes = std::stoul(argument) << 20;
    char* memory = static_cast<char*>(std::malloc(bytes));
    if (memory) std::memset(memory, 1, bytes);
    std::puts(memory && memory[bytes / 2] ? "allocated" : "refused");
    std::free(memory);
    return 0;
  }
  if (role == "spin") {
    for (volatile bool for_ever = true; for_ever;) {
    }
    return 1;
  }
  if (role == "cores") {
    cpu_set_t set;
    sched_getaffinity(0, sizeof set, &set);
    for (int core = 0; core < CPU_SETSIZE; ++core) {
      if (CPU_ISSET(core, &set)) std::printf("%d ", core);
    }
    std::puts("");
    return 0;
  }
  if (role == "group") {
    sigset_t blocked;
    sigprocmask(SIG_BLOCK, nullptr, &blocked);
    int count = 0;
    for (int signal = 1; signal < NSIG; ++signal) count += sigismember(&blocked, signal) == 1;
    std::printf("%s, %d blocked\n", getpgrp() == getpid() ? "leader" : "member", count);
    return 0;
  }
  if (role == "parent") {
    ProcessOptions options;
    options.command = {"sleep", "1000"};
    ChildProcess child(options);
    std::printf("%d\n", child.pid());
    std::fflush(stdout);
    pause();
    return 0;
  }
  return 99;
}

}  // namespace
}  // namespace sonar

int main(int argc, char** argv) {
  if (argc >= 3 && std::string(argv[1]) == "--role") return sonar::play(argv[2], argc > 3 ? argv[3] : "");
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
