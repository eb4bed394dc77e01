#include <gtest/gtest.h>

#include "graph/graph.h"
#include "model/error.h"
#include "model/random.h"

namespace sonar {
namespace {

/// Every operator once or more.
Graph every_operator() {
  Graph graph;
  const int in = graph.add_input({8, 8, 4});
  int value = graph.add_conv(in, "conv", 4, 3, 1, 1, 1, false);
  value = graph.add_batch_norm(value, "bn");
  const int x = value = graph.add_activation(value, "act", Activation::hard_swish);
  value = graph.add_global_average_pool(value, "pool");
  value = graph.add_dense(value, "dense", 4);
  value = graph.add_activation(value, "gate", Activation::hard_sigmoid);
  value = graph.add_scale(x, value, "scale");
  value = graph.add_conv(value, "depthwise", 4, 5, 1, 2, 4, true);
  value = graph.add_activation(value, "relu", Activation::relu);
  value = graph.add_add(value, in, "add");
  const int pooled = graph.add_window_pool(value, "max", Op::max_pool, 3, 2, 1);
  value = graph.add_window_pool(value, "mean", Op::average_pool, 2, 2, 0);
  value = graph.add_multiply(value, pooled, "multiply");
  value = graph.add_concat(value, pooled, "concat");
  value = graph.add_resize(value, "resize", 3);
  for (Activation activation : {Activation::relu6, Activation::sigmoid, Activation::silu})
    value = graph.add_activation(value, to_text(activation), activation);
  graph.add_flatten(value, "flatten");
  return graph;
}

std::string user_error(const std::string& text) {
  try {
    graph_from_json(text);
  } catch (const UserError& error) {
    return error.what();
  }
  return "no error";
}

/// The JSON of every_operator() with the first `from` replaced.
std::string replaced(const std::string& from, const std::string& to) {
  std::string text = graph_to_json(every_operator());
  const size_t at = text.find(from);
  EXPECT_NE(at, text.npos) << from;
  return text.replace(at, from.size(), to);
}

TEST(GraphJson, IsOneLineInTheDocumentedForm) {
  Graph graph;
  int value = graph.add_input({8, 6, 3});
  value = graph.add_conv(value, "stem", 16, 3, 2, 1, 1, false);
  graph.add_activation(value, "stem_act", Activation::hard_swish);
  EXPECT_EQ(graph_to_json(graph),
            R"({"nodes":[{"op":"input","name":"input","inputs":[],"shape":[8,6,3]},)"
            R"({"op":"conv","name":"stem","inputs":[0],"shape":[4,3,16],"kernel":3,"stride":2,"padding":1,"groups":1,)"
            R"("bias":false},)"
            R"({"op":"activation","name":"stem_act","inputs":[1],"shape":[4,3,16],"activation":"hard_swish"}]})");
}

TEST(GraphJson, RoundTripsEveryOperator) {
  EXPECT_EQ(graph_from_json(graph_to_json(every_operator())), every_operator());
}

TEST(GraphJson, ComplaintsNameTheNode) {
  EXPECT_EQ(user_error(replaced("\"scale\"", "\"swirl\"")), "graph: node 7 ('scale') has the unknown operator 'swirl'");
  EXPECT_EQ(user_error(replaced("\"inputs\":[1]", "\"inputs\":[2]")),
            "graph: node 2 ('bn') takes input 2, which is no earlier node");
  EXPECT_EQ(user_error(replaced("\"inputs\":[1]", "\"inputs\":[-1]")),
            "graph: node 2 ('bn') takes input -1, which is no earlier node");
  EXPECT_EQ(user_error(replaced("\"inputs\":[1]", "\"inputs\":[1,1]")),
            "graph: node 2 ('bn') has 2 inputs; its operator takes 1");
  EXPECT_EQ(
      user_error(replaced("\"pool\",\"inputs\":[3],\"shape\":[1,1,4]", "\"pool\",\"inputs\":[3],\"shape\":[1,1,5]")),
      "graph: node 4 ('pool') has a wrong shape; its inputs give [1, 1, 4]");
  EXPECT_EQ(user_error(replaced("\"kernel\":3", "\"kernel\":3.5")),
            "graph: node 1 ('conv') has a value in 'kernel' that is no whole number");
  EXPECT_EQ(user_error(replaced("\"kernel\":3", "\"kernel\":99999999999999")),
            "graph: node 1 ('conv') has the value 99999999999999 in 'kernel', which is out of range");
  EXPECT_EQ(user_error(replaced("\"kernel\":3,", "")), "graph: node 1 ('conv') has no field 'kernel'");
  EXPECT_EQ(user_error(replaced("\"kernel\":3", "\"kernel\":3,\"dilation\":2")),
            "graph: node 1 ('conv') has a field 'dilation' that its operator does not know");
  EXPECT_EQ(user_error(replaced("\"groups\":4", "\"groups\":2")),
            "graph: node 8 ('depthwise') has 2 groups; groups are 1, or the number of input and output channels");
  EXPECT_EQ(user_error(replaced("\"hard_swish\"", "\"gelu\"")),
            "graph: node 3 ('act') has the unknown activation 'gelu'");
  EXPECT_EQ(user_error(replaced("\"name\":\"gate\"", "\"name\":\"act\"")),
            "graph: node 6 ('act') has the name of an earlier node");
  EXPECT_EQ(user_error("{\"nodes\":[]}"), "graph: the JSON holds no nodes");
  EXPECT_EQ(user_error("[]"), "graph: the JSON must be an object with one field 'nodes', an array");
  EXPECT_EQ(user_error("{\"nodes\":[7]}"), "graph: node 0 is no object");
  EXPECT_NE(user_error("{\"nodes\":").find("graph: the text is no JSON"), std::string::npos);
}

TEST(GraphJson, EveryTruncationIsRefused) {
  const std::string text = graph_to_json(every_operator());
  for (size_t length = 0; length < text.size(); ++length)
    EXPECT_THROW(graph_from_json(text.substr(0, length)), UserError) << length;
}

TEST(GraphJson, AMutatedTextIsRefusedOrAnotherGraph) {
  const std::string text = graph_to_json(every_operator());
  Random random(11);
  int refused = 0;
  constexpr int kMutations = 20000;
  for (int i = 0; i < kMutations; ++i) {
    std::string mutated = text;
    for (uint64_t changes = 1 + random.below(3); changes > 0; --changes)
      mutated[random.below(mutated.size())] = static_cast<char>(random.below(256));
    try {
      const Graph graph = graph_from_json(mutated);
      EXPECT_EQ(graph_from_json(graph_to_json(graph)), graph) << mutated;
    } catch (const UserError&) {
      ++refused;
    }
  }
  // Only changes within names, or of a stride or padding that gives the same shapes, can pass.
  EXPECT_GT(refused, kMutations / 2);
}

}  // namespace
}  // namespace sonar
