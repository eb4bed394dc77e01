// Batch norm with the activation after it as one differentiable operator, on a CPU. Includes LibTorch's headers.
#pragma once
#include <algorithm>

#include "model/subgraph.h"
#include "train/torch_headers.h"

namespace sonar {

/// x: [n, c, h, w] float32, channels-last. In training the batch's statistics are used and `mean` and `variance` moved
/// towards them by `momentum`; otherwise they are used as they are.
torch::Tensor batch_norm_activation(const torch::Tensor& x, const torch::Tensor& weight, const torch::Tensor& bias,
                                    const torch::Tensor& mean, const torch::Tensor& variance, bool training,
                                    double momentum, Activation activation);

/// PyTorch's own default. MobileNetV3's 0.01 needs hundreds of steps before the running statistics mean anything, and
/// networks are judged after far fewer.
inline constexpr double kBatchNormMomentum = 0.1;

/// The momentum of a step (from 0): the plain mean of all steps at first, so that the statistics owe nothing to the
/// zeros and ones that they begin with. A validation after a dozen steps would otherwise see mostly those.
inline double batch_norm_momentum(long step) { return std::max(kBatchNormMomentum, 1 / double(step + 1)); }

}  // namespace sonar
