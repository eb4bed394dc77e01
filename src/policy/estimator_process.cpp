#include "policy/estimator_process.h"

#include <cmath>

#include "model/error.h"

namespace sonar {
namespace {

double covariance(const std::vector<double>& a, const std::vector<double>& b) {
  double square = 0;
  for (size_t j = 0; j < a.size(); ++j) square += (a[j] - b[j]) * (a[j] - b[j]);
  return std::exp(-square / 2);
}

}  // namespace

GaussianProcess::GaussianProcess(const Rows& rows, const std::vector<double>& y, double length, double noise) {
  if (rows.empty() || rows.size() != y.size()) throw InternalError("GaussianProcess: one value is needed for each row");
  const size_t n = rows.size(), p = rows[0].size();
  centre_.assign(p, 0);
  scale_.assign(p, 0);
  for (size_t j = 0; j < p; ++j) {
    for (const auto& row : rows) centre_[j] += row[j] / static_cast<double>(n);
    double square = 0;
    for (const auto& row : rows) square += (row[j] - centre_[j]) * (row[j] - centre_[j]) / static_cast<double>(n);
    scale_[j] = square > 1e-18 * (1 + centre_[j] * centre_[j]) ? 1 / (std::sqrt(square) * length) : 0;
  }
  for (const auto& row : rows) x_.push_back(standardised(row));
  Rows covariances(n, std::vector<double>(n, 0));
  for (size_t i = 0; i < n; ++i) {
    for (size_t k = 0; k < i; ++k) covariances[i][k] = covariances[k][i] = covariance(x_[i], x_[k]);
    covariances[i][i] = 1 + noise;
  }
  const Rows inverse = inverse_of(std::move(covariances));
  weights_.assign(n, 0);
  for (size_t i = 0; i < n; ++i)
    for (size_t k = 0; k < n; ++k) weights_[i] += inverse[i][k] * y[k];
  for (size_t i = 0; i < n; ++i) leave_one_out_.push_back(weights_[i] / inverse[i][i]);
}

std::vector<double> GaussianProcess::standardised(const std::vector<double>& row) const {
  std::vector<double> result(row.size());
  for (size_t j = 0; j < row.size(); ++j) result[j] = (row[j] - centre_[j]) * scale_[j];
  return result;
}

double GaussianProcess::mean(const std::vector<double>& row) const {
  const std::vector<double> x = standardised(row);
  double sum = 0;
  for (size_t i = 0; i < x_.size(); ++i) sum += weights_[i] * covariance(x, x_[i]);
  return sum;
}

}  // namespace sonar
