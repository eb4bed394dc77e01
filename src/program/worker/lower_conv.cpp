#include "program/knob_values.h"
#include "program/space_conv.h"
#include "program/worker/stages.h"

namespace sonar {

using namespace Halide;

Stage define_conv(const Subgraph& subgraph, const ConvShape& shape, const ConvSchedule& s, const std::string& name,
                  const sonar::Argument& weight_argument, const sonar::Argument& bias_argument, const TapReader& read,
                  Expr residual) {
  const int tile = s.tile(), block = s.block(), lanes = s.lane_taps;
  Stage stage;
  ImageParam weight = stage.weight = dense_input(name + "weight", weight_argument.extents);
  ImageParam bias = stage.bias = dense_input(name + "bias", bias_argument.extents);

  // t: channel of the tile; ct: tile. Separate axes keep every index of a tile free of div and mod. l: taps side by
  // side in a vector, which are partial sums until the end: narrow channel counts fill the lanes that way.
  Var c("c"), x("x"), y("y"), n("n"), l("l"), t("t"), ct("ct");
  RDom r(0, ceil_div(shape.taps, lanes), 0, shape.kernel, name + "r");
  if (s.kernel_rows == ConvKernelRows::outer_inside) {
    const Expr row = y * shape.row_step - shape.pad_rows + r.y;
    r.where(row >= 0 && row < shape.in_height);
  }
  const Expr in_block = s.block_is_tile ? Expr(t) : t % block;
  const Expr block_index = s.block_is_tile ? Expr(ct) : ct * (tile / block) + t / block;
  Func sum(name + "sum"), total(name + "total"), output(name + "output");
  sum(l, t, x, y, n, ct) = lanes == 1 ? bias(in_block, block_index) : Expr(0.0f);
  sum(l, t, x, y, n, ct) += weight(in_block * lanes + l, r.x, r.y, block_index) * read(r.x * lanes + l, r.y, x, y, n);
  Expr value = sum(0, t, x, y, n, ct);
  if (lanes > 1) {
    // In this order, and strictly: LLVM would add neighbouring lanes first, by instructions that reach but half of the
    // vector registers and so push the accumulators of the inner loop out of the other half.
    value += bias(in_block, block_index);
    for (int lane = 1; lane < lanes; ++lane) value += sum(lane, t, x, y, n, ct);
    value = strict_float(value);
  }
  total(t, x, y, n, ct) = value;
  output(c, x, y, n) = epilogue(subgraph, total(c % tile, x, y, n, c / tile), residual);
  stage.sum = sum, stage.total = total, stage.output = output;
  return stage;
}

StageLoops schedule_conv(Stage& stage, const Subgraph& subgraph, const ConvShape& shape, const ConvSchedule& s,
                         const Bands& bands) {
  const int tile = s.tile(), lanes = s.lane_taps;
  Func output = stage.output, total = stage.total, sum = stage.sum;
  const std::vector<Var> args = output.args(), sum_args = sum.args();
  const Var c = args[0], x = args[1], y = args[2], n = args[3], l = sum_args[0], t = sum_args[1], ct = sum_args[5];
  const RVar rx = sum.rvars()[0], ry = sum.rvars()[1];

  // Of a narrow tile whole vectors are written where they divide it.
  int out_vector = s.vector;
  while (tile % out_vector != 0) out_vector /= 2;
  Var co("co"), ci("ci"), cv("cv"), xo("xo"), xi("xi"), yo("yo"), yi("yi"), group("group"), band("band"), both("both");
  Var rows("rows");
  output.split(c, co, ci, tile, shape.out_channels % tile == 0 ? TailStrategy::RoundUp : TailStrategy::GuardWithIf)
      .split(ci, ci, cv, out_vector, TailStrategy::RoundUp)
      .split(x, xo, xi, s.tile_width, inside_tail(shape.out_width, s.tile_width));
  if (bands.rows > 0) {
    output.split(y, rows, y, bands.rows, inside_tail(shape.out_height, bands.rows))
        .split(y, yo, yi, s.tile_height, TailStrategy::RoundUp);
  } else {
    output.split(y, yo, yi, s.tile_height, inside_tail(shape.out_height, s.tile_height));
  }
  const bool one_row = shape.out_height == 1;
  if (s.band > 0) {
    Var& tiles = one_row ? xo : yo;
    output.split(tiles, band, tiles, s.band, TailStrategy::GuardWithIf);
  } else {
    output.split(n, n, band, 1, TailStrategy::RoundUp);  // a loop of one: every program has the same nest
  }
  if (s.group > 0) {
    output.split(co, group, co, s.group, TailStrategy::GuardWithIf);
  } else {
    output.split(band, band, group, 1, TailStrategy::RoundUp);
  }
  const Var inner = s.pixels_inside ? xo : co, outer = s.pixels_inside ? co : xo;
  std::vector<VarOrRVar> nest = {cv, ci, xi, yi, inner, outer, yo, group, band};
  if (bands.rows > 0) nest.push_back(rows);
  nest.push_back(n);
  output.reorder(nest).vectorize(cv).unroll(ci).unroll(xi).unroll(yi);
  output.never_partition({cv, ci, xi, yi, co, group, band, n});
  if (s.padding != ConvPadding::inlined_edges_apart) output.never_partition(yo);
  if (s.padding < ConvPadding::inlined_columns_apart) output.never_partition(xo);

  StageLoops loops{.band = band, .channel_tile = co, .outside = n};
  Var row_tiles = yo;
  if (bands.rows > 0) {
    output.never_partition(rows);
    loops.band = rows;
    if (s.parallel) {
      output.fuse(rows, n, both).parallel(both);
      loops.band = loops.outside = both;
    }
  } else if (s.parallel) {
    // One row of tiles leaves the threads nothing to share but the outer of the two tile loops.
    if (one_row) output.fuse(outer, yo, yo);
    output.fuse(yo, group, both).fuse(both, band, both).fuse(both, n, both).parallel(both);
    row_tiles = loops.band = loops.outside = both;
  }

  Var tv("tv"), ti("ti");
  if (lanes > 1) {
    total.bound_extent(ct, 1).store_in(MemoryType::Stack).compute_at(output, inner);
    total.split(t, ti, tv, out_vector, TailStrategy::RoundUp).vectorize(tv).unroll(ti).unroll(x).unroll(y);
  }
  const int channels = s.vector_channels();
  sum.bound(l, 0, lanes).bound_extent(ct, 1).store_in(MemoryType::Stack).compute_at(output, inner);
  sum.split(t, ti, tv, channels, TailStrategy::RoundUp)
      .reorder(l, tv, ti, x, y, n, ct)
      .vectorize(l)
      .vectorize(tv)
      .unroll(ti)
      .unroll(x)
      .unroll(y);
  RVar ro("ro"), ri("ri");
  Halide::Stage update = sum.update();
  update.split(t, ti, tv, channels, TailStrategy::RoundUp).split(rx, ro, ri, s.unroll, TailStrategy::GuardWithIf);
  std::vector<VarOrRVar> order = {l, tv, ti, x, y};
  const bool rows_inside = s.kernel_rows == ConvKernelRows::inner_unrolled;
  for (const VarOrRVar& loop : rows_inside ? std::vector<VarOrRVar>{ry, ri, ro} : std::vector<VarOrRVar>{ri, ro, ry})
    order.push_back(loop);
  order.insert(order.end(), {n, ct});
  update.reorder(order);
  if (!is_row_loop(s.kernel_rows)) update.unroll(ry);
  update.vectorize(l).vectorize(tv).unroll(ti).unroll(x).unroll(y).unroll(ri);
  update.never_partition_all();

  if (subgraph.padding > 0 && !is_inlined(s.padding)) {
    Func padded = stage.padded;
    switch (s.padding) {
      case ConvPadding::tile:
        padded.compute_at(output, inner);
        break;
      case ConvPadding::row:
        padded.compute_at(output, row_tiles);
        break;
      case ConvPadding::band:
        padded.compute_at(output, s.parallel ? both : band);
        break;
      default:
        padded.compute_root();
        break;
    }
    // Beyond the last element the boundary condition reads nothing.
    padded.vectorize(padded.args()[0], s.vector, TailStrategy::RoundUp);
  }
  return loops;
}

Lowered lower_conv(const ProgramSpace& space, const Knobs& knobs) {
  const Subgraph& subgraph = space.subgraph();
  const ConvShape shape = conv_shape(subgraph);
  const ConvSchedule s = decode_conv(knobs);
  if (s.winograd > 0) return lower_winograd(space, knobs);
  const std::vector<sonar::Argument> arguments = space.arguments(knobs);
  ImageParam input = dense_input("input", arguments[0].extents);
  Var e("e"), x("x"), y("y"), n("n"), c("c");
  Func padded("padded");
  if (subgraph.padding > 0) {
    padded =
        BoundaryConditions::constant_exterior(input, 0.0f, {{0, shape.in_row}, {0, shape.in_height}, {Expr(), Expr()}});
  } else {
    padded(e, y, n) = input(e, y, n);
  }
  const TapReader read = [&](Expr tap, Expr kernel_row, Expr at_x, Expr at_y, Expr at_n) -> Expr {
    return padded(at_x * shape.pixel_step - shape.pad_floats + tap, at_y * shape.row_step - shape.pad_rows + kernel_row,
                  at_n);
  };
  Lowered residuals;
  const Expr residual = residual_at(subgraph, arguments, {c, x, y, n}, residuals);
  Stage stage = define_conv(subgraph, shape, s, "", arguments[1], arguments[2], read, residual);
  stage.padded = padded;
  declare_dense(stage.output.output_buffer(), arguments.back().extents);
  schedule_conv(stage, subgraph, shape, s);
  Lowered lowered{stage.output, {input, stage.weight, stage.bias}};
  lowered.arguments.insert(lowered.arguments.end(), residuals.arguments.begin(), residuals.arguments.end());
  return lowered;
}

}  // namespace sonar
