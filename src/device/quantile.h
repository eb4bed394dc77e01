// Shared by the host and the runner: both must agree on what a spread is.
#pragma once
#include <cstddef>

namespace sonar {

/// Quantile q in [0, 1] of n > 0 ascending values: straight lines between order statistics (Hyndman and Fan, type 7).
inline double quantile(const double* sorted, size_t n, double q) {
  const double position = q * static_cast<double>(n - 1);
  const size_t below = static_cast<size_t>(position);
  if (below >= n - 1) return sorted[n - 1];
  return sorted[below] + (position - static_cast<double>(below)) * (sorted[below + 1] - sorted[below]);
}

/// (Third quartile - first quartile) / median.
inline double relative_spread(const double* sorted, size_t n) {
  const double median = quantile(sorted, n, 0.5);
  return median > 0 ? (quantile(sorted, n, 0.75) - quantile(sorted, n, 0.25)) / median : 0;
}

}  // namespace sonar
