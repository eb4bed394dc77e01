// Turns uint8 images into a network's float32 input on a CPU: crop, flip, normalise, resize in one go.
#pragma once
#include <array>
#include <vector>

#include "train/dataset.h"
#include "train/random_batch.h"
#include "train/resample.h"

namespace sonar {

/// Mean and standard deviation of each channel over the training images, in units of a byte's 0..255.
struct Normalisation {
  std::array<float, 3> mean{}, deviation{1, 1, 1};
};
Normalisation measure_normalisation(const Dataset& data);

/// Writes [images][resolution][resolution][3] into out; a pixel outside its image is 0, the mean colour.
void render_batch(const Dataset& data, const Normalisation& normalisation, const std::vector<Placement>& placements,
                  int resolution, float* out);

}  // namespace sonar
