// Faults on their way from compiler to outcome: each is caught, named with its cause, and costs its own program only.
#include "search/program_measurer.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <stdexcept>

#include "model/error.h"
#include "process/process.h"

namespace sonar {
namespace {

namespace fs = std::filesystem;

struct Fault {
  const char* name;
  const char* code;  // run after the right answer was computed; `in` and `out` are the buffers
  std::optional<MeasureErrorKind> kind;
  const char* message;  // part of it
};

const char* const kUncompilable = "!";

const Fault kFaults[] = {
    {"none", "", std::nullopt, ""},
    {"a wrong value", "out[3] += 0.01f;", MeasureErrorKind::wrong_answer,
     "1 of 16 values differ; the first at index 3"},
    {"a NaN", "out[15] = 0.0f / 0.0f;", MeasureErrorKind::wrong_answer, "index 15: got"},
    {"none", "", std::nullopt, ""},
    {"wrong in the second run", "static int n; if (++n == 2) out[0] += 1;", MeasureErrorKind::wrong_answer, "index 0"},
    {"a write before the output", "out[-1] = 1;", MeasureErrorKind::wrong_answer, "1 bytes before its start"},
    {"a write after the output", "out[16] = 1;", MeasureErrorKind::wrong_answer, "0 bytes after its end"},
    {"a write into the input", "in[0] += 1;", MeasureErrorKind::wrong_answer, "which is an input"},
    {"a crash", "*(volatile int*)8 = 1;", MeasureErrorKind::crash, "signal 11"},
    {"an abort", "abort();", MeasureErrorKind::crash, "signal 6"},
    {"none", "", std::nullopt, ""},
    {"an exit", "exit(0);", MeasureErrorKind::crash, "exited with code 0 before it was measured"},
    {"an endless loop", "for (volatile int i = 0;;) i = 1;", MeasureErrorKind::run_timeout, "ran longer than"},
    {"a huge allocation", "volatile char* p = malloc(1ull << 40); p[0] = 1;", MeasureErrorKind::crash, "signal 11"},
    {"a forged result", "for (int fd = 1; fd < 3; ++fd) dprintf(fd, \"ok 14 1 0 0.001\\n\"); out[3] = 9;",
     MeasureErrorKind::wrong_answer, "index 3"},
    {"a compiler's refusal", kUncompilable, MeasureErrorKind::compile_error, "refused"},
    {"a symbol that is nowhere", "nowhere();", MeasureErrorKind::link_error, "nowhere"},
    {"none", "", std::nullopt, ""},
};

/// Compiles the average over 16 pixels of 16 channels, spoilt by the fault that the program's number asks for.
class FaultyCompiler : public ProgramCompiler {
 public:
  explicit FaultyCompiler(std::string folder) : folder_(std::move(folder)) {}
  size_t workers() const override { return 2; }
  int core(size_t) const override { return -1; }
  CompileResult compile(size_t, const CompileRequest& request) override {
    ++compiled_;
    const size_t number = std::stoul(request.name.substr(request.name.rfind('_') + 1));
    const Fault& fault = kFaults[number % std::size(kFaults)];
    CompileResult result;
    if (fault.code == kUncompilable) {
      result.error = MeasureError{MeasureErrorKind::compile_error, "refused"};
      return result;
    }
    result.object = folder_ + "/" + request.name + ".o";
    std::ofstream(result.object + ".c") << fmt::format(R"(
#include <HalideRuntime.h>
#include <stdio.h>
#include <stdlib.h>
void nowhere(void);
int {}_argv(void** args) {{
  float* in = (float*)((struct halide_buffer_t*)args[0])->host;
  float* out = (float*)((struct halide_buffer_t*)args[1])->host;
  for (int c = 0; c < 16; ++c) {{
    float sum = 0;
    for (int p = 0; p < 16; ++p) sum += in[16 * p + c];
    out[c] = sum / 16;
  }}
  {}
  return 0;
}}
)",
                                                       request.name, fault.code);
    ProcessOptions compiler;
    compiler.command = {"cc", "-O1", "-I", HALIDE_INCLUDE, "-c", result.object + ".c", "-o", result.object};
    const ProcessResult made = run_process(compiler);
    if (made.exit_code != 0) throw std::runtime_error(made.err);
    return result;
  }

  int compiled() const { return compiled_; }

 private:
  std::string folder_;
  std::atomic<int> compiled_{0};
};

class ProgramMeasurerTest : public testing::Test {
 protected:
  ProgramMeasurerTest() : folder_(fmt::format("{}/sonar-measurer-test-{}", testing::TempDir(), getpid())) {
    fs::create_directories(folder_);
    options_.work_folder = folder_;
    options_.halide_include = HALIDE_INCLUDE;
    Target target;
    program_.space = make_program_space(parse_subgraph("pool-f32-n1-h4-w4-i16-o16-k1-s1-p0-linear"), target);
    program_.knobs = program_.space->default_program();
    program_.sampling_s = 0.005;
  }
  ~ProgramMeasurerTest() override { fs::remove_all(folder_); }

  /// Programs of different knobs, which the compiler does not look at.
  std::vector<ProgramToMeasure> programs(int begin, int end) const {
    std::vector<ProgramToMeasure> result;
    for (int i = begin; i < end; ++i) result.emplace_back(program_).knobs = {i};
    return result;
  }

  std::string folder_;
  DeviceOptions options_;
  ProgramToMeasure program_;
};

TEST_F(ProgramMeasurerTest, EachFaultIsNamedAndCostsItsOwnProgramOnly) {
  FaultyCompiler compiler(folder_);
  const std::unique_ptr<Device> device = make_local_device(options_);
  std::mutex mutex;
  std::condition_variable arrived;
  std::map<long, Outcome> outcomes;
  const long count = static_cast<long>(std::size(kFaults));
  ProgramMeasurer measurer(compiler, *device, {}, [&](ProgramMeasurer::Chunk chunk) {
    std::lock_guard lock(mutex);
    EXPECT_FALSE(chunk.error);
    for (auto& [ticket, result] : chunk.results)
      EXPECT_TRUE(outcomes.emplace(ticket, std::move(result.outcome)).second) << "told twice";
    arrived.notify_all();
  });
  // Two jobs, the second while the first is under way.
  measurer.submit(programs(0, 5), 0);
  measurer.submit(programs(5, static_cast<int>(count)), 5);
  std::unique_lock lock(mutex);
  ASSERT_TRUE(
      arrived.wait_for(lock, std::chrono::seconds(300), [&] { return static_cast<long>(outcomes.size()) == count; }));
  for (long i = 0; i < count; ++i) {
    const Fault& fault = kFaults[i];
    const auto* error = std::get_if<MeasureError>(&outcomes.at(i));
    if (!fault.kind) {
      EXPECT_FALSE(error) << i << ": " << error->message;
      continue;
    }
    ASSERT_TRUE(error) << fault.name << " was taken for a result";
    EXPECT_EQ(to_text(error->kind), std::string(to_text(*fault.kind))) << fault.name << ": " << error->message;
    EXPECT_NE(error->message.find(fault.message), std::string::npos) << fault.name << ": " << error->message;
  }
}

TEST_F(ProgramMeasurerTest, AToolchainThatIsMissingIsToldOnce) {
  FaultyCompiler compiler(folder_);
  options_.compiler = "/nowhere/c++";
  const std::unique_ptr<Device> device = make_local_device(options_);
  std::mutex mutex;
  std::condition_variable arrived;
  std::exception_ptr error;
  ProgramMeasurer measurer(compiler, *device, {}, [&](ProgramMeasurer::Chunk chunk) {
    std::lock_guard lock(mutex);
    EXPECT_FALSE(error);
    error = chunk.error;
    arrived.notify_all();
  });
  measurer.submit({program_}, 0);
  std::unique_lock lock(mutex);
  ASSERT_TRUE(arrived.wait_for(lock, std::chrono::seconds(120), [&] { return error != nullptr; }));
  EXPECT_THROW(std::rethrow_exception(error), EnvironmentError);
}

TEST_F(ProgramMeasurerTest, EndsWhileProgramsAreOut) {
  FaultyCompiler compiler(folder_);
  const std::unique_ptr<Device> device = make_local_device(options_);
  ProgramMeasurer measurer(compiler, *device, {}, [](ProgramMeasurer::Chunk) {});
  measurer.submit(programs(0, 64), 0);
}

TEST_F(ProgramMeasurerTest, WhatIsMeasuredAgainIsNotCompiledAgain) {
  FaultyCompiler compiler(folder_);
  const std::unique_ptr<Device> device = make_local_device(options_);
  std::mutex mutex;
  std::condition_variable arrived;
  std::map<long, double> compile_s;
  {
    ProgramMeasurer measurer(compiler, *device, {}, [&](ProgramMeasurer::Chunk chunk) {
      std::lock_guard lock(mutex);
      ASSERT_FALSE(chunk.error);
      for (auto& [ticket, result] : chunk.results) {
        EXPECT_TRUE(std::holds_alternative<Measurement>(result.outcome)) << ticket;
        compile_s[ticket] = result.compile_s;
      }
      arrived.notify_all();
    });
    const auto measure = [&](const std::vector<ProgramToMeasure>& some, long first) {
      measurer.submit(some, first);
      std::unique_lock lock(mutex);
      return arrived.wait_for(lock, std::chrono::seconds(120), [&] { return compile_s.count(first) > 0; });
    };
    ASSERT_TRUE(measure(programs(0, 1), 0));  // fault 0 is none
    EXPECT_EQ(compiler.compiled(), 1);
    ASSERT_TRUE(measure({programs(0, 1)[0], programs(0, 1)[0]}, 1));  // even twice in one batch
    EXPECT_EQ(compiler.compiled(), 1);
    EXPECT_EQ(compile_s.at(1), 0);
  }
  for (const auto& entry : fs::directory_iterator(folder_)) EXPECT_NE(entry.path().extension(), ".o") << entry.path();
}

}  // namespace
}  // namespace sonar
