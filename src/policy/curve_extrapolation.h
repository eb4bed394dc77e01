// Where learning curves go next, learnt from where the same networks' curves went before.
#pragma once
#include <vector>

#include "policy/search_state.h"

namespace sonar {

/// Best accuracies of `networks`, by their place there, after up to `doublings` further doublings of their training,
/// but no further than full training. One doubling is a ridge regression (estimator_ridge.h) of log(1 - accuracy) on
/// itself before the doubling, half of that again before it where the curves reach so far back, and the networks'
/// features (network_features) and log(latency); learnt from the last doubling of the same networks, and applied as
/// often as asked for. Curves are read between their points by straight lines over log(steps). Nobody falls below what
/// was observed, and everything stays as observed where fewer than eight curves reach back to half of their training,
/// or where the regression foretells left-out networks no better than a rise that is the same for all.
std::vector<double> extrapolated_accuracies(const SearchState& state, const std::vector<size_t>& networks,
                                            double doublings);

}  // namespace sonar
