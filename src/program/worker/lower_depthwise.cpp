#include "program/space_depthwise.h"
#include "program/worker/stages.h"

namespace sonar {

using namespace Halide;

Stage define_depthwise(const Subgraph& subgraph, const DepthwiseSchedule& s, const std::string& name,
                       const sonar::Argument& weight_argument, const sonar::Argument& bias_argument, Func input,
                       Expr residual) {
  Stage stage;
  ImageParam weight = stage.weight = dense_input(name + "weight", weight_argument.extents);
  ImageParam bias = stage.bias = dense_input(name + "bias", bias_argument.extents);

  Var c("c"), x("x"), y("y"), n("n");
  Func padded(name + "padded");
  const bool skipped = subgraph.padding > 0 && is_skipped(s.padding);
  if (subgraph.padding > 0) {
    Region inside = {{Expr(), Expr()}, {0, subgraph.width}, {0, subgraph.height}, {Expr(), Expr()}};
    if (skipped) inside[2] = {Expr(), Expr()};
    padded = BoundaryConditions::constant_exterior(input, 0.0f, inside);
  } else {
    padded(c, x, y, n) = input(c, x, y, n);
  }

  RDom r(0, subgraph.kernel, 0, subgraph.kernel, name + "r");
  Func sum(name + "sum"), output(name + "output");
  sum(c, x, y, n) = bias(c);
  const Expr row = y * subgraph.stride - subgraph.padding + r.y;
  if (skipped) r.where(row >= 0 && row < subgraph.height);
  const int block = weight_argument.extents[0];
  sum(c, x, y, n) +=
      weight(c % block, r.x, r.y, c / block) *
      padded(c, x * subgraph.stride - subgraph.padding + r.x, skipped ? clamp(row, 0, subgraph.height - 1) : row, n);
  output(c, x, y, n) = epilogue(subgraph, sum(c, x, y, n), residual);
  stage.padded = padded, stage.sum = sum, stage.output = output;
  return stage;
}

StageLoops schedule_depthwise(Stage& stage, const Subgraph& subgraph, const DepthwiseSchedule& s, const Bands& bands) {
  const int channels = subgraph.out_channels;
  Func output = stage.output, sum = stage.sum, padded = stage.padded;
  const std::vector<Var> args = output.args();
  const Var c = args[0], x = args[1], y = args[2], n = args[3];
  const RVar rx = sum.rvars()[0], ry = sum.rvars()[1];
  Var co("co"), ci("ci"), cv("cv"), xo("xo"), xi("xi"), yo("yo"), yi("yi"), band("band"), outer("outer");
  Var rows("rows");
  output.split(c, co, ci, s.tile(), inside_tail(channels, s.tile()))
      .split(ci, ci, cv, s.vector, TailStrategy::RoundUp)
      .split(x, xo, xi, s.tile_width, inside_tail(subgraph.out_width(), s.tile_width));
  if (bands.rows > 0) {
    output.split(y, rows, y, bands.rows, inside_tail(subgraph.out_height(), bands.rows))
        .split(y, yo, yi, s.tile_height, TailStrategy::RoundUp);
  } else {
    output.split(y, yo, yi, s.tile_height, inside_tail(subgraph.out_height(), s.tile_height));
  }
  if (s.band > 0) {
    output.split(yo, band, yo, s.band, TailStrategy::GuardWithIf);
  } else {
    output.split(n, n, band, 1, TailStrategy::RoundUp);  // a loop of one: every program has the same nest
  }
  std::vector<VarOrRVar> nest = {cv, ci, xi, yi};
  Var inner = xo;
  switch (s.order) {
    case DepthwiseOrder::channels_rows_columns:
      nest.insert(nest.end(), {xo, yo, co, band});
      break;
    case DepthwiseOrder::rows_channels_columns:
      nest.insert(nest.end(), {xo, co, yo, band});
      break;
    case DepthwiseOrder::rows_columns_channels:
      nest.insert(nest.end(), {co, xo, yo, band});
      inner = co;
      break;
    case DepthwiseOrder::columns_rows_channels:
      nest.insert(nest.end(), {co, yo, xo, band});
      inner = co;
      break;
  }
  if (bands.rows > 0 && bands.channels_outside) {
    nest = {cv, ci, xi, yi, xo, yo, band, rows, co};
  } else if (bands.rows > 0) {
    nest.push_back(rows);
  }
  nest.push_back(n);
  output.reorder(nest).vectorize(cv).unroll(ci).unroll(xi).unroll(yi);
  if (s.unroll_tiles) output.unroll(yo);
  output.never_partition({cv, ci, xi, yi, co, band, n});
  if (s.padding != DepthwisePadding::edges_apart) output.never_partition(yo);
  if (!has_columns_apart(s.padding)) output.never_partition(xo);

  StageLoops loops{.band = band, .channel_tile = co, .outside = n};
  Var row_tiles = yo;  // the loop over rows of tiles
  if (bands.rows > 0) {
    output.never_partition(rows);
    loops.band = rows;
    if (bands.channels_outside) loops.outside = co;
    if (s.parallel) {
      output.fuse(bands.channels_outside ? co : rows, n, outer).parallel(outer);
      (bands.channels_outside ? loops.channel_tile : loops.band) = loops.outside = outer;
    }
  } else if (s.parallel) {
    if (s.order == DepthwiseOrder::channels_rows_columns) {
      output.fuse(co, band, outer).fuse(outer, n, outer).parallel(outer);
      loops.channel_tile = outer;
    } else if (s.order == DepthwiseOrder::columns_rows_channels) {
      output.fuse(xo, band, outer).fuse(outer, n, outer).parallel(outer);
    } else {
      output.fuse(yo, band, outer).fuse(outer, n, outer).parallel(outer);
      row_tiles = outer;
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
  Halide::Stage update = sum.update();
  update.split(c, si, sv, s.vector, TailStrategy::RoundUp);
  switch (s.taps) {
    case DepthwiseTaps::pixels_inside:
      update.reorder(sv, si, x, y, rx, ry, n);
      break;
    case DepthwiseTaps::columns_inside:
      update.reorder(sv, rx, si, x, y, ry, n);
      break;
    case DepthwiseTaps::kernel_inside:
      update.reorder(sv, rx, ry, si, x, y, n);
      break;
  }
  update.vectorize(sv).unroll(si).unroll(x).unroll(y).unroll(rx);
  if (s.unroll_rows) update.unroll(ry);
  update.never_partition_all();

  if (subgraph.padding > 0 && is_copied(s.padding)) {
    padded.compute_at(output, s.padding == DepthwisePadding::row ? row_tiles : loops.channel_tile);
    padded.vectorize(padded.args()[0], s.vector,
                     channels % s.vector == 0 ? TailStrategy::RoundUp : TailStrategy::ShiftInwards);
  }
  return loops;
}

Lowered lower_depthwise(const ProgramSpace& space, const Knobs& knobs) {
  const Subgraph& subgraph = space.subgraph();
  const DepthwiseSchedule s = decode_depthwise(knobs);
  const std::vector<sonar::Argument> arguments = space.arguments(knobs);
  ImageParam input = dense_input("input", arguments[0].extents);
  Var c("c"), x("x"), y("y"), n("n");
  Lowered residuals;
  const Expr residual = residual_at(subgraph, arguments, {c, x, y, n}, residuals);
  Stage stage = define_depthwise(subgraph, s, "", arguments[1], arguments[2], input, residual);
  declare_dense(stage.output.output_buffer(), arguments.back().extents);
  schedule_depthwise(stage, subgraph, s);
  Lowered lowered{stage.output, {input, stage.weight, stage.bias}};
  lowered.arguments.insert(lowered.arguments.end(), residuals.arguments.begin(), residuals.arguments.end());
  return lowered;
}

}  // namespace sonar
