// Batch norm with the activation after it as one differentiable operator, on a CPU. Includes LibTorch's headers.
#pragma once
#include "model/subgraph.h"
#include "train/torch_headers.h"

namespace sonar {

/// x: [n, c, h, w] float32, channels-last. In training the batch's statistics are used and `mean` and `variance` moved
/// towards them by kBatchNormMomentum; otherwise they are used as they are.
torch::Tensor batch_norm_activation(const torch::Tensor& x, const torch::Tensor& weight, const torch::Tensor& bias,
                                    const torch::Tensor& mean, const torch::Tensor& variance, bool training,
                                    Activation activation);

/// PyTorch's own default. MobileNetV3's 0.01 needs hundreds of steps before the running statistics mean anything, and
/// networks are judged after far fewer.
inline constexpr double kBatchNormMomentum = 0.1;

}  // namespace sonar
