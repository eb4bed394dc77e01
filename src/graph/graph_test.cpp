#include "graph/graph.h"

#include <gtest/gtest.h>

#include "graph/parameters.h"
#include "model/error.h"

namespace sonar {
namespace {

template <class Function>
std::string internal_error(Function function) {
  try {
    function();
  } catch (const InternalError& error) {
    return error.what();
  }
  return "no error";
}

TEST(Graph, InfersConvolutionShapes) {
  Graph graph;
  const int in = graph.add_input({33, 20, 3});
  EXPECT_EQ(graph.nodes[graph.add_conv(in, "same", 8, 3, 1, 1, 1, false)].shape, (Shape{33, 20, 8}));
  EXPECT_EQ(graph.nodes[graph.add_conv(in, "halved", 8, 3, 2, 1, 1, false)].shape, (Shape{17, 10, 8}));
  EXPECT_EQ(graph.nodes[graph.add_conv(in, "valid", 8, 5, 3, 0, 1, false)].shape, (Shape{10, 6, 8}));
  EXPECT_EQ(graph.nodes[graph.add_conv(in, "depthwise", 3, 3, 1, 1, 3, false)].shape, (Shape{33, 20, 3}));
}

TEST(Graph, CountsAreTheClosedForms) {
  Graph graph;
  int value = graph.add_input({8, 6, 3});
  value = graph.add_conv(value, "conv", 16, 3, 2, 1, 1, true);  // 4 x 3 x 16
  const int x = value = graph.add_conv(value, "depthwise", 16, 5, 1, 2, 16, false);
  value = graph.add_batch_norm(value, "bn");
  value = graph.add_global_average_pool(value, "pool");
  value = graph.add_dense(value, "dense", 16);
  value = graph.add_activation(value, "act", Activation::hard_sigmoid);
  graph.add_scale(x, value, "scale");
  EXPECT_DOUBLE_EQ(count_macs(graph), 12 * 16 * 27 + 12 * 16 * 25 + 12 * 16 + 16 * 16 + 12 * 16);
  EXPECT_DOUBLE_EQ(count_parameters(graph), (16 * 27 + 16) + 16 * 25 + 2 * 16 + (16 * 16 + 16));
}

TEST(Graph, BuildersRefuseWhatDoesNotFit) {
  Graph graph;
  const int in = graph.add_input({8, 8, 3});
  const int conv = graph.add_conv(in, "conv", 6, 1, 1, 0, 1, false);
  auto error = [&](auto build) { return internal_error(build); };
  EXPECT_EQ(error([&] { graph.add_input({8, 8, 3}); }), "node 'input' has the name of an earlier node");
  EXPECT_EQ(error([&] { graph.add_activation(conv, "conv", Activation::relu); }),
            "node 'conv' has the name of an earlier node");
  EXPECT_EQ(error([&] { graph.add_add(in, conv, "add"); }),
            "node 'add' adds shapes that differ: 8 x 8 x 3 and 8 x 8 x 6");
  EXPECT_EQ(error([&] { graph.add_dense(conv, "dense", 10); }),
            "node 'dense' needs an input of 1 x 1 x c and has 8 x 8 x 6");
  EXPECT_EQ(error([&] { graph.add_scale(conv, conv, "scale"); }),
            "node 'scale' needs a factor of 1 x 1 x 6 and has 8 x 8 x 6");
  EXPECT_EQ(error([&] { graph.add_conv(conv, "grouped", 6, 3, 1, 1, 2, false); }),
            "node 'grouped' has 2 groups; groups are 1, or the number of input and output channels");
  EXPECT_EQ(error([&] { graph.add_conv(conv, "large", 6, 9, 1, 0, 1, false); }),
            "node 'large' has a kernel of 9, larger than its padded input 8 x 8 x 6");
  EXPECT_EQ(error([&] { graph.add_conv(conv, "still", 6, 3, 0, 1, 1, false); }), "node 'still' has a stride of 0");
  EXPECT_EQ(error([&] { graph.add_batch_norm(2, "later"); }), "node 'later' takes input 2, which is no earlier node");
  EXPECT_EQ(graph.nodes.size(), 2u) << "a refused node must not stay";
  EXPECT_EQ(internal_error([] { Graph().add_input({0, 8, 3}); }), "node 'input' has the impossible shape 0 x 8 x 3");
}

/// input (32 values) -> 128 values -> 32 values, added to the input.
Graph residual_block() {
  Graph graph;
  const int in = graph.add_input({4, 4, 2});
  int value = graph.add_conv(in, "expand", 8, 1, 1, 0, 1, false);
  value = graph.add_batch_norm(value, "expand_bn");
  value = graph.add_activation(value, "expand_act", Activation::relu);
  value = graph.add_conv(value, "project", 2, 1, 1, 0, 1, false);
  value = graph.add_batch_norm(value, "project_bn");
  graph.add_add(value, in, "add");
  return graph;
}

TEST(PeakActivation, HandCase) {
  // At "project": the input (for the addition), the expanded value and the output.
  EXPECT_DOUBLE_EQ(peak_activation_bytes(residual_block()), 4.0 * (32 + 128 + 32));
}

TEST(PeakActivation, FoldingChangesNothing) {
  EXPECT_DOUBLE_EQ(peak_activation_bytes(fold_batch_norm(residual_block(), {}).graph),
                   peak_activation_bytes(residual_block()));
}

TEST(PeakActivation, AChainHoldsTwoNeighbours) {
  Graph graph;
  int value = graph.add_input({4, 4, 2});
  value = graph.add_conv(value, "a", 8, 1, 1, 0, 1, true);   // 32 + 128
  value = graph.add_conv(value, "b", 16, 1, 2, 0, 1, true);  // 128 + 64
  graph.add_conv(value, "c", 1, 1, 1, 0, 1, true);           // 64 + 4
  EXPECT_DOUBLE_EQ(peak_activation_bytes(graph), 4.0 * 192);
}

TEST(PeakActivation, AValueReadLaterIsNotOverwritten) {
  Graph graph;
  const int in = graph.add_input({4, 4, 2});
  const int act = graph.add_activation(in, "act", Activation::relu);
  EXPECT_DOUBLE_EQ(peak_activation_bytes(graph), 4.0 * 32);
  graph.add_add(act, in, "add");
  EXPECT_DOUBLE_EQ(peak_activation_bytes(graph), 4.0 * 64);
}

}  // namespace
}  // namespace sonar
