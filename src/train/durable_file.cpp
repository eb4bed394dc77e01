#include "train/durable_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "sonar/error.h"

namespace sonar {
namespace {

[[noreturn]] void fail(const std::string& path, const std::string& temporary, int cause) {
  ::unlink(temporary.c_str());
  const char* remedy = cause == ENOSPC || cause == EDQUOT ? "; free some space and resume" : "";
  throw EnvironmentError(fmt::format("cannot write {}: {}{}", path, std::strerror(cause), remedy));
}

struct Descriptor {
  int number;
  ~Descriptor() {
    if (number >= 0) ::close(number);
  }
};

void flush_folder(const std::string& path) {
  std::string folder = std::filesystem::path(path).parent_path().string();
  const Descriptor descriptor{::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  if (descriptor.number >= 0) ::fsync(descriptor.number);  // some file systems cannot; the rename stands all the same
}

}  // namespace

void write_file_durably(const std::string& path, std::string_view bytes) {
  const std::string temporary = path + ".tmp." + std::to_string(::getpid());
  Descriptor descriptor{::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644)};
  if (descriptor.number < 0) fail(path, temporary, errno);
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor.number, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail(path, temporary, errno);
    bytes.remove_prefix(size_t(written));
  }
  if (::fsync(descriptor.number) != 0) fail(path, temporary, errno);
  if (::close(std::exchange(descriptor.number, -1)) != 0) fail(path, temporary, errno);
  if (::rename(temporary.c_str(), path.c_str()) != 0) fail(path, temporary, errno);
  flush_folder(path);
}

}  // namespace sonar
