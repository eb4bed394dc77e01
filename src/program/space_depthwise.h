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
  inlined_edges_apart = 7,    // and rows
  skipped = 8,                // kernel rows outside the input are left out, columns are checked
  skipped_columns_apart = 9   // the same, with the first and last columns in copies of the loop
};
inline bool is_inlined(DepthwisePadding p) {
  return p == DepthwisePadding::inlined || p >= DepthwisePadding::inlined_columns_apart;
}
inline bool is_skipped(DepthwisePadding p) { return p >= DepthwisePadding::skipped; }
/// Of the loops over tiles, outermost first.
enum class DepthwiseOrder {
  channels_rows_columns = 0,
  rows_channels_columns = 1,
  rows_columns_channels = 2,
  columns_rows_channels = 3  // strips: the rows that a kernel shares stay in L1 with all channels
};

/// What runs innermost in the unrolled tile: which values stay in registers, and how far apart dependent sums are.
enum class DepthwiseTaps {
  pixels_inside = 0,   // a tap's weight meets all pixels of the tile
  columns_inside = 1,  // a row of the kernel slides over the pixels
  kernel_inside = 2    // the whole kernel does
};

/// A decoded knob vector, in the order of the knobs.
struct DepthwiseSchedule {
  int vector, tile_vectors, tile_width, tile_height;
  bool unroll_rows;  // the kernel's rows too, not only its columns
  DepthwisePadding padding;
  DepthwiseOrder order;
  int band;  // tile rows that are computed before the next channel tile; 0: all
  DepthwiseTaps taps;
  bool packed;        // weights in blocks of one channel tile
  bool held;          // weights are loaded before a row of tiles, not where they are used
  bool unroll_tiles;  // all rows of tiles, so that each knows which of its taps are inside
  bool parallel;
  int tile() const { return vector * tile_vectors; }
};
DepthwiseSchedule decode_depthwise(const Knobs& knobs);

}  // namespace sonar
