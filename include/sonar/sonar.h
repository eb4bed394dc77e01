// SONAR's public API. Start here.
//
//   #include <sonar/sonar.h>
//   sonar::Config config = sonar::load_config("search.toml");
//   sonar::run_search(config, {.folder = "runs/first"});
//
// Errors are exceptions of <sonar/error.h>: UserError, EnvironmentError, InternalError.
#pragma once
#include <atomic>
#include <functional>
#include <string>
#include <vector>

#include "sonar/config.h"
#include "sonar/error.h"
#include "sonar/evaluate.h"

namespace sonar {

/// What the caller sees while a run goes on. Called from one thread; keep it short.
struct Progress {
  double elapsed_s = 0, budget_s = 0;  // active time; 0: no time budget
  int round = 0, rounds = 0;
  int networks = 0;         // candidates of this round
  std::string train, tune;  // one line for each side
};

struct RunOptions {
  std::string folder;                               // the run directory; continues the run that it holds
  const std::atomic<bool>* stop = nullptr;          // set it to end early; the run stays resumable
  std::function<void(const Progress&)> progress;    // at most a few times a second
  std::function<void(const std::string&)> message;  // one line per stage
  bool from_records = false;                        // run_tune: answer from search.records, measure nothing
};

enum class RunEnd { finished, stopped };

/// The joint search. Writes the run directory (docs/formats.md) as it goes.
RunEnd run_search(const Config& config, const RunOptions& options);
/// Result of run_search: the front as a table, what brute force would have cost, the path of the report; or the front
/// as JSON.
std::string search_result(const std::string& folder, bool json);

/// Tunes one network only, by name. The budget is search.programs, or when that is 0 full_programs for each subgraph.
/// Subgraphs that the library search.records has tuned with that much are answered from it: only the best known program
/// of each is measured once more.
RunEnd run_tune(const Config& config, const std::string& architecture, const RunOptions& options);
/// The same for the network of an ONNX file (docs/onnx.md), which goes by the file's name without its ending. Nothing
/// of config.space and config.data is used. A run is bound to the file's contents.
RunEnd run_tune_onnx(const Config& config, const std::string& file, const RunOptions& options);
/// Result of run_tune and run_tune_onnx: text for people, or JSON {"latency_us", "subgraphs": [...]}.
std::string tune_result(const std::string& folder, bool json);

/// Trains one network only, by name, in full.
RunEnd run_train(const Config& config, const std::string& architecture, const RunOptions& options);
std::string train_result(const std::string& folder, bool json);

/// Writes one network as an ONNX file, by name: float32, device.batch images, batch norms folded, random weights that
/// follow from search.seed. It is what the command search.proxy is given. Returns a line that says what was written.
std::string export_onnx(const Config& config, const std::string& architecture, const std::string& file);

/// Number of architectures, unique subgraphs, ranges of MACs and parameters.
std::string describe_space(const Config& config, bool json);

/// Checks everything that a run needs before hours are spent. `healthy` is false when something would stop the run.
struct Health {
  std::string text;
  bool healthy = true;
};
Health run_doctor(const Config& config, bool json);

/// Of a run directory, live or ended.
std::string status(const std::string& folder, bool json);
enum class FrontFormat { text, json, csv };
std::string front(const std::string& folder, FrontFormat format);
/// Writes FOLDER/report.html and FOLDER/front.csv; returns the path of the report.
std::string write_report(const std::string& folder);

/// Hands the records of a library or of a run directory over as JSON lines, oldest first (docs/formats.md); returns how
/// many.
long export_records(const std::string& from, const std::function<void(const std::string&)>& line);
struct ImportCount {
  long added = 0, known = 0;     // new in the library; in it already
  long bad = 0;                  // lines passed over
  std::vector<std::string> why;  // of the first of them, with their numbers
};
/// Adds the records of a file of JSON lines, of another library or of a run directory to a library, which is made when
/// absent. Nothing is added when a line is bad, unless `skip_bad`. What the library holds already stays as it is.
ImportCount import_records(const std::string& library, const std::string& from, bool skip_bad);
/// Counts by what makes records comparable, subgraphs, failures by cause, best latencies.
std::string show_records(const std::string& library, bool json);

const char* version();

}  // namespace sonar
