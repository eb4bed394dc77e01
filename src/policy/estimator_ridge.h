// Ridge regression on a few features: the linear algebra of the estimators.
#pragma once
#include <vector>

namespace sonar {

/// One row for each thing, all of one length.
using Rows = std::vector<std::vector<double>>;

/// Inverse of a symmetric positive definite matrix by Cholesky's factors. O(n^3).
Rows inverse_of(Rows a);

/// y = a + w . standardised x + noise, the weights drawn towards 0. The penalty is, of a few, the one whose
/// leave-one-out error is least (Hastie, Tibshirani, Friedman, The Elements of Statistical Learning, section 7.10 and
/// equation 3.44).
class Ridge {
 public:
  /// Fits rows[i] -> y[i], finite, at least one. O(n p^2 + p^3) for each penalty.
  Ridge(const Rows& rows, const std::vector<double>& y);
  struct Prediction {
    double mean = 0, variance = 0;  // of one new observation
  };
  Prediction predict(const std::vector<double>& row) const;
  /// The mean alone. O(p).
  double mean(const std::vector<double>& row) const;
  /// Leave-one-out variance of the observations.
  double variance() const { return variance_; }
  /// Errors of predicting each observation from all others.
  const std::vector<double>& leave_one_out() const { return leave_one_out_; }

 private:
  std::vector<double> standardised(const std::vector<double>& row) const;
  std::vector<double> centre_, scale_, weights_, leave_one_out_;
  Rows inverse_;  // of X'X + penalty
  double intercept_ = 0, variance_ = 0, n_ = 0;
};

}  // namespace sonar
