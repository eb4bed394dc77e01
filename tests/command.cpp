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

std::string tiny_configuration(int programs) {
  return "[search]\nepochs = 10\nprograms = " + std::to_string(programs) +
         "\ncandidates = 4\nfull_programs = 32\nseed = 3\nminimum_slice_steps = 4\n"
         "[space]\nresolutions = [8, 16]\nwidths = [0.5, 1.0]\nexpansions = [2]\ndepths = [1]\nkernels = [\"33333\"]\n"
         "stem_stride = 1\nstrides = [1, 2, 2, 1, 2]\nstem_width = 8\nstage_widths = [8, 8, 16, 16, 16]\n"
         "head_width = 32\nclassifier_width = 32\n"
         "[data]\npath = \"" +
         source_path("examples/data/cifar10-sample.tar.xz") +
         "\"\nlimit_train = 512\nlimit_val = 256\nlimit_test = 256\n"
         "[train]\nepochs = 4\nbatch = 64\ncrop_padding = 2\n";
}

}  // namespace sonar::test
