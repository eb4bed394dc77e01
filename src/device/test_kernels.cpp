#include "device/test_kernels.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <stdexcept>

#include "device/random_values.h"
#include "process/process.h"

namespace sonar {
namespace {

namespace fs = std::filesystem;

const TestFolder& shared_folder() {
  static const TestFolder folder;
  return folder;
}

}  // namespace

TestFolder::TestFolder() {
  static int counter = 0;
  path_ = fmt::format("{}/sonar-device-test-{}-{}", testing::TempDir(), getpid(), counter++);
  fs::create_directories(path_);
}

TestFolder::~TestFolder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

std::string c_object(const std::string& source) {
  static std::map<std::string, std::string> compiled;
  std::string& object = compiled[source];
  if (!object.empty()) return object;
  const std::string stem = shared_folder().file(fmt::format("object{}", compiled.size()));
  std::ofstream(stem + ".c") << source;
  ProcessOptions compiler;
  compiler.command = {"cc", "-O1", "-I", HALIDE_INCLUDE, "-c", stem + ".c", "-o", stem + ".o"};
  const ProcessResult result = run_process(compiler);
  if (result.exit_code != 0) throw std::runtime_error(result.err);
  return object = stem + ".o";
}

std::string kernel_object(const std::string& name, const std::string& body) {
  return c_object(fmt::format(R"(
#include <HalideRuntime.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#define BUFFER(i) ((struct halide_buffer_t *)args[i])
#define DATA(i) ((float *)BUFFER(i)->host)
#define EXTENT(i, d) (BUFFER(i)->dim[d].extent)
static int count(const struct halide_buffer_t *b) {{
  int n = 1;
  for (int d = 0; d < b->dimensions; ++d) n *= b->dim[d].extent;
  return n;
}}
#define COUNT(i) count(BUFFER(i))
int {}_argv(void **args) {{
  {}
  return 0;
}}
)",
                              name, body));
}

DeviceOptions test_device_options(const std::string& work_folder) {
  DeviceOptions options;
  options.halide_include = HALIDE_INCLUDE;
  options.work_folder = work_folder;
  return options;
}

BufferSpec random_buffer(std::vector<int> extents, uint64_t seed) {
  BufferSpec buffer;
  buffer.extents = std::move(extents);
  buffer.seed = seed;
  return buffer;
}

BufferSpec zero_buffer(std::vector<int> extents) {
  BufferSpec buffer;
  buffer.extents = std::move(extents);
  buffer.fill = BufferSpec::Fill::zero;
  return buffer;
}

std::vector<float> values_of(const BufferSpec& buffer) {
  std::vector<float> values(value_count(buffer.extents));
  random_values(buffer.seed, values.size(), buffer.scale, values.data());
  return values;
}

Case one_call(int function, std::vector<BufferSpec> buffers, std::vector<float> expected) {
  Case c;
  CallSpec call;
  call.function = function;
  for (size_t i = 0; i < buffers.size(); ++i) call.buffers.push_back(static_cast<int>(i));
  c.calls = {call};
  c.checked_buffer = static_cast<int>(buffers.size()) - 1;
  c.buffers = std::move(buffers);
  c.expected = std::move(expected);
  c.max_samples = 6;
  c.sample_us = 20;
  return c;
}

Outcome measure_kernel(const std::string& body, const Case& c) {
  static const std::unique_ptr<Device> device = make_local_device(test_device_options(shared_folder().file("work")));
  Batch batch;
  batch.objects = {kernel_object("kernel", body)};
  batch.functions = {"kernel"};
  batch.cases = {c};
  return device->measure(batch)[0];
}

Outcome measure_kernel(const std::string& body, std::vector<BufferSpec> buffers, std::vector<float> expected) {
  return measure_kernel(body, one_call(0, std::move(buffers), std::move(expected)));
}

std::string failure(const Outcome& outcome) {
  const MeasureError* error = std::get_if<MeasureError>(&outcome);
  return error ? fmt::format("{}: {}", to_text(error->kind), error->message) : "";
}

}  // namespace sonar
