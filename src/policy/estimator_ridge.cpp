#include "policy/estimator_ridge.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "model/error.h"

namespace sonar {
namespace {

std::vector<double> times(const Rows& a, const std::vector<double>& x) {
  std::vector<double> result(a.size(), 0);
  for (size_t i = 0; i < a.size(); ++i)
    for (size_t j = 0; j < x.size(); ++j) result[i] += a[i][j] * x[j];
  return result;
}

double dot(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

}  // namespace

Rows inverse_of(Rows a) {
  const size_t n = a.size();
  for (size_t j = 0; j < n; ++j) {
    for (size_t k = 0; k < j; ++k) a[j][j] -= a[j][k] * a[j][k];
    a[j][j] = std::sqrt(std::max(a[j][j], 1e-12));
    for (size_t i = j + 1; i < n; ++i) {
      for (size_t k = 0; k < j; ++k) a[i][j] -= a[i][k] * a[j][k];
      a[i][j] /= a[j][j];
    }
  }
  Rows lower(n, std::vector<double>(n, 0));  // inverse of the factor
  for (size_t j = 0; j < n; ++j) {
    lower[j][j] = 1 / a[j][j];
    for (size_t i = j + 1; i < n; ++i) {
      double sum = 0;
      for (size_t k = j; k < i; ++k) sum -= a[i][k] * lower[k][j];
      lower[i][j] = sum / a[i][i];
    }
  }
  Rows result(n, std::vector<double>(n, 0));
  for (size_t i = 0; i < n; ++i)
    for (size_t j = 0; j <= i; ++j) {
      double sum = 0;
      for (size_t k = i; k < n; ++k) sum += lower[k][i] * lower[k][j];
      result[i][j] = result[j][i] = sum;
    }
  return result;
}

Ridge::Ridge(const Rows& rows, const std::vector<double>& y) {
  if (rows.empty() || rows.size() != y.size()) throw InternalError("Ridge: one value is needed for each row");
  const size_t n = rows.size(), p = rows[0].size();
  n_ = static_cast<double>(n);
  centre_.assign(p, 0);
  scale_.assign(p, 0);
  for (double value : y) intercept_ += value / n_;
  for (size_t j = 0; j < p; ++j) {
    for (const auto& row : rows) centre_[j] += row[j] / n_;
    double square = 0;
    for (const auto& row : rows) square += (row[j] - centre_[j]) * (row[j] - centre_[j]) / n_;
    scale_[j] = square > 1e-18 * (1 + centre_[j] * centre_[j]) ? 1 / std::sqrt(square) : 0;
  }
  Rows x;
  for (const auto& row : rows) x.push_back(standardised(row));
  Rows gram(p, std::vector<double>(p, 0));
  std::vector<double> right(p, 0);
  for (size_t i = 0; i < n; ++i)
    for (size_t j = 0; j < p; ++j) {
      right[j] += x[i][j] * (y[i] - intercept_);
      for (size_t k = 0; k <= j; ++k) gram[j][k] += x[i][j] * x[i][k];
    }
  for (size_t j = 0; j < p; ++j)
    for (size_t k = 0; k < j; ++k) gram[k][j] = gram[j][k];

  variance_ = std::numeric_limits<double>::infinity();
  for (double penalty : {0.3, 2.0, 12.0, 70.0}) {
    Rows a = gram;
    for (size_t j = 0; j < p; ++j) a[j][j] += penalty;
    Rows inverse = inverse_of(std::move(a));
    std::vector<double> weights = times(inverse, right);
    double error = 0;
    std::vector<double> residuals(n);
    for (size_t i = 0; i < n; ++i) {
      double form = 1 / n_;  // x' inverse x
      for (size_t j = 0; j < p; ++j) {
        double row = inverse[j][j] * x[i][j] / 2;
        for (size_t k = 0; k < j; ++k) row += inverse[j][k] * x[i][k];
        form += 2 * x[i][j] * row;
      }
      const double leverage = std::min(0.99, form);
      residuals[i] = (y[i] - intercept_ - dot(weights, x[i])) / (1 - leverage);
      error += residuals[i] * residuals[i] / n_;
    }
    if (n <= 1 || error < variance_) {
      variance_ = error;
      weights_ = std::move(weights);
      leave_one_out_ = std::move(residuals);
      inverse_ = std::move(inverse);
    }
    if (n > 20 * p) break;  // the penalty hardly matters
  }
}

std::vector<double> Ridge::standardised(const std::vector<double>& row) const {
  std::vector<double> result(row.size());
  for (size_t j = 0; j < row.size(); ++j) result[j] = (row[j] - centre_[j]) * scale_[j];
  return result;
}

double Ridge::mean(const std::vector<double>& row) const {
  double sum = intercept_;
  for (size_t j = 0; j < row.size(); ++j) sum += weights_[j] * (row[j] - centre_[j]) * scale_[j];
  return sum;
}

Ridge::Prediction Ridge::predict(const std::vector<double>& row) const {
  const std::vector<double> x = standardised(row);
  const double leverage = std::max(0.0, 1 / n_ + dot(x, times(inverse_, x)));
  return {intercept_ + dot(weights_, x), variance_ * (1 + std::min(leverage, 3.0))};
}

}  // namespace sonar
