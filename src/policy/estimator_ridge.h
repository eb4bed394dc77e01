// Ridge regression on a few features: the linear algebra of the estimators.
#pragma once
#include <cstddef>
#include <memory>
#include <vector>

namespace sonar {

/// One row for each thing, all of one length.
using Rows = std::vector<std::vector<double>>;

/// Inverse of the lower Cholesky factor of a symmetric positive definite matrix [n][n], of which the lower triangle is
/// read. O(n^3).
std::vector<double> inverse_factor_of(const std::vector<double>& a, size_t n);

/// The part of a ridge regression that the rows decide: regressions of several things on the same rows share it.
class RidgeDesign {
 public:
  /// At least one row, finite. O(n p^2 + p^3) for each penalty.
  explicit RidgeDesign(const Rows& rows);
  size_t rows() const { return n_; }
  /// x[j] of the row, less its mean, over its deviation.
  std::vector<double> standardised(const std::vector<double>& row) const;

 private:
  friend class Ridge;
  struct Penalised {
    std::vector<double> inverse;   // [p][p] of X'X + penalty
    std::vector<double> leverage;  // of each row on its own prediction
  };
  size_t n_, p_;
  std::vector<double> centre_, scale_, x_;  // x_[n][p]: standardised
  std::vector<Penalised> penalised_;
};

/// y = a + w . standardised x + noise, the weights drawn towards 0. The penalty is, of a few, the one whose
/// leave-one-out error is least (Hastie, Tibshirani, Friedman, The Elements of Statistical Learning, section 7.10 and
/// equation 3.44).
class Ridge {
 public:
  /// Fits rows[i] -> y[i], finite, at least one.
  Ridge(const Rows& rows, const std::vector<double>& y) : Ridge(std::make_shared<const RidgeDesign>(rows), y) {}
  /// y of each row of the design. O(n p + p^2) for each penalty.
  Ridge(std::shared_ptr<const RidgeDesign> design, const std::vector<double>& y);
  struct Prediction {
    double mean = 0, variance = 0;  // of one new observation
  };
  Prediction predict(const std::vector<double>& row) const;
  /// The mean alone. O(p).
  double mean(const std::vector<double>& row) const;
  /// The mean of each row of the design.
  std::vector<double> fitted() const;
  /// Leave-one-out variance of the observations.
  double variance() const { return variance_; }
  /// Errors of predicting each observation from all others.
  const std::vector<double>& leave_one_out() const { return leave_one_out_; }

 private:
  std::shared_ptr<const RidgeDesign> design_;
  size_t penalty_ = 0;  // place in the design
  std::vector<double> weights_, leave_one_out_;
  double intercept_ = 0, variance_ = 0;
};

}  // namespace sonar
