#include "policy/estimator_ridge.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "model/error.h"

namespace sonar {
namespace {

constexpr size_t kBlock = 32;  // rows whose leverages are computed side by side

double dot(const double* a, const double* b, size_t n) {
  double sum = 0;
  for (size_t i = 0; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

/// From the inverse of the lower factor: the whole, by rows.
std::vector<double> inverse_of(const std::vector<double>& a, size_t n) {
  const std::vector<double> lower = inverse_factor_of(a, n);
  std::vector<double> result(n * n, 0);
  for (size_t k = 0; k < n; ++k)
    for (size_t i = 0; i <= k; ++i)
      for (size_t j = 0; j <= i; ++j) result[i * n + j] += lower[k * n + i] * lower[k * n + j];
  for (size_t i = 0; i < n; ++i)
    for (size_t j = 0; j < i; ++j) result[j * n + i] = result[i * n + j];
  return result;
}

}  // namespace

// All inner loops run along rows, so that they are done several numbers at a time.
std::vector<double> inverse_factor_of(const std::vector<double>& a, size_t n) {
  std::vector<double> upper(n * n, 0), inverse(n * n, 0), row(n);
  for (size_t i = 0; i < n; ++i) {
    std::copy_n(&a[i * n], i + 1, row.data());
    double* lower = &inverse[i * n];
    for (size_t k = 0; k < i; ++k) {
      const double* above = &upper[k * n];
      const double factor = row[k] / above[k];
      for (size_t j = k + 1; j < i; ++j) row[j] -= factor * above[j];
      row[i] -= factor * factor;
      upper[k * n + i] = factor;
      const double* other = &inverse[k * n];
      for (size_t j = 0; j <= k; ++j) lower[j] -= factor * other[j];
    }
    const double diagonal = std::sqrt(std::max(row[i], 1e-12));
    upper[i * n + i] = diagonal;
    for (size_t j = 0; j < i; ++j) lower[j] /= diagonal;
    lower[i] = 1 / diagonal;
  }
  return inverse;
}

RidgeDesign::RidgeDesign(const Rows& rows) : n_(rows.size()) {
  if (rows.empty()) throw InternalError("Ridge: at least one row is needed");
  p_ = rows[0].size();
  const auto n = static_cast<double>(n_);
  centre_.assign(p_, 0);
  scale_.assign(p_, 0);
  for (const auto& row : rows)
    for (size_t j = 0; j < p_; ++j) centre_[j] += row[j] / n;
  for (const auto& row : rows)
    for (size_t j = 0; j < p_; ++j) scale_[j] += (row[j] - centre_[j]) * (row[j] - centre_[j]) / n;
  for (size_t j = 0; j < p_; ++j)
    scale_[j] = scale_[j] > 1e-18 * (1 + centre_[j] * centre_[j]) ? 1 / std::sqrt(scale_[j]) : 0;
  x_.resize(n_ * p_);
  std::vector<double> gram(p_ * p_, 0);  // its lower triangle
  for (size_t i = 0; i < n_; ++i) {
    double* x = &x_[i * p_];
    for (size_t j = 0; j < p_; ++j) x[j] = (rows[i][j] - centre_[j]) * scale_[j];
    for (size_t j = 0; j < p_; ++j)
      for (size_t k = 0; k <= j; ++k) gram[j * p_ + k] += x[j] * x[k];
  }
  for (double penalty : {0.3, 2.0, 12.0, 70.0}) {
    std::vector<double> a = gram;
    for (size_t j = 0; j < p_; ++j) a[j * p_ + j] += penalty;
    penalised_.push_back({inverse_of(a, p_), std::vector<double>(n_)});
    if (n_ > 20 * p_) break;  // the penalty hardly matters
  }
  std::vector<double> columns(p_ * kBlock, 0);
  for (size_t begin = 0; begin < n_; begin += kBlock) {
    const size_t size = std::min(kBlock, n_ - begin);
    for (size_t i = 0; i < size; ++i)
      for (size_t j = 0; j < p_; ++j) columns[j * kBlock + i] = x_[(begin + i) * p_ + j];
    for (Penalised& penalised : penalised_) {
      double form[kBlock], product[kBlock];  // x' inverse x
      std::fill_n(form, kBlock, 1 / n);
      for (size_t j = 0; j < p_; ++j) {
        const double *x = &columns[j * kBlock], *inverse = &penalised.inverse[j * p_];
        for (size_t i = 0; i < kBlock; ++i) product[i] = inverse[j] * x[i] / 2;
        for (size_t k = 0; k < j; ++k)
          for (size_t i = 0; i < kBlock; ++i) product[i] += inverse[k] * columns[k * kBlock + i];
        for (size_t i = 0; i < kBlock; ++i) form[i] += 2 * x[i] * product[i];
      }
      for (size_t i = 0; i < size; ++i) penalised.leverage[begin + i] = std::min(0.99, form[i]);
    }
  }
}

std::vector<double> RidgeDesign::standardised(const std::vector<double>& row) const {
  std::vector<double> result(p_);
  for (size_t j = 0; j < p_; ++j) result[j] = (row[j] - centre_[j]) * scale_[j];
  return result;
}

Ridge::Ridge(std::shared_ptr<const RidgeDesign> design, const std::vector<double>& y) : design_(std::move(design)) {
  const size_t n = design_->n_, p = design_->p_;
  if (y.size() != n) throw InternalError("Ridge: one value is needed for each row");
  for (double value : y) intercept_ += value / static_cast<double>(n);
  std::vector<double> right(p, 0);
  for (size_t i = 0; i < n; ++i)
    for (size_t j = 0; j < p; ++j) right[j] += design_->x_[i * p + j] * (y[i] - intercept_);
  variance_ = std::numeric_limits<double>::infinity();
  for (size_t k = 0; k < design_->penalised_.size(); ++k) {
    const RidgeDesign::Penalised& penalised = design_->penalised_[k];
    std::vector<double> weights(p), residuals(n);
    for (size_t j = 0; j < p; ++j) weights[j] = dot(&penalised.inverse[j * p], right.data(), p);
    double error = 0;
    for (size_t i = 0; i < n; ++i) {
      residuals[i] = (y[i] - intercept_ - dot(weights.data(), &design_->x_[i * p], p)) / (1 - penalised.leverage[i]);
      error += residuals[i] * residuals[i] / static_cast<double>(n);
    }
    if (n <= 1 || error < variance_) {
      variance_ = error;
      weights_ = std::move(weights);
      leave_one_out_ = std::move(residuals);
      penalty_ = k;
    }
  }
}

double Ridge::mean(const std::vector<double>& row) const {
  double sum = intercept_;
  for (size_t j = 0; j < row.size(); ++j) sum += weights_[j] * (row[j] - design_->centre_[j]) * design_->scale_[j];
  return sum;
}

std::vector<double> Ridge::fitted() const {
  const size_t p = design_->p_;
  std::vector<double> result(design_->n_);
  for (size_t i = 0; i < result.size(); ++i) result[i] = intercept_ + dot(weights_.data(), &design_->x_[i * p], p);
  return result;
}

Ridge::Prediction Ridge::predict(const std::vector<double>& row) const {
  const size_t p = design_->p_;
  const std::vector<double>& inverse = design_->penalised_[penalty_].inverse;
  const std::vector<double> x = design_->standardised(row);
  double leverage = 1 / static_cast<double>(design_->n_);
  for (size_t j = 0; j < p; ++j) leverage += x[j] * dot(&inverse[j * p], x.data(), p);
  return {intercept_ + dot(weights_.data(), x.data(), p), variance_ * (1 + std::clamp(leverage, 0.0, 3.0))};
}

}  // namespace sonar
