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

/// Overrides that keep a run to the core that ctest has given this test (`ctest -j` with a list of cores); without one
/// nothing, and a run has the cores of its configuration.
std::vector<std::string> own_core();

/// Override that has tests/fake_tuner.py tune, which compiles and measures nothing: for what tuning decides nothing of.
std::string fake_tuner(const std::string& arguments = "");

/// A search of seconds: four small networks, the bundled images, counted budgets. `programs` is the tuning budget. On
/// the test's own core, or else on two, both of which compile.
std::string tiny_configuration(int programs);

}  // namespace sonar::test
