#include "program/space_dense.h"

#include <algorithm>

#include "model/error.h"
#include "program/knob_values.h"
#include "program/space_kinds.h"

namespace sonar {

DenseSchedule decode_dense(const Knobs& k) {
  return {.along_inputs = k[0] == 1,
          .vector = k[1],
          .tile_outputs = k[2],
          .tile_batch = k[3],
          .partial_sums = k[4],
          .unroll = k[5],
          .batch_inside = k[6] == 1,
          .parallel = k[7] == 1,
          .streams = k[8] == 1};
}

namespace {

class DenseSpace : public ProgramSpace {
 public:
  DenseSpace(const Subgraph& subgraph, const Target& target) : subgraph_(subgraph), target_(target) {
    if (subgraph.height != 1 || subgraph.width != 1 || subgraph.kernel != 1 || subgraph.stride != 1 ||
        subgraph.padding != 0)
      throw UserError(subgraph.key() + ": a dense layer has height, width, kernel and stride 1 and no padding");
    const std::vector<int> vectors = padded_vectors(target, outputs());
    const bool divisible = std::any_of(vectors.begin(), vectors.end(), [&](int v) { return inputs() % v == 0; });
    specs_ = {
        {"along_inputs", divisible ? std::vector<int>{0, 1} : std::vector<int>{0}},
        {"vector", vectors},
        {"tile_outputs", up_to({1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 16}, outputs())},
        {"tile_batch", up_to({1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28}, subgraph.batch)},
        {"partial_sums", divisors(inputs(), 8)},
        {"unroll", divisors(inputs(), 16)},
        {"batch_inside", subgraph.batch == 1 ? std::vector<int>{0} : std::vector<int>{0, 1}},
        {"parallel", parallel_values(target)},
        {"streams", {0, 1}},
    };
  }

  const Subgraph& subgraph() const override { return subgraph_; }
  const std::vector<KnobSpec>& knobs() const override { return specs_; }

  std::string why_illegal(const Knobs& knobs) const override {
    if (std::string why = why_outside(specs_, knobs); !why.empty()) return why;
    const DenseSchedule s = decode_dense(knobs);
    if (s.along_inputs) {
      if (inputs() % s.vector != 0) return "the vector does not divide the inputs";
      if (s.tile_outputs > outputs()) return "the tile has more outputs than the layer";
      if (s.partial_sums != 1) return "lanes along the inputs are partial sums already";
    } else if (s.tile() >= outputs() + s.vector) {
      return "the tile has whole vectors beyond the last output";
    }
    if (s.streams && (s.along_inputs || s.tile_outputs == 1)) return "a single vector of outputs is one stream";
    if (s.streams && outputs() % s.tile() != 0) return "streams need tiles that divide the outputs";
    if (reduction(s) % s.unroll != 0) return "the unrolling does not divide the inputs of a partial sum";
    if (accumulators(s) > target_.registers) return "the tile's accumulators exceed the vector registers";
    if (accumulators(s) * s.unroll > kMaxUnrolled) return "too many unrolled multiply-adds";
    return "";
  }

  void settle(Knobs& knobs) const override {
    if (knobs[0] == 1) knobs[4] = 1, knobs[8] = 0;
  }

  Knobs default_program() const override {
    Knobs knobs(specs_.size(), 0);
    knobs[1] = largest_up_to(specs_[1].values, target_.vector_floats);
    knobs[2] = largest_up_to(specs_[2].values, std::min(subgraph_.batch == 1 ? 4 : 2, ceil_div(outputs(), knobs[1])));
    if (subgraph_.batch == 1) {
      // A single input takes every weight once, from far away: several streams come faster than one, and of half
      // vectors where whole ones are split.
      const int vector = largest_up_to(specs_[1].values, target_.vector_floats / (target_.native_units == 1 ? 2 : 1));
      for (int vectors : {3, 5, 4})
        if (outputs() % (vector * vectors) == 0) knobs[1] = vector, knobs[2] = vectors, knobs[8] = 1;
    }
    // As many accumulators as leave registers for the weights; alone an input is bound by the weights' way from memory.
    knobs[3] = largest_up_to(specs_[3].values, std::max(1, target_.registers / 2 / knobs[2]));
    knobs[6] = specs_[6].values.back();  // weights come from memory once
    knobs[4] = 1;
    knobs[5] = largest_up_to(specs_[5].values, 4);
    knobs[7] = specs_[7].values.back();
    if (const std::string why = why_illegal(knobs); !why.empty())
      throw InternalError("the default program of " + subgraph_.key() + " is illegal: " + why);
    return knobs;
  }

  std::vector<Argument> arguments(const Knobs& knobs) const override {
    const DenseSchedule s = decode_dense(knobs);
    std::vector<Argument> result = {{Argument::Role::input, {inputs(), subgraph_.batch}}};
    if (s.along_inputs) {
      result.push_back({Argument::Role::weight, {inputs(), outputs()}});
      result.push_back({Argument::Role::bias, {outputs()}});
    } else {
      const int block = s.streams ? s.vector : s.tile(), blocks = ceil_div(outputs(), block);
      result.push_back({Argument::Role::weight, {block, inputs(), blocks}, block, outputs()});
      result.push_back({Argument::Role::bias, {block, blocks}, block, outputs()});
    }
    const int parts = s.streams ? s.tile_outputs : 1;  // of the outputs, one for each stream
    const std::vector<int> output = {outputs() / parts, parts, subgraph_.batch};
    if (subgraph_.residual) result.push_back({Argument::Role::residual, output});
    result.push_back({Argument::Role::output, output});
    return result;
  }

  std::vector<float> features(const Knobs& knobs) const override {
    const DenseSchedule s = decode_dense(knobs);
    std::vector<float> f = knob_features(knobs);
    const double passes = s.batch_inside ? 1 : ceil_div(subgraph_.batch, s.tile_batch);  // over the weights
    const double in_l2 = subgraph_.weight_bytes() <= 0.7 * target_.l2_bytes ? passes - 1 : 0;
    const double memory = subgraph_.weight_bytes() * ((passes - in_l2) / 8 + in_l2 / 32);
    const double vectors = double(s.tile_outputs) * ceil_div(s.vector, target_.vector_floats);
    const double step = std::max({accumulators(s) / 2.0, 4.0, (vectors * s.partial_sums + s.tile_batch) / 2.0});
    const double arithmetic =
        double(ceil_div(outputs(), s.tile())) * ceil_div(subgraph_.batch, s.tile_batch) * (reduction(s) * step + 20);
    f.push_back(log2_of(std::max(arithmetic, memory)));  // cycles by a roofline
    f.push_back(log2_of(arithmetic));
    f.push_back(log2_of(memory));
    f.push_back(log2_of(passes));
    f.push_back(accumulators(s) / float(target_.registers));
    f.push_back(log2_of(accumulators(s) * s.unroll));
    f.push_back(float(outputs()) / float(round_up(outputs(), s.tile())));
    f.push_back(float(s.vector) / float(target_.vector_floats));
    f.push_back(log2_of(4.0 * s.tile() * inputs() / double(target_.l1_bytes)));
    f.push_back(log2_of(subgraph_.weight_bytes() / double(target_.l2_bytes)));
    return f;
  }

 private:
  int inputs() const { return subgraph_.in_channels; }
  int outputs() const { return subgraph_.out_channels; }
  int reduction(const DenseSchedule& s) const { return inputs() / (s.along_inputs ? s.vector : s.partial_sums); }
  int accumulators(const DenseSchedule& s) const {
    return ceil_div(s.vector, target_.vector_floats) * s.tile_outputs * s.tile_batch * s.partial_sums;
  }

  Subgraph subgraph_;
  Target target_;
  std::vector<KnobSpec> specs_;
};

}  // namespace

std::unique_ptr<ProgramSpace> make_dense_space(const Subgraph& subgraph, const Target& target) {
  return std::make_unique<DenseSpace>(subgraph, target);
}

}  // namespace sonar
