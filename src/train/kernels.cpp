#include "train/kernels.h"

#include <algorithm>
#include <cmath>
#include <vector>

// One binary runs everywhere and uses the widest vectors of the machine that it runs on.
// (Not under the address sanitizer: the choice is made before it is ready.)
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__)
#define SONAR_VECTOR_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define SONAR_VECTOR_CLONES
#endif
#define SONAR_INLINE __attribute__((always_inline)) inline

namespace sonar {
namespace {

// Channels are worked on in panels whose per-channel constants and sums stay in the first-level cache; rows of few
// channels are joined into one longer row with the constants repeated, so that vectors are full.
constexpr int kPanel = 512;
constexpr int kJoined = 64;    // floats that a joined row has at least
constexpr long kSumRows = 64;  // rows summed in float32 before the sum goes on in double

template <Activation kind>
SONAR_INLINE float activate(float z) {
  if constexpr (kind == Activation::relu) return std::max(z, 0.f);
  if constexpr (kind == Activation::hard_swish) return z * std::min(std::max(z + 3.f, 0.f), 6.f) * (1.f / 6.f);
  if constexpr (kind == Activation::hard_sigmoid) return std::min(std::max(z + 3.f, 0.f), 6.f) * (1.f / 6.f);
  return z;
}

template <Activation kind>
SONAR_INLINE float slope(float z) {
  if constexpr (kind == Activation::relu) return z > 0.f ? 1.f : 0.f;
  if constexpr (kind == Activation::hard_swish) {
    const float middle = z * (1.f / 3.f) + 0.5f;
    return z <= -3.f ? 0.f : (z < 3.f ? middle : 1.f);
  }
  if constexpr (kind == Activation::hard_sigmoid) return (z > -3.f && z < 3.f) ? 1.f / 6.f : 0.f;
  return 1.f;
}

/// How many rows to treat as one.
long joined_rows(long rows, int channels) {
  long joined = 1;
  while (channels * joined < kJoined && rows % (joined * 2) == 0) joined *= 2;
  return joined;
}

std::vector<float> repeat(const float* values, int channels, long times) {
  std::vector<float> repeated(size_t(channels) * size_t(times));
  for (long i = 0; i < times; ++i) std::copy_n(values, channels, repeated.begin() + i * channels);
  return repeated;
}

template <class Sum>
void add_repeated(const std::vector<double>& partial, int channels, Sum* sum) {
  for (size_t i = 0; i < partial.size(); ++i) sum[i % size_t(channels)] += partial[i];
}

SONAR_VECTOR_CLONES
void moments_of_rows(const float* __restrict x, long rows, int channels, const float* __restrict shift,
                     double* __restrict sum, double* __restrict sum_squares) {
  float part[kPanel], part_squares[kPanel];
  for (int panel = 0; panel < channels; panel += kPanel) {
    const int width = std::min(kPanel, channels - panel);
    for (long begin = 0; begin < rows; begin += kSumRows) {
      std::fill_n(part, width, 0.f);
      std::fill_n(part_squares, width, 0.f);
      const long end = std::min(rows, begin + kSumRows);
      for (long row = begin; row < end; ++row) {
        const float* __restrict from = x + row * channels + panel;
        for (int c = 0; c < width; ++c) {
          const float value = from[c] - shift[panel + c];
          part[c] += value;
          part_squares[c] += value * value;
        }
      }
      for (int c = 0; c < width; ++c) {
        sum[panel + c] += part[c];
        sum_squares[panel + c] += part_squares[c];
      }
    }
  }
}

template <Activation kind>
SONAR_INLINE void activate_rows(const float* __restrict x, long rows, int channels, const float* __restrict scale,
                                const float* __restrict shift, float* __restrict y) {
  for (long row = 0; row < rows; ++row) {
    const float* __restrict from = x + row * channels;
    float* __restrict to = y + row * channels;
    for (int c = 0; c < channels; ++c) to[c] = activate<kind>(from[c] * scale[c] + shift[c]);
  }
}

/// Per-channel constants of batch norm's backward pass.
struct Constants {
  const float *scale, *shift, *mean, *inverse_std;
};

template <Activation kind>
SONAR_INLINE void sums_of_rows(const float* __restrict dy, const float* __restrict x, long rows, int channels,
                               Constants k, double* __restrict sum_g, double* __restrict sum_gn) {
  const float* __restrict scale = k.scale;
  const float* __restrict shift = k.shift;
  const float* __restrict mean = k.mean;
  float part_g[kPanel], part_gn[kPanel];
  for (int panel = 0; panel < channels; panel += kPanel) {
    const int width = std::min(kPanel, channels - panel);
    for (long begin = 0; begin < rows; begin += kSumRows) {
      std::fill_n(part_g, width, 0.f);
      std::fill_n(part_gn, width, 0.f);
      const long end = std::min(rows, begin + kSumRows);
      for (long row = begin; row < end; ++row) {
        const float* __restrict value = x + row * channels + panel;
        const float* __restrict gradient = dy + row * channels + panel;
        for (int c = 0; c < width; ++c) {
          const float z = value[c] * scale[panel + c] + shift[panel + c];
          const float g = gradient[c] * slope<kind>(z);
          part_g[c] += g;
          part_gn[c] += g * (value[c] - mean[panel + c]);
        }
      }
      for (int c = 0; c < width; ++c) {
        sum_g[panel + c] += part_g[c];
        sum_gn[panel + c] += double(part_gn[c]) * k.inverse_std[panel + c];
      }
    }
  }
}

/// dx = scale g - a - b x, with a and b per channel: the mean terms multiplied out.
template <Activation kind>
SONAR_INLINE void gradient_of_rows(const float* __restrict dy, const float* __restrict x, long rows, int channels,
                                   const float* __restrict scale, const float* __restrict shift,
                                   const float* __restrict a, const float* __restrict b, float* __restrict dx) {
  for (long row = 0; row < rows; ++row) {
    const float* __restrict value = x + row * channels;
    const float* __restrict gradient = dy + row * channels;
    float* __restrict to = dx + row * channels;
    for (int c = 0; c < channels; ++c) {
      const float z = value[c] * scale[c] + shift[c];
      to[c] = scale[c] * gradient[c] * slope<kind>(z) - a[c] - b[c] * value[c];
    }
  }
}

// The clones must be free functions of fixed type; the templates above are inlined into each of them.
#define SONAR_FOR_EACH_ACTIVATION(CALL) \
  switch (activation) {                 \
    case Activation::none:              \
      CALL(Activation::none);           \
      break;                            \
    case Activation::relu:              \
      CALL(Activation::relu);           \
      break;                            \
    case Activation::hard_swish:        \
      CALL(Activation::hard_swish);     \
      break;                            \
    case Activation::hard_sigmoid:      \
      CALL(Activation::hard_sigmoid);   \
      break;                            \
    default:                            \
      break;                            \
  }

SONAR_VECTOR_CLONES
void activate_any(const float* x, long rows, int channels, const float* scale, const float* shift,
                  Activation activation, float* y){
#define SONAR_CALL(kind) activate_rows<kind>(x, rows, channels, scale, shift, y)
    SONAR_FOR_EACH_ACTIVATION(SONAR_CALL)
#undef SONAR_CALL
}

SONAR_VECTOR_CLONES void sums_any(const float* dy, const float* x, long rows, int channels, Constants k,
                                  Activation activation, double* sum_g, double* sum_gn){
#define SONAR_CALL(kind) sums_of_rows<kind>(dy, x, rows, channels, k, sum_g, sum_gn)
    SONAR_FOR_EACH_ACTIVATION(SONAR_CALL)
#undef SONAR_CALL
}

SONAR_VECTOR_CLONES
    void gradient_any(const float* dy, const float* x, long rows, int channels, const float* scale, const float* shift,
                      const float* a, const float* b, Activation activation, float* dx) {
#define SONAR_CALL(kind) gradient_of_rows<kind>(dy, x, rows, channels, scale, shift, a, b, dx)
  SONAR_FOR_EACH_ACTIVATION(SONAR_CALL)
#undef SONAR_CALL
}

}  // namespace

void add_moments(const float* x, long rows, int channels, const float* shift, double* sum, double* sum_squares) {
  const long joined = joined_rows(rows, channels);
  std::vector<double> part(size_t(channels * joined)), part_squares(part.size());
  moments_of_rows(x, rows / joined, int(channels * joined), repeat(shift, channels, joined).data(), part.data(),
                  part_squares.data());
  add_repeated(part, channels, sum);
  add_repeated(part_squares, channels, sum_squares);
}

void scale_shift_activate(const float* x, long rows, int channels, const float* scale, const float* shift,
                          Activation activation, float* y) {
  const long joined = joined_rows(rows, channels);
  activate_any(x, rows / joined, int(channels * joined), repeat(scale, channels, joined).data(),
               repeat(shift, channels, joined).data(), activation, y);
}

void add_batch_norm_sums(const float* dy, const float* x, long rows, int channels, const float* scale,
                         const float* shift, const float* mean, const float* inverse_std, Activation activation,
                         double* sum_g, double* sum_gn) {
  const long joined = joined_rows(rows, channels);
  const auto scales = repeat(scale, channels, joined), shifts = repeat(shift, channels, joined);
  const auto means = repeat(mean, channels, joined), inverse_stds = repeat(inverse_std, channels, joined);
  std::vector<double> part_g(size_t(channels * joined)), part_gn(part_g.size());
  sums_any(dy, x, rows / joined, int(channels * joined),
           {scales.data(), shifts.data(), means.data(), inverse_stds.data()}, activation, part_g.data(),
           part_gn.data());
  add_repeated(part_g, channels, sum_g);
  add_repeated(part_gn, channels, sum_gn);
}

void batch_norm_input_gradient(const float* dy, const float* x, long rows, int channels, const float* scale,
                               const float* shift, const float* mean, const float* inverse_std, const float* mean_g,
                               const float* mean_gn, Activation activation, float* dx) {
  const long joined = joined_rows(rows, channels);
  std::vector<float> a(static_cast<size_t>(channels)), b(a.size());
  for (int c = 0; c < channels; ++c) {
    b[c] = scale[c] * mean_gn[c] * inverse_std[c];
    a[c] = scale[c] * mean_g[c] - b[c] * mean[c];
  }
  gradient_any(dy, x, rows / joined, int(channels * joined), repeat(scale, channels, joined).data(),
               repeat(shift, channels, joined).data(), repeat(a.data(), channels, joined).data(),
               repeat(b.data(), channels, joined).data(), activation, dx);
}

SONAR_VECTOR_CLONES
void sgd_step(float* __restrict weights, float* __restrict gradient, float* __restrict velocity, long count, float rate,
              float momentum, float weight_decay) {
  for (long i = 0; i < count; ++i) {
    const float g = gradient[i] + weight_decay * weights[i];
    velocity[i] = momentum * velocity[i] + g;
    weights[i] -= rate * (g + momentum * velocity[i]);
    gradient[i] = 0.f;
  }
}

SONAR_VECTOR_CLONES
void move_average(float* __restrict average, const float* __restrict value, long count, float decay) {
  for (long i = 0; i < count; ++i) average[i] += (1.f - decay) * (value[i] - average[i]);
}

}  // namespace sonar
