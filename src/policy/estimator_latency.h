// What a network's latency will be once its subgraphs are tuned in full, from what tuning has shown so far.
#pragma once
#include <vector>

#include "policy/estimator_ridge.h"
#include "policy/search_state.h"

namespace sonar {

/// Microseconds, by subgraph. log(best latency) falls, on the average of the subgraphs, like a straight line over
/// log(programs), which is learnt from the batches so far and continued to full tuning. Keys of one form ("conv-f32-n#-
/// h#-...") share a ridge regression of that value on the logarithms of their numbers; a subgraph is its prediction
/// plus as much of its own deviation from it as its programs have made sure: log(programs) / log(full). Infinity: no
/// valid program yet.
std::vector<double> fully_tuned_us(const SearchState& state);

/// Of each of all networks, once tuned in full; one that was measured as a whole: as measured. `features`: the sums are
/// drawn towards a ridge regression of them on the networks' features, by the part of the latency whose subgraphs have
/// not yet shown themselves.
std::vector<double> fully_tuned_networks_us(const SearchState& state, bool features);

/// One row for each network: its features, missing ones as the mean of the others, wide positive ones as logarithms,
/// constant ones left out; and log(MACs) where the subgraphs' are known.
Rows network_features(const SearchState& state);

}  // namespace sonar
