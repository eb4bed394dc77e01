#include "graph/partition.h"

#include <gtest/gtest.h>

#include "model/error.h"

namespace sonar {
namespace {

std::vector<SubgraphKey> keys(const std::vector<SubgraphUse>& uses) {
  std::vector<SubgraphKey> result;
  for (const SubgraphUse& use : uses) result.push_back(use.subgraph.key());
  return result;
}

std::string user_error(const Graph& graph, int batch = 1) {
  try {
    partition(graph, batch);
  } catch (const UserError& error) {
    return error.what();
  }
  return "no error";
}

TEST(Partition, FusesActivationAndResidual) {
  Graph graph;
  const int in = graph.add_input({8, 8, 4});
  const int a = graph.add_conv(in, "a", 4, 3, 1, 1, 1, true);
  const int a_act = graph.add_activation(a, "a_act", Activation::relu);
  const int b = graph.add_conv(a_act, "b", 4, 5, 1, 2, 4, true);
  const int b_add = graph.add_add(in, b, "b_add");  // the residual may be either operand
  const int c = graph.add_conv(b_add, "c", 4, 1, 1, 0, 1, true);
  const int c_act = graph.add_activation(c, "c_act", Activation::hard_swish);
  const int c_add = graph.add_add(c_act, b_add, "c_add");
  const auto uses = partition(graph, 3);
  EXPECT_EQ(keys(uses), (std::vector<SubgraphKey>{"conv-f32-n3-h8-w8-i4-o4-k3-s1-p1-relu",
                                                  "depthwise-f32-n3-h8-w8-i4-o4-k5-s1-p2-linear-res",
                                                  "conv-f32-n3-h8-w8-i4-o4-k1-s1-p0-hswish-res"}));
  EXPECT_EQ(uses[0].input, in);
  EXPECT_EQ(uses[0].residual, -1);
  EXPECT_EQ(uses[0].output, a_act);
  EXPECT_EQ(uses[1].input, a_act);
  EXPECT_EQ(uses[1].residual, in);
  EXPECT_EQ(uses[1].output, b_add);
  EXPECT_EQ(uses[1].parameters, std::vector<int>{b});
  EXPECT_EQ(uses[2].residual, b_add);
  EXPECT_EQ(uses[2].output, c_add);
}

TEST(Partition, AnAddOfTwoConvolutionsGoesToTheLater) {
  Graph graph;
  const int in = graph.add_input({8, 8, 4});
  const int a = graph.add_conv(in, "a", 6, 1, 1, 0, 1, true);
  const int b = graph.add_conv(in, "b", 6, 3, 1, 1, 1, true);
  const int add = graph.add_add(a, b, "add");
  const auto uses = partition(graph, 1);
  EXPECT_EQ(keys(uses), (std::vector<SubgraphKey>{"conv-f32-n1-h8-w8-i4-o6-k1-s1-p0-linear",
                                                  "conv-f32-n1-h8-w8-i4-o6-k3-s1-p1-linear-res"}));
  EXPECT_EQ(uses[1].residual, a);
  EXPECT_EQ(uses[1].output, add);
}

TEST(Partition, SqueezeExciteIsOneSubgraphAndAPoolAloneIsOne) {
  Graph graph;
  const int x = graph.add_conv(graph.add_input({7, 5, 3}), "conv", 16, 1, 1, 0, 1, true);
  int value = graph.add_global_average_pool(x, "se_pool");
  const int reduce = value = graph.add_dense(value, "reduce", 8);
  value = graph.add_activation(value, "relu", Activation::relu);
  const int expand = value = graph.add_dense(value, "expand", 16);
  value = graph.add_activation(value, "gate", Activation::hard_sigmoid);
  const int scale = value = graph.add_scale(x, value, "scale");
  value = graph.add_global_average_pool(value, "pool");
  value = graph.add_dense(value, "hidden", 20);
  value = graph.add_activation(value, "hidden_act", Activation::relu);
  value = graph.add_dense(value, "classifier", 10);
  const auto uses = partition(graph, 2);
  EXPECT_EQ(keys(uses), (std::vector<SubgraphKey>{
                            "conv-f32-n2-h7-w5-i3-o16-k1-s1-p0-linear", "se-f32-n2-h7-w5-i16-o16-k1-s1-p0-q8-linear",
                            "pool-f32-n2-h7-w5-i16-o16-k1-s1-p0-linear", "dense-f32-n2-h1-w1-i16-o20-k1-s1-p0-relu",
                            "dense-f32-n2-h1-w1-i20-o10-k1-s1-p0-linear"}));
  EXPECT_EQ(uses[1].input, x);
  EXPECT_EQ(uses[1].output, scale);
  EXPECT_EQ(uses[1].parameters, (std::vector<int>{reduce, expand}));
}

TEST(Partition, CountsOccurrences) {
  Graph graph;
  int value = graph.add_input({8, 8, 4});
  for (int i = 0; i < 3; ++i) value = graph.add_conv(value, "conv" + std::to_string(i), 4, 3, 1, 1, 1, true);
  graph.add_global_average_pool(value, "pool");
  EXPECT_EQ(count_subgraphs(partition(graph, 1)),
            (std::map<SubgraphKey, int>{{"conv-f32-n1-h8-w8-i4-o4-k3-s1-p1-linear", 3},
                                        {"pool-f32-n1-h8-w8-i4-o4-k1-s1-p0-linear", 1}}));
}

TEST(Partition, RefusesWhatFitsNoSubgraph) {
  Graph lone;
  lone.add_activation(lone.add_input({8, 8, 4}), "act", Activation::relu);
  EXPECT_EQ(user_error(lone),
            "node 'act' (activation) fits no subgraph: an activation must follow a conv or dense node whose output "
            "nothing else reads");

  Graph read_twice;  // the value before the activation is needed too, so they cannot be fused
  const int conv = read_twice.add_conv(read_twice.add_input({8, 8, 4}), "conv", 4, 1, 1, 0, 1, true);
  read_twice.add_add(read_twice.add_activation(conv, "act", Activation::relu), conv, "add");
  EXPECT_EQ(user_error(read_twice).substr(0, 38), "node 'act' (activation) fits no subgra");

  Graph doubled;
  const int value = doubled.add_conv(doubled.add_input({8, 8, 4}), "conv", 4, 1, 1, 0, 1, true);
  doubled.add_add(value, value, "twice");
  EXPECT_EQ(user_error(doubled),
            "node 'twice' (add) fits no subgraph: one operand must be a conv node, with or without an activation, that "
            "nothing else reads, the other one must be computed before it");

  Graph unfolded;
  unfolded.add_batch_norm(unfolded.add_conv(unfolded.add_input({8, 8, 4}), "conv", 4, 1, 1, 0, 1, false), "bn");
  EXPECT_EQ(user_error(unfolded), "node 'bn' (batch_norm) fits no subgraph: fold batch norms first");

  Graph gate;  // like squeeze-excite, but scaling something other than the pool's input
  const int in = gate.add_input({8, 8, 4});
  const int x = gate.add_conv(in, "conv", 4, 1, 1, 0, 1, true);
  int factor = gate.add_dense(gate.add_global_average_pool(in, "pool"), "reduce", 8);
  factor = gate.add_dense(gate.add_activation(factor, "relu", Activation::relu), "expand", 4);
  gate.add_scale(x, gate.add_activation(factor, "gate", Activation::hard_sigmoid), "scale");
  EXPECT_EQ(
      user_error(gate),
      "node 'scale' (scale) fits no subgraph: only squeeze-excite scales: pool, dense, relu, dense, hard_sigmoid, "
      "scale of the pool's input");

  EXPECT_EQ(user_error(unfolded, 0), "a batch of 0 images cannot be run; it must be 1 or more");
}

}  // namespace
}  // namespace sonar
