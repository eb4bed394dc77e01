#include "program/knob_values.h"

#include <algorithm>
#include <iterator>

#include "model/error.h"

namespace sonar {

std::vector<int> up_to(const std::vector<int>& candidates, int limit) {
  std::vector<int> result;
  for (int value : candidates)
    if (result.empty() || value <= limit) result.push_back(value);
  return result;
}

std::vector<int> divisors(int n, int limit) {
  std::vector<int> result;
  for (int d = 1; d <= std::min(n, limit); ++d)
    if (n % d == 0) result.push_back(d);
  return result;
}

std::vector<int> merged(const std::vector<int>& a, const std::vector<int>& b) {
  std::vector<int> result;
  std::set_union(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(result));
  return result;
}

std::vector<int> padded_vectors(const Target& target, int extent) {
  const int native = target.vector_floats;
  std::vector<int> result;
  for (int lanes = 1; lanes <= 2 * native; lanes *= 2) {
    const bool usual = 2 * lanes >= native;
    const bool fills_less_than_half = lanes >= 2 * extent;  // most lanes would be idle
    const bool narrow_fits = lanes >= extent && 2 * lanes < native;
    if ((usual && !fills_less_than_half) || (narrow_fits && !fills_less_than_half)) result.push_back(lanes);
  }
  if (result.empty()) result.push_back(std::max(1, native / 2));
  return result;
}

std::vector<int> inside_vectors(const Target& target, int extent) {
  const int native = target.vector_floats;
  std::vector<int> result;
  for (int lanes = std::max(1, native / 2); lanes <= 2 * native; lanes *= 2)
    if (lanes <= extent) result.push_back(lanes);
  if (result.empty()) {
    int lanes = 1;
    while (2 * lanes <= extent) lanes *= 2;
    result.push_back(lanes);
  }
  return result;
}

std::vector<int> avx2_values(const Target& target) {
  return target.avx2 ? std::vector<int>{0, 1} : std::vector<int>{0};
}

std::vector<int> parallel_values(const Target& target) {
  return target.threads > 1 ? std::vector<int>{0, 1} : std::vector<int>{0};
}

int largest_up_to(const std::vector<int>& values, int limit) {
  int result = values.front();
  for (int value : values)
    if (value <= limit) result = value;
  return result;
}

int least_wasteful(const std::vector<int>& values, int limit, int extent, int unit) {
  int result = values.front();
  for (int value : values)
    if (value <= limit && round_up(extent, value * unit) <= round_up(extent, result * unit)) result = value;
  return result;
}

std::string why_outside(const std::vector<KnobSpec>& specs, const Knobs& knobs) {
  if (knobs.size() != specs.size())
    return std::to_string(knobs.size()) + " knobs where " + std::to_string(specs.size()) + " are needed";
  for (size_t i = 0; i < specs.size(); ++i)
    if (!std::binary_search(specs[i].values.begin(), specs[i].values.end(), knobs[i]))
      return specs[i].name + " cannot be " + std::to_string(knobs[i]);
  return "";
}

int activation_operations(Activation activation) {
  switch (activation) {
    case Activation::none:
      return 0;
    case Activation::relu:
      return 1;
    case Activation::relu6:
      return 2;
    case Activation::hard_sigmoid:
      return 3;
    case Activation::hard_swish:
      return 4;
    case Activation::sigmoid:
    case Activation::silu:
      return 24;
  }
  throw InternalError("unknown activation");
}

std::vector<float> knob_features(const Knobs& knobs) {
  std::vector<float> result;
  for (int value : knobs) result.push_back(log2_of(value));
  return result;
}

}  // namespace sonar
