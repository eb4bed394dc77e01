#include "program/compiler.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <thread>

#include "model/error.h"

namespace sonar {
namespace {

namespace fs = std::filesystem;

class CompilerTest : public testing::Test {
 protected:
  CompilerTest() {
    options_.target = host_target();
    options_.work_folder = fmt::format("{}/sonar-compiler-test-{}", testing::TempDir(), getpid());
    options_.worker = SONAR_BIN_DIR "/sonar-compiler";
  }
  ~CompilerTest() override { fs::remove_all(options_.work_folder); }

  CompileRequest request(const std::string& key, const std::string& name) const {
    const Subgraph subgraph = parse_subgraph(key);
    return {subgraph, make_program_space(subgraph, options_.target)->default_program(), name};
  }

  CompilerOptions options_;
};

/// Live processes whose parent we are.
std::vector<int> children() {
  std::vector<int> result;
  for (const auto& entry : fs::directory_iterator("/proc")) {
    const int pid = std::atoi(entry.path().filename().c_str());
    if (pid <= 0) continue;
    std::string text;
    std::ifstream file(entry.path() / "stat");
    std::getline(file, text);
    const size_t after_name = text.rfind(')');
    if (after_name == std::string::npos) continue;
    char state = 0;
    int parent = 0;
    if (sscanf(text.c_str() + after_name + 1, " %c %d", &state, &parent) == 2 && parent == getpid() && state != 'Z')
      result.push_back(pid);
  }
  return result;
}

TEST_F(CompilerTest, CompilesInOrderAndTellsWhatItIs) {
  options_.cores = {0, 0};  // two workers
  Compiler compiler(options_);
  EXPECT_EQ(compiler.version().substr(0, 7), "Halide ");
  EXPECT_NE(compiler.target_text().find("-"), std::string::npos);
  std::vector<CompileRequest> requests;
  for (int i = 0; i < 7; ++i)
    requests.push_back(
        request(fmt::format("pool-f32-n1-h4-w4-i{}-o{}-k1-s1-p0-linear", i + 8, i + 8), fmt::format("pool_{}", i)));
  const std::vector<CompileResult> results = compile_all(compiler, requests);
  ASSERT_EQ(results.size(), 7u);
  for (int i = 0; i < 7; ++i) {
    ASSERT_FALSE(results[i].error) << results[i].error->message;
    EXPECT_EQ(fs::path(results[i].object).filename(), fmt::format("pool_{}.o", i));
    EXPECT_GT(fs::file_size(results[i].object), 0u);
    EXPECT_GT(results[i].seconds, 0);
  }
  EXPECT_TRUE(compile_all(compiler, {}).empty());
}

TEST_F(CompilerTest, TheRuntimeOfThisMachineIsThereFromTheBuild) {
  const fs::path worker = SONAR_BIN_DIR "/sonar-compiler";
  EXPECT_EQ(fs::path(Compiler(options_).runtime_object()).parent_path(), worker.parent_path());
}

TEST_F(CompilerTest, MakesTheRuntimeOnce) {
  // Of a compiler that has been installed without it.
  options_.worker = options_.work_folder + "/worker/sonar-compiler";
  fs::create_directories(options_.work_folder + "/worker");
  fs::create_symlink(SONAR_BIN_DIR "/sonar-compiler", options_.worker);
  Compiler compiler(options_);
  const std::string path = compiler.runtime_object();
  const auto written = fs::last_write_time(path);
  EXPECT_EQ(compiler.runtime_object(), path);
  EXPECT_EQ(Compiler(options_).runtime_object(), path);
  EXPECT_EQ(fs::last_write_time(path), written);
}

TEST_F(CompilerTest, AnIllegalProgramIsACompileErrorThatSaysWhy) {
  Compiler compiler(options_);
  CompileRequest bad = request("conv-f32-n1-h8-w8-i16-o16-k1-s1-p0-linear", "bad");
  bad.knobs[0] = 5;
  const std::vector<CompileResult> results =
      compile_all(compiler, {bad, request("conv-f32-n1-h8-w8-i16-o16-k1-s1-p0-linear", "good")});
  ASSERT_TRUE(results[0].error);
  EXPECT_EQ(results[0].error->kind, MeasureErrorKind::compile_error);
  EXPECT_EQ(results[0].error->message, "illegal program: vector cannot be 5");
  EXPECT_TRUE(results[0].object.empty());
  EXPECT_FALSE(results[1].error);
}

TEST_F(CompilerTest, ATimeLimitCostsOneRequest) {
  options_.time_limit_s = 1e-4;
  Compiler compiler(options_);
  const CompileResult result = compile_all(compiler, {request("conv-f32-n1-h8-w8-i16-o16-k3-s1-p1-relu", "slow")})[0];
  ASSERT_TRUE(result.error);
  EXPECT_EQ(result.error->kind, MeasureErrorKind::compile_timeout);
  EXPECT_EQ(result.error->message, "compiling took longer than 0.0001 s");
  EXPECT_FALSE(fs::exists(options_.work_folder + "/slow.o"));
}

TEST_F(CompilerTest, AKilledWorkerCostsItsOneRequest) {
  const std::vector<int> before = children();
  Compiler compiler(options_);
  std::vector<CompileRequest> requests;
  for (int i = 0; i < 12; ++i)
    requests.push_back(request("conv-f32-n1-h8-w8-i24-o48-k3-s1-p1-relu", fmt::format("conv_{}", i)));
  std::vector<int> workers;
  for (int pid : children())
    if (std::find(before.begin(), before.end(), pid) == before.end()) workers.push_back(pid);
  ASSERT_EQ(workers.size(), 1u);
  std::thread killer([&] {
    while (!fs::exists(options_.work_folder + "/conv_0.o")) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    kill(workers[0], SIGKILL);
  });
  const std::vector<CompileResult> results = compile_all(compiler, requests);
  killer.join();
  int failures = 0;
  for (const CompileResult& result : results) {
    if (!result.error) continue;
    ++failures;
    EXPECT_EQ(result.error->kind, MeasureErrorKind::compile_error);
    EXPECT_NE(result.error->message.find("killed by signal 9"), std::string::npos) << result.error->message;
  }
  EXPECT_LE(failures, 1);  // none when the worker died just between two requests
  EXPECT_FALSE(results.back().error);

  for (int pid : children())
    if (std::find(before.begin(), before.end(), pid) == before.end()) kill(pid, SIGKILL);
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_FALSE(compile_all(compiler, {requests[0]})[0].error) << "a worker that dies idle costs nothing";
}

TEST_F(CompilerTest, ErrorsOfTheEnvironmentNameThePlace) {
  auto message = [&] {
    try {
      Compiler compiler(options_);
    } catch (const std::runtime_error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  options_.target.halide = "vax-11-vms";
  EXPECT_EQ(message().rfind("target 'vax-11-vms': ", 0), 0u) << message();
  options_.target.halide = "host";
  const long memory_limit_mb = options_.memory_limit_mb;
  options_.memory_limit_mb = 32;
  EXPECT_NE(message().find("does not start"), std::string::npos) << message();
  options_.memory_limit_mb = memory_limit_mb;
  options_.worker = "/bin/false";
  EXPECT_NE(message().find("/bin/false does not start"), std::string::npos) << message();
  options_.worker = "/nowhere/sonar-compiler";
  EXPECT_NE(message().find("/nowhere/sonar-compiler"), std::string::npos) << message();
  options_.work_folder = "/proc/sonar";
  EXPECT_NE(message().find("/proc/sonar"), std::string::npos) << message();
}

}  // namespace
}  // namespace sonar
