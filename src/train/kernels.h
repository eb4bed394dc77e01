// The memory-bound parts of a training step on a CPU, fused: LibTorch makes one pass over the activations for each
// operator, and these passes, not the convolutions, are most of a small network's step.
//
// Activations are rows of channels (NHWC with batch, height and width as rows), float32. All functions are pure loops
// over the rows given: callers split rows over threads and combine the partial sums in a fixed order, so that results
// do not depend on timing.
#pragma once
#include "model/subgraph.h"

namespace sonar {

/// Adds to sum[c] and sum_squares[c] the sums over the rows of (x - shift[c]) and of its square. A shift near the mean
/// keeps the variance exact; any row will do.
void add_moments(const float* x, long rows, int channels, const float* shift, double* sum, double* sum_squares);

/// y = act(scale[c] x + shift[c])
void scale_shift_activate(const float* x, long rows, int channels, const float* scale, const float* shift,
                          Activation activation, float* y);

/// With z = scale[c] x + shift[c], g = dy act'(z) and n = (x - mean[c]) inverse_std[c], adds to sum_g[c] the sum of g
/// and to sum_gn[c] that of g n: the gradients of batch norm's bias and weight.
void add_batch_norm_sums(const float* dy, const float* x, long rows, int channels, const float* scale,
                         const float* shift, const float* mean, const float* inverse_std, Activation activation,
                         double* sum_g, double* sum_gn);

/// dx = scale[c] (g - mean_g[c] - n mean_gn[c]), with g and n as above (Ioffe and Szegedy 2015, section 3).
void batch_norm_input_gradient(const float* dy, const float* x, long rows, int channels, const float* scale,
                               const float* shift, const float* mean, const float* inverse_std, const float* mean_g,
                               const float* mean_gn, Activation activation, float* dx);

/// One step of stochastic gradient descent with Nesterov momentum over flat arrays:
/// v = momentum v + (gradient + weight_decay w); w = w - rate (gradient + weight_decay w + momentum v).
/// The gradient is set to zero on the way, for the next step to add to.
void sgd_step(float* weights, float* gradient, float* velocity, long count, float rate, float momentum,
              float weight_decay);

/// average = average + (1 - decay) (value - average)
void move_average(float* average, const float* value, long count, float decay);

}  // namespace sonar
