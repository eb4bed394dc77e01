#include "records/run_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstring>
#include <string_view>
#include <thread>

#include "model/error.h"

namespace sonar {
namespace {

long pid_in(int descriptor) {
  char text[32];
  const ssize_t size = pread(descriptor, text, sizeof text, 0);
  long pid = -1;
  if (size > 0) std::from_chars(text, text + size, pid);
  return pid;
}

/// 0, or the errno.
int try_lock(int descriptor, int operation) {
  while (flock(descriptor, operation | LOCK_NB) != 0)
    if (errno != EINTR) return errno;
  return 0;
}

}  // namespace

RunLock::RunLock(const std::string& folder) {
  const std::string path = folder + "/run.lock";
  descriptor_ = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (descriptor_ < 0)
    throw EnvironmentError(path + " cannot be opened for writing (" + std::strerror(errno) +
                           "); make the folder writable or choose another");
  int error = try_lock(descriptor_, LOCK_EX);
  // lock_holder() of a status command holds the lock for microseconds, and a killed process dies for milliseconds:
  // neither is a reason to refuse.
  for (int attempt = 0; error == EWOULDBLOCK && attempt < 20; ++attempt) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    error = try_lock(descriptor_, LOCK_EX);
  }
  if (error) {
    const long holder = pid_in(descriptor_);
    close(descriptor_);
    if (error == EWOULDBLOCK)
      throw UserError("run " + folder + " is in use by " +
                      (holder > 0 ? "process " + std::to_string(holder) : std::string("another process")) +
                      "; wait for it or stop it");
    throw EnvironmentError(path + " cannot be locked (" + std::strerror(error) +
                           "); put the run on a file system with locks");
  }
  const std::string pid = std::to_string(getpid()) + "\n";
  // The process id only improves a message: a full disk here is reported by the store, with better words.
  if (ftruncate(descriptor_, 0) == 0) [[maybe_unused]]
    const ssize_t written = pwrite(descriptor_, pid.data(), pid.size(), 0);
}

RunLock::~RunLock() { close(descriptor_); }

std::optional<long> lock_holder(const std::string& folder) {
  const int descriptor = open((folder + "/run.lock").c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return std::nullopt;
  std::optional<long> holder;
  if (try_lock(descriptor, LOCK_SH) == EWOULDBLOCK) holder = pid_in(descriptor);
  close(descriptor);
  return holder;
}

}  // namespace sonar
