// Convolutions of 3x3 and stride 1 or 2 by Winograd's minimal filtering (A. Lavin and S. Gray, "Fast Algorithms for
// Convolutional Neural Networks", 2015): the knob `winograd` of the convolutions' space. F(m x m, 3x3) computes a tile
// of m x m output pixels from (m + 2)^2 transformed inputs with as many multiplications per pair of channels, 2.25
// times (m = 2) or 4 times (m = 4) fewer than the direct sum has. With stride 2 each axis is the sum of two filters of
// stride 1, one of two taps on the even columns and one of a single tap on the odd ones: F(m, 2) and F(m, 1), m + 1 and
// m points, so (2m + 1)^2 in all, 1.44 times (m = 2) or 1.78 times (m = 4) fewer than the direct sum.
//
// A block of tiles (`band` rows of them) is done at a time: its inputs are transformed, V[point][tile][in_channel];
// each of the points is a matrix product with the weights transformed beforehand, whose accumulators are
// `tile_width` tiles by `tile_vectors` vectors of output channels; and a group of channel tiles (`group`) is
// transformed back together with bias, activation and residual. Knobs of the direct programs that have no meaning here
// have one legal value.
#pragma once
#include <vector>

#include "program/space_conv.h"

namespace sonar {

/// How a program divides its output.
struct WinogradTiling {
  int side;                                             // m: output pixels per side of a tile
  int points;                                           // per side of a transformed tile: m + 2, stride 2: 2m + 1
  int across, down;                                     // tiles of an image
  int images;                                           // of a block: more than one only if whole images are
  int rows;                                             // tile rows of each of a block's images
  int blocks;                                           // of the whole batch
  int channel_tiles;                                    // of the output
  int group;                                            // channel tiles that are transformed back together
  int input_vector;                                     // lanes of the input's transform, along the channels
  int tiles() const { return images * rows * across; }  // of a block
};
WinogradTiling winograd_tiling(const Subgraph& subgraph, const ConvSchedule& schedule);

/// {0}, or {0, 2, 4} for 3x3 convolutions of stride 1 or 2.
std::vector<int> winograd_values(const Subgraph& subgraph);

std::string why_illegal_winograd(const Subgraph& subgraph, const ConvSchedule& schedule, const Target& target);

/// Of knobs that ask for minimal filtering: those that do not matter are set to their one legal value.
void settle_winograd(const Subgraph& subgraph, Knobs& knobs);

std::vector<Argument> winograd_arguments(const Subgraph& subgraph, const ConvSchedule& schedule);

/// The values that they add to the knobs `band` and `tile_width`.
std::vector<int> winograd_bands(const Subgraph& subgraph);
std::vector<int> winograd_widths(const Subgraph& subgraph);

}  // namespace sonar
