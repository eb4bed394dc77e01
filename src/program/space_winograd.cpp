#include "program/space_winograd.h"

#include <algorithm>

#include "program/knob_values.h"

namespace sonar {

WinogradTiling winograd_tiling(const Subgraph& subgraph, const ConvSchedule& s) {
  WinogradTiling t{};
  t.side = s.winograd;
  t.points = subgraph.stride == 1 ? t.side + 2 : 2 * t.side + 1;
  t.across = ceil_div(subgraph.out_width(), t.side);
  t.down = ceil_div(subgraph.out_height(), t.side);
  const int rows = s.band == 0 ? t.down * subgraph.batch : s.band;
  t.images = std::max(1, rows / t.down);
  t.rows = std::min(rows, t.down);
  t.blocks = subgraph.batch / t.images * (t.down / t.rows);
  t.channel_tiles = ceil_div(subgraph.out_channels, s.tile());
  t.group = s.group == 0 ? t.channel_tiles : s.group;
  t.input_vector = 1;
  while (2 * t.input_vector <= std::min(s.vector, subgraph.in_channels)) t.input_vector *= 2;
  return t;
}

std::vector<int> winograd_values(const Subgraph& subgraph) {
  return subgraph.kernel == 3 && subgraph.stride <= 2 ? std::vector<int>{0, 2, 4} : std::vector<int>{0};
}

std::vector<int> winograd_bands(const Subgraph& subgraph) {
  std::vector<int> bands;
  for (int side : winograd_values(subgraph)) {
    if (side == 0) continue;
    const int down = ceil_div(subgraph.out_height(), side);
    bands = merged(bands, divisors(down, down - 1));
    for (int images : divisors(subgraph.batch, subgraph.batch - 1)) bands = merged(bands, {down * images});
  }
  return bands;
}

std::vector<int> winograd_widths(const Subgraph& subgraph) {
  if (winograd_values(subgraph).size() == 1) return {};
  const int most = subgraph.batch * ceil_div(subgraph.out_height(), 2) * ceil_div(subgraph.out_width(), 2);
  return up_to({1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16, 24}, most);
}

std::string why_illegal_winograd(const Subgraph& subgraph, const ConvSchedule& s, const Target& target) {
  if (s.lane_taps > 1 || s.tile_height > 1 || s.kernel_rows != ConvKernelRows::outer_loop || !s.block_is_tile)
    return "minimal filtering has no taps, tile height, kernel rows or packing to choose";
  if (s.padding != ConvPadding::inlined && s.padding != ConvPadding::root)
    return "minimal filtering pads at root or not at all";
  if (subgraph.in_channels % s.unroll != 0) return "the unrolling does not divide the steps of the reduction";
  if (s.tile() >= subgraph.out_channels + s.vector) return "the tile has whole vectors beyond the last channel";
  const int accumulators = ceil_div(s.vector, target.vector_floats) * s.tile_vectors * s.tile_width;
  if (accumulators > target.registers) return "the tile's accumulators exceed the vector registers";
  if (accumulators * s.unroll > kMaxUnrolled) return "too many unrolled multiply-adds";
  const int down = ceil_div(subgraph.out_height(), s.winograd);
  if (s.band >= down * subgraph.batch) return "the band is no smaller than the number of tile rows";
  const bool divides =
      s.band <= down ? s.band == 0 || down % s.band == 0 : s.band % down == 0 && subgraph.batch % (s.band / down) == 0;
  if (!divides) return "the band divides neither an image's rows of tiles nor the images";
  const WinogradTiling t = winograd_tiling(subgraph, s);
  if (s.tile_width > t.tiles()) return "more tiles are computed at once than a block has";
  if (s.group >= t.channel_tiles) return "the group is no smaller than the number of channel tiles";
  if (s.pixels_inside && t.group == 1) return "a group of one tile leaves no order to choose";
  return "";
}

void settle_winograd(const Subgraph& subgraph, Knobs& knobs) {
  knobs[1] = knobs[4] = knobs[11] = 1;
  knobs[6] = 0;
  if (subgraph.padding > 0 && knobs[7] != 0) knobs[7] = static_cast<int>(ConvPadding::root);
}

std::vector<Argument> winograd_arguments(const Subgraph& subgraph, const ConvSchedule& s) {
  const WinogradTiling t = winograd_tiling(subgraph, s);
  const std::vector<int> output = {subgraph.out_channels, subgraph.out_width(), subgraph.out_height(), subgraph.batch};
  Argument weight;
  weight.role = Argument::Role::weight;
  weight.extents = {s.tile(), subgraph.in_channels, t.points, t.points, t.channel_tiles};
  weight.block = s.tile();
  weight.rows = subgraph.out_channels;
  weight.winograd_points = t.points;
  std::vector<Argument> result = {
      {Argument::Role::input, {subgraph.in_channels, subgraph.width, subgraph.height, subgraph.batch}},
      weight,
      {Argument::Role::bias, {s.tile(), t.channel_tiles}, s.tile(), subgraph.out_channels}};
  if (subgraph.residual) result.push_back({Argument::Role::residual, output});
  result.push_back({Argument::Role::output, output});
  return result;
}

}  // namespace sonar
