#include "program/space_dense.h"
#include "program/worker/lower.h"

namespace sonar {

using namespace Halide;

namespace {

/// p: part of the outputs that one stream of weights belongs to.
Func finish(const Subgraph& subgraph, const std::vector<sonar::Argument>& arguments, Expr sum, const Var& o,
            const Var& p, const Var& b, Lowered& lowered) {
  Func output("output");
  const Expr residual = residual_at(subgraph, arguments, {o, p, b}, lowered);
  output(o, p, b) = epilogue(subgraph, sum, residual);
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
  const int inputs = subgraph.in_channels, outputs = subgraph.out_channels;
  // Of a part of the outputs: so many are of one tile.
  const int of_tile = s.streams ? s.vector : s.tile(), part_blocks = arguments.back().extents[0] / of_tile;
  ImageParam input = dense_input("input", arguments[0].extents);
  ImageParam weight = dense_input("weight", arguments[1].extents);
  ImageParam bias = dense_input("bias", arguments[2].extents);

  Var o("o"), p("p"), b("b"), t("t"), ot("ot"), part("part");
  RDom r(0, inputs / s.partial_sums, "r");
  const Expr in_block = s.streams ? t % s.vector : Expr(t);
  const Expr block = s.streams ? t / s.vector * part_blocks + ot : Expr(ot);
  Func sum("sum");
  sum(t, part, b, ot) = select(part == 0, bias(in_block, block), 0.0f);
  sum(t, part, b, ot) += weight(in_block, r * s.partial_sums + part, block) * input(r * s.partial_sums + part, b);
  const auto sum_at = [&](int i) { return sum(p * of_tile + o % of_tile, i, b, o / of_tile); };
  Expr total = sum_at(0);
  for (int i = 1; i < s.partial_sums; ++i) total += sum_at(i);

  Lowered lowered;
  lowered.arguments = {input, weight, bias};
  lowered.output = finish(subgraph, arguments, total, o, p, b, lowered);

  Var oo("oo"), oi("oi"), ov("ov"), bo("bo"), bi("bi");
  Func& output = lowered.output;
  output.split(o, oo, oi, of_tile, outputs % of_tile == 0 ? TailStrategy::RoundUp : TailStrategy::GuardWithIf)
      .split(oi, oi, ov, s.vector, TailStrategy::RoundUp)
      .split(b, bo, bi, s.tile_batch, inside_tail(subgraph.batch, s.tile_batch));
  const Var at = order_tiles(output, s, oo, bo, {ov, oi, p, bi});
  output.vectorize(ov).unroll(oi).unroll(p).unroll(bi).never_partition_all();

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

  Var o("o"), p("p"), b("b"), lane("lane");
  RDom r(0, inputs / s.vector, "r"), lanes(0, s.vector, "lanes");
  Func partial("partial"), sum("sum");
  partial(lane, o, b) = 0.0f;
  partial(lane, o, b) += weight(r * s.vector + lane, o) * input(r * s.vector + lane, b);
  sum(o, b) = bias(o);
  sum(o, b) += partial(lanes, o, b);

  Lowered lowered;
  lowered.arguments = {input, weight, bias};
  lowered.output = finish(subgraph, arguments, sum(o, b), o, p, b, lowered);

  Var oo("oo"), oi("oi"), bo("bo"), bi("bi");
  Func& output = lowered.output;
  output.split(o, oo, oi, s.tile_outputs, inside_tail(outputs, s.tile_outputs))
      .split(b, bo, bi, s.tile_batch, inside_tail(subgraph.batch, s.tile_batch));
  const Var at = order_tiles(output, s, oo, bo, {oi, p, bi});
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
