#include "graph/parameters.h"

#include <gtest/gtest.h>

#include <cmath>

#include "graph/reference.h"
#include "model/error.h"
#include "model/random.h"

namespace sonar {
namespace {

Graph block() {
  Graph graph;
  const int in = graph.add_input({6, 5, 4});
  int value = graph.add_conv(in, "expand", 12, 1, 1, 0, 1, false);
  value = graph.add_batch_norm(value, "expand_bn");
  value = graph.add_activation(value, "expand_act", Activation::hard_swish);
  value = graph.add_conv(value, "depthwise", 12, 3, 1, 1, 12, true);  // a bias of its own before a batch norm
  value = graph.add_batch_norm(value, "depthwise_bn");
  value = graph.add_activation(value, "depthwise_act", Activation::relu);
  value = graph.add_conv(value, "project", 4, 1, 1, 0, 1, false);  // no batch norm and no bias
  value = graph.add_add(value, in, "add");
  value = graph.add_global_average_pool(value, "pool");
  graph.add_dense(value, "classifier", 3);
  return graph;
}

template <class Function>
std::string user_error(Function function) {
  try {
    function();
  } catch (const UserError& error) {
    return error.what();
  }
  return "no error";
}

TEST(Parameters, SizesAgreeWithTheCount) {
  double values = 0;
  for (const auto& [name, size] : parameter_sizes(block()))
    if (name.find(".running_") == name.npos) values += size;
  EXPECT_DOUBLE_EQ(values, count_parameters(block()));
}

TEST(Parameters, RandomOnesFitAreSeededAndHeScaled) {
  const Graph graph = block();
  const Parameters parameters = random_parameters(graph, 3);
  EXPECT_NO_THROW(check_parameters(graph, parameters));
  EXPECT_EQ(parameters, random_parameters(graph, 3));
  EXPECT_NE(parameters, random_parameters(graph, 4));

  Graph wide;
  wide.add_conv(wide.add_input({8, 8, 64}), "conv", 128, 3, 1, 1, 1, false);
  double squares = 0;
  const std::vector<float> weight = random_parameters(wide, 1).at("conv.weight");
  for (float w : weight) squares += double(w) * w;
  EXPECT_NEAR(squares / weight.size(), 2.0 / (9 * 64), 0.02 * 2.0 / (9 * 64));
}

TEST(Parameters, ChecksNameTheTensor) {
  const Graph graph = block();
  Parameters parameters = random_parameters(graph, 1);
  parameters.at("expand.weight").pop_back();
  EXPECT_EQ(user_error([&] { check_parameters(graph, parameters); }),
            "parameters: tensor 'expand.weight' has 47 values; the network needs 48");
  parameters.erase("expand.weight");
  EXPECT_EQ(user_error([&] { fold_batch_norm(graph, parameters); }),
            "parameters: tensor 'expand.weight' of the network is missing");
}

TEST(FoldBatchNorm, LeavesNoBatchNormAndEveryConvolutionABias) {
  const FoldedNetwork folded = fold_batch_norm(block(), random_parameters(block(), 5));
  for (const Node& node : folded.graph.nodes) {
    EXPECT_NE(node.op, Op::batch_norm);
    EXPECT_TRUE(node.op != Op::conv || node.bias) << node.name;
  }
  EXPECT_EQ(folded.graph.nodes.size(), block().nodes.size() - 2);
  EXPECT_NO_THROW(check_parameters(folded.graph, folded.parameters));
  EXPECT_EQ(folded.parameters.size(), parameter_sizes(folded.graph).size()) << "tensors of batch norms are gone";
  EXPECT_EQ(graph_from_json(graph_to_json(folded.graph)), folded.graph) << "indices and shapes are consistent";
}

TEST(FoldBatchNorm, WithoutParametersFoldsTheGraphOnly) {
  const FoldedNetwork folded = fold_batch_norm(block(), {});
  EXPECT_TRUE(folded.parameters.empty());
  EXPECT_EQ(folded.graph, fold_batch_norm(block(), random_parameters(block(), 5)).graph);
}

TEST(FoldBatchNorm, ScalarClosedForm) {
  Graph graph;
  graph.add_batch_norm(graph.add_conv(graph.add_input({1, 1, 1}), "conv", 1, 1, 1, 0, 1, true), "bn");
  const Parameters parameters{{"conv.weight", {3}}, {"conv.bias", {2}},        {"bn.weight", {5}},
                              {"bn.bias", {7}},     {"bn.running_mean", {11}}, {"bn.running_var", {4}}};
  const FoldedNetwork folded = fold_batch_norm(graph, parameters);
  const double factor = 5 / std::sqrt(4 + 1e-3);
  EXPECT_NEAR(folded.parameters.at("conv.weight")[0], 3 * factor, 1e-5);
  EXPECT_NEAR(folded.parameters.at("conv.bias")[0], 7 + (2 - 11) * factor, 1e-5);
}

TEST(FoldBatchNorm, GivesTheSameNetwork) {
  for (uint64_t seed = 0; seed < 10; ++seed) {
    const Graph graph = block();
    const Parameters parameters = random_parameters(graph, seed);
    const FoldedNetwork folded = fold_batch_norm(graph, parameters);
    Random random(seed);
    std::vector<float> input(2 * graph.input_shape().elements());
    for (float& value : input) value = static_cast<float>(2 * random.uniform() - 1);
    const std::vector<float> want = run_reference(graph, parameters, input, 2);
    const std::vector<float> got = run_reference(folded.graph, folded.parameters, input, 2);
    ASSERT_EQ(got.size(), want.size());
    for (size_t i = 0; i < want.size(); ++i) EXPECT_NEAR(got[i], want[i], 1e-5 * (1 + std::abs(want[i])));
  }
}

TEST(FoldBatchNorm, RefusesOneThatFollowsNoConvolutionOfItsOwn) {
  Graph shared;
  const int conv = shared.add_conv(shared.add_input({4, 4, 2}), "conv", 2, 1, 1, 0, 1, false);
  shared.add_add(shared.add_batch_norm(conv, "bn"), conv, "add");
  const std::string message =
      "batch norm 'bn' does not follow a convolution whose output nothing else reads; it cannot be folded";
  EXPECT_EQ(user_error([&] { fold_batch_norm(shared, {}); }), message);
  Graph first;
  first.add_batch_norm(first.add_input({4, 4, 2}), "bn");
  EXPECT_EQ(user_error([&] { fold_batch_norm(first, {}); }), message);
}

}  // namespace
}  // namespace sonar
