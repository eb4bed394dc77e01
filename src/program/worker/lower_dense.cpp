#include "program/space_dense.h"
#include "program/worker/lower.h"

namespace sonar {

using namespace Halide;

namespace {

Func finish(const Subgraph& subgraph, const std::vector<sonar::Argument>& arguments, Expr sum, const Var& o,
            const Var& b, Lowered& lowered) {
  Func output("output");
  const Expr residual = residual_at(subgraph, arguments, {o, b}, lowered);
  output(o, b) = epilogue(subgraph, sum, residual);
  declare_dense(output.output_buffer(), arguments.back().extents);
  return output;
}

/// Orders the loops over tiles and returns the innermost of them.
Var order_tiles(Func& output, const DenseSchedule& s, const Var& oo, const Var& bo,
                const std::vector<VarOrRVar>& tile) {
  Var both("both");
  std::vector<VarOrRVar> order = tile;
  const Var inner = s.batch_inside ? bo : oo, outer = s.batch_inside ? oo : bo;
  order.push_back(inner);
  order.push_back(outer);
  output.reorder(order);
  if (!s.parallel) return inner;
  output.fuse(inner, outer, both).parallel(both);
  return both;
}

Lowered along_outputs(const Subgraph& subgraph, const DenseSchedule& s, const std::vector<sonar::Argument>& arguments) {
  const int inputs = subgraph.in_channels, outputs = subgraph.out_channels, tile = s.tile();
  ImageParam input = dense_input("input", arguments[0].extents);
  ImageParam weight = dense_input("weight", arguments[1].extents);
  ImageParam bias = dense_input("bias", arguments[2].extents);

  Var o("o"), b("b"), t("t"), ot("ot"), part("part");
  RDom r(0, inputs / s.partial_sums, "r");
  Func sum("sum");
  sum(t, part, b, ot) = select(part == 0, bias(t, ot), 0.0f);
  sum(t, part, b, ot) += weight(t, r * s.partial_sums + part, ot) * input(r * s.partial_sums + part, b);
  Expr total = sum(o % tile, 0, b, o / tile);
  for (int i = 1; i < s.partial_sums; ++i) total += sum(o % tile, i, b, o / tile);

  Lowered lowered;
  lowered.arguments = {input, weight, bias};
  lowered.output = finish(subgraph, arguments, total, o, b, lowered);

  Var oo("oo"), oi("oi"), ov("ov"), bo("bo"), bi("bi");
  Func& output = lowered.output;
  output.split(o, oo, oi, tile, outputs % tile == 0 ? TailStrategy::RoundUp : TailStrategy::GuardWithIf)
      .split(oi, oi, ov, s.vector, TailStrategy::RoundUp)
      .split(b, bo, bi, s.tile_batch, inside_tail(subgraph.batch, s.tile_batch));
  const Var at = order_tiles(output, s, oo, bo, {ov, oi, bi});
  output.vectorize(ov).unroll(oi).unroll(bi).never_partition_all();

  Var ti("ti"), tv("tv");
  sum.bound_extent(ot, 1).store_in(MemoryType::Stack).compute_at(output, at);
  sum.split(t, ti, tv, s.vector, TailStrategy::RoundUp).reorder(tv, ti, part, b, ot);
  sum.vectorize(tv).unroll(ti).unroll(part).unroll(b);
  RVar ro("ro"), ri("ri");
  sum.update()
      .split(t, ti, tv, s.vector, TailStrategy::RoundUp)
      .split(r.x, ro, ri, s.unroll, TailStrategy::GuardWithIf)
      .reorder(tv, ti, b, part, ri, ro, ot)
      .vectorize(tv)
      .unroll(ti)
      .unroll(b)
      .unroll(part)
      .unroll(ri);
  return lowered;
}

Lowered along_inputs(const Subgraph& subgraph, const DenseSchedule& s, const std::vector<sonar::Argument>& arguments) {
  const int inputs = subgraph.in_channels, outputs = subgraph.out_channels;
  ImageParam input = dense_input("input", arguments[0].extents);
  ImageParam weight = dense_input("weight", arguments[1].extents);
  ImageParam bias = dense_input("bias", arguments[2].extents);

  Var o("o"), b("b"), lane("lane");
  RDom r(0, inputs / s.vector, "r"), lanes(0, s.vector, "lanes");
  Func partial("partial"), sum("sum");
  partial(lane, o, b) = 0.0f;
  partial(lane, o, b) += weight(r * s.vector + lane, o) * input(r * s.vector + lane, b);
  sum(o, b) = bias(o);
  sum(o, b) += partial(lanes, o, b);

  Lowered lowered;
  lowered.arguments = {input, weight, bias};
  lowered.output = finish(subgraph, arguments, sum(o, b), o, b, lowered);

  Var oo("oo"), oi("oi"), bo("bo"), bi("bi");
  Func& output = lowered.output;
  output.split(o, oo, oi, s.tile_outputs, inside_tail(outputs, s.tile_outputs))
      .split(b, bo, bi, s.tile_batch, inside_tail(subgraph.batch, s.tile_batch));
  const Var at = order_tiles(output, s, oo, bo, {oi, bi});
  output.unroll(oi).unroll(bi);
  sum.store_in(MemoryType::Stack).compute_at(output, at).unroll(o).unroll(b);
  sum.update().reorder(lanes, o, b).unroll(o).unroll(b).atomic().vectorize(lanes);
  partial.store_in(MemoryType::Stack).compute_at(output, at).vectorize(lane).unroll(o).unroll(b);
  RVar ro("ro"), ri("ri");
  partial.update()
      .split(r.x, ro, ri, s.unroll, TailStrategy::GuardWithIf)
      .reorder(lane, o, b, ri, ro)
      .vectorize(lane)
      .unroll(o)
      .unroll(b)
      .unroll(ri);
  return lowered;
}

}  // namespace

Lowered lower_dense(const ProgramSpace& space, const Knobs& knobs) {
  const DenseSchedule s = decode_dense(knobs);
  const std::vector<sonar::Argument> arguments = space.arguments(knobs);
  return s.along_inputs ? along_inputs(space.subgraph(), s, arguments) : along_outputs(space.subgraph(), s, arguments);
}

}  // namespace sonar
