#include <cmath>

#include "program/knob_values.h"
#include "program/space_winograd.h"
#include "program/worker/lower.h"

namespace sonar {

using namespace Halide;

namespace {

using Values = std::vector<Expr>;

// The points of tile 4 are 0, +-a, +-b and infinity, with a^2 = 1/2 and b^2 = 2, as in winograd_weights().
const float kA = std::sqrt(0.5f), kB = std::sqrt(2.0f);

/// B' d of a line of the values that a tile reads: as many as there are points, which tell the transform. 5 and 9 are
/// of stride 2: the even columns by the points 0, 1 and infinity or 0, 1, -1, 1/2 and infinity, for the kernel's outer
/// columns; then the odd ones as they are, for its middle one.
Values input_transform(const Values& d) {
  if (d.size() == 5) return {d[0] - d[2], d[2], d[4] - d[2], d[1], d[3]};
  if (d.size() == 9) {
    const Expr d0 = d[0], d1 = d[2], d2 = d[4], d3 = d[6], d4 = d[8], a = d3 - d1;
    return {a + 0.5f * (d0 - d2),
            d3 + 0.5f * (d2 - d1),
            d3 + 0.5f * d1 - 1.5f * d2,
            a,
            d4 - d2 - 0.5f * a,
            d[1],
            d[3],
            d[5],
            d[7]};
  }
  if (d.size() == 4) return {d[0] - d[2], d[1] + d[2], d[2] - d[1], d[1] - d[3]};
  const Expr even_a = d[4] - 2.0f * d[2], odd_a = kA * (d[3] - 2.0f * d[1]);
  const Expr even_b = d[4] - 0.5f * d[2], odd_b = kB * (d[3] - 0.5f * d[1]);
  return {d[0] + d[4] - 2.5f * d[2], even_a + odd_a, even_a - odd_a, even_b + odd_b, even_b - odd_b,
          d[1] + d[5] - 2.5f * d[3]};
}

/// A' m: the 2 or 4 output values of a line.
Values output_transform(const Values& m) {
  if (m.size() == 5) return {m[0] + m[1] + m[3], m[1] + m[2] + m[4]};
  if (m.size() == 9) {
    const Expr even = m[1] + m[2], odd = m[1] - m[2];
    return {m[0] + even + m[3] + m[5], odd + 0.5f * m[3] + m[6], even + 0.25f * m[3] + m[7],
            odd + 0.125f * m[3] + (m[4] + m[8])};
  }
  if (m.size() == 4) return {m[0] + m[1] + m[2], m[1] - m[2] - m[3]};
  const Expr even_a = m[1] + m[2], odd_a = m[1] - m[2], even_b = m[3] + m[4], odd_b = m[3] - m[4];
  return {m[0] + even_a + even_b, kA * odd_a + kB * odd_b, 0.5f * even_a + 2.0f * even_b,
          0.5f * kA * odd_a + (2.0f * kB * odd_b + m[5])};
}

template <class Value>
Values line(int count, const Value& value) {
  Values result;
  for (int i = 0; i < count; ++i) result.push_back(value(i));
  return result;
}

}  // namespace

Lowered lower_winograd(const ProgramSpace& space, const Knobs& knobs) {
  const Subgraph& subgraph = space.subgraph();
  const ConvSchedule s = decode_conv(knobs);
  const WinogradTiling w = winograd_tiling(subgraph, s);
  const std::vector<sonar::Argument> arguments = space.arguments(knobs);
  const int tile = s.tile(), side = w.side, points = w.points, tiles = w.tiles();

  ImageParam input = dense_input("input", arguments[0].extents);
  ImageParam weight = dense_input("weight", arguments[1].extents);
  ImageParam bias = dense_input("bias", arguments[2].extents);

  // k: input channel; q: tile of the whole batch; i, j: row and column of a tile or of its transform; t, ct: channel of
  // a channel tile, and the tile.
  Var c("c"), x("x"), y("y"), n("n"), k("k"), q("q"), i("i"), j("j"), t("t"), ct("ct");
  Func padded("padded");
  if (subgraph.padding > 0 || w.across * side != subgraph.out_width() || w.down * side != subgraph.out_height()) {
    padded = BoundaryConditions::constant_exterior(
        input, 0.0f, {{Expr(), Expr()}, {0, subgraph.width}, {0, subgraph.height}, {Expr(), Expr()}});
  } else {
    padded(k, x, y, n) = input(k, x, y, n);
  }
  const int step = side * subgraph.stride;  // between tiles of the input
  const Expr left = (q % w.across) * step - subgraph.padding;
  const Expr top = ((q / w.across) % w.down) * step - subgraph.padding;
  const Expr image = subgraph.batch == 1 ? Expr(0) : q / (w.across * w.down);
  // Rows and columns of the transforms are unrolled, so each mux() is one of its values.
  Func across("across"), transformed("transformed");
  across(k, q, i, j) =
      mux(j, input_transform(line(points, [&](int l) { return padded(k, left + l, top + i, image); })));
  transformed(k, q, j, i) = mux(i, input_transform(line(points, [&](int l) { return across(k, q, l, j); })));

  RDom r(0, subgraph.in_channels, "r");
  Func sum("sum"), product("product");
  sum(t, q, j, i, ct) = 0.0f;
  sum(t, q, j, i, ct) += weight(t, r, j, i, ct) * transformed(r, q, j, i);
  product(t, q, j, i, ct) = sum(t, q, j, i, ct);

  Func back("back"), total("total");
  const Expr of_tile = (n * w.down + y) * w.across + x;  // of tile (x, y) of image n
  back(t, x, y, n, ct, i, j) =
      mux(j, output_transform(line(points, [&](int l) { return product(t, of_tile, l, i, ct); })));
  total(t, j, i, x, y, n, ct) =
      mux(i, output_transform(line(points, [&](int l) { return back(t, x, y, n, ct, l, j); })));

  Lowered lowered;
  lowered.arguments = {input, weight, bias};
  Func output("output");
  const Expr residual = residual_at(subgraph, arguments, {c, x, y, n}, lowered);
  output(c, x, y, n) = epilogue(
      subgraph, total(c % tile, x % side, y % side, x / side, y / side, n, c / tile) + bias(c % tile, c / tile),
      residual);
  declare_dense(output.output_buffer(), arguments.back().extents);

  const auto tail = [](int extent, int factor) {
    return extent % factor == 0 ? TailStrategy::RoundUp : TailStrategy::GuardWithIf;
  };
  Var co("co"), ci("ci"), cv("cv"), xo("xo"), xi("xi"), yo("yo"), yi("yi"), group("group"), band("band"), no("no"),
      ni("ni"), both("both");
  const int rows = w.rows * side;
  output.split(c, co, ci, tile, tail(subgraph.out_channels, tile))
      .split(ci, ci, cv, s.vector, TailStrategy::RoundUp)
      .split(co, group, co, w.group, tail(w.channel_tiles, w.group))
      .split(x, xo, xi, side, tail(subgraph.out_width(), side))
      .split(y, band, y, rows, tail(subgraph.out_height(), rows))
      .split(y, yo, yi, side, TailStrategy::RoundUp)
      .split(n, no, ni, w.images, TailStrategy::RoundUp)
      .reorder(cv, xi, yi, ci, co, xo, yo, ni, group, band, no)
      .vectorize(cv)
      .unroll(xi)
      .unroll(yi)
      .never_partition_all();
  Var blocks = band;
  if (s.parallel && w.blocks > 1) {
    output.fuse(band, no, both).parallel(both);
    blocks = both;
  } else if (s.parallel) {
    output.parallel(group);
  }
  for (Func* f : {&back, &total}) f->bound(i, 0, f == &back ? points : side).bound(j, 0, side);
  back.compute_at(output, ci).store_in(MemoryType::Stack).vectorize(t, s.vector).unroll(i).unroll(j);
  total.compute_at(output, ci).store_in(MemoryType::Stack).vectorize(t, s.vector).unroll(i).unroll(j);

  Var qo("qo"), qi("qi"), to("to"), tv("tv"), ko("ko"), kv("kv");
  const Var inner = s.pixels_inside ? qo : ct, outer = s.pixels_inside ? ct : qo;
  product.bound(t, 0, tile).bound(i, 0, points).bound(j, 0, points).bound_extent(q, tiles).compute_at(output, group);
  product.split(t, to, tv, s.vector, TailStrategy::RoundUp)
      .split(q, qo, qi, s.tile_width, inside_tail(tiles, s.tile_width))
      .reorder(tv, to, qi, inner, outer, j, i)
      .vectorize(tv)
      .unroll(to)
      .unroll(qi)
      .never_partition_all();
  sum.store_in(MemoryType::Stack).compute_at(product, inner);
  sum.split(t, to, tv, s.vector, TailStrategy::RoundUp).vectorize(tv).unroll(to).unroll(q);
  RVar ro("ro"), ri("ri");
  Stage update = sum.update();
  update.split(t, to, tv, s.vector, TailStrategy::RoundUp).split(r, ro, ri, s.unroll, TailStrategy::GuardWithIf);
  update.reorder(tv, to, q, ri, ro, j, i, ct).vectorize(tv).unroll(to).unroll(q).unroll(ri).never_partition_all();

  transformed.bound(i, 0, points).bound(j, 0, points).bound_extent(q, tiles).compute_at(output, blocks);
  transformed.split(k, ko, kv, w.input_vector, inside_tail(subgraph.in_channels, w.input_vector))
      .reorder(kv, j, i, ko, q)
      .vectorize(kv)
      .unroll(i)
      .unroll(j)
      .never_partition_all();
  across.bound(j, 0, points).bound_extent(i, points).store_in(MemoryType::Stack).compute_at(transformed, ko);
  across.vectorize(k, w.input_vector).unroll(i).unroll(j);
  if (s.padding == ConvPadding::root)
    padded.compute_root().vectorize(padded.args()[0], w.input_vector, TailStrategy::ShiftInwards);
  lowered.output = output;
  return lowered;
}

}  // namespace sonar
