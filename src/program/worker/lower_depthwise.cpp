#include "program/space_depthwise.h"
#include "program/worker/lower.h"

namespace sonar {

using namespace Halide;

Lowered lower_depthwise(const ProgramSpace& space, const Knobs& knobs) {
  const Subgraph& subgraph = space.subgraph();
  const DepthwiseSchedule s = decode_depthwise(knobs);
  const std::vector<sonar::Argument> arguments = space.arguments(knobs);
  const int channels = subgraph.out_channels;

  ImageParam input = dense_input("input", arguments[0].extents);
  ImageParam weight = dense_input("weight", arguments[1].extents);
  ImageParam bias = dense_input("bias", arguments[2].extents);

  Var c("c"), x("x"), y("y"), n("n");
  Func padded("padded");
  const bool skipped = subgraph.padding > 0 && is_skipped(s.padding);
  if (subgraph.padding > 0) {
    Region inside = {{Expr(), Expr()}, {0, subgraph.width}, {0, subgraph.height}, {Expr(), Expr()}};
    if (skipped) inside[2] = {Expr(), Expr()};
    padded = BoundaryConditions::constant_exterior(input, 0.0f, inside);
  } else {
    padded(c, x, y, n) = input(c, x, y, n);
  }

  RDom r(0, subgraph.kernel, 0, subgraph.kernel, "r");
  Func sum("sum");
  sum(c, x, y, n) = bias(c);
  const Expr row = y * subgraph.stride - subgraph.padding + r.y;
  if (skipped) r.where(row >= 0 && row < subgraph.height);
  const int block = arguments[1].extents[0];
  sum(c, x, y, n) +=
      weight(c % block, r.x, r.y, c / block) *
      padded(c, x * subgraph.stride - subgraph.padding + r.x, skipped ? clamp(row, 0, subgraph.height - 1) : row, n);

  Lowered lowered;
  lowered.arguments = {input, weight, bias};
  Func output("output");
  const Expr residual = residual_at(subgraph, arguments, {c, x, y, n}, lowered);
  output(c, x, y, n) = epilogue(subgraph, sum(c, x, y, n), residual);
  declare_dense(output.output_buffer(), arguments.back().extents);

  Var co("co"), ci("ci"), cv("cv"), xo("xo"), xi("xi"), yo("yo"), yi("yi"), band("band"), outer("outer");
  output.split(c, co, ci, s.tile(), inside_tail(channels, s.tile()))
      .split(ci, ci, cv, s.vector, TailStrategy::RoundUp)
      .split(x, xo, xi, s.tile_width, inside_tail(subgraph.out_width(), s.tile_width))
      .split(y, yo, yi, s.tile_height, inside_tail(subgraph.out_height(), s.tile_height));
  if (s.band > 0) {
    output.split(yo, band, yo, s.band, TailStrategy::GuardWithIf);
  } else {
    output.split(n, n, band, 1, TailStrategy::RoundUp);  // a loop of one: every program has the same nest
  }
  Var inner = xo;
  switch (s.order) {
    case DepthwiseOrder::channels_rows_columns:
      output.reorder(cv, ci, xi, yi, xo, yo, co, band, n);
      break;
    case DepthwiseOrder::rows_channels_columns:
      output.reorder(cv, ci, xi, yi, xo, co, yo, band, n);
      break;
    case DepthwiseOrder::rows_columns_channels:
      output.reorder(cv, ci, xi, yi, co, xo, yo, band, n);
      inner = co;
      break;
    case DepthwiseOrder::columns_rows_channels:
      output.reorder(cv, ci, xi, yi, co, yo, xo, band, n);
      inner = co;
      break;
  }
  output.vectorize(cv).unroll(ci).unroll(xi).unroll(yi);
  if (s.unroll_tiles) output.unroll(yo);
  output.never_partition({cv, ci, xi, yi, co, band, n});
  if (s.padding != DepthwisePadding::edges_apart) output.never_partition(yo);
  if (!has_columns_apart(s.padding)) output.never_partition(xo);

  Var rows = yo, channel_tile = co;  // the loops that are over rows of tiles and over channel tiles
  if (s.parallel) {
    if (s.order == DepthwiseOrder::channels_rows_columns) {
      output.fuse(co, band, outer).fuse(outer, n, outer).parallel(outer);
      channel_tile = outer;
    } else if (s.order == DepthwiseOrder::columns_rows_channels) {
      output.fuse(xo, band, outer).fuse(outer, n, outer).parallel(outer);
    } else {
      output.fuse(yo, band, outer).fuse(outer, n, outer).parallel(outer);
      rows = outer;
    }
  }

  sum.store_in(MemoryType::Stack).compute_at(output, inner);
  Var si("si"), sv("sv");
  sum.split(c, si, sv, s.vector, TailStrategy::RoundUp)
      .reorder(sv, si, x, y, n)
      .vectorize(sv)
      .unroll(si)
      .unroll(x)
      .unroll(y);
  Stage update = sum.update();
  update.split(c, si, sv, s.vector, TailStrategy::RoundUp);
  switch (s.taps) {
    case DepthwiseTaps::pixels_inside:
      update.reorder(sv, si, x, y, r.x, r.y, n);
      break;
    case DepthwiseTaps::columns_inside:
      update.reorder(sv, r.x, si, x, y, r.y, n);
      break;
    case DepthwiseTaps::kernel_inside:
      update.reorder(sv, r.x, r.y, si, x, y, n);
      break;
  }
  update.vectorize(sv).unroll(si).unroll(x).unroll(y).unroll(r.x);
  if (s.unroll_rows) update.unroll(r.y);
  update.never_partition_all();

  if (subgraph.padding > 0 && is_copied(s.padding)) {
    padded.compute_at(output, s.padding == DepthwisePadding::row ? rows : channel_tile);
    const std::vector<Var> args = padded.args();
    padded.vectorize(args[0], s.vector, channels % s.vector == 0 ? TailStrategy::RoundUp : TailStrategy::ShiftInwards);
  }
  lowered.output = output;
  return lowered;
}

}  // namespace sonar
