// Global average pooling: vectors run along the channels, several partial sums hide the latency of the additions.
#pragma once
#include "program/program_space.h"

namespace sonar {

/// A decoded knob vector, in the order of the knobs.
struct PoolSchedule {
  int vector, tile_vectors;
  int partial_sums;  // divides the pixels
  int unroll;        // of what remains of the pixels; divides it
  bool parallel;
  int tile() const { return vector * tile_vectors; }
};
PoolSchedule decode_pool(const Knobs& knobs);

}  // namespace sonar
