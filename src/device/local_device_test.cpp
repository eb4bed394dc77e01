#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "device/device.h"
#include "device/test_kernels.h"
#include "model/error.h"

namespace sonar {
namespace {

namespace fs = std::filesystem;

const char* const copy = "for (int i = 0; i < COUNT(1); ++i) DATA(1)[i] = DATA(0)[i];";

class LocalDeviceTest : public testing::Test {
 protected:
  void add(const std::string& name, const std::string& body) { add_object(name, kernel_object(name, body)); }
  void add_object(const std::string& name, const std::string& object) {
    batch_.objects.push_back(object);
    batch_.functions.push_back(name);
    const std::vector<BufferSpec> buffers = {random_buffer({20}, 1), zero_buffer({20})};
    batch_.cases.push_back(one_call(static_cast<int>(batch_.functions.size()) - 1, buffers, values_of(buffers[0])));
  }
  /// Measures, and checks that `done` told each outcome once.
  std::vector<std::string> failures() {
    std::vector<int> told(batch_.cases.size());
    order_.clear();
    const auto outcomes = device_->measure(batch_, [&](size_t i, const Outcome& outcome) {
      ++told.at(i);
      order_.push_back(i);
      told_.push_back(failure(outcome));
    });
    std::vector<std::string> result;
    for (size_t i = 0; i < outcomes.size(); ++i) {
      EXPECT_EQ(told[i], 1);
      result.push_back(failure(outcomes[i]));
    }
    return result;
  }
  std::vector<std::string> left_in_folder() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder_.path())) names.push_back(entry.path().filename().string());
    return names;
  }

  TestFolder folder_;
  std::unique_ptr<Device> device_ = make_local_device(test_device_options(folder_.path()));
  Batch batch_;
  std::vector<size_t> order_;
  std::vector<std::string> told_;
};

TEST_F(LocalDeviceTest, NothingToMeasure) { EXPECT_TRUE(device_->measure({}).empty()); }

TEST_F(LocalDeviceTest, OneBadProgramCostsItselfOnly) {
  add("good0", copy);
  add("crashes", "*(volatile int *)8 = 1;");
  add("good1", copy);
  add("wrong", "DATA(1)[0] = 5;");
  add_object("unlinkable", c_object("int nowhere(void); int unlinkable_argv(void **a) { return nowhere(); }"));
  add("hangs", "for (;;);");
  batch_.cases[5].time_limit_s = 0.2;
  add("good2", copy);
  const auto result = failures();
  EXPECT_EQ(result[0], "");
  EXPECT_EQ(result[1], "crash: killed by signal 11 (Segmentation fault)");
  EXPECT_EQ(result[2], "");
  EXPECT_EQ(result[3].rfind("wrong answer: ", 0), 0u);
  EXPECT_EQ(result[4].rfind("link error: ", 0), 0u);
  EXPECT_NE(result[4].find("nowhere"), std::string::npos);
  EXPECT_EQ(result[5], "run timeout: ran longer than 0.2 s");
  EXPECT_EQ(result[6], "");
  EXPECT_EQ(order_, (std::vector<size_t>{4, 0, 1, 2, 3, 5, 6}));
  for (const std::string& name : left_in_folder()) EXPECT_EQ(name.rfind("runner-", 0), 0u) << name;
}

TEST_F(LocalDeviceTest, OutcomesAreToldAsTheyArrive) {
  const std::string marker = folder_.file("marker");
  add("quick", copy);
  add("waits",
      std::string(copy) + " for (int i = 0; access(\"" + marker + "\", F_OK) && i < 10000; ++i) usleep(1000);");
  // The second program ends only once the first has been told.
  const auto outcomes = device_->measure(batch_, [&](size_t i, const Outcome&) {
    if (i == 0) std::ofstream(marker) << "x";
  });
  EXPECT_EQ(failure(outcomes[0]), "");
  EXPECT_EQ(failure(outcomes[1]), "");
}

TEST_F(LocalDeviceTest, ARunnerThatIsKilledOnceIsStartedAgainWhereItWas) {
  const std::string marker = folder_.file("marker"), log = folder_.file("log");
  const std::string note = " int f = open(\"" + log +
                           "\", O_WRONLY | O_CREAT | O_APPEND, 0644); if (f < 0) return 1; "
                           "static int noted; if (!noted++) (void)!write(f, \"x\", 1); close(f);";
  add("first", copy + note);
  add("kills", std::string(copy) + " if (access(\"" + marker + "\", F_OK)) { close(open(\"" + marker +
                   "\", O_CREAT | O_WRONLY, 0644)); kill(getppid(), SIGKILL); pause(); }");
  add("last", copy + note);
  EXPECT_EQ(failures(), (std::vector<std::string>{"", "", ""}));
  EXPECT_EQ(order_, (std::vector<size_t>{0, 1, 2}));
  EXPECT_EQ(fs::file_size(log), 2u);  // what was measured is not measured again
}

TEST_F(LocalDeviceTest, ACaseThatTwoRunnersDieOfIsACrash) {
  add("first", copy);
  add("kills", "kill(getppid(), SIGKILL); pause();");
  add("last", copy);
  EXPECT_EQ(failures(), (std::vector<std::string>{
                            "", "crash: the runner died twice in this case: killed by signal 9 (Killed)", ""}));
}

TEST_F(LocalDeviceTest, ARunnerThatCannotStartIsUnreachable) {
  // A constructor of the program's object takes the runner down before it has said anything.
  add_object("early", c_object("#include <unistd.h>\n__attribute__((constructor)) static void go(void) { _exit(9); }\n"
                               "int early_argv(void **a) { return 0; }"));
  add("other", copy);
  for (const std::string& text : failures())
    EXPECT_EQ(text, "device unreachable: the runner does not start: exited with code 9");
}

TEST_F(LocalDeviceTest, ANonsensicalRunnerIsGivenUp) {
  add_object("odd",
             c_object("#include <stdio.h>\n__attribute__((constructor)) static void go(void) { puts(\"hello\"); }\n"
                      "int odd_argv(void **a) { return 0; }"));
  EXPECT_EQ(failures()[0], "device unreachable: the runner does not start: it said \"hello\"");
}

TEST_F(LocalDeviceTest, AResultThatWasCutShortIsACrashOfItsCase) {
  // The runner ends in the middle of a line; what is there looks like a result.
  add_object("cut", c_object(R"(
#include <unistd.h>
__attribute__((constructor)) static void go(void) {
  static const char text[] = "sonar-runner 1\nstart 0\nok 0 5 0 1.25 1.2";
  _exit(write(1, text, sizeof text - 1) > 0 ? 0 : 1);
}
int cut_argv(void **a) { return 0; })"));
  EXPECT_EQ(failures()[0], "crash: the runner died twice in this case: exited with code 0");
}

TEST_F(LocalDeviceTest, OnlyTheCasesThatNeedAnUnlinkableFunctionFail) {
  add("good", copy);
  add_object("bad", "/no/such/object.o");
  batch_.cases[1].calls.push_back(batch_.cases[0].calls[0]);
  batch_.cases.push_back(batch_.cases[0]);
  const auto result = failures();
  EXPECT_EQ(result[0], "");
  EXPECT_EQ(result[1].rfind("link error: ", 0), 0u);
  EXPECT_EQ(result[2], "");
}

TEST_F(LocalDeviceTest, RunsOnTheFirstCoreGiven) {
  add_object("core",
             c_object("#define _GNU_SOURCE\n#include <sched.h>\n#include <HalideRuntime.h>\nint core_argv(void **args) "
                      "{ cpu_set_t s; sched_getaffinity(0, sizeof s, &s); return CPU_COUNT(&s) == 1 && "
                      "CPU_ISSET(0, &s) ? 0 : -CPU_COUNT(&s); }"));
  batch_.cases[0].expected.clear();
  DeviceOptions options = test_device_options(folder_.path());
  options.cores = {0, 1};
  EXPECT_EQ(failure(make_local_device(options)->measure(batch_)[0]), "");
  options.cores = {1000};
  try {
    make_local_device(options)->measure(batch_);
    FAIL();
  } catch (const EnvironmentError& e) {
    EXPECT_NE(std::string(e.what()).find("on cores 1000: Invalid argument"), std::string::npos) << e.what();
  }
}

TEST_F(LocalDeviceTest, SeveralThreadsMayMeasure) {
  add("one", copy);
  add("two", copy);
  std::vector<std::thread> threads;
  std::vector<std::string> results(3);
  for (auto& result : results) {
    threads.emplace_back([&] {
      for (const Outcome& outcome : device_->measure(batch_)) result += failure(outcome);
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(results, std::vector<std::string>(3));
}

TEST_F(LocalDeviceTest, FilesOfDeadProcessesAreRemoved) {
  const int dead = fork();
  if (dead == 0) _exit(0);
  ASSERT_EQ(waitpid(dead, nullptr, 0), dead);
  const std::string old = folder_.file("batch-" + std::to_string(dead) + "-0.data");
  const std::string ours = folder_.file("batch-" + std::to_string(getpid()) + "-x");
  std::ofstream(old) << "old";
  std::ofstream(ours) << "ours";
  make_local_device(test_device_options(folder_.path()));
  EXPECT_FALSE(fs::exists(old));
  EXPECT_TRUE(fs::exists(ours));
}

TEST_F(LocalDeviceTest, AWorkFolderThatCannotBeMade) {
  try {
    DeviceOptions options;
    options.work_folder = "/proc/no/such";
    make_local_device(options);
    FAIL();
  } catch (const EnvironmentError& e) {
    EXPECT_NE(std::string(e.what()).find("cannot write the work folder /proc/no/such: "), std::string::npos)
        << e.what();
  }
}

TEST_F(LocalDeviceTest, BadBatchesAreOurFault) {
  add("one", copy);
  batch_.cases[0].calls[0].function = 3;
  EXPECT_THROW(device_->measure(batch_), InternalError);
}

}  // namespace
}  // namespace sonar
