// How good a search's outcome is, against what brute force would have found (docs/evaluation.md has the definitions).
#pragma once
#include <vector>

#include "evaluate/trace.h"

namespace sonar {

/// Average accuracy gap (paper section 4.4) of a set of networks, in percent points.
struct AccuracyGap {
  double gap = 0;              // mean over the true front's networks that are not missed; NaN: all are
  double gap_with_misses = 0;  // mean over all of them; one that is missed counts with its accuracy less `chance`
  long misses = 0;             // no network of the set is as fast
};

/// A slice of training as it ended: what the achieved gap is made of at any moment (Truth::gaps).
struct TrainedSlice {
  size_t network = 0;   // place in the trace
  double accuracy = 0;  // best observed of this network so far
  /// Spent on both ledgers by then. Within a round of a replay both advance at the same pace, as in a run, where they
  /// go side by side: what the round tunes is spread over its training.
  double spent_s = 0;
};

/// The true front of a trace, and what is measured against it. Keeps a reference to the trace.
class Truth {
 public:
  explicit Truth(const Trace& trace);
  /// Networks on the front of final accuracy and final latency, by latency.
  const std::vector<size_t>& front() const { return front_; }
  /// accuracy[i]: of network i of the trace as the search knows it; NaN: not in the set. O(n).
  AccuracyGap gap(const std::vector<double>& accuracy) const;
  /// The achieved gap at each of `at`, moments by seconds spent, which rise; the slices are in order.
  std::vector<AccuracyGap> gaps(const std::vector<TrainedSlice>& slices, const std::vector<double>& at) const;
  /// Hypervolume of the networks by final accuracy and latency over that of the true front. Reference point: the
  /// highest final latency and the lowest final accuracy of the trace. 1 when the front spans no volume.
  double hypervolume_ratio(const std::vector<size_t>& networks) const;

 private:
  double volume(const std::vector<size_t>& networks) const;
  const Trace& trace_;
  std::vector<size_t> by_latency_, front_;
  std::vector<double> reference_;
  double front_volume_ = 0;
};

/// Kendall's tau-b of two rankings of the same things (Knight 1966), O(n log n). Equal values are ties, infinities too.
/// NaN when one of them is all ties, or n < 2.
double kendall_tau(const std::vector<double>& a, const std::vector<double>& b);

}  // namespace sonar
