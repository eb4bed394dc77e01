// Convolutions as one skeleton: the output is tiled in channels and pixels, a tile's accumulators stay in registers,
// and the reduction runs over the kernel's rows and, within a row, over its kernel * in_channels contiguous floats
// (NHWC).
#pragma once
#include "program/program_space.h"

namespace sonar {

/// Whether a map's rows are one long row where that is possible: a pointwise convolution of stride 1 is one row of
/// batch * height * width pixels, unless a neighbour in the same program needs its rows.
enum class ConvRows { joined, apart };

/// The shape as the skeleton sees it.
struct ConvShape {
  int batch, in_height, in_row;  // in_row: floats of an input row (width * channels)
  int out_height, out_width, out_channels;
  int kernel;                // rows of the kernel
  int taps;                  // contiguous floats of one kernel row: kernel * in_channels
  int pixel_step, row_step;  // from one output pixel to the next: floats; rows
  int pad_floats, pad_rows;  // before the first pixel
  int in_channels;
};
ConvShape conv_shape(const Subgraph& subgraph, ConvRows rows = ConvRows::joined);

/// Where the input with its zero border is made. Inlined: nowhere, loads are checked; everywhere, or only in copies of
/// the loops for the first and last columns (and rows).
enum class ConvPadding {
  inlined = 0,
  tile = 1,
  row = 2,
  band = 3,
  root = 4,
  inlined_columns_apart = 5,
  inlined_edges_apart = 6
};
inline bool is_inlined(ConvPadding p) { return p == ConvPadding::inlined || p >= ConvPadding::inlined_columns_apart; }
/// `outer_inside`: a loop outside that of the taps, which leaves out the rows that lie in the padding.
enum class ConvKernelRows { outer_loop = 0, outer_unrolled = 1, inner_unrolled = 2, outer_inside = 3 };
inline bool is_row_loop(ConvKernelRows rows) {
  return rows == ConvKernelRows::outer_loop || rows == ConvKernelRows::outer_inside;
}

/// A decoded knob vector, in the order of the knobs.
struct ConvSchedule {
  int vector;                   // lanes
  int lane_taps;                // consecutive taps that lie side by side in a vector: vector / lane_taps channels
  int tile_vectors;             // vectors per tile
  int tile_width, tile_height;  // output pixels per tile
  int unroll;                   // of the groups of lane_taps taps; divides them
  ConvKernelRows kernel_rows;
  ConvPadding padding;
  bool pixels_inside;  // the inner of the two tile loops: over pixels of a row, or over channels
  int group;           // channel tiles that are computed before the next rows; 0: all
  int band;            // tile rows (pointwise: tiles) that stay in cache while the channel groups go by; 0: all
  bool block_is_tile;  // weights are packed by tile, or by vector
  bool parallel;
  int winograd;  // output pixels per side of a tile of minimal filtering (space_winograd.h); 0: computed directly
  bool avx2;     // compiled for AVX2 beside AVX-512

  int vector_channels() const { return vector / lane_taps; }
  int tile() const { return vector_channels() * tile_vectors; }  // output channels
  int block() const { return block_is_tile ? tile() : vector_channels(); }
};
ConvSchedule decode_conv(const Knobs& knobs);

}  // namespace sonar
