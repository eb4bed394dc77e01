#include "program/space_window_pool.h"
#include "program/worker/lower.h"

namespace sonar {

using namespace Halide;

Lowered lower_window_pool(const ProgramSpace& space, const Knobs& knobs) {
  const Subgraph& subgraph = space.subgraph();
  const WindowPoolSchedule s = decode_window_pool(knobs);
  const std::vector<sonar::Argument> arguments = space.arguments(knobs);
  const bool is_max = subgraph.kind == SubgraphKind::max_pool;

  ImageParam input = dense_input("input", arguments[0].extents);
  Var c("c"), x("x"), y("y"), n("n");
  Func padded("padded");
  if (subgraph.padding == 0) {
    padded(c, x, y, n) = input(c, x, y, n);
  } else if (is_max) {
    // The nearest pixel inside lies in the window too, so that reading it instead changes no maximum.
    padded(c, x, y, n) = input(c, clamp(x, 0, subgraph.width - 1), clamp(y, 0, subgraph.height - 1), n);
  } else {
    padded = BoundaryConditions::constant_exterior(
        input, 0.0f, {{Expr(), Expr()}, {0, subgraph.width}, {0, subgraph.height}, {Expr(), Expr()}});
  }

  RDom r(0, subgraph.kernel, 0, subgraph.kernel, "r");
  Func window("window"), output("output");
  const Expr value =
      padded(c, x * subgraph.stride - subgraph.padding + r.x, y * subgraph.stride - subgraph.padding + r.y, n);
  if (is_max) {
    window(c, x, y, n) = Float(32).min();
    window(c, x, y, n) = max(window(c, x, y, n), value);
    output(c, x, y, n) = window(c, x, y, n);
  } else {
    window(c, x, y, n) = 0.0f;
    window(c, x, y, n) += value;
    output(c, x, y, n) = window(c, x, y, n) * (1.0f / (float(subgraph.kernel) * subgraph.kernel));
  }
  declare_dense(output.output_buffer(), arguments.back().extents);

  Var co("co"), ci("ci"), cv("cv"), xo("xo"), xi("xi"), outer("outer");
  output.split(c, co, ci, s.tile(), inside_tail(subgraph.out_channels, s.tile()))
      .split(ci, ci, cv, s.vector, TailStrategy::RoundUp)
      .split(x, xo, xi, s.tile_width, inside_tail(subgraph.out_width(), s.tile_width));
  Var inner = co;
  if (s.channels_outside) {
    output.reorder(cv, ci, xi, xo, y, co, n);
    inner = xo;
  } else {
    output.reorder(cv, ci, xi, co, xo, y, n);
  }
  output.vectorize(cv).unroll(ci).unroll(xi).never_partition_all();
  if (s.parallel) {
    output.fuse(y, s.channels_outside ? co : n, outer);
    if (s.channels_outside) output.fuse(outer, n, outer);
    output.parallel(outer);
  }

  Var wi("wi"), wv("wv");
  window.store_in(MemoryType::Stack).compute_at(output, inner);
  window.split(c, wi, wv, s.vector, TailStrategy::RoundUp).reorder(wv, wi, x, y, n).vectorize(wv).unroll(wi).unroll(x);
  Stage update = window.update();
  update.split(c, wi, wv, s.vector, TailStrategy::RoundUp)
      .reorder(wv, wi, x, r.x, r.y, y, n)
      .vectorize(wv)
      .unroll(wi)
      .unroll(x);
  if (s.unroll >= 1) update.unroll(r.x);
  if (s.unroll == 2) update.unroll(r.y);
  update.never_partition_all();

  Lowered lowered;
  lowered.output = output;
  lowered.arguments = {input};
  return lowered;
}

}  // namespace sonar
