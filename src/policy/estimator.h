// What a network's accuracy is taken to be, from what its training and that of the others have shown so far.
#pragma once
#include <vector>

#include "policy/search_state.h"

namespace sonar {

struct AccuracyEstimate {
  double accuracy = 0;   // fraction 0..1
  double deviation = 0;  // standard deviation of the error; 0: not known
};

class AccuracyEstimator {
 public:
  virtual ~AccuracyEstimator() = default;
  /// One estimate for each of `networks` (indices into the state), finite. A function of the state alone: an estimator
  /// that fits a model fits it to the state's curves and features, with random numbers of its own stream of the seed.
  virtual std::vector<AccuracyEstimate> estimate(const SearchState& state,
                                                 const std::vector<size_t>& networks) const = 0;
};

/// The paper's: maximum validation accuracy so far (section 3.2).
class BestSoFar : public AccuracyEstimator {
 public:
  std::vector<AccuracyEstimate> estimate(const SearchState& state, const std::vector<size_t>& networks) const override;
};

}  // namespace sonar
