#include "device/link.h"

#include <fmt/format.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <functional>
#include <set>
#include <sstream>

#include "device/batch_file.h"
#include "device/runner_object.h"
#include "device/runner_sources.h"
#include "model/error.h"
#include "process/process.h"

namespace sonar {
namespace {

namespace fs = std::filesystem;

constexpr double tool_time_limit_s = 120;

std::vector<std::string> split_words(const std::string& text) {
  std::istringstream stream(text);
  return {std::istream_iterator<std::string>(stream), {}};
}

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void hash_in(uint64_t& hash, std::string_view text) {
  for (unsigned char c : text) hash = (hash ^ c) * 0x100000001b3u;
  hash = (hash ^ 0xff) * 0x100000001b3u;  // where one text ends is part of the hash
}

ProcessResult run_tool(std::vector<std::string> command, const DeviceOptions& device) {
  ProcessOptions options;
  options.command = std::move(command);
  options.cores = device.link_cores.empty() ? device.cores : device.link_cores;
  options.environment = {"LC_ALL=C"};
  try {
    return run_process(options, "", tool_time_limit_s);
  } catch (const EnvironmentError& e) {
    throw EnvironmentError(
        fmt::format("{} (configuration key device.compiler; Debian: apt-get install g++)", e.what()));
  }
}

// A linker that finds the disk full says so, is killed while it writes to its mapped output, or leaves no room behind.
bool is_disk_full(const std::string& folder, const std::string& said) {
  if (said.find("No space left") != std::string::npos) return true;
  struct statvfs status {};
  return statvfs(folder.c_str(), &status) == 0 && status.f_bavail * status.f_frsize < (1 << 16);
}

}  // namespace

std::string telling_line(const std::string& output) {
  std::istringstream stream(output);
  std::string last;
  for (std::string line; std::getline(stream, line);) {
    const bool from_driver = line.rfind("collect2:", 0) == 0 || line.find("linker command failed") != std::string::npos;
    if (line.empty() || from_driver) continue;
    for (const char* sign : {"error:", "undefined", "multiple definition", "cannot find"}) {
      if (line.find(sign) != std::string::npos) return line;
    }
    last = line;
  }
  return last;
}

RunnerLinker::RunnerLinker(const DeviceOptions& options) : options_(options), compiler_(split_words(options.compiler)) {
  if (compiler_.empty())
    throw UserError("device.compiler is empty; name the compiler that links the runner, as in \"c++\"");
}

std::string RunnerLinker::runner_object() {
  const std::vector<std::string> flags = split_words(RUNNER_FLAGS);
  uint64_t hash = 0xcbf29ce484222325u;
  hash_in(hash, options_.compiler);
  for (const std::string& flag : flags) hash_in(hash, flag);
  for (size_t i = 0; i < runner_source_count; ++i) hash_in(hash, runner_sources[i].text);
  hash_in(hash, read_file(options_.halide_include + "/HalideRuntime.h"));

  const std::string folder = fmt::format("{}/runner-{:016x}", options_.work_folder, hash);
  const std::string object = folder + "/runner.o";
  if (fs::exists(object)) return object;
  // Written under a name of its own and renamed: other processes may share the work folder.
  const std::string temporary = fmt::format("{}/runner-{}.o", folder, getpid());
  if (is_builds_compiler(options_.compiler)) {
    fs::create_directories(folder);
    write_file(temporary, {built_runner_object()});
    fs::rename(temporary, object);
    return object;
  }
  for (size_t i = 0; i < runner_source_count; ++i) {
    const fs::path path = fs::path(folder) / runner_sources[i].path;
    fs::create_directories(path.parent_path());
    write_file(path, {runner_sources[i].text});
  }
  std::vector<std::string> command = compiler_;
  command.insert(command.end(), flags.begin(), flags.end());
  command.insert(command.end(), {"-I", folder, "-I", options_.halide_include, "-c",
                                 fmt::format("{}/{}", folder, runner_sources[0].path), "-o", temporary});
  const ProcessResult result = run_tool(command, options_);
  if (result.exit_code != 0) {
    const std::string line = telling_line(result.err);
    if (is_disk_full(options_.work_folder, result.err)) {
      throw EnvironmentError(fmt::format("the disk of the work folder {} is full", options_.work_folder));
    }
    throw EnvironmentError(fmt::format("{} cannot compile the runner: {}; set device.compiler to a C++17 compiler",
                                       options_.compiler, line.empty() ? result.describe() : line));
  }
  fs::rename(temporary, object);
  return object;
}

void RunnerLinker::prepare() {
  std::lock_guard lock(mutex_);
  if (prepared_) return;
  runner_ = runner_object();
  // lld and gold link a batch in about half the time of GNU ld, but not every machine has them. More threads than one
  // only make lld slower on so little work.
  const std::string prefix = fmt::format("{}/batch-{}-probe", options_.work_folder, getpid());
  std::optional<std::string> error;
  for (const char* flags : {"-fuse-ld=lld -Wl,--threads=1", "-fuse-ld=gold", ""}) {
    linker_flags_ = split_words(flags);
    error = try_link({}, {}, {}, prefix);
    if (!error) break;
  }
  fs::remove(prefix);
  fs::remove(prefix + ".c");
  if (error) {
    throw EnvironmentError(
        fmt::format("{} cannot link a static executable: {}; install the static C and C++ libraries "
                    "(Debian: libc6-dev, libstdc++-dev) or set device.compiler",
                    options_.compiler, *error));
  }
  prepared_ = true;
}

std::optional<std::string> RunnerLinker::try_link(const std::vector<std::string>& objects,
                                                  const std::vector<std::string>& functions,
                                                  const std::vector<bool>& wanted, const std::string& prefix) {
  std::string declarations, table;
  for (size_t i = 0; i < functions.size(); ++i) {
    if (wanted[i]) declarations += fmt::format("int {}_argv(void**);\n", functions[i]);
    table += wanted[i] ? fmt::format("{}_argv, ", functions[i]) : "0, ";
  }
  const std::string source = fmt::format(
      "{}int (*const sonar_functions[])(void**) = {{{}0}};\nconst int "
      "sonar_function_count = {};\n",
      declarations, table, functions.size());
  write_file(prefix + ".c", {source});

  std::vector<std::string> command = compiler_;
  command.insert(command.end(), {"-static", "-no-pie"});
  command.insert(command.end(), linker_flags_.begin(), linker_flags_.end());
  command.insert(command.end(), {runner_, "-x", "c", prefix + ".c", "-x", "none"});
  command.insert(command.end(), objects.begin(), objects.end());
  if (!options_.runtime_object.empty()) command.push_back(options_.runtime_object);
  command.insert(command.end(), {"-lpthread", "-ldl", "-o", prefix});
  const ProcessResult result = run_tool(command, options_);
  if (result.exit_code == 0) return std::nullopt;
  if (is_disk_full(options_.work_folder, result.err)) {
    throw EnvironmentError(
        fmt::format("cannot link the runner: the disk of the work folder {} is full; free some space "
                    "or choose another work folder",
                    options_.work_folder));
  }
  const std::string line = telling_line(result.err);
  return line.empty() ? result.describe() : line;
}

Linked RunnerLinker::link(const std::vector<std::string>& objects, const std::vector<std::string>& functions,
                          const std::string& prefix) {
  prepare();
  Linked result;
  result.errors.resize(functions.size());
  std::vector<std::string> unique;
  std::set<std::string> seen;
  for (const std::string& object : objects) {
    if (seen.insert(object).second) unique.push_back(object);
  }

  std::vector<bool> good(functions.size(), true);
  if (!try_link(unique, functions, good, prefix)) {
    result.executable = prefix;
    return result;
  }

  // From an archive the linker takes only what is asked for, so objects that nobody wants cannot fail.
  const std::string archive = prefix + ".a";
  const ProcessResult named = run_tool(
      [&] {
        std::vector<std::string> command = compiler_;
        command.push_back("-print-prog-name=ar");
        return command;
      }(),
      options_);
  std::vector<std::string> command = {named.out.substr(0, named.out.find('\n')), "rcsT", archive};
  std::copy_if(unique.begin(), unique.end(), std::back_inserter(command), [](const auto& o) { return fs::exists(o); });
  fs::remove(archive);
  const ProcessResult archived = run_tool(command, options_);
  const std::vector<std::string> inputs = {archive};
  if (!fs::exists(archive)) {
    result.errors.assign(functions.size(), "cannot archive the objects: " + archived.describe());
    return result;
  }

  const std::function<void(size_t, size_t)> blame = [&](size_t begin, size_t end) {
    std::vector<bool> wanted(functions.size(), false);
    std::fill(wanted.begin() + static_cast<long>(begin), wanted.begin() + static_cast<long>(end), true);
    const std::optional<std::string> error = try_link(inputs, functions, wanted, prefix);
    if (!error) return;
    if (end - begin == 1) {
      result.errors[begin] = error;
      good[begin] = false;
      return;
    }
    const size_t middle = begin + (end - begin) / 2;
    blame(begin, middle);
    blame(middle, end);
  };
  blame(0, functions.size());

  if (std::find(good.begin(), good.end(), true) == good.end()) return result;
  // Functions that link alone may still clash with each other; there is no telling which of them is wrong.
  if (const std::optional<std::string> clash = try_link(inputs, functions, good, prefix)) {
    for (auto& error : result.errors) error = error ? error : clash;
    return result;
  }
  result.executable = prefix;
  return result;
}

}  // namespace sonar
