#include "program/space_conv.h"

#include <algorithm>

#include "model/error.h"
#include "program/knob_values.h"
#include "program/space_kinds.h"

namespace sonar {

ConvShape conv_shape(const Subgraph& s) {
  ConvShape shape{};
  shape.in_channels = s.in_channels;
  shape.out_channels = s.out_channels;
  shape.kernel = s.kernel;
  shape.taps = s.kernel * s.in_channels;
  shape.pixel_step = s.stride * s.in_channels;
  shape.row_step = s.stride;
  shape.pad_floats = s.padding * s.in_channels;
  shape.pad_rows = s.padding;
  if (s.kernel == 1 && s.stride == 1 && s.padding == 0) {
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
          .tile_vectors = k[1],
          .tile_width = k[2],
          .tile_height = k[3],
          .unroll = k[4],
          .kernel_rows = static_cast<ConvKernelRows>(k[5]),
          .padding = static_cast<ConvPadding>(k[6]),
          .pixels_inside = k[7] == 1,
          .group = k[8],
          .band = k[9],
          .block_is_tile = k[10] == 1,
          .parallel = k[11] == 1};
}

namespace {

class ConvSpace : public ProgramSpace {
 public:
  ConvSpace(const Subgraph& subgraph, const Target& target)
      : subgraph_(subgraph), target_(target), shape_(conv_shape(subgraph)) {
    const bool one_row = shape_.out_height == 1;
    const std::vector<int> vectors = padded_vectors(target, shape_.out_channels);
    specs_ = {
        {"vector", vectors},
        {"tile_vectors", up_to({1, 2, 3, 4, 5, 6, 8}, ceil_div(shape_.out_channels, vectors.front()))},
        {"tile_width", up_to({1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28}, shape_.out_width)},
        {"tile_height", up_to({1, 2, 3, 4}, shape_.out_height)},
        {"unroll", divisors(shape_.taps, 16)},
        {"kernel_rows", shape_.kernel == 1 ? std::vector<int>{0} : std::vector<int>{0, 1, 2}},
        {"padding", subgraph.padding == 0 ? std::vector<int>{0} : std::vector<int>{0, 1, 2, 3, 4, 5, 6}},
        {"pixels_inside", {0, 1}},
        {"group", up_to({0, 1, 2, 4, 8, 16}, ceil_div(shape_.out_channels, vectors.front()) - 1)},
        {"band", up_to({0, 1, 2, 4, 8, 16, 32}, (one_row ? shape_.out_width : shape_.out_height) - 1)},
        {"block_is_tile", {0, 1}},
        {"parallel", parallel_values(target)},
    };
  }

  const Subgraph& subgraph() const override { return subgraph_; }
  const std::vector<KnobSpec>& knobs() const override { return specs_; }

  std::string why_illegal(const Knobs& knobs) const override {
    if (std::string why = why_outside(specs_, knobs); !why.empty()) return why;
    const ConvSchedule s = decode_conv(knobs);
    if (s.tile() >= shape_.out_channels + s.vector) return "the tile has whole vectors beyond the last channel";
    if (accumulators(s) > target_.registers) return "the tile's accumulators exceed the vector registers";
    if (unrolled(s) > kMaxUnrolled) return "too many unrolled multiply-adds";
    if (s.padding >= ConvPadding::inlined_columns_apart && unrolled(s) > kMaxUnrolledOfCopies)
      return "too many unrolled multiply-adds for copies of the loops";
    if (!s.block_is_tile && (s.tile_vectors == 1 || ceil_div(shape_.out_channels, s.vector) % s.tile_vectors != 0))
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
    // Native vectors unless half of a vector would be idle, as for 24 = 3 * 8 channels.
    int vector = specs_[0].values.front();
    for (int lanes : specs_[0].values)
      if (lanes <= target_.vector_floats &&
          round_up(shape_.out_channels, lanes) * 8 <= round_up(shape_.out_channels, vector) * 9)
        vector = lanes;
    Knobs knobs(specs_.size(), 0);
    const int vectors = ceil_div(shape_.out_channels, vector);
    knobs[0] = vector;
    knobs[1] = vectors % 2 == 0 ? 2 : vectors == 3 ? 3 : 1;
    knobs[2] = largest_up_to(specs_[2].values, std::max(1, std::min(8, target_.registers / 2) / knobs[1]));
    knobs[3] = 1;
    knobs[4] = largest_up_to(specs_[4].values, 4);
    knobs[6] = subgraph_.padding == 0   ? 0
               : shape_.out_height == 1 ? static_cast<int>(ConvPadding::root)
                                        : static_cast<int>(ConvPadding::row);
    knobs[10] = 1;
    knobs[11] = specs_[11].values.back();
    if (const std::string why = why_illegal(knobs); !why.empty())
      throw InternalError("the default program of " + subgraph_.key() + " is illegal: " + why);
    return knobs;
  }

  std::vector<Argument> arguments(const Knobs& knobs) const override {
    const ConvSchedule s = decode_conv(knobs);
    const int blocks = ceil_div(shape_.out_channels, s.block());
    const std::vector<int> output = {shape_.out_channels, shape_.out_width, shape_.out_height, shape_.batch};
    std::vector<Argument> result = {
        {Argument::Role::input, {shape_.in_row, shape_.in_height, shape_.batch}},
        {Argument::Role::weight, {s.block(), shape_.taps, shape_.kernel, blocks}, s.block(), shape_.out_channels},
        {Argument::Role::bias, {s.block(), blocks}, s.block(), shape_.out_channels},
    };
    if (subgraph_.residual) result.push_back({Argument::Role::residual, output});
    result.push_back({Argument::Role::output, output});
    return result;
  }

  std::vector<float> features(const Knobs& knobs) const override {
    const ConvSchedule s = decode_conv(knobs);
    std::vector<float> f = knob_features(knobs);
    const double tile_outputs = double(s.tile()) * s.tile_width * s.tile_height;
    const double tile_inputs = double((s.tile_width - 1) * shape_.pixel_step + shape_.taps) *
                               ((s.tile_height - 1) * shape_.row_step + shape_.kernel);
    const double tile_weights = double(s.tile()) * shape_.taps * shape_.kernel;
    const double computed = double(channel_tiles(s)) * s.tile() * ceil_div(shape_.out_width, s.tile_width) *
                            s.tile_width * ceil_div(shape_.out_height, s.tile_height) * s.tile_height;
    const double useful = double(shape_.out_channels) * shape_.out_width * shape_.out_height;
    const int group = s.group == 0 ? channel_tiles(s) : s.group;
    const int band = s.band == 0 ? band_tiles(s) : s.band;
    f.push_back(accumulators(s) / float(target_.registers));
    f.push_back(log2_of(unrolled(s)));
    f.push_back(log2_of(tile_outputs));
    f.push_back(log2_of(tile_inputs * 4));
    f.push_back(log2_of(tile_weights * 4));
    f.push_back(float(useful / computed));  // 1: no work is wasted on tails
    f.push_back(float(s.vector) / float(target_.vector_floats));
    f.push_back(float(double(s.tile_width) * s.tile_height * s.tile_vectors /
                      (s.tile_width * s.tile_height + s.tile_vectors)));  // multiply-adds per load
    f.push_back(log2_of(tile_weights * 4 * group / double(target_.l1_bytes)));
    f.push_back(log2_of(tile_weights * 4 * group / double(target_.l2_bytes)));
    f.push_back(log2_of(tile_inputs * 4 * band / double(target_.l2_bytes)));
    f.push_back(log2_of(double(channel_tiles(s))));
    for (int kind = 0; kind <= 6; ++kind) f.push_back(static_cast<int>(s.padding) == kind ? 1.0f : 0.0f);
    f.push_back(log2_of(useful / tile_outputs));
    return f;
  }

 private:
  int channel_tiles(const ConvSchedule& s) const { return ceil_div(shape_.out_channels, s.tile()); }
  int band_tiles(const ConvSchedule& s) const {
    return shape_.out_height == 1 ? ceil_div(shape_.out_width, s.tile_width)
                                  : ceil_div(shape_.out_height, s.tile_height);
  }
  int accumulators(const ConvSchedule& s) const {
    return ceil_div(s.vector, target_.vector_floats) * s.tile_vectors * s.tile_width * s.tile_height;
  }
  int unrolled(const ConvSchedule& s) const {
    const int rows = s.kernel_rows == ConvKernelRows::outer_loop ? 1 : shape_.kernel;
    return accumulators(s) * s.unroll * rows;
  }

  Subgraph subgraph_;
  Target target_;
  ConvShape shape_;
  std::vector<KnobSpec> specs_;
};

}  // namespace

std::unique_ptr<ProgramSpace> make_conv_space(const Subgraph& subgraph, const Target& target) {
  return std::make_unique<ConvSpace>(subgraph, target);
}

}  // namespace sonar
