// Gaussian process regression: the smooth part of what a ridge regression leaves over.
#pragma once
#include <vector>

#include "policy/estimator_ridge.h"

namespace sonar {

/// y = f(standardised x) + noise with f from a Gaussian process of mean 0 and squared exponential covariance (Rasmussen
/// and Williams, Gaussian Processes for Machine Learning, equations 2.25 and 5.12). The scale of y is its mean square.
class GaussianProcess {
 public:
  /// rows[i] -> y[i], finite, at least one. `length`: in standard deviations of x; `noise`: variance of the noise over
  /// that of f. O(n^3).
  GaussianProcess(const Rows& rows, const std::vector<double>& y, double length, double noise);
  double mean(const std::vector<double>& row) const;
  /// Errors of predicting each y from all others.
  const std::vector<double>& leave_one_out() const { return leave_one_out_; }

 private:
  /// Covariances of x, standardised, with the first `count` rows.
  void covariances(const double* x, size_t count, double* result) const;
  size_t n_, p_;
  std::vector<double> columns_;  // [p][n]: of the standardised rows
  std::vector<double> centre_, scale_, weights_, leave_one_out_;
};

}  // namespace sonar
