// The same as render.h with tensor operators, for a device that holds the data set. Includes LibTorch's headers.
#pragma once
#include <vector>

#include "train/dataset.h"
#include "train/random_batch.h"
#include "train/render.h"
#include "train/torch_headers.h"

namespace sonar {

/// All images as they are in memory: [image][h][w][3] uint8 on `device`.
torch::Tensor upload_images(const Dataset& data, const torch::Device& device);

/// [n, 3, resolution, resolution] float32, channels-last.
torch::Tensor render_on_device(const torch::Tensor& images, const Normalisation& normalisation,
                               const std::vector<Placement>& placements, int resolution);

}  // namespace sonar
