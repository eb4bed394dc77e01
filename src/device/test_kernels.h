// For the tests of this folder: small C functions in the calling convention of Halide's objects, and devices to run
// them.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "device/device.h"

namespace sonar {

/// A folder of its own, removed at the end.
class TestFolder {
 public:
  TestFolder();
  ~TestFolder();
  TestFolder(const TestFolder&) = delete;
  TestFolder& operator=(const TestFolder&) = delete;
  const std::string& path() const { return path_; }
  std::string file(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

/// A function `int NAME_argv(void** args)`. In `body`, DATA(i), COUNT(i) and EXTENT(i, d) speak of the i-th buffer.
/// Compiled once per process and (name, body).
std::string kernel_object(const std::string& name, const std::string& body);

/// Compiles C source text as it is.
std::string c_object(const std::string& source);

/// The work folder is made when it is first used.
DeviceOptions test_device_options(const std::string& work_folder);

BufferSpec random_buffer(std::vector<int> extents, uint64_t seed);
BufferSpec zero_buffer(std::vector<int> extents);

/// What the runner fills a random buffer (without block) with.
std::vector<float> values_of(const BufferSpec& buffer);

/// One function, one call of all buffers in order, few samples; the last buffer is checked against `expected`.
Case one_call(int function, std::vector<BufferSpec> buffers, std::vector<float> expected);

/// Measures one kernel alone on a device shared by all tests of a process.
Outcome measure_kernel(const std::string& body, std::vector<BufferSpec> buffers, std::vector<float> expected);
Outcome measure_kernel(const std::string& body, const Case& c);

/// "" for a measurement, otherwise "kind: message".
std::string failure(const Outcome& outcome);

}  // namespace sonar
