// Judging a search: replays of recorded traces, and ranks of any table of points (docs/evaluation.md). Part of the
// public API; sonar.h includes it.
#pragma once
#include <map>
#include <string>
#include <vector>

namespace sonar {

struct ReplayOptions {
  std::string algorithm = "pareto";
  std::map<std::string, std::string> settings;   // of the algorithm
  double speedup = 0;                            // budget = what brute force costs / speedup, on both ledgers
  double train_budget_s = 0, tune_budget_s = 0;  // instead of the speed-up, recorded seconds; 0: by the speed-up
  double epochs = 0, programs = 0;     // instead, counted as a search does: over all networks, over all subgraphs
  long seeds = 1;                      // replays, with seeds 1, 2, ...
  long candidates = 0;                 // sampled from the trace; 0: all
  double threshold_ms = 0;             // of "threshold"
  std::string survivors = "paper";     // paper, at-most-half, crowded
  std::string share = "steps";         // steps, seconds
  std::string scheduler = "gradient";  // gradient, paper
  long batch_programs = 64;            // beta
  double minimum_slice = 0.1;          // epochs
  double steps_per_epoch = 100;        // how finely training can be stopped
  bool whole_rows = false;             // curves can be stopped at their rows only
  std::string proxy_column;            // of networks.csv, by which proxy-command ranks; empty: proxy_ms
};

/// Writes the curves of a run directory as a trace (docs/formats.md) and says what it holds. Throws UserError when they
/// depend on the order of that run (programs passed between subgraphs, a shared cost model, earlier records), unless
/// `force`.
std::string record_trace(const std::string& run, const std::string& folder, bool force);

/// Replays an algorithm on a trace (docs/formats.md). Text for people, or JSON {"runs": [...], "mean": {...}, ...}.
std::string replay_trace(const std::string& folder, const ReplayOptions& options, bool json);

struct CompareOptions {
  /// Names, each with settings of its own behind it if wanted: "pareto:confidence=1:early_drop=2".
  std::vector<std::string> algorithms = {"pareto"};
  std::vector<double> speedups = {17, 34};  // budgets of each algorithm: what brute force costs / speed-up
  long seeds = 10;                          // replays of each, with seeds 1, 2, ...
  ReplayOptions replay;                     // the rest of every replay; its algorithm, budgets and seeds are not used
  /// Other latencies of the networks, of which Table 2 tells the rank correlation with the final one: CSV files with
  /// `network` and a column for each (empty: not available). One for each truth in their order, or one for all.
  std::vector<std::string> metrics;
  bool force = false;  // as of record_trace, of brute-force runs
  bool json = false;
};

/// Searches against brute force: the paper's figures 5, 6 and 7 and its table 2 (docs/evaluation.md). `inputs`: a trace
/// or a brute-force run is a truth, on which the algorithms are replayed; another run is judged by the truth before it.
/// Writes OUT/compare.html and a CSV file for each figure and table; returns the tables as text or JSON. Throws
/// UserError.
std::string compare_searches(const std::vector<std::string>& inputs, const CompareOptions& options,
                             const std::string& out);

/// Non-dominated ranks, crowding distances and hypervolume of the rows of a CSV file. Columns named in `maximize` are
/// maximised, the others minimised; `reference`: the point that bounds the hypervolume, by column (empty: the worst
/// value of each). JSON {"points": [{"row", "rank", "crowding"}], "hypervolume"}, or CSV with the two columns added.
std::string rank_points(const std::string& file, const std::vector<std::string>& maximize,
                        const std::vector<double>& reference, bool json);

}  // namespace sonar
