#include "program/space_fused_depthwise.h"
#include "program/worker/stages.h"

namespace sonar {

using namespace Halide;

namespace {

/// A pointwise convolution over the rows that another stage makes.
TapReader reads(Func source) {
  return [source](Expr tap, Expr, Expr x, Expr y, Expr n) -> Expr { return source(tap, x, y, n); };
}

}  // namespace

Lowered lower_fused_depthwise(const ProgramSpace& space, const Knobs& knobs) {
  const Subgraph& subgraph = space.subgraph();
  const FusedSchedule s = decode_fused(subgraph, knobs);
  const std::vector<sonar::Argument> arguments = space.arguments(knobs);
  const std::vector<Subgraph> parts = stages_of(subgraph);
  const Subgraph& middle = parts[s.expand ? 1 : 0];
  const bool expands_in_bands = s.fusion != StageFusion::whole;

  ImageParam input = dense_input("input", arguments[0].extents);
  Lowered lowered{Func(), {input}};
  Lowered residuals;
  const Expr residual = residual_at(subgraph, arguments, {Var("c"), Var("x"), Var("y"), Var("n")}, residuals);
  size_t next = 1;  // argument
  const auto take_tensors = [&](const Stage& stage) {
    lowered.arguments.insert(lowered.arguments.end(), {stage.weight, stage.bias});
    next += 2;
  };

  Func source = input;
  Stage expand, depthwise, project;
  ConvShape expand_shape{}, project_shape{};
  if (s.expand) {
    expand_shape = conv_shape(parts.front(), ConvRows::apart);
    // Halide bounds the rows that all bands together need loosely. Clamped they are in the input for sure, at the cost
    // of two operations a row.
    const TapReader read = [&](Expr tap, Expr, Expr x, Expr y, Expr n) -> Expr {
      return input(x * expand_shape.pixel_step + tap, expands_in_bands ? clamp(y, 0, subgraph.height - 1) : y, n);
    };
    expand = define_conv(parts.front(), expand_shape, *s.expand, "expand_", arguments[next], arguments[next + 1], read,
                         Expr());
    take_tensors(expand);
    source = expand.output;
  }
  depthwise = define_depthwise(middle, s.depthwise, "dw_", arguments[next], arguments[next + 1], source,
                               s.project ? Expr() : residual);
  take_tensors(depthwise);
  if (s.project) {
    project_shape = conv_shape(parts.back(), ConvRows::apart);
    project = define_conv(parts.back(), project_shape, *s.project, "project_", arguments[next], arguments[next + 1],
                          reads(depthwise.output), residual);
    take_tensors(project);
  }
  lowered.output = s.project ? project.output : depthwise.output;
  lowered.arguments.insert(lowered.arguments.end(), residuals.arguments.begin(), residuals.arguments.end());
  declare_dense(lowered.output.output_buffer(), arguments.back().extents);

  // The last stage first: its loop over bands is where the others are computed.
  const Bands bands{.rows = s.rows, .channels_outside = s.by_channels && !s.project};
  StageLoops last, inner;
  if (s.project) last = schedule_conv(project, parts.back(), project_shape, *s.project, bands);
  inner = schedule_depthwise(depthwise, middle, s.depthwise, s.project ? Bands{} : bands);
  if (!s.project) last = inner;

  // Stages between have whole rows of whole channels: their tiles need not ask.
  const auto whole = [&](const Stage& stage, const Subgraph& part, bool all_channels, bool all_rows) {
    const std::vector<Var> at = stage.output.args();
    Func output = stage.output;
    if (all_channels) output.bound(at[0], 0, part.out_channels);
    output.bound(at[1], 0, part.out_width());
    if (all_rows) output.bound(at[2], 0, part.out_height()).bound(at[3], 0, part.batch);
  };
  if (s.project) {
    whole(depthwise, middle, true, s.rows == 0);
    if (s.rows > 0) {
      depthwise.output.bound_extent(depthwise.output.args()[2], s.rows);
      depthwise.output.hoist_storage(lowered.output, last.outside).compute_at(lowered.output, last.band);
    } else {
      depthwise.output.compute_root();
    }
  }
  if (s.expand) {
    schedule_conv(expand, parts.front(), expand_shape, *s.expand);
    whole(expand, parts.front(), !s.by_channels, !expands_in_bands);
    if (!expands_in_bands) {
      expand.output.compute_root();
    } else if (s.by_channels && s.project) {
      expand.output.hoist_storage(lowered.output, last.outside).compute_at(depthwise.output, inner.channel_tile);
    } else if (s.fusion == StageFusion::sliding) {
      expand.output.store_at(lowered.output, last.outside).compute_at(lowered.output, last.band);
      // Halide would keep all rows.
      if (const int ring = s.ring_rows(subgraph); ring < subgraph.height)
        expand.output.fold_storage(expand.output.args()[2], ring);
    } else {
      expand.output.hoist_storage(lowered.output, last.outside).compute_at(lowered.output, last.band);
    }
    if (s.by_channels) expand.output.align_bounds(expand.output.args()[0], s.expand->tile());
  }
  return lowered;
}

}  // namespace sonar
