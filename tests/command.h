// Drives the built `sonar` as a user would.
#pragma once
#include <string>
#include <vector>

#include "process/process.h"

namespace sonar::test {

/// A folder of the test's own, emptied first and removed at the end.
class Folder {
 public:
  explicit Folder(const std::string& name);
  ~Folder();
  std::string operator/(const std::string& name) const { return path + "/" + name; }
  void write(const std::string& name, const std::string& text) const;
  std::string path;
};

std::string sonar_executable();
std::string source_path(const std::string& relative);

/// Runs `sonar ARGUMENTS...` to its end.
ProcessResult sonar(const std::vector<std::string>& arguments, const std::string& working_folder = "");

/// A search of seconds: four small networks, the bundled images, counted budgets. `programs` is the tuning budget.
std::string tiny_configuration(int programs);

}  // namespace sonar::test
