// Shared by the host and the runner: both make the same data from a seed, so that it need not be carried.
#pragma once
#include <cstddef>
#include <cstdint>

namespace sonar {

/// Fills with uniform values in [-scale, scale). Exact in float32, so the same on every target.
inline void random_values(uint64_t seed, size_t count, float scale, float* values) {
  uint64_t state = seed * 0x9e3779b97f4a7c15u + 0x632be59bd9b4e019u;
  for (size_t i = 0; i < count; ++i) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    values[i] = scale * (static_cast<float>(static_cast<int32_t>(state >> 40) - (1 << 23)) * 0x1.0p-23f);
  }
}

}  // namespace sonar
