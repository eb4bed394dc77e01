#include "program/space_squeeze_excite.h"

#include <algorithm>

#include "model/error.h"
#include "program/knob_values.h"
#include "program/space_kinds.h"

namespace sonar {

SqueezeExciteSchedule decode_squeeze_excite(const Knobs& k) {
  return {.vector = k[0],
          .mean_vectors = k[1],
          .mean_sums = k[2],
          .mean_unroll = k[3],
          .squeeze_vector = k[4],
          .squeeze_vectors = k[5],
          .squeeze_sums = k[6],
          .excite_vectors = k[7],
          .excite_sums = k[8],
          .scale_vectors = k[9],
          .scale_pixels = k[10],
          .scale_channels_outside = k[11] == 1,
          .parallel = k[12] == 1};
}

namespace {

class SqueezeExciteSpace : public ProgramSpace {
 public:
  SqueezeExciteSpace(const Subgraph& subgraph, const Target& target) : subgraph_(subgraph), target_(target) {
    if (subgraph.squeeze < 1) throw UserError(subgraph.key() + ": squeeze must be at least 1");
    if (subgraph.in_channels != subgraph.out_channels)
      throw UserError(subgraph.key() + ": squeeze_excite has as many output channels as input channels");
    const std::vector<int> vectors = inside_vectors(target, channels());
    const std::vector<int> squeeze_vectors = padded_vectors(target, subgraph.squeeze);
    const int most = channels() / vectors.front();
    specs_ = {
        {"vector", vectors},
        {"mean_vectors", up_to({1, 2, 3, 4, 6, 8, 12, 16, 24, 30}, most)},
        {"mean_sums", divisors(pixels(), 4)},
        {"mean_unroll", divisors(pixels(), 8)},
        {"squeeze_vector", squeeze_vectors},
        {"squeeze_vectors", up_to({1, 2, 3, 4}, ceil_div(subgraph.squeeze, squeeze_vectors.front()))},
        {"squeeze_sums", divisors(channels(), 8)},
        {"excite_vectors", up_to({1, 2, 3, 4, 6, 8}, ceil_div(channels(), vectors.front()))},
        {"excite_sums", divisors(subgraph.squeeze, 4)},
        {"scale_vectors", up_to({1, 2, 3, 4, 6, 8}, most)},
        {"scale_pixels", up_to({1, 2, 4, 8}, pixels())},
        {"scale_channels_outside", {0, 1}},
        {"parallel", parallel_values(target)},
    };
  }

  const Subgraph& subgraph() const override { return subgraph_; }
  const std::vector<KnobSpec>& knobs() const override { return specs_; }

  std::string why_illegal(const Knobs& knobs) const override {
    if (std::string why = why_outside(specs_, knobs); !why.empty()) return why;
    const SqueezeExciteSchedule s = decode_squeeze_excite(knobs);
    if (s.mean_tile() > channels()) return "the mean's tile has more channels than the input";
    if (s.scale_tile() > channels()) return "the scaling's tile has more channels than the input";
    if (s.squeeze_tile() >= subgraph_.squeeze + s.squeeze_vector)
      return "the first layer's tile has whole vectors too many";
    if (s.excite_tile() >= channels() + s.vector) return "the second layer's tile has whole vectors too many";
    if (native(s.vector) * s.mean_vectors * s.mean_sums > target_.registers ||
        native(s.squeeze_vector) * s.squeeze_vectors * s.squeeze_sums > target_.registers ||
        native(s.vector) * s.excite_vectors * s.excite_sums > target_.registers ||
        native(s.vector) * s.scale_vectors * s.scale_pixels > target_.registers)
      return "a tile exceeds the vector registers";
    if ((pixels() / s.mean_sums) % s.mean_unroll != 0)
      return "the mean's unrolling does not divide the pixels of a partial sum";
    if (native(s.vector) * s.mean_vectors * s.mean_sums * s.mean_unroll > kMaxUnrolled)
      return "the mean has too many unrolled additions";
    return "";
  }

  Knobs default_program() const override {
    Knobs knobs(specs_.size(), 1);
    // Few channels fit whole vectors of half the width better than a shifted last one of the full width.
    knobs[0] = largest_up_to(specs_[0].values, target_.vector_floats);
    const int half = largest_up_to(specs_[0].values, target_.vector_floats / 2);
    if (channels() % knobs[0] != 0 && channels() % half == 0 && channels() < 16 * target_.vector_floats)
      knobs[0] = half;
    const int most = channels() / knobs[0];
    knobs[1] = least_wasteful(specs_[1].values, std::min(8, most), channels(), knobs[0]);
    // Sums of few vectors wait for one another.
    knobs[2] = largest_up_to(specs_[2].values, std::max(1, target_.registers / 2 / knobs[1]));
    knobs[3] = 1;
    const bool small = subgraph_.squeeze < 4 * target_.vector_floats;
    knobs[4] = largest_up_to(specs_[4].values, small ? target_.vector_floats / 2 : target_.vector_floats);
    if (small) knobs[5] = least_wasteful(specs_[5].values, 3, subgraph_.squeeze, knobs[4]);
    knobs[6] = largest_up_to(specs_[6].values, 4);
    knobs[7] = largest_up_to(specs_[7].values, std::min(4, most));
    knobs[9] = least_wasteful(specs_[9].values, std::min(4, most), channels(), knobs[0]);
    knobs[11] = 0;
    knobs[12] = specs_[12].values.back();
    if (const std::string why = why_illegal(knobs); !why.empty())
      throw InternalError("the default program of " + subgraph_.key() + " is illegal: " + why);
    return knobs;
  }

  std::vector<Argument> arguments(const Knobs& knobs) const override {
    const SqueezeExciteSchedule s = decode_squeeze_excite(knobs);
    const int tile1 = s.squeeze_tile(), tile2 = s.excite_tile();
    const int tiles1 = ceil_div(subgraph_.squeeze, tile1), tiles2 = ceil_div(channels(), tile2);
    return {
        {Argument::Role::input, {channels(), pixels(), subgraph_.batch}},
        {Argument::Role::weight, {tile1, channels(), tiles1}, tile1, subgraph_.squeeze},
        {Argument::Role::bias, {tile1, tiles1}, tile1, subgraph_.squeeze},
        {Argument::Role::weight, {tile2, subgraph_.squeeze, tiles2}, tile2, channels()},
        {Argument::Role::bias, {tile2, tiles2}, tile2, channels()},
        {Argument::Role::output, {channels(), pixels(), subgraph_.batch}},
    };
  }

  std::vector<float> features(const Knobs& knobs) const override {
    const SqueezeExciteSchedule s = decode_squeeze_excite(knobs);
    std::vector<float> f = knob_features(knobs);
    auto useful = [](int extent, int tile) { return float(extent) / float(round_up(extent, tile)); };
    f.push_back(useful(channels(), s.mean_tile()));
    f.push_back(useful(subgraph_.squeeze, s.squeeze_tile()));
    f.push_back(useful(channels(), s.excite_tile()));
    f.push_back(useful(channels(), s.scale_tile()));
    f.push_back(log2_of(native(s.squeeze_vector) * s.squeeze_vectors * s.squeeze_sums));
    f.push_back(log2_of(native(s.vector) * s.excite_vectors * s.excite_sums));
    f.push_back(log2_of(4.0 * channels() * pixels() / double(target_.l1_bytes)));
    f.push_back(log2_of(4.0 * channels() * pixels() / double(target_.l2_bytes)));
    return f;
  }

 private:
  int channels() const { return subgraph_.in_channels; }
  int pixels() const { return subgraph_.height * subgraph_.width; }
  int native(int vector) const { return ceil_div(vector, target_.vector_floats); }

  Subgraph subgraph_;
  Target target_;
  std::vector<KnobSpec> specs_;
};

}  // namespace

std::unique_ptr<ProgramSpace> make_squeeze_excite_space(const Subgraph& subgraph, const Target& target) {
  return std::make_unique<SqueezeExciteSpace>(subgraph, target);
}

}  // namespace sonar
