#include "command.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace sonar::test {

namespace fs = std::filesystem;

Folder::Folder(const std::string& name) : path((fs::temp_directory_path() / ("sonar-test-" + name)).string()) {
  fs::remove_all(path);
  fs::create_directories(path);
}

Folder::~Folder() {
  std::error_code ignored;
  fs::remove_all(path, ignored);
}

void Folder::write(const std::string& name, const std::string& text) const {
  fs::create_directories(fs::path(path + "/" + name).parent_path());
  std::ofstream(path + "/" + name, std::ios::binary) << text;
}

std::string sonar_executable() { return std::string(SONAR_BIN_DIR) + "/sonar"; }

std::string source_path(const std::string& relative) { return std::string(SONAR_SOURCE_DIR) + "/" + relative; }

ProcessResult sonar(const std::vector<std::string>& arguments, const std::string& working_folder) {
  ProcessOptions options;
  if (working_folder.empty()) {
    options.command = {sonar_executable()};
    options.command.insert(options.command.end(), arguments.begin(), arguments.end());
  } else {
    options.command = {"sh", "-c", "cd \"$0\" && exec \"$@\"", working_folder, sonar_executable()};
    options.command.insert(options.command.end(), arguments.begin(), arguments.end());
  }
  return run_process(options, "", 900);
}

namespace {

/// Of "id:1,slots:1", as ctest says it; empty: it says nothing.
std::string given_core() {
  const char* given = std::getenv("CTEST_RESOURCE_GROUP_0_CORES");
  const std::string text = given ? given : "";
  const size_t comma = text.find(',');
  return text.rfind("id:", 0) == 0 ? text.substr(3, comma == std::string::npos ? comma : comma - 3) : "";
}

}  // namespace

std::vector<std::string> own_core() {
  const std::string core = given_core();
  if (core.empty()) return {};
  return {"train.cores=[" + core + "]", "compile.cores=[" + core + "]", "device.cores=[" + core + "]"};
}

std::string fake_tuner(const std::string& arguments) {
  return "search.tuner=python3 '" + source_path("tests/fake_tuner.py") + "' " + arguments;
}

std::string tiny_configuration(int programs) {
  const std::string core = given_core();
  const std::string cores = core.empty() ? "[compile]\ncores = [0, 1]\n"
                                         : "[compile]\ncores = [" + core + "]\n[device]\ncores = [" + core + "]\n";
  return "[search]\nepochs = 10\nprograms = " + std::to_string(programs) +
         "\ncandidates = 4\nfull_programs = 32\nseed = 3\nminimum_slice_steps = 4\n"
         "[space]\nresolutions = [8, 16]\nwidths = [0.5, 1.0]\nexpansions = [2]\ndepths = [1]\nkernels = [\"33333\"]\n"
         "stem_stride = 1\nstrides = [1, 2, 2, 1, 2]\nstem_width = 8\nstage_widths = [8, 8, 16, 16, 16]\n"
         "head_width = 32\nclassifier_width = 32\n" +
         cores + "[data]\npath = \"" + source_path("examples/data/cifar10-sample.tar.xz") +
         "\"\nlimit_train = 512\nlimit_val = 256\nlimit_test = 256\n"
         "[train]\nepochs = 4\nbatch = 64\ncrop_padding = 2\n" +
         (core.empty() ? "" : "cores = [" + core + "]\n");
}

}  // namespace sonar::test
