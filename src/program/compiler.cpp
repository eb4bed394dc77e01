#include "program/compiler.h"

#include <fmt/format.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <exception>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>

#include "model/error.h"
#include "model/random.h"
#include "process/process.h"

namespace sonar {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr double kStartLimit_s = 60;  // loading Halide from a cold disk
constexpr double kRuntimeLimit_s = 120;

json to_json(const Target& target) {
  return {{"halide", target.halide},
          {"vector_floats", target.vector_floats},
          {"l1_bytes", target.l1_bytes},
          {"l2_bytes", target.l2_bytes},
          {"registers", target.registers},
          {"threads", target.threads},
          {"native_units", target.native_units},
          {"avx2", target.avx2}};
}

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// One sonar-compiler and what is needed to start it again.
class Worker {
 public:
  Worker(const CompilerOptions& options, const std::string& path, size_t index)
      : options_(options), log_(fmt::format("{}/compiler-{}.log", options.work_folder, index)) {
    process_.command = {path};
    process_.memory_limit_mb = options.memory_limit_mb;
    process_.stderr_path = log_;
    if (!options.cores.empty()) process_.cores = {options.cores[index]};
    start();
  }

  /// The worker's answer, or why there is none. A worker that gave none is replaced.
  std::variant<json, MeasureError> ask(const json& request, double limit_s) {
    std::lock_guard lock(mutex_);
    if (child_->poll()) start();  // it ended between requests: not this request's fault
    child_->write_line(request.dump());
    std::string line;
    switch (child_->read_line(line, limit_s)) {
      case ChildProcess::Read::line: {
        json reply = json::parse(line, nullptr, false);
        if (reply.is_object()) return reply;
        child_->kill();
        start();
        return MeasureError{MeasureErrorKind::compile_error,
                            "the compiler gave no sensible answer: " + line.substr(0, 200)};
      }
      case ChildProcess::Read::timeout:
        child_->kill();
        start();
        return MeasureError{MeasureErrorKind::compile_timeout, fmt::format("compiling took longer than {} s", limit_s)};
      case ChildProcess::Read::closed:
        break;
    }
    MeasureError error{MeasureErrorKind::compile_error, "the compiler " + how_it_ended()};
    start();
    return error;
  }

  const std::string& version() const { return version_; }
  const std::string& target() const { return target_; }

 private:
  void start() {
    child_.reset();
    std::ofstream(log_, std::ios::trunc);
    child_ = std::make_unique<ChildProcess>(process_);
    std::string line;
    child_->write_line(json{{"target", to_json(options_.target)}}.dump());
    if (child_->read_line(line, kStartLimit_s) != ChildProcess::Read::line)
      throw EnvironmentError(fmt::format("{} does not start: it {}; is Halide's library in its place (scripts/setup)?",
                                         process_.command[0], how_it_ended()));
    const json hello = json::parse(line, nullptr, false);
    if (hello.is_object() && hello.contains("error"))
      throw UserError(fmt::format("target '{}': {}", options_.target.halide, hello["error"].get<std::string>()));
    if (!hello.is_object() || !hello.contains("compiler") || !hello.contains("target"))
      throw EnvironmentError(fmt::format("{} is not a sonar-compiler of this version", process_.command[0]));
    version_ = hello["compiler"];
    target_ = hello["target"];
  }

  std::string how_it_ended() {
    std::string text = child_->kill().describe(), line, last;
    std::ifstream log(log_);
    while (std::getline(log, line))
      if (!line.empty()) last = line;
    return last.empty() ? text : text + ": " + last;
  }

  const CompilerOptions& options_;
  std::mutex mutex_;
  std::string log_;
  ProcessOptions process_;
  std::unique_ptr<ChildProcess> child_;
  std::string version_, target_;
};

}  // namespace

struct Compiler::State {
  CompilerOptions options;
  std::string worker;  // path of sonar-compiler
  std::vector<std::unique_ptr<Worker>> workers;

  CompileResult compile(Worker& worker, const CompileRequest& request) const {
    const auto start = std::chrono::steady_clock::now();
    CompileResult result;
    const std::string object = fmt::format("{}/{}.o", options.work_folder, request.name);
    const auto outcome = worker.ask({{"subgraph", request.subgraph.key()},
                                     {"knobs", request.knobs},
                                     {"name", request.name},
                                     {"object", object},
                                     {"asserts", options.asserts}},
                                    options.time_limit_s);
    if (const MeasureError* error = std::get_if<MeasureError>(&outcome)) {
      result.error = *error;
    } else if (const json& reply = std::get<json>(outcome); reply.contains("error")) {
      result.error = MeasureError{MeasureErrorKind::compile_error, reply["error"]};
    }
    if (result.error) {
      std::error_code ignored;
      fs::remove(object, ignored);  // half an object may be there
    } else {
      result.object = object;
    }
    result.seconds = seconds_since(start);
    return result;
  }
};

Compiler::Compiler(const CompilerOptions& options) : state_(std::make_unique<State>()) {
  state_->options = options;
  if (options.work_folder.empty()) throw InternalError("the compiler has no work folder");
  std::error_code error;
  fs::create_directories(options.work_folder, error);
  if (error)
    throw EnvironmentError(fmt::format("{}: {}; the compiler needs a writable folder for object files",
                                       options.work_folder, error.message()));
  const std::string worker = options.worker.empty() ? sibling_executable("sonar-compiler") : options.worker;
  state_->worker = worker;
  const size_t count = std::max<size_t>(1, options.cores.size());
  for (size_t i = 0; i < count; ++i) state_->workers.push_back(std::make_unique<Worker>(state_->options, worker, i));
}

Compiler::~Compiler() = default;

size_t Compiler::workers() const { return state_->workers.size(); }

int Compiler::core(size_t worker) const {
  return state_->options.cores.empty() ? -1 : state_->options.cores.at(worker);
}

CompileResult Compiler::compile(size_t worker, const CompileRequest& request) {
  return state_->compile(*state_->workers.at(worker), request);
}

std::vector<CompileResult> compile_all(ProgramCompiler& compiler, const std::vector<CompileRequest>& requests) {
  std::vector<CompileResult> results(requests.size());
  std::vector<std::exception_ptr> faults(compiler.workers());
  std::atomic<size_t> next = 0;
  auto serve = [&](size_t worker) {
    try {
      for (size_t i = next++; i < requests.size(); i = next++) results[i] = compiler.compile(worker, requests[i]);
    } catch (...) {
      faults[worker] = std::current_exception();
      next = requests.size();
    }
  };
  std::vector<std::thread> threads;
  for (size_t w = 1; w < std::min(compiler.workers(), requests.size()); ++w) threads.emplace_back(serve, w);
  serve(0);
  for (std::thread& thread : threads) thread.join();
  for (const std::exception_ptr& fault : faults)
    if (fault) std::rethrow_exception(fault);
  return results;
}

std::string runtime_file_name(const std::string& version, const std::string& target_text) {
  return fmt::format("halide-runtime-{:016x}.o", stable_hash(version + " " + target_text));
}

std::string Compiler::runtime_object() {
  const std::string name = runtime_file_name(version(), target_text());
  if (const fs::path built = fs::path(state_->worker).parent_path() / name; fs::exists(built)) return built.string();
  const std::string path = state_->options.work_folder + "/" + name;
  if (fs::exists(path)) return path;
  // A name of its own: what a killed process began may still be written to.
  const std::string unfinished = fmt::format("{}-{}.unfinished.o", path.substr(0, path.size() - 2), getpid());
  const auto outcome = state_->workers[0]->ask({{"runtime", unfinished}}, kRuntimeLimit_s);
  std::string fault;
  if (const MeasureError* error = std::get_if<MeasureError>(&outcome)) {
    fault = error->message;
  } else if (std::get<json>(outcome).contains("error")) {
    fault = std::get<json>(outcome)["error"];
  }
  std::error_code error;
  if (fault.empty()) fs::rename(unfinished, path, error);
  if (error) fault = error.message();
  if (!fault.empty())
    throw EnvironmentError(fmt::format("Halide's runtime for {} cannot be made: {}", target_text(), fault));
  return path;
}

std::string Compiler::version() const { return state_->workers[0]->version(); }

std::string Compiler::target_text() const { return state_->workers[0]->target(); }

}  // namespace sonar
