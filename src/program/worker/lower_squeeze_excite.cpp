#include "program/space_squeeze_excite.h"
#include "program/worker/lower.h"

namespace sonar {

using namespace Halide;

namespace {

struct DenseStage {
  Func sum, result;  // sum: lanes of a tile, partial sum, image, tile; result: flat
};

/// act(weight * values + bias) with packed weights; the result may be computed beyond its last element, up to a whole
/// tile.
DenseStage dense_stage(const std::string& name, Activation activation, int tile, int partial_sums, int inputs,
                       ImageParam weight, ImageParam bias, Func values) {
  Var o("o"), t("t"), ot("ot"), part("part"), n("n");
  RDom r(0, inputs / partial_sums, name + "_r");
  DenseStage stage{Func(name + "_sum"), Func(name)};
  stage.sum(t, part, n, ot) = select(part == 0, bias(t, ot), 0.0f);
  stage.sum(t, part, n, ot) += weight(t, r * partial_sums + part, ot) * values(r * partial_sums + part, n);
  Expr total = stage.sum(o % tile, 0, n, o / tile);
  for (int i = 1; i < partial_sums; ++i) total += stage.sum(o % tile, i, n, o / tile);
  stage.result(o, n) = activate(activation, total);
  return stage;
}

void schedule_dense(DenseStage& stage, Func output, Var images, int vector, int tile) {
  const std::vector<Var> result = stage.result.args(), sum = stage.sum.args();
  Var oo("oo"), oi("oi"), ov("ov"), ti("ti"), tv("tv");
  stage.result.compute_at(output, images)
      .split(result[0], oo, oi, tile, TailStrategy::RoundUp)
      .split(oi, oi, ov, vector, TailStrategy::RoundUp)
      .vectorize(ov)
      .unroll(oi);
  stage.sum.bound_extent(sum[3], 1).store_in(MemoryType::Stack).compute_at(stage.result, oo);
  stage.sum.split(sum[0], ti, tv, vector, TailStrategy::RoundUp)
      .reorder(tv, ti, sum[1], sum[2], sum[3])
      .vectorize(tv)
      .unroll(ti)
      .unroll(sum[1]);
  Stage update = stage.sum.update();
  const RVar r(stage.sum.rvars()[0].name());
  update.split(sum[0], ti, tv, vector, TailStrategy::RoundUp).reorder(tv, ti, sum[1], r, sum[2], sum[3]);
  update.vectorize(tv).unroll(ti).unroll(sum[1]);
}

}  // namespace

Lowered lower_squeeze_excite(const ProgramSpace& space, const Knobs& knobs) {
  const Subgraph& subgraph = space.subgraph();
  const SqueezeExciteSchedule s = decode_squeeze_excite(knobs);
  const std::vector<sonar::Argument> arguments = space.arguments(knobs);
  const int channels = subgraph.in_channels, pixels = subgraph.height * subgraph.width;

  ImageParam input = dense_input("input", arguments[0].extents);
  ImageParam weight1 = dense_input("weight1", arguments[1].extents), bias1 = dense_input("bias1", arguments[2].extents);
  ImageParam weight2 = dense_input("weight2", arguments[3].extents), bias2 = dense_input("bias2", arguments[4].extents);

  Var c("c"), p("p"), n("n");
  RDom r(0, pixels / s.mean_sums, "r");
  Var part("part");
  Func sum("sum"), mean("mean"), output("output");
  sum(c, part, n) = 0.0f;
  sum(c, part, n) += input(c, r * s.mean_sums + part, n);
  Expr total = sum(c, 0, n);
  for (int i = 1; i < s.mean_sums; ++i) total += sum(c, i, n);
  mean(c, n) = total * (1.0f / pixels);
  DenseStage hidden =
      dense_stage("hidden", Activation::relu, s.squeeze_tile(), s.squeeze_sums, channels, weight1, bias1, mean);
  DenseStage gate = dense_stage("gate", Activation::hard_sigmoid, s.excite_tile(), s.excite_sums, subgraph.squeeze,
                                weight2, bias2, hidden.result);
  output(c, p, n) = input(c, p, n) * gate.result(c, n);
  declare_dense(output.output_buffer(), arguments[5].extents);

  Var co("co"), ci("ci"), cv("cv"), po("po"), pi("pi");
  output.split(c, co, ci, s.scale_tile(), inside_tail(channels, s.scale_tile()))
      .split(ci, ci, cv, s.vector, TailStrategy::RoundUp)
      .split(p, po, pi, s.scale_pixels, inside_tail(pixels, s.scale_pixels));
  if (s.scale_channels_outside) {
    output.reorder(cv, ci, pi, po, co, n);
  } else {
    output.reorder(cv, ci, pi, co, po, n);
  }
  output.vectorize(cv).unroll(ci).unroll(pi);
  if (s.parallel) output.parallel(s.scale_channels_outside ? co : po);

  mean.compute_at(output, n);
  mean.split(c, co, ci, s.mean_tile(), inside_tail(channels, s.mean_tile()))
      .split(ci, ci, cv, s.vector, TailStrategy::RoundUp)
      .vectorize(cv)
      .unroll(ci);
  if (s.parallel) mean.parallel(co);
  Var ti("ti"), tv("tv");
  sum.store_in(MemoryType::Stack).compute_at(mean, co);
  sum.split(c, ti, tv, s.vector, TailStrategy::RoundUp).reorder(tv, ti, part, n).vectorize(tv).unroll(ti).unroll(part);
  RVar ro("ro"), ri("ri");
  sum.update()
      .split(c, ti, tv, s.vector, TailStrategy::RoundUp)
      .split(r.x, ro, ri, s.mean_unroll, TailStrategy::GuardWithIf)
      .reorder(tv, ti, part, ri, ro, n)
      .vectorize(tv)
      .unroll(ti)
      .unroll(part)
      .unroll(ri);

  schedule_dense(hidden, output, n, s.squeeze_vector, s.squeeze_tile());
  schedule_dense(gate, output, n, s.vector, s.excite_tile());
  Lowered lowered;
  lowered.output = output;
  lowered.arguments = {input, weight1, bias1, weight2, bias2};
  return lowered;
}

}  // namespace sonar
