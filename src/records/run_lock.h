// The lock that keeps a run directory to one writer. It dies with its process, however that ends.
#pragma once
#include <optional>
#include <string>

namespace sonar {

class RunLock {
 public:
  /// Locks FOLDER/run.lock and writes this process's id into it. UserError names the process that holds it;
  /// EnvironmentError when the file cannot be made or the file system has no locks.
  explicit RunLock(const std::string& folder);
  ~RunLock();
  RunLock(const RunLock&) = delete;
  RunLock& operator=(const RunLock&) = delete;

 private:
  int descriptor_ = -1;
};

/// The process that holds FOLDER/run.lock, -1 when one does but has not yet said which; nothing when it is free.
std::optional<long> lock_holder(const std::string& folder);

}  // namespace sonar
