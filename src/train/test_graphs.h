// Small networks with every operator, for tests.
#pragma once
#include <string>

#include "graph/graph.h"

namespace sonar {

struct TestNetwork {
  int resolution = 32;
  int classes = 10;
  int width = 8;
  int kernel = 3;
  bool squeeze_excite = true;
  Activation activation = Activation::hard_swish;
};

inline int add_test_conv(Graph& graph, int input, const std::string& name, int out, int kernel, int stride, int groups,
                         Activation activation) {
  int value = graph.add_conv(input, name, out, kernel, stride, kernel / 2, groups, false);
  value = graph.add_batch_norm(value, name + "_bn");
  return activation == Activation::none ? value : graph.add_activation(value, name + "_act", activation);
}

/// A stem, two inverted residual blocks (one of stride 2, one with a residual), a head: MobileNetV3's parts.
inline Graph make_test_network(const TestNetwork& options) {
  Graph graph;
  int value = graph.add_input({options.resolution, options.resolution, 3});
  value = add_test_conv(graph, value, "stem", options.width, 3, 2, 1, Activation::hard_swish);
  for (int block = 0; block < 2; ++block) {
    const std::string name = "block" + std::to_string(block);
    const int input = value, expanded = 3 * options.width;
    value = add_test_conv(graph, value, name + "_expand", expanded, 1, 1, 1, options.activation);
    value = add_test_conv(graph, value, name + "_depthwise", expanded, options.kernel, block == 0 ? 2 : 1, expanded,
                          options.activation);
    if (options.squeeze_excite) {
      int gate = graph.add_global_average_pool(value, name + "_pool");
      gate = graph.add_dense(gate, name + "_reduce", options.width);
      gate = graph.add_activation(gate, name + "_relu", Activation::relu);
      gate = graph.add_dense(gate, name + "_grow", expanded);
      gate = graph.add_activation(gate, name + "_gate", Activation::hard_sigmoid);
      value = graph.add_scale(value, gate, name + "_scale");
    }
    value = add_test_conv(graph, value, name + "_project", options.width, 1, 1, 1, Activation::none);
    if (block == 1) value = graph.add_add(value, input, name + "_add");
  }
  value = add_test_conv(graph, value, "head", 4 * options.width, 1, 1, 1, Activation::hard_swish);
  value = graph.add_global_average_pool(value, "pool");
  value = graph.add_dense(value, "hidden", 4 * options.width);
  value = graph.add_activation(value, "hidden_act", Activation::hard_swish);
  graph.add_dense(value, "classifier", options.classes);
  return graph;
}

}  // namespace sonar
