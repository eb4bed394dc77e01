#include "program/worker/lower.h"

#include "model/error.h"

namespace sonar {

using namespace Halide;

void declare_dense(OutputImageParam parameter, const std::vector<int>& extents) {
  int stride = 1;
  for (size_t i = 0; i < extents.size(); ++i) {
    parameter.dim(static_cast<int>(i)).set_bounds(0, extents[i]).set_stride(stride);
    stride *= extents[i];
  }
}

ImageParam dense_input(const std::string& name, const std::vector<int>& extents) {
  ImageParam parameter(Float(32), static_cast<int>(extents.size()), name);
  declare_dense(parameter, extents);
  return parameter;
}

Expr activate(Activation activation, Expr x) {
  switch (activation) {
    case Activation::none:
      return x;
    case Activation::relu:
      return max(x, 0.0f);
    case Activation::hard_swish:
      return x * clamp(x * (1.0f / 6) + 0.5f, 0.0f, 1.0f);  // with a fused multiply-add one operation less
    case Activation::hard_sigmoid:
      return clamp(x * (1.0f / 6) + 0.5f, 0.0f, 1.0f);
    case Activation::relu6:
      return clamp(x, 0.0f, 6.0f);
    case Activation::sigmoid:
      return 1.0f / (1.0f + exp(-x));
    case Activation::silu:
      return x / (1.0f + exp(-x));
  }
  throw InternalError("unknown activation");
}

Expr residual_at(const Subgraph& subgraph, const std::vector<sonar::Argument>& arguments, const std::vector<Var>& at,
                 Lowered& lowered) {
  if (!subgraph.residual) return Expr();
  ImageParam residual = dense_input("residual", arguments[arguments.size() - 2].extents);
  lowered.arguments.push_back(residual);
  return residual(at);
}

Expr epilogue(const Subgraph& subgraph, Expr sum, Expr residual) {
  if (!subgraph.residual) return activate(subgraph.activation, sum);
  if (subgraph.activation_last) return activate(subgraph.activation, sum + residual);
  return activate(subgraph.activation, sum) + residual;
}

TailStrategy inside_tail(int extent, int factor) {
  if (extent % factor == 0) return TailStrategy::RoundUp;
  // Without asserts a shifted tile that does not fit would write before the buffer.
  if (extent < factor)
    throw InternalError("a tile of " + std::to_string(factor) + " in an axis of " + std::to_string(extent));
  return TailStrategy::ShiftInwards;
}

}  // namespace sonar
