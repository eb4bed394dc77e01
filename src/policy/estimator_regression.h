// Final accuracy by regression over features and partial learning curves, sharing strength between networks.
#pragma once
#include <vector>

#include "policy/search_state.h"

namespace sonar {

/// What a network's accuracy is taken to be after full training.
struct AccuracyEstimate {
  double accuracy = 0;   // fraction 0..1
  double deviation = 0;  // standard deviation of the error; 0: not known
};

/// Predicts log(1 - accuracy after full training). Levels of training are T, T/growth, T/growth^2, ...; a network that
/// has reached level l is predicted by a ridge regression on its features and its curve up to l, fitted to the networks
/// that are beyond l: their values after full training where known, else their own predictions, so that the regressions
/// are fitted from the highest level down. The last one predicts untrained networks by features alone. A prediction is
/// conditioned on being no worse than what was observed already.
class RegressionEstimator {
 public:
  struct Options {
    double growth = 3;
    int levels = 3;        // from 1 on
    bool features = true;  // of the networks, beside log(latency) and log(MACs)
    bool curves = true;    // false: a network trained in part is predicted by features alone
  };
  explicit RegressionEstimator(const Options& options) : options_(options) {}
  /// One estimate for each of `networks` (indices into the state), finite; latencies as fully_tuned_networks_us().
  std::vector<AccuracyEstimate> estimate(const SearchState& state, const std::vector<size_t>& networks) const;
  /// All networks; latency_us: of each, may be infinite.
  std::vector<AccuracyEstimate> estimate_all(const SearchState& state, const std::vector<double>& latency_us) const;

 private:
  Options options_;
};

/// The levels in optimiser steps, rising; the last is `full_steps`.
std::vector<long> training_levels(long full_steps, double growth, int levels);

}  // namespace sonar
