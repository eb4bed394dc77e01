#include "program/space_pool.h"
#include "program/worker/lower.h"

namespace sonar {

using namespace Halide;

Lowered lower_pool(const ProgramSpace& space, const Knobs& knobs) {
  const Subgraph& subgraph = space.subgraph();
  const PoolSchedule s = decode_pool(knobs);
  const std::vector<sonar::Argument> arguments = space.arguments(knobs);
  const int channels = subgraph.in_channels, pixels = subgraph.height * subgraph.width;

  ImageParam input = dense_input("input", arguments[0].extents);
  Var c("c"), n("n"), part("part");
  RDom r(0, pixels / s.partial_sums, "r");
  Func sum("sum"), output("output");
  sum(c, part, n) = 0.0f;
  sum(c, part, n) += input(c, r * s.partial_sums + part, n);
  Expr total = sum(c, 0, n);
  for (int i = 1; i < s.partial_sums; ++i) total += sum(c, i, n);
  output(c, n) = total * (1.0f / pixels);
  declare_dense(output.output_buffer(), arguments[1].extents);

  Var co("co"), ci("ci"), cv("cv"), ti("ti"), tv("tv");
  output.split(c, co, ci, s.tile(), inside_tail(channels, s.tile()))
      .split(ci, ci, cv, s.vector, TailStrategy::RoundUp)
      .reorder(cv, ci, co, n)
      .vectorize(cv)
      .unroll(ci);
  Var at = co;
  if (s.parallel) {
    at = Var("both");
    output.fuse(co, n, at).parallel(at);
  }
  sum.store_in(MemoryType::Stack).compute_at(output, at);
  sum.split(c, ti, tv, s.vector, TailStrategy::RoundUp).reorder(tv, ti, part, n).vectorize(tv).unroll(ti).unroll(part);
  RVar ro("ro"), ri("ri");
  sum.update()
      .split(c, ti, tv, s.vector, TailStrategy::RoundUp)
      .split(r.x, ro, ri, s.unroll, TailStrategy::GuardWithIf)
      .reorder(tv, ti, part, ri, ro, n)
      .vectorize(tv)
      .unroll(ti)
      .unroll(part)
      .unroll(ri);
  Lowered lowered;
  lowered.output = output;
  lowered.arguments = {input};
  return lowered;
}

}  // namespace sonar
