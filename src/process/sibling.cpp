#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "model/error.h"
#include "process/process.h"

namespace sonar {

std::string sibling_executable(const std::string& name) {
  namespace fs = std::filesystem;
  if (const char* folder = std::getenv("SONAR_BIN"); folder && *folder) {
    const fs::path path = fs::path(folder) / name;
    if (access(path.c_str(), X_OK) == 0) return path.string();
    throw EnvironmentError(
        fmt::format("{} is not in {}, the folder that the environment variable SONAR_BIN names", name, folder));
  }
  const fs::path own = fs::read_symlink("/proc/self/exe").parent_path();
  for (const fs::path& folder : {own, own.parent_path() / "bin"}) {
    const fs::path path = folder / name;
    if (access(path.c_str(), X_OK) == 0) return path.string();
  }
  throw EnvironmentError(
      fmt::format("{} is neither in {} nor in {}; build or install it there, or let SONAR_BIN name its folder", name,
                  own.string(), (own.parent_path() / "bin").string()));
}

}  // namespace sonar
