#include "graph/graph.h"

#include <algorithm>
#include <utility>

#include "graph/infer_shape.h"
#include "model/error.h"

namespace sonar {
namespace {

int append(Graph& graph, Node node) {
  InferredShape inferred = infer_shape(graph.nodes, node);
  if (!inferred.error.empty()) throw InternalError("node '" + node.name + "' " + inferred.error);
  node.shape = inferred.shape;
  graph.nodes.push_back(std::move(node));
  return static_cast<int>(graph.nodes.size()) - 1;
}

Node make_node(Op op, const std::string& name, std::vector<int> inputs) {
  Node node;
  node.op = op;
  node.name = name;
  node.inputs = std::move(inputs);
  return node;
}

bool writes_in_place(Op op) {
  return op == Op::batch_norm || op == Op::activation || op == Op::add || op == Op::multiply || op == Op::flatten;
}

}  // namespace

int Graph::add_input(Shape shape) {
  Node node = make_node(Op::input, "input", {});
  node.shape = shape;
  return append(*this, std::move(node));
}

int Graph::add_conv(int input, const std::string& name, int out_channels, int kernel, int stride, int padding,
                    int groups, bool bias) {
  Node node = make_node(Op::conv, name, {input});
  node.shape.channels = out_channels;
  node.kernel = kernel;
  node.stride = stride;
  node.padding = padding;
  node.groups = groups;
  node.bias = bias;
  return append(*this, std::move(node));
}

int Graph::add_batch_norm(int input, const std::string& name) {
  return append(*this, make_node(Op::batch_norm, name, {input}));
}

int Graph::add_activation(int input, const std::string& name, Activation activation) {
  Node node = make_node(Op::activation, name, {input});
  node.activation = activation;
  return append(*this, std::move(node));
}

int Graph::add_add(int a, int b, const std::string& name) { return append(*this, make_node(Op::add, name, {a, b})); }

int Graph::add_global_average_pool(int input, const std::string& name) {
  return append(*this, make_node(Op::global_average_pool, name, {input}));
}

int Graph::add_dense(int input, const std::string& name, int out_features) {
  Node node = make_node(Op::dense, name, {input});
  node.shape.channels = out_features;
  node.bias = true;
  return append(*this, std::move(node));
}

int Graph::add_scale(int x, int factor, const std::string& name) {
  return append(*this, make_node(Op::scale, name, {x, factor}));
}

int Graph::add_window_pool(int input, const std::string& name, Op op, int kernel, int stride, int padding) {
  if (op != Op::max_pool && op != Op::average_pool) throw InternalError("node '" + name + "' pools by no window");
  Node node = make_node(op, name, {input});
  node.kernel = kernel;
  node.stride = stride;
  node.padding = padding;
  return append(*this, std::move(node));
}

int Graph::add_multiply(int a, int b, const std::string& name) {
  return append(*this, make_node(Op::multiply, name, {a, b}));
}

int Graph::add_concat(int a, int b, const std::string& name) {
  return append(*this, make_node(Op::concat, name, {a, b}));
}

int Graph::add_resize(int input, const std::string& name, int factor) {
  Node node = make_node(Op::resize, name, {input});
  node.stride = factor;
  return append(*this, std::move(node));
}

int Graph::add_flatten(int input, const std::string& name) {
  return append(*this, make_node(Op::flatten, name, {input}));
}

double count_macs(const Graph& graph) {
  double macs = 0;
  for (const Node& node : graph.nodes) {
    const double out = static_cast<double>(node.shape.elements());
    switch (node.op) {
      case Op::conv:
        macs += out * node.kernel * node.kernel * (graph.nodes[node.inputs[0]].shape.channels / node.groups);
        break;
      case Op::dense:
        macs += out * graph.nodes[node.inputs[0]].shape.channels;
        break;
      case Op::global_average_pool:
        macs += static_cast<double>(graph.nodes[node.inputs[0]].shape.elements());
        break;
      case Op::average_pool:
        macs += out * node.kernel * node.kernel;
        break;
      case Op::scale:
      case Op::multiply:
        macs += out;
        break;
      case Op::input:
      case Op::batch_norm:
      case Op::activation:
      case Op::add:
      case Op::max_pool:
      case Op::concat:
      case Op::resize:
      case Op::flatten:
        break;
    }
  }
  return macs;
}

double count_parameters(const Graph& graph) {
  double parameters = 0;
  for (const Node& node : graph.nodes) {
    const double out_channels = node.shape.channels;
    if (node.op == Op::conv) {
      const int in_channels = graph.nodes[node.inputs[0]].shape.channels / node.groups;
      parameters += out_channels * node.kernel * node.kernel * in_channels + (node.bias ? out_channels : 0);
    } else if (node.op == Op::dense) {
      parameters += out_channels * (graph.nodes[node.inputs[0]].shape.channels + 1.0);
    } else if (node.op == Op::batch_norm) {
      parameters += 2 * out_channels;
    }
  }
  return parameters;
}

double peak_activation_bytes(const Graph& graph) {
  const int count = static_cast<int>(graph.nodes.size());
  std::vector<int> last_use(count);
  for (int i = 0; i < count; ++i) {
    last_use[i] = i;
    for (int input : graph.nodes[i].inputs) last_use[input] = i;
  }

  std::vector<std::vector<int>> dying(count);
  for (int i = 0; i < count; ++i) dying[last_use[i]].push_back(i);
  double alive = 0, peak = 0;  // elements
  for (int i = 0; i < count; ++i) {
    const Node& node = graph.nodes[i];
    const double out = static_cast<double>(node.shape.elements());
    alive += out;
    const bool in_place = writes_in_place(node.op) && std::any_of(node.inputs.begin(), node.inputs.end(),
                                                                  [&](int input) { return last_use[input] == i; });
    peak = std::max(peak, in_place ? alive - out : alive);
    for (int value : dying[i]) alive -= static_cast<double>(graph.nodes[value].shape.elements());
  }
  return peak * sizeof(float);
}

}  // namespace sonar
