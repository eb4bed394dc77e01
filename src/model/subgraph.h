#pragma once
#include <string>
#include <vector>

namespace sonar {

/// Stored by number in run stores: never renumber.
enum class SubgraphKind {
  conv = 1,
  depthwise = 2,
  pool = 3,
  dense = 4,
  squeeze_excite = 5,
  max_pool = 6,
  average_pool = 7,
  add = 8,
  multiply = 9,
  scale = 10,
  activate = 11,
  concat = 12,
  resize = 13,
  fused_depthwise = 14
};
enum class Activation { none = 0, relu = 1, hard_swish = 2, hard_sigmoid = 3, relu6 = 4, sigmoid = 5, silu = 6 };

/// The canonical text of a Subgraph; the same key in two networks is one subgraph.
using SubgraphKey = std::string;

/// A fused piece of an inference graph, float32, activations NHWC, batch norm already folded into weights and bias:
///   conv            y = act(conv(x, w) + b) [+ r]   w: [out][k][k][in]; kernel 1 is the pointwise case
///   depthwise       y = act(conv(x, w) + b) [+ r]   w: [c][k][k]; in_channels == out_channels
///   pool            y = mean over height and width; output 1 x 1 x c
///   dense           y = act(w x + b)                w: [out][in]; height = width = 1
///   squeeze_excite  y = x * hard_sigmoid(w2 relu(w1 mean(x) + b1) + b2)   w1: [squeeze][c], w2: [c][squeeze]
///   max_pool        y = max over a window of kernel x kernel; padding counts as nothing
///   average_pool    y = mean over a window; padding counts as zeros
///   add             y = act(x + z)                  z: of x's shape
///   multiply        y = act(x * z)                  z: of x's shape
///   scale           y = act(x * z)                  z: 1 x 1 x c, a factor of each channel
///   activate        y = act(x)
///   concat          y = x, then z, along the channels; z: out_channels - in_channels channels
///   resize          y[i][j] = x[i / stride][j / stride]: nearest, enlarged by the stride
///   fused_depthwise y = act(project(act_m(depthwise(act_e(expand(x)))))) [+ r]: a depthwise convolution with the
///                   pointwise ones before and after it, of which one may be absent; kernel, stride and padding are
///                   those of the depthwise one. Weights and biases in order of use.
/// r is the residual input, of the output's shape, added after the activation, or before it with activation_last.
struct Subgraph {
  SubgraphKind kind = SubgraphKind::conv;
  int batch = 1;
  int height = 1, width = 1;  // of the input, pixels
  int in_channels = 1, out_channels = 1;
  int kernel = 1, stride = 1, padding = 0;  // square, symmetric
  int squeeze = 0;                          // squeeze_excite only: channels of the bottleneck
  Activation activation = Activation::none;
  bool residual = false;         // conv, depthwise, dense, fused_depthwise
  bool activation_last = false;  // y = act(conv(x, w) + b + r); only with a residual and an activation
  // fused_depthwise only:
  int middle_channels = 0;  // of the depthwise convolution
  bool expands = false, projects = false;
  Activation expand_activation = Activation::none;  // act_e
  Activation middle_activation = Activation::none;  // act_m, where a projection follows; else `activation` is its own

  int out_height() const;
  int out_width() const;
  /// Whether the program takes a second activation: the residual r, or the operand z.
  bool has_second_input() const;
  /// Of the second activation, whole batch.
  long second_input_elements() const;
  /// Multiply-accumulates of one run, whole batch; 0 for kinds that only compare, add or copy.
  double macs() const;
  /// Bytes of weights and biases.
  double weight_bytes() const;
  /// "conv-f32-n1-h32-w32-i3-o16-k3-s1-p1-hswish-res"; activation and residual stand in the order in which they are
  /// applied ("...-res-relu" with activation_last). A fused_depthwise names its stages:
  /// "block-f32-n1-h56-w56-i24-o24-k3-s1-p1-m144-expand-relu6-dw-relu6-project-linear-res".
  SubgraphKey key() const;
  bool operator==(const Subgraph&) const = default;
};

/// The convolutions that a fused_depthwise is made of, in order; the residual is the last one's. Any other subgraph is
/// its own only stage.
std::vector<Subgraph> stages_of(const Subgraph& subgraph);

/// Inverse of key(). Throws UserError on text that is no key.
Subgraph parse_subgraph(const SubgraphKey& key);

const char* to_text(SubgraphKind kind);
const char* to_text(Activation activation);

}  // namespace sonar
