// Bad input and bad machines: one clear message each, the documented exit code, nothing lost.
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <thread>

#include "command.h"

namespace sonar::test {
namespace {

namespace fs = std::filesystem;

class BadInput : public testing::Test {
 protected:
  BadInput() : folder(std::string("bad-") + testing::UnitTest::GetInstance()->current_test_info()->name()) {
    folder.write("tiny.toml", tiny_configuration(160));
  }

  /// Runs a search with overrides; the error must be one line, with the exit code and all the parts.
  void refused(int exit_code, const std::vector<std::string>& parts, const std::vector<std::string>& overrides = {},
               const std::string& out = "") {
    std::vector<std::string> arguments = {"search", folder / "tiny.toml", "--out", out.empty() ? folder / "run" : out};
    arguments.insert(arguments.end(), overrides.begin(), overrides.end());
    check(sonar(arguments), exit_code, parts);
  }

  static void check(const ProcessResult& result, int exit_code, const std::vector<std::string>& parts) {
    EXPECT_EQ(result.exit_code, exit_code) << result.describe() << "\n" << result.err;
    const size_t error = result.err.find("sonar: error: ");
    ASSERT_NE(error, std::string::npos) << result.err;
    const std::string message = result.err.substr(error);
    EXPECT_EQ(std::count(message.begin(), message.end(), '\n'), 1) << message;
    for (const std::string& part : parts)
      EXPECT_NE(message.find(part), std::string::npos) << "'" << part << "' in\n" << message;
  }

  Folder folder;
};

TEST_F(BadInput, MissingConfiguration) {
  check(sonar({"search", folder / "none.toml"}), 2, {"none.toml", "no such file"});
}

TEST_F(BadInput, UnknownVerb) { check(sonar({"serach"}), 2, {"sonar --help"}); }

TEST_F(BadInput, UnknownKey) {
  folder.write("tiny.toml", tiny_configuration(160) + "epoch = 3\n");
  refused(2, {"tiny.toml:", "train.epoch", "the nearest is train.epochs"});
}

TEST_F(BadInput, WrongType) { refused(2, {"train.epochs", "must be a whole number"}, {"train.epochs=many"}); }

TEST_F(BadInput, MissingData) { refused(2, {"nowhere.tar"}, {"data.path=" + (folder / "nowhere.tar")}); }

TEST_F(BadInput, EmptyClassFolder) {
  ProcessOptions unpack;
  unpack.command = {"tar", "-xJf", source_path("examples/data/cifar10-sample.tar.xz"), "-C", folder.path, "train/cat"};
  ASSERT_EQ(run_process(unpack).exit_code, 0);
  fs::create_directories(folder / "train/dog");
  refused(2, {"dog"}, {"data.path=" + folder.path});
}

TEST_F(BadInput, TruncatedArchive) {
  const std::string whole = source_path("examples/data/cifar10-sample.tar.xz");
  fs::copy_file(whole, folder / "cut.tar.xz");
  fs::resize_file(folder / "cut.tar.xz", fs::file_size(whole) / 2);
  refused(2, {"cut.tar.xz"}, {"data.path=" + (folder / "cut.tar.xz")});
}

TEST_F(BadInput, ThresholdBelowEveryLowerBound) {
  refused(2, {"search.threshold_ms", "below what any candidate could reach"},
          {"search.algorithm=threshold", "search.threshold_ms=0.0000001"});
}

TEST_F(BadInput, BudgetBelowTheDefaultPrograms) {
  refused(2, {"search.programs", "default programs", "set it to at least"}, {"search.programs=3"});
}

TEST_F(BadInput, ARefusedRunTakesTheMendedConfiguration) {
  refused(2, {"search.programs"}, {"search.programs=3"});
  const ProcessResult mended =
      sonar({"search", folder / "tiny.toml", "--out", folder / "run", "search.epochs=2", "search.programs=60"});
  EXPECT_EQ(mended.exit_code, 0) << mended.err;
}

TEST_F(BadInput, TimeBelowTheDefaultPrograms) {
  refused(2, {"search.time"},
          {"search.programs=0", "search.epochs=0", "search.time=1s", "search.minimum_slice_steps=1"});
}

TEST_F(BadInput, NoBudget) { refused(2, {"no budget", "search.time"}, {"search.programs=0", "search.epochs=0"}); }

TEST_F(BadInput, TracesAndTables) {
  check(sonar({"replay", folder / "none", "--speedup", "2"}), 2, {"is no folder", "networks.csv"});
  check(sonar({"trace", folder.path, "--out", folder / "trace"}), 2, {folder.path});
  check(sonar({"rank", folder / "none.csv"}), 2, {"none.csv", "cannot be read"});
  folder.write("points.csv", "accuracy,latency\n0.5,10\n0.7,fast\n");
  check(sonar({"rank", folder / "points.csv", "--maximize", "accuracy"}), 2, {"points.csv:3", "'fast'", "latency"});
  check(sonar({"rank", folder / "points.csv", "--maximize", "speed"}), 2, {"no column 'speed'", "accuracy, latency"});
  folder.write("trace/networks.csv", "network,subgraphs\nx,a:1\n");
  check(sonar({"replay", folder / "trace", "--speedup", "2"}), 2, {"training.csv", "networks.csv"});
  folder.write("trace/training.csv", "network,epoch,val_accuracy,seconds\nx,1,0.5,10\n");
  folder.write("trace/tuning.csv", "subgraph,programs,latency_us,seconds\na,1,5,1\n");
  check(sonar({"replay", folder / "trace"}), 2, {"no budget", "--speedup"});
  check(sonar({"replay", folder / "trace", "--speedup", "2", "--algorithm", "paretto"}), 2, {"'paretto'", "pareto"});
  check(sonar({"replay", folder / "trace", "--speedup", "2", "--set", "eta"}), 2, {"key=value"});
  check(sonar({"replay", folder / "trace", "--speedup", "2"}), 2, {"default programs", "--speedup can be at most 1"});

  const std::string out = folder / "cmp";
  check(sonar({"compare", folder / "none", "--out", out}), 2, {folder / "none", "is no folder"});
  check(sonar({"compare", folder.path, "--out", out}), 2, {"neither a trace", "run.db"});
  check(sonar({"compare", folder / "trace", "--out", out, "--speedups", "2"}), 2, {"default programs"});
  check(sonar({"compare", folder / "trace", "--out", out, "--algorithms", "paretto"}), 2, {"'paretto'", "pareto"});
  folder.write("metrics.csv", "network,engine\nx,5\ny,7\n");
  check(sonar({"compare", folder / "trace", "--out", out, "--speedups", "1", "--metrics", folder / "metrics.csv"}), 2,
        {"metrics.csv:3", "network y", "remove the row"});
}

TEST_F(BadInput, ArchitectureOutsideOfTheSpace) {
  check(sonar({"train", folder / "tiny.toml", "--arch", "mobilenetv3-r9-w0.50-e2-k33333-d11111", "--out",
               folder / "run"}),
        2, {"resolution 9"});
}

TEST_F(BadInput, CoreThatIsNotThere) { refused(2, {"core 999", "train.cores"}, {"train.cores=[999]"}); }

TEST_F(BadInput, OutputFolderThatCannotBeMade) {
  // Not by permissions: root may write anywhere that is writable at all.
  refused(3, {"/proc/sonar-run"}, {}, "/proc/sonar-run");
}

TEST_F(BadInput, CompilerThatIsNotThere) {
  refused(3, {"no-such-compiler", "device.compiler"}, {"device.compiler=no-such-compiler"});
}

TEST_F(BadInput, LookingAtNoRun) { check(sonar({"status", folder.path}), 2, {"holds no run"}); }

class SmallDisk : public BadInput {
 protected:
  /// A test that was killed leaves its disk mounted, and then its folder cannot be made anew.
  static void SetUpTestSuite() {
    const auto* suite = testing::UnitTest::GetInstance()->current_test_suite();
    for (int i = 0; i < suite->total_test_count(); ++i)
      ::umount2((fs::temp_directory_path() / ("sonar-test-bad-" + std::string(suite->GetTestInfo(i)->name())) / "disk")
                    .c_str(),
                MNT_DETACH);
  }
  void SetUp() override {
    fs::create_directories(folder / "disk");
    if (::mount("tmpfs", (folder / "disk").c_str(), "tmpfs", 0, "size=400m") != 0)
      GTEST_SKIP() << "mounting a small tmpfs needs root";
    mounted = true;
  }
  void TearDown() override {
    if (mounted) ::umount2((folder / "disk").c_str(), MNT_DETACH);
  }
  void fill(size_t leave_mb) {
    std::ofstream file(folder / "disk/filler", std::ios::binary);
    const std::string block(1 << 20, 'x');
    while (fs::space(folder / "disk").available > (leave_mb << 20)) file << block << std::flush;
  }
  bool mounted = false;
};

TEST_F(SmallDisk, IsRefusedAtTheStart) {
  fill(20);
  refused(3, {"disk is nearly full", "MB free"}, {}, folder / "disk/run");
}

TEST_F(SmallDisk, FillsUpDuringTheRunWhichThenContinues) {
  ProcessOptions options;
  options.command = {sonar_executable(), "search", folder / "tiny.toml", "--out", folder / "disk/run"};
  options.stderr_path = folder / "log";
  ChildProcess process(options);
  while (!fs::exists(folder / "disk/run/config.toml")) std::this_thread::sleep_for(std::chrono::milliseconds(20));
  std::this_thread::sleep_for(std::chrono::seconds(3));
  fill(4);
  std::optional<ProcessResult> ended;
  for (int i = 0; i < 2400 && !(ended = process.poll()); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  ASSERT_TRUE(ended);
  EXPECT_EQ(ended->exit_code, 3) << ended->describe();
  fs::remove(folder / "disk/filler");
  const ProcessResult rest = sonar({"search", folder / "tiny.toml", "--out", folder / "disk/run"});
  EXPECT_EQ(rest.exit_code, 0) << rest.err;
}

}  // namespace
}  // namespace sonar::test
