// A trace: recorded training and tuning curves, on which algorithms are replayed (design 8; docs/formats.md).
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "model/subgraph.h"

namespace sonar {

struct TrainingCurve {
  struct Row {
    double epoch, accuracy, seconds;
  };
  std::vector<Row> rows;  // epochs rise; [0] is the start: epoch 0, accuracy `chance`, 0 seconds

  /// Straight lines between the rows; beyond the last the curve stays at its end.
  Row at(double epoch) const;
  double full_seconds() const { return rows.back().seconds; }
  /// Maximum over all rows but the start: what a search knows after full training.
  double final_accuracy() const;
};

struct TuningCurve {
  struct Row {
    double programs, latency_us, seconds;  // infinite latency: no valid program yet
  };
  std::vector<Row> rows;  // programs rise from 1 on or more

  /// Straight lines between the rows. Below the first row the latency is the first row's, which is optimistic, and the
  /// seconds are a straight line from 0. From a row without a latency to one with there is no line: the latency begins
  /// at the row.
  Row at(double programs) const;
  double full_programs() const { return rows.back().programs; }
  double full_seconds() const { return rows.back().seconds; }
  double final_latency_us() const { return rows.back().latency_us; }
};

struct Trace {
  struct Network {
    std::string name;
    std::vector<std::pair<size_t, int>> subgraphs;  // index into `subgraphs`, occurrences
    double chance = 0;
    double test_accuracy = -1;     // < 0: not given
    std::vector<double> features;  // by feature_names; NaN: empty
    TrainingCurve training;

    double final_accuracy = 0, final_latency_us = 0;  // fully trained and tuned; infinite: no valid program
  };
  struct Subgraph {
    SubgraphKey key;
    double macs = 0;  // of a key that is one of ours; 0: not known
    TuningCurve tuning;
  };
  std::string folder;
  std::vector<std::string> feature_names;
  std::vector<Network> networks;
  std::vector<Subgraph> subgraphs;  // those that some network has

  /// Seconds of brute force: every network trained in full, every unique subgraph tuned in full.
  double brute_force_train_s = 0, brute_force_tune_s = 0;
  /// The tuning of brute force that tunes the subgraphs of each network anew.
  double unshared_tune_s = 0;
};

/// The trace with counts in place of seconds: an optimiser step costs 1 and a program costs 1, as in a search with
/// counted budgets.
Trace with_counted_costs(Trace trace, double steps_per_epoch);

/// Reads FOLDER/networks.csv, training.csv and tuning.csv, each also as .csv.gz. Throws UserError naming file, line and
/// remedy.
Trace read_trace(const std::string& folder);

}  // namespace sonar
