// One setup_ function for each group of verbs: it adds the subcommands; their callbacks do the work.
#pragma once
#include <sonar/sonar.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <string>
#include <vector>

namespace sonar::cli {

/// Exit codes of the program. Errors: 1 internal, 2 user, 3 environment.
inline constexpr int kStoppedExit = 130;

/// Set by Ctrl-C.
extern std::atomic<bool> stop_requested;

/// What the verbs that read a configuration share: CONFIG, then any number of section.key=value.
struct ConfigOptions {
  std::string path;
  std::vector<std::string> overrides;
  void add_to(CLI::App& app);
  Config load() const;
};

void setup_search(CLI::App& app, int& exit_code);  // search
void setup_look(CLI::App& app);                    // status, front, report
void setup_single(CLI::App& app, int& exit_code);  // tune, train, onnx
void setup_records(CLI::App& app);                 // records export, import, show
void setup_check(CLI::App& app, int& exit_code);   // space, doctor
void setup_evaluate(CLI::App& app);                // trace, replay, compare, rank

/// Progress and messages on the terminal: two live lines there, plain lines elsewhere. Lives as long as the run.
class Console {
 public:
  explicit Console(bool quiet);
  ~Console();
  void attach(RunOptions& options);

 private:
  void clear();
  bool quiet_, terminal_;
  bool live_ = false;
  double last_plain_s_ = 0;
};

}  // namespace sonar::cli
