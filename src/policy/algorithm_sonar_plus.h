// The parts of "sonar+" that decide what is trained next (docs/algorithm.md has the whole).
#pragma once
#include <vector>

#include "policy/estimator_regression.h"
#include "policy/search_state.h"

namespace sonar {

/// The best accuracy observed at or under a latency, on a grid of latencies, and what training could add to it.
class Frontier {
 public:
  /// `latency_us` finite and positive where a network counts; a grid of equal ratios over them.
  Frontier(const std::vector<double>& latency_us, size_t points);
  /// A network of this accuracy exists.
  void add(double latency_us, double accuracy);
  /// Expected rise of the mean over the grid if a network of this latency had an accuracy from a normal distribution
  /// (expected improvement: Jones, Schonlau, Welch 1998, equation 15).
  double gain(double latency_us, const AccuracyEstimate& estimate) const;
  /// Raises the frontier by the expected improvement, at each point of the grid.
  void expect(double latency_us, const AccuracyEstimate& estimate);
  /// At a latency.
  double at(double latency_us) const { return best_[first(latency_us)]; }

 private:
  size_t first(double latency_us) const;
  double low_ = 1, ratio_ = 1;
  std::vector<double> best_;
};

/// What could be trained, as `choose_training` sees it.
struct TrainingOption {
  size_t network = 0;
  long to_step = 0;      // this round
  double cost = 0;       // of it
  double full_cost = 0;  // to full training
  double latency_us = 0;
  AccuracyEstimate estimate;  // after full training
};

/// Indices of the options to take, in order: each time the one with the highest gain for its weight, as if those taken
/// had turned out as expected, until they have used up `share`; the last may overdraw it, all together not `most`.
/// `by_cost`: the weight is the cost of full training; otherwise 1.
std::vector<size_t> choose_training(const std::vector<TrainingOption>& options, Frontier frontier, double share,
                                    double most, bool by_cost);

}  // namespace sonar
