#include "train/resample.h"

#include <algorithm>
#include <cmath>

namespace sonar {

Taps make_taps(int in, int begin, int length, int out) {
  const double scale = double(length) / out;
  const double radius = std::max(1.0, scale);
  Taps taps;
  taps.width = std::min(in, int(std::ceil(2 * radius)) + 1);
  taps.first.resize(out);
  taps.weights.assign(size_t(out) * taps.width, 0.f);
  for (int i = 0; i < out; ++i) {
    const double centre = begin + (i + 0.5) * scale;
    const int first = std::clamp(int(std::floor(centre - radius)), 0, in - taps.width);
    taps.first[i] = first;
    std::vector<double> weights(taps.width);
    double sum = 0;
    for (int t = 0; t < taps.width; ++t) {
      const bool inside = first + t >= begin && first + t < begin + length;
      weights[t] = inside ? std::max(0.0, 1 - std::abs(first + t + 0.5 - centre) / radius) : 0;
      sum += weights[t];
    }
    for (int t = 0; t < taps.width; ++t) taps.weights[size_t(i) * taps.width + t] = float(weights[t] / sum);
  }
  return taps;
}

}  // namespace sonar
