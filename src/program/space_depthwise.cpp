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
          .parallel = k[8] == 1};
}

namespace {

class DepthwiseSpace : public ProgramSpace {
 public:
  DepthwiseSpace(const Subgraph& subgraph, const Target& target) : subgraph_(subgraph), target_(target) {
    if (subgraph.in_channels != subgraph.out_channels)
      throw UserError(subgraph.key() + ": a depthwise convolution has as many output channels as input channels");
    const std::vector<int> vectors = inside_vectors(target, channels());
    specs_ = {
        {"vector", vectors},
        {"tile_vectors", up_to({1, 2, 3, 4}, channels() / vectors.front())},
        {"tile_width", up_to({1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16}, subgraph.out_width())},
        {"tile_height", up_to({1, 2, 3, 4}, subgraph.out_height())},
        {"unroll_rows", subgraph.kernel == 1 ? std::vector<int>{1} : std::vector<int>{0, 1}},
        {"padding", subgraph.padding == 0 ? std::vector<int>{0} : std::vector<int>{0, 1, 2, 3, 4, 5, 6, 7}},
        {"order", {0, 1, 2}},
        {"band", up_to({0, 1, 2, 4, 8, 16}, subgraph.out_height() - 1)},
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
    if (s.padding >= DepthwisePadding::inlined_columns_apart && unrolled(s) > kMaxUnrolledOfCopies)
      return "too many unrolled multiply-adds for copies of the loops";
    if (s.padding == DepthwisePadding::plane && s.order != DepthwiseOrder::channels_rows_columns)
      return "a channel's plane is padded only where channels are the outer loop";
    if (s.band != 0 && s.order != DepthwiseOrder::channels_rows_columns)
      return "a band does nothing where rows are the outer loop";
    if (s.band >= ceil_div(subgraph_.out_height(), s.tile_height))
      return "the band is no smaller than the number of tile rows";
    if (channels() == s.tile() && s.order != DepthwiseOrder::channels_rows_columns)
      return "a single channel tile leaves no order to choose";
    return "";
  }

  Knobs default_program() const override {
    Knobs knobs(specs_.size(), 0);
    knobs[0] = largest_up_to(specs_[0].values, target_.vector_floats);
    knobs[1] = 1;
    knobs[2] = largest_up_to(specs_[2].values, 4);
    for (int width : {8, 7, 6, 5})
      if (subgraph_.out_width() % width == 0 && knobs[2] == 4) knobs[2] = width;
    knobs[3] = 1;
    knobs[4] = subgraph_.kernel <= 3 ? 1 : 0;
    knobs[5] = static_cast<int>(DepthwisePadding::inlined);
    knobs[6] = static_cast<int>(DepthwiseOrder::channels_rows_columns);
    knobs[8] = specs_[8].values.back();
    if (const std::string why = why_illegal(knobs); !why.empty())
      throw InternalError("the default program of " + subgraph_.key() + " is illegal: " + why);
    return knobs;
  }

  std::vector<Argument> arguments(const Knobs&) const override {
    const Subgraph& s = subgraph_;
    const std::vector<int> output = {channels(), s.out_width(), s.out_height(), s.batch};
    // One block of all channels: a tile may then begin at any channel.
    std::vector<Argument> result = {
        {Argument::Role::input, {channels(), s.width, s.height, s.batch}},
        {Argument::Role::weight, {channels(), s.kernel, s.kernel, 1}, channels(), channels()},
        {Argument::Role::bias, {channels()}},
    };
    if (s.residual) result.push_back({Argument::Role::residual, output});
    result.push_back({Argument::Role::output, output});
    return result;
  }

  std::vector<float> features(const Knobs& knobs) const override {
    const DepthwiseSchedule s = decode_depthwise(knobs);
    std::vector<float> f = knob_features(knobs);
    const int stride = subgraph_.stride, kernel = subgraph_.kernel;
    const double tile_pixels = double(s.tile_width) * s.tile_height;
    const double tile_inputs = double((s.tile_width - 1) * stride + kernel) * ((s.tile_height - 1) * stride + kernel);
    const double computed = double(round_up(channels(), s.tile())) * round_up(subgraph_.out_width(), s.tile_width) *
                            round_up(subgraph_.out_height(), s.tile_height);
    const double useful = double(channels()) * subgraph_.out_width() * subgraph_.out_height();
    const double padded_row = double(subgraph_.width + 2 * subgraph_.padding) * 4;
    f.push_back(accumulators(s) / float(target_.registers));
    f.push_back(log2_of(unrolled(s)));
    f.push_back(float(tile_pixels * kernel * kernel / tile_inputs));  // multiply-adds per loaded input vector
    f.push_back(float(useful / computed));
    f.push_back(float(s.vector) / float(target_.vector_floats));
    f.push_back(log2_of(padded_row * s.tile() * (s.tile_height * stride + kernel) / double(target_.l1_bytes)));
    f.push_back(log2_of(padded_row * channels() * (s.tile_height * stride + kernel) / double(target_.l1_bytes)));
    f.push_back(log2_of(padded_row * s.tile() * subgraph_.height / double(target_.l1_bytes)));
    f.push_back(log2_of(padded_row * channels() * subgraph_.height / double(target_.l2_bytes)));
    for (int kind = 0; kind <= 7; ++kind) f.push_back(static_cast<int>(s.padding) == kind ? 1.0f : 0.0f);
    for (int order = 0; order <= 2; ++order) f.push_back(static_cast<int>(s.order) == order ? 1.0f : 0.0f);
    return f;
  }

 private:
  int channels() const { return subgraph_.out_channels; }
  int accumulators(const DepthwiseSchedule& s) const {
    return ceil_div(s.vector, target_.vector_floats) * s.tile_vectors * s.tile_width * s.tile_height;
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
