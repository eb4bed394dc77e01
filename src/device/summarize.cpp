#include <algorithm>

#include "device/device.h"
#include "device/quantile.h"

namespace sonar {

Measurement summarize(std::vector<double> samples_us, long runs, bool stopped_early) {
  Measurement result;
  result.samples_us = std::move(samples_us);
  result.runs = runs;
  result.stopped_early = stopped_early;
  if (result.samples_us.empty()) return result;
  std::vector<double> sorted = result.samples_us;
  std::sort(sorted.begin(), sorted.end());
  result.minimum_us = sorted.front();
  result.median_us = quantile(sorted.data(), sorted.size(), 0.5);
  result.spread = relative_spread(sorted.data(), sorted.size());
  return result;
}

}  // namespace sonar
