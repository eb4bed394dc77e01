// Child processes with limits, time-outs and pipes. Nothing else in SONAR starts a process.
#pragma once
#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace sonar {

struct ProcessOptions {
  std::vector<std::string> command;  // command[0] is looked up in PATH when it has no slash
  std::vector<int> cores;            // CPU affinity; empty: inherited
  long memory_limit_mb = 0;          // RLIMIT_AS; 0: none
  double cpu_limit_s = 0;            // RLIMIT_CPU; 0: none
  int niceness = 0;
  std::vector<std::string> environment;  // "NAME=value", added to ours
  std::string stderr_path;               // file to append to; empty: captured (run_process) or inherited (ChildProcess)
};

/// How a process ended. Exactly one of exit_code >= 0, signal > 0, timed_out holds.
struct ProcessResult {
  int exit_code = -1;
  int signal = 0;
  bool timed_out = false;
  std::string out, err;          // the last 1 MiB of each
  std::string describe() const;  // "exited with code 1: <last line of err>", "killed by signal 11 (Segmentation fault)"
};

/// Runs to the end or until timeout_s (0: none), then kills the process's whole group, whatever it left running.
/// With `stop`, soon after that turns true, too (signal SIGKILL, then). Throws EnvironmentError when the command cannot
/// be started ("... not found; remedy"). Callable from any thread.
ProcessResult run_process(const ProcessOptions& options, const std::string& input = "", double timeout_s = 0,
                          const std::atomic<bool>* stop = nullptr);

/// A long-lived child that speaks lines on stdin and stdout. Dies with us however we end (PR_SET_PDEATHSIG; when we are
/// killed by SIGKILL, its own children see no more than their pipes close), has its own process group, and every
/// descriptor of ours is closed in it. Not copyable; the destructor kills the group and reaps. One thread at a time.
class ChildProcess {
 public:
  explicit ChildProcess(const ProcessOptions& options);
  ~ChildProcess();
  ChildProcess(ChildProcess&&) noexcept;
  ChildProcess& operator=(ChildProcess&&) noexcept;

  /// False when the child is gone (no SIGPIPE is raised).
  bool write_line(const std::string& line);
  enum class Read { line, timeout, closed };
  /// Waits up to timeout_s (negative: for ever; 0: only what is there) for one line, without its newline. A last line
  /// that lacks its newline was cut short and is never given out. After kill() and the end, what was written is still
  /// read.
  Read read_line(std::string& line, double timeout_s);
  /// Kills the group and reaps; how it ended. Safe to repeat.
  ProcessResult kill();
  /// How it ended if it has, without waiting.
  std::optional<ProcessResult> poll();
  int pid() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Path of an executable that ships beside the running one, or in ../bin from there. The environment variable
/// SONAR_BIN, when set, names the only folder searched. Throws EnvironmentError when it is missing.
std::string sibling_executable(const std::string& name);

}  // namespace sonar
