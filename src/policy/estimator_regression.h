// Final accuracy by regression over features and partial learning curves, sharing strength between networks.
#pragma once
#include <vector>

#include "policy/estimator_ridge.h"
#include "policy/search_state.h"

namespace sonar {

/// What a network's accuracy is taken to be after full training: log(1 - accuracy) is normal.
struct AccuracyEstimate {
  double log_error = 0, variance = 0;  // variance 0: known
  int reached = -1;                    // highest level of training that it has reached; -1: none
  double accuracy() const;
};

struct AccuracyForecast {
  std::vector<AccuracyEstimate> networks;  // all of the state, by index
  std::vector<double> left;  // by level: part of an untrained network's variance that is left when it has been reached
};

class RegressionEstimator {
 public:
  struct Options {
    double growth = 1.5;
    int levels = 4;        // from 1 on
    bool features = true;  // of the networks, beside log(latency) and log(MACs)
    bool curves = true;    // false: a network trained in part is predicted by features alone
    bool process = true;   // a Gaussian process on what the regressions on curves leave over
  };
  explicit RegressionEstimator(const Options& options) : options_(options) {}
  /// All networks; latency_us: of each, may be infinite; network_features: theirs (estimator_latency.h).
  AccuracyForecast estimate(const SearchState& state, const std::vector<double>& latency_us,
                            const Rows& network_features) const;

 private:
  Options options_;
};

/// The levels in optimiser steps, rising; the last is `full_steps`.
std::vector<long> training_levels(long full_steps, double growth, int levels);

}  // namespace sonar
