#include "program/space_elementwise.h"

#include <algorithm>

#include "model/error.h"
#include "program/knob_values.h"
#include "program/space_kinds.h"

namespace sonar {

ElementwiseShape elementwise_shape(const Subgraph& s) {
  switch (s.kind) {
    case SubgraphKind::scale:
      return {s.in_channels, s.height * s.width, s.batch};
    case SubgraphKind::concat:
      return {s.out_channels, s.batch * s.height * s.width, 1};
    case SubgraphKind::resize:
      return {s.in_channels, s.out_width(), s.batch * s.out_height()};
    default:
      return {s.width * s.in_channels, s.batch * s.height, 1};
  }
}

ElementwiseSchedule decode_elementwise(const Knobs& k) {
  return {.vector = k[0], .tile_vectors = k[1], .tile_lines = k[2], .lines_inside = k[3] == 1, .parallel = k[4] == 1};
}

namespace {

class ElementwiseSpace : public ProgramSpace {
 public:
  ElementwiseSpace(const Subgraph& subgraph, const Target& target)
      : subgraph_(subgraph), target_(target), shape_(elementwise_shape(subgraph)) {
    if (subgraph.kernel != 1 || subgraph.padding != 0)
      throw UserError(subgraph.key() + ": has kernel 1 and no padding");
    const std::vector<int> vectors = inside_vectors(target, line());
    specs_ = {
        {"vector", vectors},
        {"tile_vectors", up_to({1, 2, 3, 4, 6, 8}, line() / vectors.front())},
        {"tile_lines", up_to({1, 2, 4, 8}, shape_.lines)},
        {"lines_inside", {0, 1}},
        {"parallel", parallel_values(target)},
    };
  }

  const Subgraph& subgraph() const override { return subgraph_; }
  const std::vector<KnobSpec>& knobs() const override { return specs_; }

  std::string why_illegal(const Knobs& knobs) const override {
    if (std::string why = why_outside(specs_, knobs); !why.empty()) return why;
    const ElementwiseSchedule s = decode_elementwise(knobs);
    if (s.tile() > line()) return "the tile is longer than a line";
    if (values(s) > target_.registers) return "the tile exceeds the vector registers";
    return "";
  }

  Knobs default_program() const override {
    Knobs knobs(specs_.size(), 0);
    knobs[0] = largest_up_to(specs_[0].values, target_.vector_floats);
    knobs[1] = largest_up_to(specs_[1].values, std::min(4, line() / knobs[0]));
    knobs[2] = 1;
    knobs[4] = specs_[4].values.back();
    if (const std::string why = why_illegal(knobs); !why.empty())
      throw InternalError("the default program of " + subgraph_.key() + " is illegal: " + why);
    return knobs;
  }

  std::vector<Argument> arguments(const Knobs&) const override {
    const Subgraph& s = subgraph_;
    const std::vector<int> whole = {shape_.floats, shape_.lines, shape_.planes};
    switch (s.kind) {
      case SubgraphKind::scale:
        return {{Argument::Role::input, whole},
                {Argument::Role::residual, {shape_.floats, shape_.planes}},
                {Argument::Role::output, whole}};
      case SubgraphKind::concat:
        return {{Argument::Role::input, {s.in_channels, shape_.lines, shape_.planes}},
                {Argument::Role::residual, {s.out_channels - s.in_channels, shape_.lines, shape_.planes}},
                {Argument::Role::output, whole}};
      case SubgraphKind::resize:
        return {{Argument::Role::input, {s.in_channels, s.width, s.batch * s.height}}, {Argument::Role::output, whole}};
      case SubgraphKind::activate:
        return {{Argument::Role::input, whole}, {Argument::Role::output, whole}};
      default:
        return {{Argument::Role::input, whole}, {Argument::Role::residual, whole}, {Argument::Role::output, whole}};
    }
  }

  std::vector<float> features(const Knobs& knobs) const override {
    const ElementwiseSchedule s = decode_elementwise(knobs);
    std::vector<float> f = knob_features(knobs);
    const double bytes = 4.0 * shape_.floats * shape_.lines * shape_.planes;
    f.push_back(values(s) / float(target_.registers));
    f.push_back(float(line()) / float(round_up(line(), s.tile())));
    f.push_back(float(shape_.lines) / float(round_up(shape_.lines, s.tile_lines)));
    f.push_back(log2_of(bytes / double(target_.l1_bytes)));
    f.push_back(log2_of(bytes / double(target_.l2_bytes)));
    return f;
  }

 private:
  /// Floats that a tile must fit in: of a concat, those of its narrower operand.
  int line() const {
    if (subgraph_.kind != SubgraphKind::concat) return shape_.floats;
    return std::min(subgraph_.in_channels, subgraph_.out_channels - subgraph_.in_channels);
  }
  int values(const ElementwiseSchedule& s) const {
    return ceil_div(s.vector, target_.vector_floats) * s.tile_vectors * s.tile_lines;
  }

  Subgraph subgraph_;
  Target target_;
  ElementwiseShape shape_;
  std::vector<KnobSpec> specs_;
};

}  // namespace

std::unique_ptr<ProgramSpace> make_elementwise_space(const Subgraph& subgraph, const Target& target) {
  return std::make_unique<ElementwiseSpace>(subgraph, target);
}

}  // namespace sonar
