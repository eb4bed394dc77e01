// Squeeze-and-excite as one program: mean over the pixels, two small dense layers, and the scaling of the input.
#pragma once
#include "program/program_space.h"

namespace sonar {

/// A decoded knob vector, in the order of the knobs.
struct SqueezeExciteSchedule {
  int vector;                                // lanes along the channels
  int mean_vectors, mean_sums, mean_unroll;  // the mean: vectors per tile, partial sums, pixels of one unrolled
  int squeeze_vector, squeeze_vectors, squeeze_sums;  // first dense layer: lanes, vectors per tile, partial sums
  int excite_vectors, excite_sums;                    // second dense layer
  int scale_vectors, scale_pixels;                    // tile of the scaling
  bool scale_channels_outside;
  bool parallel;  // the mean and the scaling
  int mean_tile() const { return vector * mean_vectors; }
  int squeeze_tile() const { return squeeze_vector * squeeze_vectors; }
  int excite_tile() const { return vector * excite_vectors; }
  int scale_tile() const { return vector * scale_vectors; }
};
SqueezeExciteSchedule decode_squeeze_excite(const Knobs& knobs);

}  // namespace sonar
