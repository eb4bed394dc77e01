// Makes one static executable of a batch's objects and the runner.
#pragma once
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "device/device.h"

namespace sonar {

struct Linked {
  std::string executable;                          // empty when no function could be linked
  std::vector<std::optional<std::string>> errors;  // of each function: the linker's reason
};

/// Callable from several threads.
class RunnerLinker {
 public:
  explicit RunnerLinker(const DeviceOptions& options);

  /// `prefix`: path that the names of all files made begin with; the caller removes them. One bad object does not cost
  /// the others: what cannot be linked is found by halving. Throws EnvironmentError when the toolchain itself fails.
  Linked link(const std::vector<std::string>& objects, const std::vector<std::string>& functions,
              const std::string& prefix);

 private:
  void prepare();
  std::string runner_object();
  std::optional<std::string> try_link(const std::vector<std::string>& objects,
                                      const std::vector<std::string>& functions, const std::vector<bool>& wanted,
                                      const std::string& prefix);

  DeviceOptions options_;
  std::vector<std::string> compiler_;  // the command, split at spaces
  std::mutex mutex_;
  bool prepared_ = false;
  std::string runner_;                     // its object file
  std::vector<std::string> linker_flags_;  // -fuse-ld=..., or none
};

/// The line of a compiler's or linker's output that tells what is wrong.
std::string telling_line(const std::string& output);

}  // namespace sonar
