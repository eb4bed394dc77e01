#include "device/machine.h"

#include <fmt/format.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>

namespace sonar {
namespace {

std::string first_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  line.erase(std::find(line.begin(), line.end(), '\0'), line.end());  // device-tree strings end with one
  return line;
}

std::string cpu_model() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const size_t colon = line.find(": ");
    if (colon == std::string::npos) continue;
    const std::string name = line.substr(0, line.find_last_not_of(" \t", colon - 1) + 1);
    if (name == "model name" || name == "cpu model") return line.substr(colon + 2);
  }
  // ARM and RISC-V name the board only.
  std::string board = first_line("/proc/device-tree/model");
  if (!board.empty()) return board;
  utsname system{};
  uname(&system);
  return system.machine;
}

std::string size_text(long bytes) {
  return bytes % (1 << 20) == 0 ? fmt::format("{} MiB", bytes >> 20) : fmt::format("{} KiB", bytes >> 10);
}

}  // namespace

std::vector<Cache> data_caches(const std::string& sysfs_folder) {
  std::vector<Cache> caches;
  for (int i = 0;; ++i) {
    const std::string folder = fmt::format("{}/index{}/", sysfs_folder, i);
    const std::string level = first_line(folder + "level"), size = first_line(folder + "size");
    if (level.empty()) break;
    if (size.empty() || first_line(folder + "type") == "Instruction") continue;
    const long unit = size.back() == 'M' ? 1 << 20 : size.back() == 'K' ? 1 << 10 : 1;
    caches.push_back({std::atoi(level.c_str()), std::atol(size.c_str()) * unit});
  }
  std::sort(caches.begin(), caches.end(), [](const Cache& a, const Cache& b) { return a.level < b.level; });
  return caches;
}

std::string machine_description() {
  const long cores = sysconf(_SC_NPROCESSORS_ONLN);
  std::string text = fmt::format("{}, {} core{}", cpu_model(), cores, cores == 1 ? "" : "s");
  for (const Cache& cache : data_caches()) text += fmt::format(", L{} {}", cache.level, size_text(cache.bytes));
  return text;
}

}  // namespace sonar
