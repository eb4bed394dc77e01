#include "program/space_elementwise.h"
#include "program/worker/lower.h"

namespace sonar {

using namespace Halide;

namespace {

/// Tiles, orders and parallelises the loops over `lines` and `planes`; the loops along a line are `outer` (over
/// tiles), `inner` (over vectors) and `lane`.
template <class Loops, class Along>
void order_loops(Loops& loops, const ElementwiseSchedule& s, const Along& outer, const Along& inner, const Along& lane,
                 const Var& lines, const Var& planes, TailStrategy tail) {
  Var lo("lo"), li("li"), both("both");
  loops.split(lines, lo, li, s.tile_lines, tail);
  if (s.lines_inside) {
    loops.reorder(lane, inner, li, lo, outer, planes);
  } else {
    loops.reorder(lane, inner, li, outer, lo, planes);
  }
  loops.vectorize(lane).unroll(inner).unroll(li);
  // With the lines innermost the threads share planes only: a loop along the line may be one of a reduction.
  if (s.parallel && s.lines_inside) loops.parallel(planes);
  if (s.parallel && !s.lines_inside) loops.fuse(lo, planes, both).parallel(both);
}

/// The operands of a concat are written by one update each: a choice between them at every float would keep the vectors
/// from being loaded whole.
Func concat(const Subgraph& subgraph, const ElementwiseSchedule& s, const std::vector<ImageParam>& operands) {
  Var c("c"), p("p"), q("q");
  Func output("output");
  output(c, p, q) = undef<float>();
  int first = 0;
  for (size_t i = 0; i < operands.size(); ++i) {
    const int channels = i == 0 ? subgraph.in_channels : subgraph.out_channels - subgraph.in_channels;
    RDom r(0, channels, "r" + std::to_string(i));
    output(first + r, p, q) = operands[i](r, p, q);
    first += channels;
    RVar ro("ro"), ri("ri"), rv("rv");
    Stage update = output.update(static_cast<int>(i));
    update.split(r.x, ro, ri, s.tile(), TailStrategy::GuardWithIf)
        .split(ri, ri, rv, s.vector, TailStrategy::GuardWithIf);
    order_loops(update, s, ro, ri, rv, p, q, TailStrategy::GuardWithIf);
  }
  return output;
}

}  // namespace

Lowered lower_elementwise(const ProgramSpace& space, const Knobs& knobs) {
  const Subgraph& subgraph = space.subgraph();
  const ElementwiseSchedule s = decode_elementwise(knobs);
  const ElementwiseShape shape = elementwise_shape(subgraph);
  const std::vector<sonar::Argument> arguments = space.arguments(knobs);
  std::vector<ImageParam> operands = {dense_input("input", arguments[0].extents)};
  if (subgraph.has_second_input()) operands.push_back(dense_input("residual", arguments[1].extents));

  Lowered lowered;
  lowered.arguments.assign(operands.begin(), operands.end());
  Func output("output");
  if (subgraph.kind == SubgraphKind::concat) {
    output = concat(subgraph, s, operands);
  } else {
    Var c("c"), p("p"), q("q"), co("co"), ci("ci"), cv("cv");
    Expr value;
    switch (subgraph.kind) {
      case SubgraphKind::add:
        value = operands[0](c, p, q) + operands[1](c, p, q);
        break;
      case SubgraphKind::multiply:
        value = operands[0](c, p, q) * operands[1](c, p, q);
        break;
      case SubgraphKind::scale:
        value = operands[0](c, p, q) * operands[1](c, q);
        break;
      case SubgraphKind::resize:
        value = operands[0](c, p / subgraph.stride, q / subgraph.stride);
        break;
      default:
        value = operands[0](c, p, q);
        break;
    }
    output(c, p, q) = activate(subgraph.activation, value);
    output.split(c, co, ci, s.tile(), inside_tail(shape.floats, s.tile()))
        .split(ci, ci, cv, s.vector, TailStrategy::RoundUp);
    order_loops(output, s, co, ci, cv, p, q, inside_tail(shape.lines, s.tile_lines));
  }
  declare_dense(output.output_buffer(), arguments.back().extents);
  lowered.output = output;
  return lowered;
}

}  // namespace sonar
