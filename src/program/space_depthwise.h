// Depthwise convolutions: vectors run along the channels, a tile of output pixels shares its input rows in registers.
#pragma once
#include "program/program_space.h"

namespace sonar {

/// Where the input with its zero border is made.
enum class DepthwisePadding {
  inlined = 0,  // nowhere: loads are checked
  tile = 1,
  row = 2,      // the rows that one row of tiles needs
  sliding = 3,  // the same, keeping the rows that the last row of tiles made
  plane = 4,    // one channel tile, all rows of the band
  root = 5,
  inlined_columns_apart = 6,  // loads are checked in copies of the loop for the first and last columns
  inlined_edges_apart = 7     // and rows
};
inline bool is_inlined(DepthwisePadding p) {
  return p == DepthwisePadding::inlined || p >= DepthwisePadding::inlined_columns_apart;
}
enum class DepthwiseOrder { channels_rows_columns = 0, rows_channels_columns = 1, rows_columns_channels = 2 };

/// A decoded knob vector, in the order of the knobs.
struct DepthwiseSchedule {
  int vector, tile_vectors, tile_width, tile_height;
  bool unroll_rows;  // the kernel's rows too, not only its columns
  DepthwisePadding padding;
  DepthwiseOrder order;
  int band;  // tile rows that are computed before the next channel tile; 0: all
  bool parallel;
  int tile() const { return vector * tile_vectors; }
};
DepthwiseSchedule decode_depthwise(const Knobs& knobs);

}  // namespace sonar
