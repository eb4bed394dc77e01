// What a network's latency will be once its subgraphs are tuned in full, from what tuning has shown so far.
#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "policy/estimator_ridge.h"
#include "policy/search_state.h"

namespace sonar {

/// One row for each network: its features, missing ones as the mean of the others, wide positive ones as logarithms,
/// constant ones left out; and log(MACs) where the subgraphs' are known.
Rows network_features(const SearchState& state);

/// Predicts from a state and from nothing else, but keeps what stays as it is from one state of a search to the next:
/// features, the numbers of keys, regressions' designs, logarithms.
class LatencyEstimator {
 public:
  explicit LatencyEstimator(const SearchState& state);
  /// Of all that must be equal in the state that it was made of and those that it is asked about: keys, features,
  /// options.
  static uint64_t fingerprint(const SearchState& state);

  /// Microseconds, by subgraph. log(best latency) falls, on the average of the subgraphs, like a straight line over
  /// log(programs), which is learnt from the batches so far and continued to full tuning. Keys of one form
  /// ("conv-f32-n#-h#-...") share a ridge regression of that value on the logarithms of their numbers; a subgraph is
  /// its prediction plus as much of its own deviation from it as its programs have made sure: log(programs) /
  /// log(full). Infinity: no valid program yet.
  std::vector<double> subgraphs_us(const SearchState& state);

  /// Of each of all networks, once tuned in full; one that was measured as a whole: as measured. `by_features`: the
  /// sums are drawn towards a ridge regression of them on the networks' features, by the part of the latency whose
  /// subgraphs have not yet shown themselves.
  std::vector<double> networks_us(const SearchState& state, bool by_features);

  /// network_features
  const Rows& features() const { return features_; }

 private:
  /// A regression's rows, kept while the same things are known.
  struct Design {
    std::vector<size_t> members;
    std::shared_ptr<const RidgeDesign> rows;
  };
  /// What the curve of a subgraph says, and the curve it was computed from.
  struct Seen {
    size_t batches = 0;
    double first_us = 0, last_us = 0, best_us = 0, programs = 0;
    bool answered = false;

    bool valid = false;
    double log_us = 0;          // of the best latency
    double shown = 0;           // how far it has shown itself, 0..1: log(programs) / log(full)
    double span = 0, fall = 0;  // from the first program on: of log(programs), of log(best latency)
  };
  void look(const SubgraphState& subgraph, Seen& seen) const;
  static const RidgeDesign& designed(Design& design, const std::vector<size_t>& members, const Rows& rows);

  double log_full_;
  Rows features_, numbers_;                 // of each network; of each key
  std::vector<std::vector<size_t>> alike_;  // subgraphs whose keys have one form
  std::vector<Design> of_form_;
  Design of_networks_;
  std::vector<Seen> seen_;
};

}  // namespace sonar
