#include "device/runner_object.h"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <sstream>

asm(".pushsection .rodata\n"
    ".global sonar_runner_object_begin, sonar_runner_object_end\n"
    "sonar_runner_object_begin:\n"
    ".incbin \"" RUNNER_OBJECT
    "\"\n"
    "sonar_runner_object_end:\n"
    ".byte 0\n"
    ".popsection\n");

extern "C" const char sonar_runner_object_begin[], sonar_runner_object_end[];

namespace sonar {

std::string_view built_runner_object() {
  return {sonar_runner_object_begin, static_cast<size_t>(sonar_runner_object_end - sonar_runner_object_begin)};
}

bool is_builds_compiler(const std::string& compiler) {
  namespace fs = std::filesystem;
  std::error_code error;
  const fs::path ours = fs::canonical(RUNNER_COMPILER, error);
  if (error) return false;
  if (compiler.find('/') != std::string::npos) return fs::canonical(compiler, error) == ours && !error;
  const char* path = std::getenv("PATH");
  std::istringstream folders(path ? path : "");
  for (std::string folder; std::getline(folders, folder, ':');) {
    const std::string found = folder + "/" + compiler;
    if (access(found.c_str(), X_OK) == 0) return fs::canonical(found, error) == ours && !error;
  }
  return false;
}

}  // namespace sonar
