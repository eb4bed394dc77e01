#include "onnx/write_onnx.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "graph/partition.h"
#include "graph/reference.h"
#include "model/error.h"
#include "model/random.h"
#include "onnx/import_onnx.h"
#include "onnx/onnx_model.h"
#include "space/space.h"

namespace sonar {
namespace {

class WriteOnnx : public testing::Test {
 protected:
  /// Written and imported again: the same subgraphs, and the same outputs for the same images.
  void expect_round_trip(const Graph& graph, int batch) {
    const Parameters parameters = random_parameters(graph, 3);
    write_onnx(path_, to_onnx(graph, parameters, batch));
    const ImportedNetwork read = import_onnx(path_);
    EXPECT_EQ(read_onnx(path_).input_dims,
              (std::vector<int64_t>{batch, graph.input_shape().channels, graph.input_shape().height,
                                    graph.input_shape().width}));
    EXPECT_EQ(count_subgraphs(partition(read.graph, batch)),
              count_subgraphs(partition(fold_batch_norm(graph, {}).graph, batch)));
    Random random(5);
    std::vector<float> images(batch * graph.input_shape().elements());
    for (float& value : images) value = static_cast<float>(2 * random.uniform() - 1);
    const std::vector<float> expected = run_reference(graph, parameters, images, batch);
    const std::vector<float> got = run_reference(read.graph, read.parameters, images, batch);
    ASSERT_EQ(got.size(), expected.size());
    float largest = 0;
    for (float value : expected) largest = std::max(largest, std::abs(value));
    EXPECT_GT(largest, 1e-3f);
    for (size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], expected[i], 1e-4f * largest) << "output " << i;
  }

  const std::string path_ = testing::TempDir() + "sonar-write-test-" + std::to_string(getpid()) + ".onnx";
};

/// Every operator and every activation.
Graph everything() {
  Graph g;
  const int image = g.add_input({8, 8, 3});
  int x = g.add_conv(image, "stem", 4, 3, 1, 1, 1, false);
  x = g.add_activation(g.add_batch_norm(x, "stem_bn"), "a1", Activation::relu6);
  const int early = x = g.add_activation(g.add_conv(x, "dw", 4, 3, 1, 1, 4, true), "a2", Activation::silu);
  x = g.add_window_pool(x, "average", Op::average_pool, 3, 1, 1);
  x = g.add_window_pool(x, "max", Op::max_pool, 2, 2, 0);
  x = g.add_resize(x, "resize", 2);
  x = g.add_multiply(x, early, "multiply");
  x = g.add_add(g.add_conv(x, "wide", 4, 1, 1, 0, 1, true), x, "residual");
  x = g.add_concat(x, early, "concat");
  int gate = g.add_dense(g.add_global_average_pool(x, "squeeze"), "se1", 3);
  gate = g.add_dense(g.add_activation(gate, "a3", Activation::relu), "se2", 8);
  x = g.add_scale(x, g.add_activation(gate, "a4", Activation::hard_sigmoid), "scale");
  gate = g.add_dense(g.add_flatten(g.add_global_average_pool(x, "squeeze2"), "vector"), "gate", 8);
  x = g.add_scale(x, g.add_activation(gate, "a5", Activation::sigmoid), "scale2");
  x = g.add_conv(x, "down", 6, 3, 2, 1, 1, true);
  x = g.add_flatten(g.add_activation(x, "a6", Activation::hard_swish), "flatten");
  x = g.add_dense(x, "hidden", 12);
  g.add_dense(g.add_activation(x, "a7", Activation::relu), "classes", 5);
  return g;
}

TEST_F(WriteOnnx, NetworksOfTheSpaceAreReadBackAsTheyWere) {
  MobileNetV3Options options;
  options.resolutions = {64, 96};  // a convolution of a 1 x 1 map would be read back as a dense layer
  options.widths = {0.25, 0.5};
  options.depths = {1, 2};
  const auto space = make_mobilenetv3(options);
  for (uint64_t i = 0; i < space->size(); i += space->size() / 4 + 1) {
    SCOPED_TRACE(space->at(i).name);
    expect_round_trip(space->lower(space->at(i), 7), i == 0 ? 3 : 1);
  }
}

TEST_F(WriteOnnx, EveryOperator) {
  for (int batch : {1, 2}) expect_round_trip(everything(), batch);
}

TEST_F(WriteOnnx, ANetworkWithoutClassesHasAnImageAsItsOutput) {
  Graph g;
  g.add_conv(g.add_input({5, 7, 3}), "only", 4, 3, 2, 1, 1, true);
  expect_round_trip(g, 2);
}

TEST_F(WriteOnnx, UntrainedNetworksAreFoldedAndFollowFromTheSeed) {
  const Graph graph = everything();
  EXPECT_EQ(untrained_onnx(graph, 1, 4), untrained_onnx(graph, 1, 4));
  EXPECT_NE(untrained_onnx(graph, 1, 4), untrained_onnx(graph, 1, 5));
  write_onnx(path_, untrained_onnx(graph, 1, 4));
  std::map<std::string, int> operators;
  for (const OnnxNode& node : read_onnx(path_).nodes) ++operators[node.op];
  EXPECT_EQ(operators["BatchNormalization"], 0);
  EXPECT_EQ(operators["Conv"], 6);  // two of them are the dense layers of a squeeze-and-excite block
  EXPECT_EQ(operators["Gemm"], 3);
}

TEST_F(WriteOnnx, AFlattenedMapThatIsReadInAnotherOrderIsRefused) {
  Graph g;
  g.add_flatten(g.add_input({2, 2, 3}), "flat");
  try {
    to_onnx(g, {}, 1);
    FAIL() << "written";
  } catch (const UserError& error) {
    EXPECT_STREQ(error.what(),
                 "node 'flat' cannot be written to ONNX: it ends in a flattened map, whose order is another there; put "
                 "a dense layer after the flatten");
  }
}

TEST_F(WriteOnnx, AFileThatCannotBeWrittenIsNamed) {
  try {
    write_onnx("/proc/none/network.onnx", "x");
    FAIL() << "written";
  } catch (const EnvironmentError& error) {
    EXPECT_NE(std::string(error.what()).find("/proc/none/network.onnx: cannot be written"), std::string::npos);
  }
}

}  // namespace
}  // namespace sonar
