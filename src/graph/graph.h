// The operator graph of one network: trained and deployed from this one lowering.
#pragma once
#include <string>
#include <vector>

#include "model/subgraph.h"

namespace sonar {

/// Never renumber: written to JSON by name, stored in checkpoints' headers.
enum class Op {
  input,
  conv,        // kernel, stride, padding, groups (1, or in_channels for depthwise); no bias when a batch_norm follows
  batch_norm,  // training graphs only; folded away by fold_batch_norm
  activation,  // `activation`
  add,         // two inputs of one shape
  global_average_pool,  // output 1 x 1 x c
  dense,                // 1 x 1 x c in, always with bias
  scale,                // inputs: x (h x w x c) and a per-channel factor (1 x 1 x c)
  max_pool,             // kernel, stride, padding (that counts as nothing)
  average_pool,         // kernel, stride, padding (that counts as zeros)
  multiply,             // two inputs of one shape
  concat,               // two inputs of one height and width, along the channels
  resize,               // nearest, enlarged `stride` times in both directions
  flatten,              // h x w x c to 1 x 1 x hwc: the same values in the same order
};

struct Shape {
  int height = 1, width = 1, channels = 1;  // one image; the batch is given where the graph is run
  long elements() const { return long(height) * width * channels; }
  bool operator==(const Shape&) const = default;
};

struct Node {
  Op op = Op::input;
  std::string name;         // unique in the graph; its parameters are "<name>.weight", "<name>.bias", ...
  std::vector<int> inputs;  // indices of earlier nodes
  Shape shape;              // of the output
  int kernel = 1, stride = 1, padding = 0, groups = 1;
  bool bias = false;
  Activation activation = Activation::none;
  bool operator==(const Node&) const = default;
};

/// Nodes in topological order; node 0 is the input; the last node is the output. The add_* members return the new
/// node's index, infer its shape and throw InternalError on shapes that do not fit.
struct Graph {
  std::vector<Node> nodes;

  int add_input(Shape shape);
  int add_conv(int input, const std::string& name, int out_channels, int kernel, int stride, int padding, int groups,
               bool bias);
  int add_batch_norm(int input, const std::string& name);
  int add_activation(int input, const std::string& name, Activation activation);
  int add_add(int a, int b, const std::string& name);
  int add_global_average_pool(int input, const std::string& name);
  int add_dense(int input, const std::string& name, int out_features);
  int add_scale(int x, int factor, const std::string& name);
  /// `op`: max_pool or average_pool.
  int add_window_pool(int input, const std::string& name, Op op, int kernel, int stride, int padding);
  int add_multiply(int a, int b, const std::string& name);
  int add_concat(int a, int b, const std::string& name);
  int add_resize(int input, const std::string& name, int factor);
  int add_flatten(int input, const std::string& name);

  const Shape& input_shape() const { return nodes.front().shape; }
  const Shape& output_shape() const { return nodes.back().shape; }
  bool operator==(const Graph&) const = default;
};

double count_macs(const Graph& graph);        // multiply-accumulates of one image: conv, dense, average pooling,
                                              // scale, multiply
double count_parameters(const Graph& graph);  // trainable parameters (batch norm: weight and bias)
/// Largest sum of the bytes (float32) of activations alive at once while running node after node, batch 1. Batch norm,
/// activation, add, multiply and flatten write over an input that nothing reads later, as fused programs do: folding
/// changes nothing.
double peak_activation_bytes(const Graph& graph);

/// JSON for the trainer protocol, in one line: {"nodes": [{"op": "conv", "name": ..., "inputs": [..], "shape": [h, w,
/// c],
/// ...}]}. Operators and activations go by their names in the enums; "shape" is the output's; conv adds "kernel",
/// "stride", "padding", "groups" and "bias", a window's pooling the first three, resize "stride", activation
/// "activation".
std::string graph_to_json(const Graph& graph);
/// Throws UserError, naming the node, on text that is no graph: every field and shape is checked.
Graph graph_from_json(const std::string& text);

}  // namespace sonar
