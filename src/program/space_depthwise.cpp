#include "program/space_depthwise.h"

#include <algorithm>

#include "model/error.h"
#include "program/knob_values.h"
#include "program/space_kinds.h"

namespace sonar {

DepthwiseSchedule decode_depthwise(const Knobs& k) {
  return {.vector = k[0],
          .tile_vectors = k[1],
          .tile_width = k[2],
          .tile_height = k[3],
          .unroll_rows = k[4] == 1,
          .padding = static_cast<DepthwisePadding>(k[5]),
          .order = static_cast<DepthwiseOrder>(k[6]),
          .band = k[7],
          .taps = static_cast<DepthwiseTaps>(k[8]),
          .packed = k[9] == 1,
          .unroll_tiles = k[10] == 1,
          .parallel = k[11] == 1};
}

namespace {

/// Where the loops are split, each with a copy of the tile: what compiles in about 0.2 s.
constexpr int kMaxUnrolledOfAllCopies = 450;
constexpr int kLineFloats = 16;  // of a cache line of 64 bytes
constexpr int kLatency = 4;      // cycles of a multiply-add

class DepthwiseSpace : public ProgramSpace {
 public:
  DepthwiseSpace(const Subgraph& subgraph, const Target& target) : subgraph_(subgraph), target_(target) {
    if (subgraph.in_channels != subgraph.out_channels)
      throw UserError(subgraph.key() + ": a depthwise convolution has as many output channels as input channels");
    const std::vector<int> vectors = inside_vectors(target, channels());
    specs_ = {
        {"vector", vectors},
        {"tile_vectors", up_to({1, 2, 3, 4, 5, 6, 8}, channels() / vectors.front())},
        {"tile_width", up_to({1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 20, 28}, subgraph.out_width())},
        {"tile_height", up_to({1, 2, 3, 4, 5, 6, 7, 8}, subgraph.out_height())},
        {"unroll_rows", subgraph.kernel == 1 ? std::vector<int>{1} : std::vector<int>{0, 1}},
        {"padding", subgraph.padding == 0 ? std::vector<int>{0} : std::vector<int>{0, 1, 2, 3, 4, 5, 6}},
        {"order", {0, 1, 2, 3}},
        {"band", up_to({0, 1, 2, 3, 4, 6, 8, 12, 16}, subgraph.out_height() - 1)},
        {"taps", subgraph.kernel == 1 ? std::vector<int>{0} : std::vector<int>{0, 1, 2}},
        {"packed", {0, 1}},
        {"unroll_tiles", {0, 1}},
        {"parallel", parallel_values(target)},
    };
  }

  const Subgraph& subgraph() const override { return subgraph_; }
  const std::vector<KnobSpec>& knobs() const override { return specs_; }

  std::string why_illegal(const Knobs& knobs) const override {
    if (std::string why = why_outside(specs_, knobs); !why.empty()) return why;
    const DepthwiseSchedule s = decode_depthwise(knobs);
    if (s.tile() > channels()) return "the tile has more channels than the input";
    if (accumulators(s) > target_.registers) return "the tile's accumulators exceed the vector registers";
    if (unrolled(s) > kMaxUnrolled) return "too many unrolled multiply-adds";
    if (unrolled(s) * copies(s) > kMaxUnrolledOfAllCopies)
      return "too many unrolled multiply-adds in the copies of the loops";
    if (s.padding == DepthwisePadding::plane && s.order != DepthwiseOrder::channels_rows_columns)
      return "a channel's plane is padded only where channels are the outer loop";
    if (s.band != 0 && s.order != DepthwiseOrder::channels_rows_columns)
      return "a band does nothing where rows are the outer loop";
    if (s.band >= ceil_div(subgraph_.out_height(), s.tile_height))
      return "the band is no smaller than the number of tile rows";
    if (s.unroll_tiles && (s.band != 0 || s.order != DepthwiseOrder::channels_rows_columns ||
                           ceil_div(subgraph_.out_height(), s.tile_height) == 1 || is_skipped(s.padding) ||
                           s.padding == DepthwisePadding::edges_apart || !s.unroll_rows))
      return "unrolled rows of tiles need no other treatment of the first and last rows";
    if (s.order == DepthwiseOrder::columns_rows_channels && s.tile_width >= subgraph_.out_width())
      return "a single column of tiles has no columns outside";
    if (s.packed && (channels() % s.tile() != 0 || channels() == s.tile()))
      return "packed weights need whole channel tiles, and more than one";
    if (s.taps == DepthwiseTaps::kernel_inside && !s.unroll_rows) return "a kernel inside the tile has unrolled rows";
    if (channels() == s.tile() && s.order != DepthwiseOrder::channels_rows_columns)
      return "a single channel tile leaves no order to choose";
    return "";
  }

  Knobs default_program() const override {
    // Kernel rows outside the input cost nothing and first and last columns are apart, so the tile runs without checks.
    Knobs knobs(specs_.size(), 0);
    const int columns = subgraph_.out_width();
    // Where a whole vector is executed in two halves, halves pay if whole ones left a fifth of the lanes idle or more.
    const int native = target_.vector_floats;
    const bool halves = target_.native_units == 1 && channels() % (native / 2) == 0 &&
                        4 * round_up(channels(), native) >= 5 * channels();
    knobs[0] = largest_up_to(specs_[0].values, halves ? native / 2 : native);
    // A large kernel's chains of sums need more accumulators than seven pixels: fourteen, or two vectors.
    const bool across_lines = channels() % knobs[0] != 0;
    const bool fourteen =
        subgraph_.kernel >= 5 && subgraph_.stride == 1 && columns % 14 == 0 && (!across_lines || columns == 14);
    const bool pairs =
        !fourteen && channels() >= 2 * knobs[0] && round_up(channels(), 2 * knobs[0]) == round_up(channels(), knobs[0]);
    knobs[1] = subgraph_.kernel >= 5 && pairs ? largest_up_to(specs_[1].values, 2) : 1;
    knobs[2] = largest_up_to(specs_[2].values, std::min(columns, 8));
    for (int width : {4, 5, 6, 8, 7})
      if (columns % width == 0) knobs[2] = width;
    if (subgraph_.kernel >= 5 && subgraph_.stride == 1 && knobs[1] == 1 && columns % 14 == 0)
      knobs[2] = largest_up_to(specs_[2].values, 14);
    knobs[8] = subgraph_.kernel == 3 || (subgraph_.kernel > 3 && knobs[1] == 1) ? 1 : 0;
    knobs[3] = 1;
    const bool one_column = knobs[2] >= columns;
    if (subgraph_.padding > 0)
      knobs[5] = static_cast<int>(one_column ? DepthwisePadding::skipped : DepthwisePadding::skipped_columns_apart);
    knobs[4] = subgraph_.kernel <= 3 ? 1 : 0;
    // Vectors across lines: all channels while the lines are in L1. A large kernel has work enough to wait for no L2.
    const bool beyond_l2 =
        subgraph_.kernel <= 3 && 4.0 * channels() * subgraph_.height * subgraph_.width > target_.l2_bytes;
    if (channels() > knobs[0] * knobs[1] && !one_column && (across_lines || beyond_l2))
      knobs[6] = static_cast<int>(DepthwiseOrder::columns_rows_channels);
    // There each tile loads its weights anew: a row of the kernel at a time keeps them few.
    auto rows_one_by_one = [&] {
      knobs[4] = specs_[4].values.front();
      knobs[8] = 0;
    };
    if (knobs[6] != 0) rows_one_by_one();
    if (knobs[6] != 0 && columns % 8 == 0) knobs[2] = 8;
    const int tile = knobs[0] * knobs[1];
    if (channels() % tile == 0 && channels() > tile) knobs[9] = 1;
    knobs[11] = specs_[11].values.back();
    if (!why_illegal(knobs).empty()) rows_one_by_one();
    if (!why_illegal(knobs).empty()) knobs[2] = largest_up_to(specs_[2].values, 4);
    if (const std::string why = why_illegal(knobs); !why.empty())
      throw InternalError("the default program of " + subgraph_.key() + " is illegal: " + why);
    return knobs;
  }

  std::vector<Argument> arguments(const Knobs& knobs) const override {
    const Subgraph& s = subgraph_;
    // One block of all channels: a tile may then begin at any channel.
    const int block = knobs[9] == 1 ? decode_depthwise(knobs).tile() : channels();
    const std::vector<int> output = {channels(), s.out_width(), s.out_height(), s.batch};
    std::vector<Argument> result = {
        {Argument::Role::input, {channels(), s.width, s.height, s.batch}},
        {Argument::Role::weight, {block, s.kernel, s.kernel, channels() / block}, block, channels()},
        {Argument::Role::bias, {channels()}},
    };
    if (s.residual) result.push_back({Argument::Role::residual, output});
    result.push_back({Argument::Role::output, output});
    return result;
  }

  std::vector<float> features(const Knobs& knobs) const override {
    const DepthwiseSchedule s = decode_depthwise(knobs);
    std::vector<float> f = knob_features(knobs);
    const double computed = double(round_up(channels(), s.tile())) * round_up(subgraph_.out_width(), s.tile_width) *
                            round_up(subgraph_.out_height(), s.tile_height);
    const double useful = double(channels()) * subgraph_.out_width() * subgraph_.out_height();
    const double tiles = computed / (double(s.tile()) * s.tile_width * s.tile_height);
    const TileCost cost = tile_cost(s);
    const double set = shared_lines(s);
    f.push_back(accumulators(s) / float(target_.registers));
    f.push_back(log2_of(unrolled(s)));
    f.push_back(log2_of(double(unrolled(s)) * copies(s)));
    f.push_back(float(cost.multiply_adds / cost.loads));
    f.push_back(float(useful / computed));
    f.push_back(float(s.vector) / float(target_.vector_floats));
    f.push_back(log2_of(tiles));
    f.push_back(log2_of(set / double(target_.l1_bytes)));
    f.push_back(log2_of(4.0 * channels() * subgraph_.height * subgraph_.width / double(target_.l2_bytes)));
    f.push_back(log2_of(tiles * cost.arithmetic));
    f.push_back(log2_of(tiles * cost.load_store));
    f.push_back(log2_of(tiles * cost.latency));
    f.push_back(log2_of(tiles * std::max({cost.arithmetic, cost.load_store, cost.latency})));
    f.push_back(log2_of(input_bytes(s, set)));
    for (int kind = 0; kind <= 6; ++kind) f.push_back(static_cast<int>(s.padding) == kind ? 1.0f : 0.0f);
    for (int order = 0; order <= 3; ++order) f.push_back(static_cast<int>(s.order) == order ? 1.0f : 0.0f);
    for (int taps = 0; taps <= 2; ++taps) f.push_back(static_cast<int>(s.taps) == taps ? 1.0f : 0.0f);
    return f;
  }

 private:
  /// Of one tile, on a core with two ports for vector arithmetic, two for loads and one for stores.
  struct TileCost {
    double multiply_adds = 0, loads = 0;                 // instructions
    double arithmetic = 0, load_store = 0, latency = 0;  // cycles, each as if it were the only bound
  };
  TileCost tile_cost(const DepthwiseSchedule& s) const {
    const int kernel = subgraph_.kernel, stride = subgraph_.stride, pixels = accumulators(s);
    const double native = ceil_div(s.vector, target_.vector_floats) * s.tile_vectors;
    const double columns = (s.tile_width - 1) * stride + kernel;
    const double rows = s.unroll_rows ? (s.tile_height - 1) * stride + kernel : s.tile_height * kernel;
    const double inputs = native * columns * rows;
    // A vector that crosses a line of the cache is loaded twice.
    const double lines = channels() % kLineFloats == 0 ? 1 : 1 + std::min(1.0, double(s.vector) / kLineFloats) / 2;
    TileCost cost;
    cost.multiply_adds = double(pixels) * kernel * kernel;
    cost.loads = inputs + native * kernel * kernel;
    const double checks = subgraph_.padding > 0 && s.padding == DepthwisePadding::checked ? inputs : 0;
    cost.arithmetic = (cost.multiply_adds + double(pixels) * activation_operations(subgraph_.activation) + checks) / 2;
    cost.load_store = cost.loads * lines / 2 + pixels * lines;
    cost.latency = kLatency * cost.multiply_adds / pixels;
    return cost;
  }
  /// Bytes of input that must stay in L1 for the kernel's rows to be read from L2 only once.
  double shared_lines(const DepthwiseSchedule& s) const {
    const int stride = subgraph_.stride, kernel = subgraph_.kernel;
    const double rows = (s.tile_height - 1) * stride + kernel;
    const double width = subgraph_.width + 2.0 * subgraph_.padding;
    const double tile_width = (s.tile_width - 1.0) * stride + kernel;
    switch (s.order) {
      case DepthwiseOrder::channels_rows_columns:
        return 4 * rows * width * s.tile();
      case DepthwiseOrder::rows_channels_columns:
      case DepthwiseOrder::rows_columns_channels:
        return 4 * rows * width * channels();
      case DepthwiseOrder::columns_rows_channels:
        return 4 * rows * tile_width * channels();
    }
    return 0;
  }
  /// Bytes of input that come into L1.
  double input_bytes(const DepthwiseSchedule& s, double set) const {
    double bytes = 4.0 * channels() * subgraph_.height * subgraph_.width;
    if (set > double(target_.l1_bytes)) bytes *= std::max(1.0, double(subgraph_.kernel) / subgraph_.stride);
    // Channel tiles one after the other read the lines between them twice.
    if (s.order == DepthwiseOrder::channels_rows_columns && channels() % kLineFloats != 0)
      bytes *= 1 + double(kLineFloats) / std::max(s.tile(), kLineFloats);
    return bytes;
  }
  int channels() const { return subgraph_.out_channels; }
  int accumulators(const DepthwiseSchedule& s) const {
    return ceil_div(s.vector, target_.vector_floats) * s.tile_vectors * s.tile_width * s.tile_height;
  }
  /// Of the tile in the code, where loops are split into edges and interior.
  int copies(const DepthwiseSchedule& s) const {
    int result = s.unroll_tiles ? ceil_div(subgraph_.out_height(), s.tile_height) : 1;
    if (has_columns_apart(s.padding)) result *= std::min(3, ceil_div(subgraph_.out_width(), s.tile_width));
    if (s.padding == DepthwisePadding::edges_apart)
      result *= std::min(3, ceil_div(subgraph_.out_height(), s.tile_height));
    return result;
  }
  int unrolled(const DepthwiseSchedule& s) const {
    return accumulators(s) * subgraph_.kernel * (s.unroll_rows ? subgraph_.kernel : 1);
  }

  Subgraph subgraph_;
  Target target_;
  std::vector<KnobSpec> specs_;
};

}  // namespace

std::unique_ptr<ProgramSpace> make_depthwise_space(const Subgraph& subgraph, const Target& target) {
  return std::make_unique<DepthwiseSpace>(subgraph, target);
}

}  // namespace sonar
