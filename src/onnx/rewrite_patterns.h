#pragma once
#include "onnx/onnx_model.h"

namespace sonar {

/// Leaves out every node that the output does not depend on, and rewrites activations that the file spells out:
///   x * Sigmoid(x)                                       -> SiLU(x)
///   Clip(x + 3, 0, 6) / 6                                -> HardSigmoid(x)
///   x * HardSigmoid(x), x * Clip(x + 3, 0, 6) / 6        -> HardSwish(x)
/// Throws UserError for nodes that are not in order of execution, or whose input nothing makes.
void rewrite_patterns(OnnxModel& model);

/// The value of a constant with one element; NaN when it is none.
double scalar_constant(const OnnxModel& model, const std::string& name);

/// The bounds of a Clip, from its attributes or inputs; NaN where they are not constants.
struct ClipBounds {
  double low, high;
};
ClipBounds clip_bounds(const OnnxModel& model, const OnnxNode& node);

/// Whether a HardSigmoid is clamp(x / 6 + 1 / 2, 0, 1); others are not imported.
bool is_usual_hard_sigmoid(const OnnxNode& node);

}  // namespace sonar
