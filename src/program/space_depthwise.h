// Depthwise convolutions: vectors run along the channels, a tile of output pixels shares its input rows in registers.
#pragma once
#include "program/program_space.h"

namespace sonar {

/// Where the input with its zero border is made.
enum class DepthwisePadding {
  checked = 0,               // nowhere: loads are checked
  row = 1,                   // a copy of the rows that one row of tiles needs
  plane = 2,                 // a copy of one channel tile, all rows of the band
  columns_apart = 3,         // loads are checked in copies of the loop for the first and last columns
  edges_apart = 4,           // and rows
  skipped = 5,               // kernel rows outside the input are left out, columns are checked
  skipped_columns_apart = 6  // the same, with the first and last columns in copies of the loop
};
inline bool is_copied(DepthwisePadding p) { return p == DepthwisePadding::row || p == DepthwisePadding::plane; }
inline bool is_skipped(DepthwisePadding p) { return p >= DepthwisePadding::skipped; }
inline bool has_columns_apart(DepthwisePadding p) {
  return p == DepthwisePadding::columns_apart || p == DepthwisePadding::edges_apart ||
         p == DepthwisePadding::skipped_columns_apart;
}

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
  bool unroll_tiles;  // all rows of tiles, so that each knows which of its taps are inside
  bool parallel;
  int tile() const { return vector * tile_vectors; }
};
DepthwiseSchedule decode_depthwise(const Knobs& knobs);

}  // namespace sonar
