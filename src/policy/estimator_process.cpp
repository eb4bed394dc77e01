#include "policy/estimator_process.h"

#include <algorithm>
#include <cmath>

#include "model/error.h"

namespace sonar {

GaussianProcess::GaussianProcess(const Rows& rows, const std::vector<double>& y, double length, double noise)
    : n_(rows.size()) {
  if (rows.empty() || rows.size() != y.size()) throw InternalError("GaussianProcess: one value is needed for each row");
  p_ = rows[0].size();
  centre_.assign(p_, 0);
  scale_.assign(p_, 0);
  columns_.resize(p_ * n_);
  for (size_t j = 0; j < p_; ++j) {
    for (const auto& row : rows) centre_[j] += row[j] / static_cast<double>(n_);
    double square = 0;
    for (const auto& row : rows) square += (row[j] - centre_[j]) * (row[j] - centre_[j]) / static_cast<double>(n_);
    scale_[j] = square > 1e-18 * (1 + centre_[j] * centre_[j]) ? 1 / (std::sqrt(square) * length) : 0;
    for (size_t i = 0; i < n_; ++i) columns_[j * n_ + i] = (rows[i][j] - centre_[j]) * scale_[j];
  }
  std::vector<double> matrix(n_ * n_, 0), x(p_);  // its lower triangle
  for (size_t i = 0; i < n_; ++i) {
    for (size_t j = 0; j < p_; ++j) x[j] = columns_[j * n_ + i];
    covariances(x.data(), i, &matrix[i * n_]);
    matrix[i * n_ + i] = 1 + noise;
  }
  const std::vector<double> factor = inverse_factor_of(matrix, n_);  // inverse of the matrix: factor' factor
  std::vector<double> diagonal(n_, 0);
  weights_.assign(n_, 0);
  for (size_t k = 0; k < n_; ++k) {
    const double* row = &factor[k * n_];
    double sum = 0;
    for (size_t i = 0; i <= k; ++i) sum += row[i] * y[i];
    for (size_t i = 0; i <= k; ++i) {
      weights_[i] += row[i] * sum;
      diagonal[i] += row[i] * row[i];
    }
  }
  for (size_t i = 0; i < n_; ++i) leave_one_out_.push_back(weights_[i] / diagonal[i]);
}

void GaussianProcess::covariances(const double* x, size_t count, double* result) const {
  std::fill_n(result, count, 0.0);
  for (size_t j = 0; j < p_; ++j) {
    const double* column = &columns_[j * n_];
    for (size_t i = 0; i < count; ++i) result[i] += (x[j] - column[i]) * (x[j] - column[i]);
  }
  for (size_t i = 0; i < count; ++i) result[i] = std::exp(-result[i] / 2);
}

double GaussianProcess::mean(const std::vector<double>& row) const {
  std::vector<double> x(p_), covariance(n_);
  for (size_t j = 0; j < p_; ++j) x[j] = (row[j] - centre_[j]) * scale_[j];
  covariances(x.data(), n_, covariance.data());
  double sum = 0;
  for (size_t i = 0; i < n_; ++i) sum += weights_[i] * covariance[i];
  return sum;
}

}  // namespace sonar
