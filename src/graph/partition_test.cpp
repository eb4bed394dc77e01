#include "graph/partition.h"

#include <gtest/gtest.h>

#include <cmath>

#include "graph/parameters.h"
#include "graph/reference.h"
#include "model/error.h"
#include "model/random.h"

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
  Graph unfolded;
  unfolded.add_batch_norm(unfolded.add_conv(unfolded.add_input({8, 8, 4}), "conv", 4, 1, 1, 0, 1, false), "bn");
  EXPECT_EQ(user_error(unfolded), "node 'bn' (batch_norm) fits no subgraph: fold batch norms first");

  EXPECT_EQ(user_error(unfolded, 0), "a batch of 0 images cannot be run; it must be 1 or more");
}

TEST(Partition, AnActivationAfterTheResidualIsFusedToo) {
  Graph graph;
  const int in = graph.add_input({8, 8, 4});
  const int a = graph.add_conv(in, "a", 6, 3, 2, 1, 1, true);
  const int shortcut = graph.add_conv(in, "shortcut", 6, 1, 2, 0, 1, true);
  const int add = graph.add_add(a, shortcut, "add");
  const int relu = graph.add_activation(add, "relu", Activation::relu);
  graph.add_conv(relu, "b", 6, 1, 1, 0, 1, true);
  const auto uses = partition(graph, 1);
  EXPECT_EQ(keys(uses), (std::vector<SubgraphKey>{"conv-f32-n1-h8-w8-i4-o6-k3-s2-p1-linear",
                                                  "conv-f32-n1-h8-w8-i4-o6-k1-s2-p0-res-relu",
                                                  "conv-f32-n1-h4-w4-i6-o6-k1-s1-p0-linear"}));
  EXPECT_EQ(uses[1].input, in);
  EXPECT_EQ(uses[1].residual, a);
  EXPECT_EQ(uses[1].output, relu);
  EXPECT_EQ(uses[2].input, relu);
}

TEST(Partition, WhatCannotBeFusedIsASubgraphOfItsOwn) {
  Graph graph;
  const int in = graph.add_input({8, 6, 4});
  const int conv = graph.add_conv(in, "conv", 4, 1, 1, 0, 1, true);
  const int act = graph.add_activation(conv, "act", Activation::silu);  // conv is read below too
  const int twice = graph.add_add(act, act, "twice");
  const int product = graph.add_multiply(twice, conv, "product");
  const int relu = graph.add_activation(product, "relu", Activation::relu6);
  const int pooled = graph.add_window_pool(relu, "pool", Op::max_pool, 2, 2, 0);
  const int large = graph.add_resize(pooled, "large", 2);
  const int joined = graph.add_concat(large, in, "joined");
  const int mean = graph.add_window_pool(joined, "mean", Op::average_pool, 3, 1, 1);
  const int flat = graph.add_flatten(mean, "flat");
  graph.add_dense(flat, "dense", 5);
  const auto uses = partition(graph, 1);
  EXPECT_EQ(keys(uses), (std::vector<SubgraphKey>{
                            "conv-f32-n1-h8-w6-i4-o4-k1-s1-p0-linear", "activate-f32-n1-h8-w6-i4-o4-k1-s1-p0-silu",
                            "add-f32-n1-h8-w6-i4-o4-k1-s1-p0-linear", "multiply-f32-n1-h8-w6-i4-o4-k1-s1-p0-relu6",
                            "maxpool-f32-n1-h8-w6-i4-o4-k2-s2-p0-linear", "resize-f32-n1-h4-w3-i4-o4-k1-s2-p0-linear",
                            "concat-f32-n1-h8-w6-i4-o8-k1-s1-p0-linear", "avgpool-f32-n1-h8-w6-i8-o8-k3-s1-p1-linear",
                            "dense-f32-n1-h1-w1-i384-o5-k1-s1-p0-linear"}));
  EXPECT_EQ(uses[2].input, act);
  EXPECT_EQ(uses[2].residual, act);
  EXPECT_EQ(uses[3].residual, conv);
  EXPECT_EQ(uses[3].output, relu);
  EXPECT_EQ(uses[6].residual, in);
  EXPECT_EQ(uses[8].input, mean);  // flatten moves nothing
}

TEST(Partition, OtherGatesThanSqueezeExciteFallApart) {
  Graph gate;  // like squeeze-excite, but scaling something other than the pool's input
  const int in = gate.add_input({8, 8, 4});
  const int x = gate.add_conv(in, "conv", 4, 1, 1, 0, 1, true);
  int factor = gate.add_dense(gate.add_global_average_pool(in, "pool"), "reduce", 8);
  factor = gate.add_dense(gate.add_activation(factor, "relu", Activation::relu), "expand", 4);
  gate.add_scale(x, gate.add_activation(factor, "gate", Activation::hard_sigmoid), "scale");
  const auto uses = partition(gate, 1);
  EXPECT_EQ(keys(uses), (std::vector<SubgraphKey>{
                            "conv-f32-n1-h8-w8-i4-o4-k1-s1-p0-linear", "pool-f32-n1-h8-w8-i4-o4-k1-s1-p0-linear",
                            "dense-f32-n1-h1-w1-i4-o8-k1-s1-p0-relu", "dense-f32-n1-h1-w1-i8-o4-k1-s1-p0-hsigmoid",
                            "scale-f32-n1-h8-w8-i4-o4-k1-s1-p0-linear"}));
  EXPECT_EQ(uses[4].input, x);
}

/// Expansion, depthwise and projection, as inverted residual blocks have them.
struct Block {
  Graph graph;
  int in, expand, expand_act, depthwise, depthwise_act;
  explicit Block(int kernel = 1) {
    in = graph.add_input({8, 8, 4});
    expand = graph.add_conv(in, "expand", 12, kernel, 1, kernel / 2, 1, true);
    expand_act = graph.add_activation(expand, "expand_act", Activation::relu6);
    depthwise = graph.add_conv(expand_act, "dw", 12, 3, 2, 1, 12, true);
    depthwise_act = graph.add_activation(depthwise, "dw_act", Activation::hard_swish);
  }
  std::vector<SubgraphUse> fused() const { return partition(graph, 1, DepthwiseFusion::with_neighbours); }
};

TEST(PartitionFused, ABlockIsOneSubgraphOnRequestOnly) {
  Block block;
  const int project = block.graph.add_conv(block.depthwise_act, "project", 6, 1, 1, 0, 1, true);
  block.graph.add_conv(project, "next", 5, 3, 1, 1, 1, true);
  EXPECT_EQ(partition(block.graph, 1).size(), 4u);
  const auto uses = block.fused();
  EXPECT_EQ(keys(uses),
            (std::vector<SubgraphKey>{"block-f32-n1-h8-w8-i4-o6-k3-s2-p1-m12-expand-relu6-dw-hswish-project-linear",
                                      "conv-f32-n1-h4-w4-i6-o5-k3-s1-p1-linear"}));
  EXPECT_EQ(uses[0].input, block.in);
  EXPECT_EQ(uses[0].output, project);
  EXPECT_EQ(uses[0].parameters, (std::vector<int>{block.expand, block.depthwise, project}));
  EXPECT_EQ(uses[1].input, project);
}

TEST(PartitionFused, TheResidualGoesToTheLastStage) {
  Graph graph;
  const int in = graph.add_input({8, 8, 4});
  const int a = graph.add_conv(in, "a", 12, 1, 1, 0, 1, true);
  const int b = graph.add_conv(graph.add_activation(a, "a_act", Activation::relu), "b", 12, 5, 1, 2, 12, true);
  const int c = graph.add_conv(graph.add_activation(b, "b_act", Activation::relu), "c", 4, 1, 1, 0, 1, true);
  const int sum = graph.add_add(in, c, "sum");
  const int act = graph.add_activation(sum, "act", Activation::silu);
  // Depthwise and pointwise only, as the stem before is no pointwise convolution; nothing comes after the sum.
  const int d = graph.add_conv(act, "d", 4, 3, 1, 1, 4, true);
  const int e = graph.add_conv(d, "e", 4, 1, 1, 0, 1, true);
  graph.add_add(graph.add_activation(e, "e_act", Activation::relu), act, "last");
  const auto uses = partition(graph, 2, DepthwiseFusion::with_neighbours);
  EXPECT_EQ(keys(uses),
            (std::vector<SubgraphKey>{"block-f32-n2-h8-w8-i4-o4-k5-s1-p2-m12-expand-relu-dw-relu-project-res-silu",
                                      "block-f32-n2-h8-w8-i4-o4-k3-s1-p1-m4-dw-linear-project-relu-res"}));
  EXPECT_EQ(uses[0].residual, in);
  EXPECT_EQ(uses[1].residual, act);
}

TEST(PartitionFused, WhatStandsBetweenKeepsStagesApart) {
  {  // a squeeze-excite: the projection stays alone
    Block block;
    const int x = block.depthwise_act;
    int gate = block.graph.add_dense(block.graph.add_global_average_pool(x, "pool"), "reduce", 3);
    gate = block.graph.add_dense(block.graph.add_activation(gate, "relu", Activation::relu), "excite", 12);
    gate = block.graph.add_activation(gate, "gate", Activation::hard_sigmoid);
    block.graph.add_conv(block.graph.add_scale(x, gate, "scale"), "project", 6, 1, 1, 0, 1, true);
    EXPECT_EQ(keys(block.fused()),
              (std::vector<SubgraphKey>{"block-f32-n1-h8-w8-i4-o12-k3-s2-p1-m12-expand-relu6-dw-hswish",
                                        "se-f32-n1-h4-w4-i12-o12-k1-s1-p0-q3-linear",
                                        "conv-f32-n1-h4-w4-i12-o6-k1-s1-p0-linear"}));
  }
  {  // the expanded map is read twice
    Block block;
    block.graph.add_conv(block.depthwise_act, "project", 6, 1, 1, 0, 1, true);
    block.graph.add_global_average_pool(block.expand_act, "pool");
    EXPECT_EQ(keys(block.fused()),
              (std::vector<SubgraphKey>{"conv-f32-n1-h8-w8-i4-o12-k1-s1-p0-relu6",
                                        "block-f32-n1-h8-w8-i12-o6-k3-s2-p1-m12-dw-hswish-project-linear",
                                        "pool-f32-n1-h8-w8-i12-o12-k1-s1-p0-linear"}));
  }
  {  // the depthwise map, before its activation
    Block block;
    block.graph.add_conv(block.depthwise_act, "project", 6, 1, 1, 0, 1, true);
    block.graph.add_global_average_pool(block.depthwise, "pool");
    EXPECT_EQ(keys(block.fused()).front(), "block-f32-n1-h8-w8-i4-o12-k3-s2-p1-m12-expand-relu6-dw-linear");
  }
  {  // convolutions before and after that are not pointwise, or stride
    Block block(3);
    block.graph.add_conv(block.depthwise_act, "after", 6, 1, 2, 0, 1, true);
    EXPECT_EQ(keys(block.fused()), (std::vector<SubgraphKey>{"conv-f32-n1-h8-w8-i4-o12-k3-s1-p1-relu6",
                                                             "depthwise-f32-n1-h8-w8-i12-o12-k3-s2-p1-hswish",
                                                             "conv-f32-n1-h4-w4-i12-o6-k1-s2-p0-linear"}));
  }
}

/// A network of random operators over values of one shape and some that leave it.
Graph random_graph(Random& random) {
  Graph graph;
  std::vector<int> values{graph.add_input({6, 6, 4})};
  auto any = [&] { return values[random.below(values.size())]; };
  const int count = 4 + static_cast<int>(random.below(12));
  for (int i = 0; i < count; ++i) {
    const std::string name = "n" + std::to_string(i);
    const auto activation = static_cast<Activation>(1 + random.below(6));
    switch (random.below(11)) {
      case 0:
      case 1:
        values.push_back(graph.add_conv(any(), name, 4, 3, 1, 1, random.below(2) ? 1 : 4, true));
        break;
      case 2:
        values.push_back(graph.add_activation(values.back(), name, activation));
        break;
      case 3:
        values.push_back(graph.add_add(values.back(), any(), name));
        break;
      case 4:
        values.push_back(graph.add_multiply(any(), any(), name));
        break;
      case 5: {
        const int pool = graph.add_global_average_pool(any(), name + "p");
        values.push_back(graph.add_scale(any(), graph.add_dense(pool, name + "d", 4), name));
        break;
      }
      case 6:
        values.push_back(
            graph.add_window_pool(any(), name, random.below(2) ? Op::max_pool : Op::average_pool, 3, 1, 1));
        break;
      case 7: {
        const int joined = graph.add_concat(any(), any(), name + "c");
        values.push_back(graph.add_conv(joined, name, 4, 1, 1, 0, 1, true));
        break;
      }
      case 8: {
        const int small = graph.add_window_pool(any(), name + "s", Op::max_pool, 2, 2, 0);
        values.push_back(graph.add_resize(small, name, 2));
        break;
      }
      case 9:
      case 10: {
        const int wide = graph.add_conv(any(), name + "e", 6, 1, 1, 0, 1, true);
        const int relu = random.below(2) ? graph.add_activation(wide, name + "er", activation) : wide;
        const int middle = graph.add_conv(relu, name + "d", 6, 3, 1, 1, 6, true);
        if (random.below(3) == 0) values.push_back(graph.add_conv(relu, name + "s", 4, 1, 1, 0, 1, true));
        const int again = random.below(2) ? graph.add_activation(middle, name + "dr", activation) : middle;
        const int narrow = graph.add_conv(again, name + "p", 4, 1, 1, 0, 1, true);
        values.push_back(random.below(2) ? graph.add_add(narrow, any(), name) : narrow);
        break;
      }
    }
  }
  graph.add_dense(graph.add_flatten(values.back(), "flat"), "last", 3);
  return graph;
}

TEST(Partition, SubgraphsInOrderGiveTheGraphsOwnOutput) {
  Random random(5);
  int fused = 0;
  for (int trial = 0; trial < 120; ++trial) {
    const Graph graph = random_graph(random);
    const Parameters parameters = random_parameters(graph, 100 + trial);
    const int batch = 1 + trial % 2;
    std::vector<float> input(batch * graph.input_shape().elements());
    for (float& value : input) value = static_cast<float>(2 * random.uniform() - 1);
    const std::vector<float> expected = run_reference(graph, parameters, input, batch);
    std::map<int, std::vector<float>> values{{0, input}};
    const auto uses =
        partition(graph, batch, random.below(2) ? DepthwiseFusion::with_neighbours : DepthwiseFusion::apart);
    for (const SubgraphUse& use : uses) {
      fused += use.subgraph.kind == SubgraphKind::fused_depthwise;
      EXPECT_EQ(parse_subgraph(use.subgraph.key()), use.subgraph);
      std::vector<std::vector<float>> inputs{values.at(use.input)};
      for (int node : use.parameters)
        for (const char* tensor : {".weight", ".bias"})
          inputs.push_back(parameters.at(graph.nodes[node].name + tensor));
      if (use.subgraph.has_second_input()) inputs.push_back(values.at(use.residual));
      values[use.output] = run_subgraph_reference(use.subgraph, inputs);
    }
    const std::vector<float>& got = values.at(uses.back().output);
    ASSERT_EQ(got.size(), expected.size());
    for (size_t i = 0; i < got.size(); ++i)
      ASSERT_NEAR(got[i], expected[i], 1e-5 * (1 + std::abs(expected[i]))) << graph_to_json(graph);
  }
  EXPECT_GT(fused, 20);
}

}  // namespace
}  // namespace sonar
