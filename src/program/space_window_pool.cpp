#include "program/space_window_pool.h"

#include <algorithm>

#include "model/error.h"
#include "program/knob_values.h"
#include "program/space_kinds.h"

namespace sonar {

WindowPoolSchedule decode_window_pool(const Knobs& k) {
  return {.vector = k[0],
          .tile_vectors = k[1],
          .tile_width = k[2],
          .unroll = k[3],
          .channels_outside = k[4] == 1,
          .parallel = k[5] == 1};
}

namespace {

class WindowPoolSpace : public ProgramSpace {
 public:
  WindowPoolSpace(const Subgraph& subgraph, const Target& target) : subgraph_(subgraph), target_(target) {
    if (subgraph.in_channels != subgraph.out_channels)
      throw UserError(subgraph.key() + ": pooling has as many output channels as input channels");
    if (subgraph.padding >= subgraph.kernel)
      throw UserError(subgraph.key() + ": the padding of a pooling is smaller than its kernel");
    const std::vector<int> vectors = inside_vectors(target, channels());
    specs_ = {
        {"vector", vectors},
        {"tile_vectors", up_to({1, 2, 3, 4, 6, 8}, channels() / vectors.front())},
        {"tile_width", up_to({1, 2, 3, 4, 5, 6, 7, 8}, subgraph.out_width())},
        {"unroll", {0, 1, 2}},
        {"channels_outside", {0, 1}},
        {"parallel", parallel_values(target)},
    };
  }

  const Subgraph& subgraph() const override { return subgraph_; }
  const std::vector<KnobSpec>& knobs() const override { return specs_; }

  std::string why_illegal(const Knobs& knobs) const override {
    if (std::string why = why_outside(specs_, knobs); !why.empty()) return why;
    const WindowPoolSchedule s = decode_window_pool(knobs);
    if (s.tile() > channels()) return "the tile has more channels than the input";
    if (accumulators(s) > target_.registers) return "the tile's accumulators exceed the vector registers";
    if (unrolled(s) > kMaxUnrolled && s.unroll > 0) return "too many unrolled operations";
    return "";
  }

  Knobs default_program() const override {
    Knobs knobs(specs_.size(), 0);
    knobs[0] = largest_up_to(specs_[0].values, target_.vector_floats);
    knobs[1] = 1;
    knobs[2] = largest_up_to(specs_[2].values, 4);
    knobs[3] = subgraph_.kernel <= 3 ? 2 : subgraph_.kernel <= 7 ? 1 : 0;
    knobs[5] = specs_[5].values.back();
    if (const std::string why = why_illegal(knobs); !why.empty())
      throw InternalError("the default program of " + subgraph_.key() + " is illegal: " + why);
    return knobs;
  }

  std::vector<Argument> arguments(const Knobs&) const override {
    const Subgraph& s = subgraph_;
    return {{Argument::Role::input, {channels(), s.width, s.height, s.batch}},
            {Argument::Role::output, {channels(), s.out_width(), s.out_height(), s.batch}}};
  }

  std::vector<float> features(const Knobs& knobs) const override {
    const WindowPoolSchedule s = decode_window_pool(knobs);
    std::vector<float> f = knob_features(knobs);
    f.push_back(accumulators(s) / float(target_.registers));
    f.push_back(log2_of(unrolled(s)));
    f.push_back(float(channels()) / float(round_up(channels(), s.tile())));
    f.push_back(float(subgraph_.out_width()) / float(round_up(subgraph_.out_width(), s.tile_width)));
    f.push_back(log2_of(4.0 * channels() * subgraph_.width * subgraph_.kernel / double(target_.l1_bytes)));
    f.push_back(log2_of(4.0 * s.tile() * subgraph_.width * subgraph_.kernel / double(target_.l1_bytes)));
    return f;
  }

 private:
  int channels() const { return subgraph_.in_channels; }
  int accumulators(const WindowPoolSchedule& s) const {
    return ceil_div(s.vector, target_.vector_floats) * s.tile_vectors * s.tile_width;
  }
  int unrolled(const WindowPoolSchedule& s) const {
    return accumulators(s) * (s.unroll >= 1 ? subgraph_.kernel : 1) * (s.unroll == 2 ? subgraph_.kernel : 1);
  }

  Subgraph subgraph_;
  Target target_;
  std::vector<KnobSpec> specs_;
};

}  // namespace

std::unique_ptr<ProgramSpace> make_window_pool_space(const Subgraph& subgraph, const Target& target) {
  return std::make_unique<WindowPoolSpace>(subgraph, target);
}

}  // namespace sonar
