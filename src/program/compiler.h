// Compiles programs ahead of time in worker processes (bin/sonar-compiler, the only one that loads Halide).
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "model/knobs.h"
#include "model/measurement.h"
#include "program/program_space.h"

namespace sonar {

struct CompilerOptions {
  Target target;
  std::vector<int> cores;       // one worker per core, pinned; empty: one unpinned worker
  double time_limit_s = 20;     // per program
  long memory_limit_mb = 4096;  // per worker
  std::string work_folder;      // object files go here; made when missing
  std::string worker;           // path of sonar-compiler; empty: beside the running executable
  bool asserts = false;         // checks of bounds in the programs, twice the compile time: for tests
};

struct CompileRequest {
  Subgraph subgraph;
  Knobs knobs;
  std::string name;  // C symbol, unique in its batch
};

struct CompileResult {
  std::string object;  // path; the caller deletes it
  std::optional<MeasureError> error;
  double seconds = 0;
};

/// What turns programs into object files: one worker per core. Callable from any thread; calls that name one worker
/// take turns.
class ProgramCompiler {
 public:
  virtual ~ProgramCompiler() = default;
  virtual size_t workers() const = 0;
  /// The core that the worker is pinned to; -1: none.
  virtual int core(size_t worker) const = 0;
  /// Never throws for a program's fault.
  virtual CompileResult compile(size_t worker, const CompileRequest& request) = 0;
};

/// By all workers at once; in the order of the requests.
std::vector<CompileResult> compile_all(ProgramCompiler& compiler, const std::vector<CompileRequest>& requests);

/// Of a file with Halide's runtime.
std::string runtime_file_name(const std::string& version, const std::string& target_text);

class Compiler : public ProgramCompiler {
 public:
  /// Throws EnvironmentError when the worker or Halide cannot be loaded, UserError when Halide does not know the
  /// target.
  explicit Compiler(const CompilerOptions& options);
  ~Compiler() override;
  size_t workers() const override;
  int core(size_t worker) const override;
  /// A worker that crashes, hangs or runs out of memory costs its one request.
  CompileResult compile(size_t worker, const CompileRequest& request) override;
  /// Object file of Halide's runtime for the target: beside the worker, where the build puts that of its machine, or
  /// made once per work folder.
  std::string runtime_object();
  /// "Halide 21.0.0": part of a record's identity.
  std::string version() const;
  /// Resolved target string, features of the host included.
  std::string target_text() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace sonar
