// The parts of "sonar+" that decide what is trained next (docs/algorithm.md has the whole).
#pragma once
#include <vector>

#include "policy/estimator_regression.h"
#include "policy/search_state.h"

namespace sonar {

/// An accuracy as the search believes it: normal.
struct Belief {
  double mean = 0, deviation = 0;
};

/// E[max(0, x - level)] of a normal x; the part that a deviation of 1 decides is interpolated in a table, with an
/// error below 1e-10 deviations. 0 where x is 6 deviations or more below the level.
double expected_excess(const Belief& belief, double level);

/// The best accuracy observed at or under a latency, on a grid of latencies, and what training could add to it.
class Frontier {
 public:
  /// `latency_us` finite and positive where a network counts; a grid of equal ratios over them.
  Frontier(const std::vector<double>& latency_us, size_t points);
  /// The first point of the grid that a network of this latency reaches.
  size_t first(double latency_us) const;
  /// A network of this accuracy exists.
  void add(double latency_us, double accuracy);
  /// Expected rise of the mean over the grid if a network of this latency had an accuracy from a normal distribution
  /// (expected improvement: Jones, Schonlau, Welch 1998, equation 15).
  double gain(double latency_us, const Belief& belief) const { return gain_from(first(latency_us), belief); }
  double gain_from(size_t first, const Belief& belief) const;
  /// Raises the frontier by the expected improvement, at each point of the grid.
  void expect(double latency_us, const Belief& belief);
  /// At a latency.
  double at(double latency_us) const { return best_[first(latency_us)]; }

 private:
  void note_steps();
  double low_ = 1, ratio_ = 1;
  std::vector<double> best_;   // rises
  std::vector<size_t> after_;  // of each point: the next one with another value
};

/// A network that could be trained, as `choose_training` sees it.
struct TrainingOption {
  size_t network = 0;
  double latency_us = 0;
  AccuracyEstimate estimate;  // after full training
  struct Level {
    long to_step = 0;
    double cost = 0;      // from now to there
    double variance = 0;  // of the estimate that is left when it has been reached
  };
  std::vector<Level> levels;  // rising; the last is full training
};

struct TrainingChoice {
  size_t option = 0, level = 0;
};

/// What to train, in order: each time the option and level with the highest index, as if those taken had turned out as
/// expected, until they have used up `share`; the last may overdraw it, all together not `most`. The index of full
/// training is its gain over its cost. Of a lower level it is the price per unit of cost at which training to that
/// level, and beyond it only if the gain then expected is worth that price, neither gains nor loses (Weitzman 1979).
std::vector<TrainingChoice> choose_training(const std::vector<TrainingOption>& options, Frontier frontier, double share,
                                            double most);

}  // namespace sonar
