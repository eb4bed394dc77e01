#include "program/space_pool.h"

#include <algorithm>

#include "program/knob_values.h"
#include "program/space_kinds.h"

namespace sonar {

PoolSchedule decode_pool(const Knobs& k) {
  return {.vector = k[0], .tile_vectors = k[1], .partial_sums = k[2], .unroll = k[3], .parallel = k[4] == 1};
}

namespace {

class PoolSpace : public ProgramSpace {
 public:
  PoolSpace(const Subgraph& subgraph, const Target& target) : subgraph_(subgraph), target_(target) {
    const std::vector<int> vectors = inside_vectors(target, channels());
    specs_ = {
        {"vector", vectors},
        {"tile_vectors", up_to({1, 2, 3, 4, 6, 8, 12, 16, 24, 30}, channels() / vectors.front())},
        {"partial_sums", divisors(pixels(), 8)},
        {"unroll", divisors(pixels(), 28)},
        {"parallel", parallel_values(target)},
    };
  }

  const Subgraph& subgraph() const override { return subgraph_; }
  const std::vector<KnobSpec>& knobs() const override { return specs_; }

  std::string why_illegal(const Knobs& knobs) const override {
    if (std::string why = why_outside(specs_, knobs); !why.empty()) return why;
    const PoolSchedule s = decode_pool(knobs);
    if (s.tile() > channels()) return "the tile has more channels than the input";
    if (registers(s) > target_.registers) return "the tile's partial sums exceed the vector registers";
    if ((pixels() / s.partial_sums) % s.unroll != 0) return "the unrolling does not divide the pixels of a partial sum";
    return "";
  }

  Knobs default_program() const override {
    const int vector = largest_up_to(specs_[0].values, target_.vector_floats);
    const int tile_vectors = least_wasteful(specs_[1].values, std::min(8, channels() / vector), channels(), vector);
    // Sums of few vectors wait for one another.
    const int sums = largest_up_to(specs_[2].values, std::max(1, target_.registers / 2 / tile_vectors));
    return {vector, tile_vectors, sums, 1, specs_[4].values.back()};
  }

  std::vector<Argument> arguments(const Knobs&) const override {
    return {{Argument::Role::input, {channels(), pixels(), subgraph_.batch}},
            {Argument::Role::output, {channels(), subgraph_.batch}}};
  }

  std::vector<float> features(const Knobs& knobs) const override {
    const PoolSchedule s = decode_pool(knobs);
    std::vector<float> f = knob_features(knobs);
    f.push_back(registers(s) / float(target_.registers));
    f.push_back(log2_of(registers(s) * s.unroll));
    f.push_back(float(channels()) / float(round_up(channels(), s.tile())));
    f.push_back(log2_of(4.0 * channels() * pixels() / double(target_.l1_bytes)));
    return f;
  }

 private:
  int channels() const { return subgraph_.in_channels; }
  int pixels() const { return subgraph_.height * subgraph_.width; }
  int registers(const PoolSchedule& s) const {
    return ceil_div(s.vector, target_.vector_floats) * s.tile_vectors * s.partial_sums;
  }

  Subgraph subgraph_;
  Target target_;
  std::vector<KnobSpec> specs_;
};

}  // namespace

std::unique_ptr<ProgramSpace> make_pool_space(const Subgraph& subgraph, const Target& target) {
  return std::make_unique<PoolSpace>(subgraph, target);
}

}  // namespace sonar
