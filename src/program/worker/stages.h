// Convolutions as stages of a pipeline: alone in their program, or one after the other.
#pragma once
#include <functional>

#include "program/space_conv.h"
#include "program/space_depthwise.h"
#include "program/worker/lower.h"

namespace sonar {

/// A stage's function (c, x, y, n), its tensors, and the parts that its schedule places.
struct Stage {
  Halide::ImageParam weight, bias;
  Halide::Func padded, sum, total, output;  // total: with taps side by side only
};

/// Bands of output rows, in which a program's last stage runs and for which the stages before are computed.
struct Bands {
  int rows = 0;                   // 0: no bands
  bool channels_outside = false;  // all bands of a channel tile before the next one
};

/// Loops of a scheduled stage, where other stages may be computed or kept.
struct StageLoops {
  Halide::Var band;          // a turn for each band, if there are any
  Halide::Var channel_tile;  // a turn for each channel tile
  Halide::Var outside;       // around the bands: kept here, values last over all of them
};

/// The input's value for an output pixel, a row of the kernel and a tap: consecutive floats of that row.
using TapReader = std::function<Halide::Expr(Halide::Expr tap, Halide::Expr kernel_row, Halide::Expr x, Halide::Expr y,
                                             Halide::Expr n)>;

/// The residual's value at c, x, y, n (Vars of these names), undefined where there is none.
Stage define_conv(const Subgraph& subgraph, const ConvShape& shape, const ConvSchedule& s, const std::string& name,
                  const Argument& weight, const Argument& bias, const TapReader& read, Halide::Expr residual);
/// All but the stage's input. Without bands, `shape` is what is computed at a time, at least in its width.
StageLoops schedule_conv(Stage& stage, const Subgraph& subgraph, const ConvShape& shape, const ConvSchedule& s,
                         const Bands& bands = {});

/// Reads `input` (c, x, y, n), zeros around it.
Stage define_depthwise(const Subgraph& subgraph, const DepthwiseSchedule& s, const std::string& name,
                       const Argument& weight, const Argument& bias, Halide::Func input, Halide::Expr residual);
StageLoops schedule_depthwise(Stage& stage, const Subgraph& subgraph, const DepthwiseSchedule& s,
                              const Bands& bands = {});

}  // namespace sonar
