#include "program/space_conv.h"

#include <algorithm>
#include <limits>

#include "model/error.h"
#include "program/conv_estimate.h"
#include "program/knob_values.h"
#include "program/space_kinds.h"
#include "program/space_winograd.h"

namespace sonar {

ConvShape conv_shape(const Subgraph& s, ConvRows rows) {
  ConvShape shape{};
  shape.in_channels = s.in_channels;
  shape.out_channels = s.out_channels;
  shape.kernel = s.kernel;
  shape.taps = s.kernel * s.in_channels;
  shape.pixel_step = s.stride * s.in_channels;
  shape.row_step = s.stride;
  shape.pad_floats = s.padding * s.in_channels;
  shape.pad_rows = s.padding;
  if (rows == ConvRows::joined && s.kernel == 1 && s.stride == 1 && s.padding == 0) {
    const int pixels = s.batch * s.height * s.width;
    shape.batch = shape.in_height = shape.out_height = 1;
    shape.in_row = pixels * s.in_channels;
    shape.out_width = pixels;
  } else {
    shape.batch = s.batch;
    shape.in_height = s.height;
    shape.in_row = s.width * s.in_channels;
    shape.out_height = s.out_height();
    shape.out_width = s.out_width();
  }
  return shape;
}

ConvSchedule decode_conv(const Knobs& k) {
  return {.vector = k[0],
          .lane_taps = k[1],
          .tile_vectors = k[2],
          .tile_width = k[3],
          .tile_height = k[4],
          .unroll = k[5],
          .kernel_rows = static_cast<ConvKernelRows>(k[6]),
          .padding = static_cast<ConvPadding>(k[7]),
          .pixels_inside = k[8] == 1,
          .group = k[9],
          .band = k[10],
          .block_is_tile = k[11] == 1,
          .parallel = k[12] == 1,
          .winograd = k[13],
          .avx2 = k[14] == 1};
}

namespace {

/// By how much an estimate must be ahead for minimal filtering to be the default.
constexpr double kClearlyFaster = 1.3;
/// Unrolled multiply-adds of default programs whose edges are loops of their own.
constexpr int kMaxUnrolledOfDefaultCopies = 48;

class ConvSpace : public ProgramSpace {
 public:
  ConvSpace(const Subgraph& subgraph, const Target& target, ConvRows rows)
      : subgraph_(subgraph), target_(target), avx2_(narrower(target)), rows_(rows), shape_(conv_shape(subgraph, rows)) {
    const bool one_row = shape_.out_height == 1;
    const std::vector<int> lane_taps = lane_tap_values();
    std::vector<int> vectors = padded_vectors(target, shape_.out_channels);
    if (lane_taps.size() > 1) vectors = merged(vectors, {target.vector_floats});
    const int most_vectors = ceil_div(shape_.out_channels * lane_taps.back(), vectors.front());
    specs_ = {
        {"vector", vectors},
        {"lane_taps", lane_taps},
        {"tile_vectors", up_to({1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14}, most_vectors)},
        {"tile_width", merged(tile_widths(), winograd_widths(subgraph))},
        {"tile_height", up_to({1, 2, 3, 4, 5, 6, 7, 8}, shape_.out_height)},
        {"unroll", unroll_values(lane_taps)},
        {"kernel_rows", shape_.kernel == 1      ? std::vector<int>{0}
                        : subgraph.padding == 0 ? std::vector<int>{0, 1, 2}
                                                : std::vector<int>{0, 1, 2, 3}},
        {"padding", subgraph.padding == 0 ? std::vector<int>{0} : std::vector<int>{0, 1, 2, 3, 4, 5, 6}},
        {"pixels_inside", {0, 1}},
        {"group", up_to({0, 1, 2, 3, 4, 6, 8, 12, 16, 24}, ceil_div(shape_.out_channels, vectors.front()) - 1)},
        {"band",
         merged(up_to({0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64}, (one_row ? shape_.out_width : shape_.out_height) - 1),
                winograd_bands(subgraph))},
        {"block_is_tile", {0, 1}},
        {"parallel", parallel_values(target)},
        {"winograd", winograd_values(subgraph)},
        {"avx2", avx2_values(target)},
    };
  }

  const Subgraph& subgraph() const override { return subgraph_; }
  const std::vector<KnobSpec>& knobs() const override { return specs_; }

  std::string why_illegal(const Knobs& knobs) const override {
    if (std::string why = why_outside(specs_, knobs); !why.empty()) return why;
    const ConvSchedule s = decode_conv(knobs);
    if (s.winograd > 0) return why_illegal_winograd(subgraph_, s, target(s));
    if (s.tile_width > shape_.out_width) return "the tile is wider than a row";
    if (s.vector_channels() >= 2 * shape_.out_channels && s.lane_taps > 1)
      return "more than half of the lanes would be idle";
    if (s.kernel_rows == ConvKernelRows::outer_inside && s.tile_height > 1)
      return "kernel rows are left out of tiles of one row only";
    if (s.lane_taps >= s.vector && s.lane_taps > 1)
      return "the taps of a lane group leave no lane for a second channel";
    if (s.lane_taps > 1 && shape_.taps % s.lane_taps != 0 && (subgraph_.padding == 0 || is_inlined(s.padding)))
      return "taps beyond a kernel row need a padded copy of the input";
    if (s.lane_taps > 1 && is_inlined(s.padding) && subgraph_.padding > 0)
      return "taps side by side need a padded copy of the input";
    if (steps(s) % s.unroll != 0) return "the unrolling does not divide the steps of the reduction";
    if (s.tile() >= shape_.out_channels + s.vector_channels())
      return "the tile has whole vectors beyond the last channel";
    if (accumulators(s) > target(s).registers) return "the tile's accumulators exceed the vector registers";
    if (unrolled(s) > kMaxUnrolled) return "too many unrolled multiply-adds";
    if (s.padding >= ConvPadding::inlined_columns_apart && unrolled(s) > kMaxUnrolledOfCopies)
      return "too many unrolled multiply-adds for copies of the loops";
    if (!s.block_is_tile &&
        (s.tile_vectors == 1 || ceil_div(shape_.out_channels, s.vector_channels()) % s.tile_vectors != 0))
      return s.tile_vectors == 1 ? "packing by vector is packing by tile when a tile is one vector"
                                 : "packing by vector needs tiles that divide the channels' vectors";
    if (s.group >= channel_tiles(s)) return "the group is no smaller than the number of channel tiles";
    if (s.band >= band_tiles(s)) return "the band is no smaller than the number of tile rows";
    if (s.group == 1 && s.pixels_inside) return "a group of one tile leaves no order to choose";
    if (channel_tiles(s) == 1 && s.pixels_inside) return "a single channel tile leaves no order to choose";
    if (s.group == 0 && s.band != 0 && s.padding != ConvPadding::band)
      return "a band does nothing when all channels are one group";
    if (s.padding == ConvPadding::band && s.band == 0) return "padding by band needs a band";
    if (s.padding == ConvPadding::row && shape_.out_height == 1) return "a single row is padded at root";
    return "";
  }

  Knobs default_program() const override {
    // The best by the estimate among the plain programs, those that compile fast.
    Knobs knobs(specs_.size(), 0), best;
    knobs[11] = 1;
    knobs[12] = specs_[12].values.back();
    double best_cycles = std::numeric_limits<double>::infinity();
    for (int v0 : specs_[0].values)
      for (int v1 : specs_[1].values)
        for (int v2 : specs_[2].values)
          for (int v3 : specs_[3].values)
            for (int v4 : specs_[4].values) {
              knobs[0] = v0, knobs[1] = v1, knobs[2] = v2, knobs[3] = v3, knobs[4] = v4;
              ConvSchedule s = decode_conv(knobs);
              s.unroll = 1;
              if (s.vector_channels() == 0 || accumulators(s) > target_.registers) break;
              knobs[5] = s.unroll = default_unroll(s);
              // Of a small kernel all rows: its loop would cost as much as its multiply-adds.
              const bool rows_unrolled =
                  shape_.kernel > 1 && accumulators(s) * s.unroll * shape_.kernel <= kMaxUnrolledOfDefault;
              knobs[6] = static_cast<int>(rows_unrolled ? ConvKernelRows::outer_unrolled : ConvKernelRows::outer_loop);
              // Of a row's tiles channels or pixels inside; or all rows, channel tile by channel tile.
              for (int order = 0; order < 3; ++order) {
                knobs[8] = order == 1;
                knobs[9] = order == 2;
                const bool at_root = order == 2 || shape_.out_height == 1;
                if (subgraph_.padding > 0) knobs[7] = static_cast<int>(at_root ? ConvPadding::root : ConvPadding::row);
                consider(knobs, best, best_cycles);
                if (subgraph_.padding > 0 && s.tile_height == 1 && shape_.kernel > 1) {
                  Knobs inside = knobs;
                  inside[6] = static_cast<int>(ConvKernelRows::outer_inside);
                  consider(inside, best, best_cycles);
                }
                // Or no padded copy, with the edges in loops of their own, each a copy of the tile to compile.
                if (subgraph_.padding == 0 || order > 0 || at_root) continue;
                Knobs apart = knobs;
                apart[7] = static_cast<int>(ConvPadding::inlined_edges_apart);
                if (accumulators(s) * shape_.kernel <= kMaxUnrolledOfDefaultCopies)
                  apart[6] = static_cast<int>(ConvKernelRows::outer_unrolled);
                const int most = kMaxUnrolledOfDefaultCopies * apart[5] / unrolled(decode_conv(apart));
                apart[5] = 1;
                for (int unroll : specs_[5].values)
                  if (steps(s) % unroll == 0 && unroll <= std::min(most, 8)) apart[5] = unroll;
                consider(apart, best, best_cycles);
              }
            }
    if (specs_[13].values.size() > 1) best = better_by_winograd(best, best_cycles);
    knobs = best;
    if (const std::string why = why_illegal(knobs); !why.empty())
      throw InternalError("the default program of " + subgraph_.key() + " is illegal: " + why);
    return knobs;
  }

  std::vector<Argument> arguments(const Knobs& knobs) const override {
    const ConvSchedule s = decode_conv(knobs);
    if (s.winograd > 0) return winograd_arguments(subgraph_, s);
    const int blocks = ceil_div(shape_.out_channels, s.block());
    const std::vector<int> output = {shape_.out_channels, shape_.out_width, shape_.out_height, shape_.batch};
    std::vector<Argument> result = {
        {Argument::Role::input, {shape_.in_row, shape_.in_height, shape_.batch}},
        {.role = Argument::Role::weight,
         .extents = {s.block() * s.lane_taps, steps(s), shape_.kernel, blocks},
         .block = s.block(),
         .rows = shape_.out_channels,
         .run = shape_.taps,
         .unit = s.lane_taps},
        {Argument::Role::bias, {s.block(), blocks}, s.block(), shape_.out_channels},
    };
    if (subgraph_.residual) result.push_back({Argument::Role::residual, output});
    result.push_back({Argument::Role::output, output});
    return result;
  }

  bool for_avx2(const Knobs& knobs) const override { return decode_conv(knobs).avx2; }

  void settle(Knobs& knobs) const override {
    if (knobs[13] > 0) settle_winograd(subgraph_, knobs);
  }

  std::vector<float> features(const Knobs& knobs) const override {
    const ConvSchedule s = decode_conv(knobs);
    const ConvEstimate e = estimate_conv(subgraph_, s, target(s), rows_);
    std::vector<float> f = knob_features(knobs);
    const double pixels = double(s.tile_width) * s.tile_height;
    const double vectors = double(accumulators(s)) / pixels;
    double tile_inputs = double((s.tile_width - 1) * shape_.pixel_step + shape_.taps) *
                         ((s.tile_height - 1) * shape_.row_step + shape_.kernel);
    double tile_weights = double(s.vector) * s.tile_vectors * steps(s) * shape_.kernel;
    double tiles = double(channel_tiles(s)) * ceil_div(shape_.out_width, s.tile_width) *
                   ceil_div(shape_.out_height, s.tile_height) * shape_.batch;
    const double ideal = subgraph_.macs() / (2.0 * target_.vector_floats);
    double steps_of_tile = steps(s), weight_bytes = 0, input_bytes = 0;
    int of_channels = channel_tiles(s);
    if (s.winograd > 0) {
      const WinogradTiling w = winograd_tiling(subgraph_, s);
      const double points = double(w.points) * w.points;
      tile_inputs = double(s.tile_width) * shape_.in_channels;
      tile_weights = double(s.tile()) * shape_.in_channels;
      tiles = points * w.blocks * w.channel_tiles * ceil_div(w.tiles(), s.tile_width);
      steps_of_tile = shape_.in_channels;
      of_channels = w.channel_tiles;
      weight_bytes = points * tile_weights * 4 * w.channel_tiles;
      input_bytes = points * w.tiles() * shape_.in_channels * 4;
    }
    const int group = s.group == 0 ? channel_tiles(s) : s.group;
    const int band = s.band == 0 ? band_tiles(s) : s.band;
    f.push_back(log2_of(e.cycles));
    f.push_back(log2_of(e.cycles / ideal));
    f.push_back(float(e.arithmetic / e.cycles));
    f.push_back(float(e.loads / e.cycles));
    f.push_back(float(e.memory / e.cycles));
    f.push_back(float(e.rest / e.cycles));
    f.push_back(float(ideal / std::max(ideal, e.arithmetic)));  // 1: no lane is idle, no tail is wasted
    f.push_back(float(pixels * vectors / (pixels + vectors)));  // multiply-adds per load
    f.push_back(accumulators(s) / float(target(s).registers));
    f.push_back(float((accumulators(s) + vectors + 1) / target(s).registers));
    f.push_back(log2_of(unrolled(s)));
    f.push_back(log2_of(steps_of_tile / s.unroll));  // turns of the innermost loop
    f.push_back(log2_of(tiles));
    f.push_back(log2_of(tile_inputs * 4));
    f.push_back(log2_of(tile_weights * 4));
    f.push_back(float(s.vector) / float(target_.vector_floats));
    f.push_back(log2_of(tile_weights * 4 / double(target_.l1_bytes)));
    f.push_back(log2_of(tile_weights * 4 * group / double(target_.l1_bytes)));
    f.push_back(log2_of(tile_weights * 4 * group / double(target_.l2_bytes)));
    f.push_back(log2_of(tile_inputs * 4 * band / double(target_.l2_bytes)));
    f.push_back(log2_of(double(of_channels)));
    f.push_back(log2_of(weight_bytes));  // of minimal filtering: transformed weights, and inputs of a block
    f.push_back(log2_of(input_bytes / double(target_.l2_bytes)));
    for (int kind = 0; kind <= 6; ++kind) f.push_back(static_cast<int>(s.padding) == kind ? 1.0f : 0.0f);
    return f;
  }

 private:
  /// Takes a legal program that is faster by the estimate than `best`.
  void consider(const Knobs& knobs, Knobs& best, double& best_cycles) const {
    const ConvSchedule s = decode_conv(knobs);
    const double cycles = estimate_conv(subgraph_, s, target(s), rows_).cycles;
    if (cycles < best_cycles && why_illegal(knobs).empty()) best = knobs, best_cycles = cycles;
  }
  /// Small ones, and those that cut a row into equal parts.
  std::vector<int> tile_widths() const {
    std::vector<int> even;
    for (int parts = std::min(shape_.out_width, 64); parts >= 1; --parts)
      if (const int width = ceil_div(shape_.out_width, parts); width <= target_.registers) even.push_back(width);
    return merged(up_to({1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 20, 24, 28}, shape_.out_width),
                  merged(even, {}));
  }
  /// Taps side by side pay where the channels do not fill native vectors.
  std::vector<int> lane_tap_values() const {
    std::vector<int> result = {1};
    const int native = target_.vector_floats;
    if (shape_.out_channels % native == 0) return result;
    for (int lanes = 2; lanes < native && lanes <= shape_.taps; lanes *= 2) {
      const bool padded = subgraph_.padding > 0 && 8 * round_up(shape_.taps, lanes) <= 9 * shape_.taps;
      if (shape_.taps % lanes == 0 || padded) result.push_back(lanes);
    }
    return result;
  }
  /// Divisors of the number of steps for any of the lane groups.
  std::vector<int> unroll_values(const std::vector<int>& lane_taps) const {
    std::vector<int> values;
    for (int lanes : lane_taps) values = merged(values, divisors(ceil_div(shape_.taps, lanes), 16));
    return values;
  }
  /// The best plain program of minimal filtering by the estimate, if that says it is clearly faster than `direct`.
  Knobs better_by_winograd(const Knobs& direct, double direct_cycles) const {
    Knobs best = direct, knobs = direct;
    double best_cycles = direct_cycles / kClearlyFaster;
    knobs[0] = largest_up_to(specs_[0].values, target_.vector_floats);
    knobs[8] = 0;
    if (subgraph_.padding > 0) knobs[7] = static_cast<int>(ConvPadding::root);
    for (int side : {2, 4}) {
      knobs[13] = side;
      settle(knobs);
      for (int v2 : specs_[2].values)
        for (int v3 : specs_[3].values) {
          knobs[2] = v2, knobs[3] = v3;
          const int accumulators = ceil_div(knobs[0], target_.vector_floats) * v2 * v3;
          if (accumulators + v2 + 1 > target_.registers) break;
          knobs[5] = 1;
          for (int unroll : specs_[5].values)
            if (subgraph_.in_channels % unroll == 0 && unroll <= 4 && accumulators * unroll <= kMaxUnrolledOfDefault)
              knobs[5] = unroll;
          for (int band : specs_[10].values)
            for (int group : {0, 1}) {
              knobs[9] = group, knobs[10] = band;
              if (!why_illegal(knobs).empty()) continue;
              const double cycles = estimate_conv(subgraph_, decode_conv(knobs), target_).cycles;
              if (cycles < best_cycles) best = knobs, best_cycles = cycles;
            }
        }
    }
    return best;
  }
  /// As far as it compiles fast.
  int default_unroll(const ConvSchedule& s) const {
    int result = 1;
    for (int unroll : specs_[5].values)
      if (steps(s) % unroll == 0 && unroll <= 8 && accumulators(s) * unroll <= kMaxUnrolledOfDefault) result = unroll;
    return result;
  }
  const Target& target(const ConvSchedule& s) const { return s.avx2 ? avx2_ : target_; }
  int steps(const ConvSchedule& s) const { return ceil_div(shape_.taps, s.lane_taps); }
  int channel_tiles(const ConvSchedule& s) const { return ceil_div(shape_.out_channels, s.tile()); }
  int band_tiles(const ConvSchedule& s) const {
    return shape_.out_height == 1 ? ceil_div(shape_.out_width, s.tile_width)
                                  : ceil_div(shape_.out_height, s.tile_height);
  }
  int accumulators(const ConvSchedule& s) const {
    return ceil_div(s.vector, target(s).vector_floats) * s.tile_vectors * s.tile_width * s.tile_height;
  }
  int unrolled(const ConvSchedule& s) const {
    return accumulators(s) * s.unroll * (is_row_loop(s.kernel_rows) ? 1 : shape_.kernel);
  }

  Subgraph subgraph_;
  Target target_, avx2_;
  ConvRows rows_;
  ConvShape shape_;
  std::vector<KnobSpec> specs_;
};

}  // namespace

std::unique_ptr<ProgramSpace> make_conv_space(const Subgraph& subgraph, const Target& target, ConvRows rows) {
  return std::make_unique<ConvSpace>(subgraph, target, rows);
}

}  // namespace sonar
