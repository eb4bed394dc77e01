// From a subgraph and its knobs to a scheduled Halide pipeline: one lower_*.cpp per kind.
#pragma once
#include <Halide.h>

#include <string>
#include <vector>

#include "program/program_space.h"

namespace sonar {

struct Lowered {
  Halide::Func output;
  std::vector<Halide::Argument> arguments;  // without the output
};

Lowered lower_conv(const ProgramSpace& space, const Knobs& knobs);
/// Of a program by Winograd's minimal filtering.
Lowered lower_winograd(const ProgramSpace& space, const Knobs& knobs);
Lowered lower_depthwise(const ProgramSpace& space, const Knobs& knobs);
Lowered lower_pool(const ProgramSpace& space, const Knobs& knobs);
Lowered lower_dense(const ProgramSpace& space, const Knobs& knobs);
Lowered lower_squeeze_excite(const ProgramSpace& space, const Knobs& knobs);
Lowered lower_window_pool(const ProgramSpace& space, const Knobs& knobs);
Lowered lower_elementwise(const ProgramSpace& space, const Knobs& knobs);
Lowered lower_fused_depthwise(const ProgramSpace& space, const Knobs& knobs);

/// A dense float32 tensor: bounds and strides are constants in the code, which then reads nothing of the buffer but its
/// host pointer.
Halide::ImageParam dense_input(const std::string& name, const std::vector<int>& extents);
void declare_dense(Halide::OutputImageParam parameter, const std::vector<int>& extents);

Halide::Expr activate(Activation activation, Halide::Expr x);

/// Appends the residual, where the subgraph has one (the last of its arguments but the output), to those of the
/// function. Its value at `at`; undefined where there is none.
Halide::Expr residual_at(const Subgraph& subgraph, const std::vector<Argument>& arguments,
                         const std::vector<Halide::Var>& at, Lowered& lowered);

/// What follows the sum of a conv, depthwise or dense subgraph: activation and residual in their order. `residual` is
/// undefined where there is none.
Halide::Expr epilogue(const Subgraph& subgraph, Halide::Expr sum, Halide::Expr residual);

/// The tail of a split of an output axis whose last tile may be shifted back inside.
Halide::TailStrategy inside_tail(int extent, int factor);

}  // namespace sonar
