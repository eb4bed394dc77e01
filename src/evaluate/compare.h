// Searches against what brute force knows: the data of `sonar compare` (docs/evaluation.md).
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "evaluate/replay_report.h"
#include "records/run_store.h"

namespace sonar {

/// The achieved gap at one moment, in percent points.
struct GapPoint {
  double seconds = 0;             // on both ledgers; of a clock curve: active run time
  Estimate achieved;              // over the seeds that do not miss the whole true front
  double misses = 0;              // mean
  Estimate achieved_with_misses;  // over all seeds
};

struct ReturnedNetwork {
  static constexpr size_t kUnknown = SIZE_MAX;
  long seed = 0;  // 0: of a real run
  std::string name;
  size_t place = kUnknown;  // in the truth
  Objectives objectives;    // as the search knows them
  bool answer = false;      // on the front that the search sees
};

/// An algorithm at a budget, replayed; or a real run.
struct ComparedSearch {
  std::string name;  // "pareto 34x", or the run's
  std::string algorithm;
  double speedup = 0;   // 0: a real run
  std::string refused;  // why it could not be replayed; then there is nothing below
  std::vector<std::string> notes;
  std::vector<ReturnedNetwork> returned;                  // by seed
  std::vector<std::pair<std::string, Estimate>> figures;  // those of a replay (figures())
  std::vector<GapPoint> curve;                            // by seconds on both ledgers
  std::vector<GapPoint> clock;                            // of a real run, by active run time
  bool real() const { return speedup == 0; }
  Estimate figure(const std::string& name) const;
};

/// Rank correlation of a latency metric with the final latency.
struct RankedMetric {
  std::string name;
  Estimate tau;
  long networks = 0;  // that have a value
};

struct ComparedTruth {
  std::string name;
  std::unique_ptr<Trace> trace;
  std::unique_ptr<Truth> truth;
  std::optional<RecordIdentity> identity;  // of a brute-force run
  std::vector<std::string> notes;
  std::vector<double> macs;        // by network; NaN: not known
  std::vector<double> untuned_us;  // sums over the default programs
  std::vector<bool> on_front;      // the true front
  std::vector<bool> flops_front;   // the front of final accuracy and MACs
  std::vector<ComparedSearch> searches;
  std::vector<RankedMetric> ranks;  // MACs, untuned, metrics of the user's, searches
  double brute_force_s() const { return trace->brute_force_train_s + trace->brute_force_tune_s; }
};

struct Comparison {
  std::vector<ComparedTruth> truths;
  long seeds = 0;
};

/// See compare_searches. Traces of brute-force runs are written to OUT/trace-NAME.
Comparison compare(const std::vector<std::string>& inputs, const CompareOptions& options, const std::string& out);

}  // namespace sonar
