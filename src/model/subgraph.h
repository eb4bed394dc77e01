#pragma once
#include <string>

namespace sonar {

/// Stored by number in run stores: never renumber.
enum class SubgraphKind { conv = 1, depthwise = 2, pool = 3, dense = 4, squeeze_excite = 5 };
enum class Activation { none = 0, relu = 1, hard_swish = 2, hard_sigmoid = 3 };

/// The canonical text of a Subgraph; the same key in two networks is one subgraph.
using SubgraphKey = std::string;

/// A fused piece of an inference graph, float32, activations NHWC, batch norm already folded into weights and bias:
///   conv            y = act(conv(x, w) + b) [+ r]   w: [out][k][k][in]; kernel 1 is the pointwise case
///   depthwise       y = act(conv(x, w) + b) [+ r]   w: [c][k][k]; in_channels == out_channels
///   pool            y = mean over height and width; output 1 x 1 x c
///   dense           y = act(w x + b)                w: [out][in]; height = width = 1
///   squeeze_excite  y = x * hard_sigmoid(w2 relu(w1 mean(x) + b1) + b2)   w1: [squeeze][c], w2: [c][squeeze]
/// r is the residual input, of the output's shape, added after the activation.
struct Subgraph {
  SubgraphKind kind = SubgraphKind::conv;
  int batch = 1;
  int height = 1, width = 1;  // of the input, pixels
  int in_channels = 1, out_channels = 1;
  int kernel = 1, stride = 1, padding = 0;  // square, symmetric
  int squeeze = 0;                          // squeeze_excite only: channels of the bottleneck
  Activation activation = Activation::none;
  bool residual = false;

  int out_height() const;
  int out_width() const;
  /// Multiply-accumulates of one run, whole batch.
  double macs() const;
  /// Bytes of weights and biases.
  double weight_bytes() const;
  /// "conv-f32-n1-h32-w32-i3-o16-k3-s1-p1-hswish-res"
  SubgraphKey key() const;
  bool operator==(const Subgraph&) const = default;
};

/// Inverse of key(). Throws UserError on text that is no key.
Subgraph parse_subgraph(const SubgraphKey& key);

const char* to_text(SubgraphKind kind);
const char* to_text(Activation activation);

}  // namespace sonar
