// Max and average pooling over windows: vectors run along the channels, a tile of pixels of a row is kept in registers.
#pragma once
#include "program/program_space.h"

namespace sonar {

/// A decoded knob vector, in the order of the knobs.
struct WindowPoolSchedule {
  int vector, tile_vectors, tile_width;
  int unroll;             // of the window: 0 nothing, 1 its columns, 2 its rows too
  bool channels_outside;  // the loop over channel tiles: outside the rows, or innermost
  bool parallel;
  int tile() const { return vector * tile_vectors; }
};
WindowPoolSchedule decode_window_pool(const Knobs& knobs);

}  // namespace sonar
