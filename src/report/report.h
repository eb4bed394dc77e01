// What people and scripts see of a run: the HTML report, the front, the status. Reads a run, live or finished; changes
// nothing in it.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "records/run_store.h"

namespace sonar {

/// One candidate and what became of it.
struct NetworkView {
  NetworkRow network;
  /// Final estimates; before those, the ones of the last decision; before that, what the records give so far: the
  /// maximum validation accuracy (NaN before the first validation) and the sum of the best latencies (infinity while a
  /// subgraph has no valid program).
  Objectives objectives;
  double default_latency_us = 0;  // sum over the default programs; infinity when one has failed or is not yet measured
  bool alive = true;              // not dropped in any round so far
  int round = 0;                  // ordinal (1..) of the last round that decided on it; 0: none yet
  int rank = 0;                   // of that decision
  std::string reason;             // of that decision
  bool non_dominated = false;     // among the networks alive
  bool on_front = false;          // marked in the results; before those, as non_dominated
  bool knee = false;
  bool selected = false;      // the answer to a latency threshold
  double test_accuracy = -1;  // fraction; < 0: not evaluated
  double end_to_end_us = -1;  // < 0: not measured
  double end_to_end_spread = 0;
  std::vector<TrainPoint> points;  // by step
  bool has_estimates() const;      // both objectives are finite
};

/// One unique subgraph and its tuning.
struct SubgraphView {
  SubgraphKey key;
  long occurrences = 0;  // over the networks that are alive
  long programs = 0, failed = 0;
  double default_us = 0, best_us = 0;  // infinity: no valid program
  struct Improvement {
    long programs;
    double best_us;
  };
  std::vector<Improvement> curve;  // best latency after so many of its programs
};

struct SideUse {
  int cores = 0;
  double busy_s = 0;    // over all cores, overlaps of one core counted once
  double fraction = 0;  // of cores x elapsed time
};

struct RoundView {
  int ordinal = 0;  // 1..
  RoundRow row;
  size_t kept = 0, dropped = 0;
};

/// Everything the report and the status are made of.
struct ReportData {
  std::string folder;
  std::optional<long> writer;  // process at work on the run now
  bool finished = false;
  double elapsed_s = 0;    // active run time
  int planned_rounds = 0;  // K
  std::vector<std::pair<std::string, std::string>> configuration;
  std::optional<RecordIdentity> identity;
  std::map<std::string, double> numbers;     // RunStore::value()s that are finite numbers, by name
  std::map<std::string, std::string> texts;  // the others
  std::vector<RoundView> rounds;
  std::vector<NetworkView> networks;    // in the order of the candidate set
  std::vector<SubgraphView> subgraphs;  // by occurrences x best latency, largest first
  std::vector<ProgramRow> programs;     // in order of arrival; samples are dropped
  long failed_programs = 0;
  long steps = 0;  // optimiser steps over all networks
  std::vector<UsageRow> usage;
  SideUse train_use, tune_use;
  std::vector<FailureCount> failures;
  std::vector<RunStore::EventRow> events;
  bool has_results = false;

  std::optional<double> number(const std::string& name) const;
  size_t alive() const;
};

ReportData gather_report(const RunStore& store);

/// Networks that belong to the answer: those alive, or all candidates; by latency, unknown latencies last.
enum class FrontScope { survivors, all };
std::vector<const NetworkView*> front_points(const ReportData& data, FrontScope scope = FrontScope::survivors);

/// `sonar front`. Shapes: docs/formats.md.
std::string front_csv(const ReportData& data, FrontScope scope = FrontScope::survivors);
std::string front_json(const ReportData& data, FrontScope scope = FrontScope::survivors);
std::string front_text(const ReportData& data, FrontScope scope = FrontScope::survivors);

/// `sonar status`.
std::string status_json(const ReportData& data);
std::string status_text(const ReportData& data);

/// The report as one self-contained HTML page: no scripts, fonts or pictures from elsewhere.
std::string report_html(const ReportData& data);

/// All write a temporary file and rename it, so that a reader never sees half of one. EnvironmentError names the file.
void replace_file(const std::string& path, const std::string& text);
void write_report(const std::string& run_folder, const std::string& html_path);
void write_front_csv(const std::string& run_folder, const std::string& csv_path);

}  // namespace sonar
