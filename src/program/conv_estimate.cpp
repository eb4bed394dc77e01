#include "program/conv_estimate.h"

#include <algorithm>
#include <cmath>

#include "program/knob_values.h"
#include "program/space_winograd.h"

namespace sonar {
namespace {

// Rough figures of current cores; only their relations matter.
constexpr double kUnits = 2;         // loads in a cycle, and multiply-adds of vectors that are not split
constexpr double kWindow = 320;      // instructions that are in flight
constexpr double kIssue = 5;         // instructions in a cycle
constexpr double kLatency = 4;       // of a multiply-add, cycles
constexpr double kSlack = 2;         // multiply-adds beyond those that hide it, as neighbouring ones are not in step
constexpr double kL2Bytes = 32;      // to the L1 cache in a cycle
constexpr double kL3Bytes = 8;       // likewise from beyond the L2 cache
constexpr double kSpill = 4;         // cycles lost by an accumulator that is in memory
constexpr double kLoadShare = 0.05;  // of the loads: what is not hidden by the multiply-adds
constexpr double kOverlap = 0.1;     // of the lesser of work and transfer: what is not hidden by the other
constexpr double kTileStart = 20;    // cycles until a tile's first multiply-adds flow
constexpr double kRowStart = 8;      // likewise for a row of the kernel whose loop is not unrolled
constexpr double kLoopInstructions = 4;  // of one turn of the innermost loop
constexpr double kCopy = 4;              // cycles to copy a vector with checks for the border
constexpr double kInputRow = 0.75;       // cycles for each further row of the input that a tile reads
constexpr double kSplitTaps = 1.2;       // of multiply-adds of several taps, where whole vectors are split

// Vector operations of a tile's transform, loads and stores included, per point.
constexpr double kInputTransform = 7, kOutputTransform = 4;
constexpr double kBorderChecks = 3;  // more of the input's where the border is not a copy

/// Of the kernel's rows those that lie in the input and not in its padding, mean over the output's rows.
double kernel_rows_inside(const ConvShape& shape) {
  double rows = 0;
  for (int y = 0; y < shape.out_height; ++y) {
    const int first = y * shape.row_step - shape.pad_rows;
    rows += std::max(0, std::min(first + shape.kernel, shape.in_height) - std::max(first, 0));
  }
  return rows / shape.out_height;
}

/// Minimal filtering: for each point of a block's transform a matrix product, which is a pointwise convolution.
ConvEstimate estimate_winograd(const Subgraph& subgraph, const ConvSchedule& s, const Target& target) {
  const WinogradTiling w = winograd_tiling(subgraph, s);
  const double products = double(w.points) * w.points * w.blocks;
  Subgraph product = subgraph;
  product.batch = product.height = product.kernel = product.stride = 1;
  product.padding = 0;
  product.width = w.tiles();
  product.activation = Activation::none;
  product.residual = false;
  ConvSchedule schedule = s;
  schedule.winograd = schedule.band = schedule.group = 0;
  schedule.padding = ConvPadding::inlined;
  const ConvEstimate one = estimate_conv(product, schedule, target);

  const auto price = [&](double bytes) {
    return bytes <= 0.6 * target.l1_bytes ? 0 : bytes <= 0.7 * target.l2_bytes ? 1 / kL2Bytes : 1 / kL3Bytes;
  };
  const double points = double(w.points) * w.points, tiles = double(w.tiles()) * w.blocks;
  const double input_bytes = points * w.tiles() * subgraph.in_channels * 4;
  const double output_bytes = points * w.tiles() * w.group * s.tile() * 4;
  const double weight_bytes = points * subgraph.in_channels * w.channel_tiles * s.tile() * 4;
  const double groups = ceil_div(w.channel_tiles, w.group);
  const double in_vectors =
      double(ceil_div(subgraph.in_channels, w.input_vector)) * std::max(1, w.input_vector / target.vector_floats);
  const double out_vectors =
      double(ceil_div(subgraph.out_channels, s.vector)) * ceil_div(s.vector, target.vector_floats);
  const bool checked = s.padding == ConvPadding::inlined;

  ConvEstimate e;
  e.arithmetic = products * one.arithmetic;
  e.loads = products * one.loads;
  // What the transforms write is read again: the input's by every group of channel tiles. After the first block the
  // weights come from where they fit.
  e.memory = products * one.memory + (groups + 1) * w.blocks * input_bytes * price(input_bytes) +
             2 * groups * w.blocks * output_bytes * price(output_bytes) -
             (w.blocks - 1) * weight_bytes * (1 / kL3Bytes - price(weight_bytes + input_bytes + output_bytes));
  e.rest = products * one.rest +
           (tiles * in_vectors * points * (kInputTransform + (checked ? kBorderChecks : 0)) +
            tiles * out_vectors *
                (points * kOutputTransform +
                 w.side * w.side * (2 + activation_operations(subgraph.activation) + (subgraph.residual ? 1 : 0)))) /
               target.native_units;
  const double all_input = double(subgraph.in_channels) * subgraph.width * subgraph.height * subgraph.batch * 4;
  if (s.padding == ConvPadding::root) e.rest += kCopy * all_input / 4 / target.vector_floats;
  const double transforms = e.rest - products * one.rest;
  const double core = products * std::max(one.cycles - one.memory, 0.0) + transforms;
  e.cycles = std::max({core + 0.5 * e.memory, e.memory + 0.5 * core, e.arithmetic + transforms});
  return e;
}

}  // namespace

ConvEstimate estimate_conv(const Subgraph& subgraph, const ConvSchedule& s, const Target& target, ConvRows rows_given) {
  if (s.winograd > 0) return estimate_winograd(subgraph, s, target);
  const ConvShape shape = conv_shape(subgraph, rows_given);
  const double registers_per_vector = ceil_div(s.vector, target.vector_floats);
  const double vectors = s.tile_vectors * registers_per_vector, pixels = s.tile_width * s.tile_height;
  const double accumulators = vectors * pixels;
  const double rows_done = s.kernel_rows == ConvKernelRows::outer_inside ? kernel_rows_inside(shape) : shape.kernel;
  const double steps = ceil_div(shape.taps, s.lane_taps) * rows_done;
  const double channel_tiles = ceil_div(shape.out_channels, s.tile());
  const double pixel_tiles =
      double(ceil_div(shape.out_width, s.tile_width)) * ceil_div(shape.out_height, s.tile_height) * shape.batch;
  const double tiles = channel_tiles * pixel_tiles;

  // One step of the reduction: every accumulator takes a multiply-add. With one vector the broadcasts are operands of
  // the multiply-adds; otherwise they are loads of their own, each used for all vectors.
  const double needed = accumulators + vectors + (vectors == 1 && s.lane_taps == 1 ? 0 : 1);
  const double spilled = std::max(0.0, needed - target.registers);
  const double units = s.vector < target.vector_floats ? kUnits : target.native_units;
  const double slower = s.lane_taps > 1 && target.native_units == 1 ? kSplitTaps : 1;
  const double operations = slower * std::max(accumulators / units, kLatency + kSlack / units) + kSpill * spilled;
  // Several taps are broadcast by a load of a whole vector each.
  const double broadcasts = s.lane_taps == 1 ? pixels : pixels * kUnits / units;
  const double loads = (vectors * kUnits / units + broadcasts + 2 * spilled) / kUnits;
  const double instructions =
      accumulators + (vectors == 1 ? vectors : vectors + pixels) + 2 * spilled +
      kLoopInstructions / (s.unroll * (s.kernel_rows == ConvKernelRows::inner_unrolled ? shape.kernel : 1));
  const double step = std::max({operations, loads, instructions / kIssue}) + kLoadShare * loads;

  // Weights come again for every row of tiles, and within a row for every tile unless the pixels go by inside.
  const double tile_weights = steps * s.vector * s.tile_vectors * 4, all_weights = tile_weights * channel_tiles;
  const double group_tiles = s.group == 0 ? channel_tiles : std::min<double>(s.group, channel_tiles);
  const double row_tiles = ceil_div(shape.out_width, s.tile_width), rows = pixel_tiles / row_tiles;
  const auto price = [&](double bytes) {
    return bytes <= 0.6 * target.l1_bytes ? 0 : bytes <= 0.7 * target.l2_bytes ? 1 / kL2Bytes : 1 / kL3Bytes;
  };
  const double group_price = price(tile_weights * group_tiles);
  const double first_weights = all_weights / kL3Bytes;
  const double more_weights =
      all_weights *
      ((rows - 1) * group_price + rows * (row_tiles - 1) * (s.pixels_inside ? price(tile_weights) : group_price));
  const double tile_input = double((s.tile_width - 1) * std::min(shape.pixel_step, shape.taps) + shape.taps) *
                            ((s.tile_height - 1) * std::min(shape.row_step, shape.kernel) + shape.kernel) * 4;
  const double all_input = double(shape.in_row) * shape.in_height * shape.batch * 4;
  const double row_input = double(shape.in_row) * shape.kernel * 4;
  const double groups = std::ceil(channel_tiles / group_tiles);
  const double input =
      all_input * (groups * price(all_input) + (s.pixels_inside ? groups * (group_tiles - 1) * price(row_input) : 0));

  ConvEstimate e;
  e.arithmetic = tiles * steps * operations;
  e.loads = tiles * steps * loads;
  e.memory = first_weights + more_weights + input;
  const double horizontal = s.lane_taps == 1 ? 0 : 4 * s.lane_taps;  // sums in memory, shuffles and additions
  // A tile's start and end are hidden behind its neighbours' multiply-adds as far as these are in flight together: all
  // of it when three tiles are, nothing when one fills the window.
  const double in_flight = (steps * accumulators + 3 * accumulators) / kWindow;
  // A dozen half vectors hide more; believed only where they also leave fewer lanes idle, as that was measured.
  const int native = target.vector_floats;
  const bool halves = shape.kernel == 1 && s.vector < native && accumulators <= 12 &&
                      round_up(shape.out_channels, s.vector) < round_up(shape.out_channels, native);
  const double hidden = std::clamp(halves ? 2.35 - 1.6 * in_flight : 1.35 - 1.4 * in_flight, 0.0, 1.0);
  // The activation's operations are half of them multiply-adds.
  const double last = activation_operations(subgraph.activation) * (1 - hidden / 2) + horizontal + subgraph.residual;
  const bool row_loop = shape.kernel > 1 && is_row_loop(s.kernel_rows);
  e.rest = tiles * ((1 - hidden) * (kTileStart + accumulators * 2 / units) + accumulators * last / units +
                    kInputRow * (s.tile_height - 1) * shape.row_step + (row_loop ? shape.kernel * kRowStart : 0));
  if (subgraph.padding > 0 && !is_inlined(s.padding)) {
    // Copies of tiles and rows overlap, and are made again for every group of channels.
    double copies = 1;
    const double overlap =
        double((s.tile_height - 1) * shape.row_step + shape.kernel) / (s.tile_height * shape.row_step);
    if (s.padding == ConvPadding::tile) copies = tiles * tile_input / all_input;
    if (s.padding == ConvPadding::row) copies = groups * std::max(1.0, overlap);
    e.rest += kCopy * all_input / 4 / target.vector_floats * copies;
    if (s.padding == ConvPadding::root) e.memory += all_input * price(all_input);
  }
  if (subgraph.padding > 0 && is_inlined(s.padding)) {
    // Checks of every load; with loops apart only those of the tiles at the edges, unless these are shifted inside.
    const auto at_edges = [&](int out, int in, int tile) {
      if (out % tile != 0) return 1.0;
      const bool last = (out - 1) * subgraph.stride + subgraph.kernel - subgraph.padding > in;
      return std::min(1.0, (last ? 2.0 : 1.0) * tile / out);
    };
    const double columns = at_edges(shape.out_width, subgraph.width, s.tile_width);
    const double down = at_edges(shape.out_height, subgraph.height, s.tile_height);
    double checked = 1;
    if (s.padding == ConvPadding::inlined_edges_apart) checked = 1 - (1 - columns) * (1 - down);
    if (s.padding == ConvPadding::inlined_columns_apart) checked = (1 + columns) / 2;
    e.rest += checked * tiles * steps * pixels;
  }
  // Every weight comes from beyond the caches once, while the first tile of pixels goes by it.
  const double core = tiles * steps * step + e.rest, later = e.memory - first_weights;
  const double first_core = core / pixel_tiles, later_core = core - first_core;
  e.cycles = std::max(first_core, first_weights) + std::max(later_core, later) + kOverlap * std::min(later_core, later);
  return e;
}

}  // namespace sonar
