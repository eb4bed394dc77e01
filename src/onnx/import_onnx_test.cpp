#include "onnx/import_onnx.h"

#include <gtest/gtest.h>
#include <onnx/onnx_pb.h>

#include <cmath>
#include <fstream>
#include <functional>

#include "graph/partition.h"
#include "graph/reference.h"
#include "model/error.h"
#include "onnx/evaluate_nchw.h"
#include "onnx/test_models.h"

namespace sonar {
namespace {

using Ints = std::vector<int64_t>;

std::string write_model(const std::string& bytes) {
  const std::string path = testing::TempDir() + "sonar-import-test-" + std::to_string(getpid()) + ".onnx";
  std::ofstream(path, std::ios::binary) << bytes;
  return path;
}

std::string refusal(const std::string& bytes) {
  try {
    import_onnx(write_model(bytes));
  } catch (const UserError& error) {
    return error.what();
  }
  return "no error";
}

template <class Value>
std::vector<Value> channels_last(const std::vector<Value>& nchw, const Shape& shape) {
  std::vector<Value> result(nchw.size());
  const size_t pixels = size_t(shape.height) * shape.width, channels = shape.channels;
  for (size_t i = 0; i < nchw.size(); ++i) {
    const size_t image = i / (channels * pixels), c = i / pixels % channels, p = i % pixels;
    result[(image * pixels + p) * channels + c] = nchw[i];
  }
  return result;
}

std::map<SubgraphKind, int> kinds(const ImportedNetwork& network) {
  std::map<SubgraphKind, int> counts;
  for (const SubgraphUse& use : partition(network.graph, 1)) ++counts[use.subgraph.kind];
  return counts;
}

ImportedNetwork expect_same_output(const std::string& bytes, int batch) {
  const std::string path = write_model(bytes);
  ImportedNetwork network = import_onnx(path);
  Random random(9);
  std::vector<float> input(batch * network.graph.input_shape().elements());
  for (float& value : input) value = static_cast<float>(2 * random.uniform() - 1);
  const std::vector<double> expected =
      channels_last(evaluate_nchw(read_onnx(path), input, batch), network.graph.output_shape());
  const std::vector<float> got =
      run_reference(network.graph, network.parameters, channels_last(input, network.graph.input_shape()), batch);
  EXPECT_EQ(got.size(), expected.size());
  double largest = 0;
  for (double value : expected) largest = std::max(largest, std::abs(value));
  EXPECT_GT(largest, 1e-3);
  for (size_t i = 0; i < std::min(got.size(), expected.size()); ++i)
    EXPECT_NEAR(got[i], expected[i], 1e-4 * largest) << "output " << i;
  return network;
}

TEST(ImportOnnx, MobileNetV2) {
  for (int batch : {1, 3}) {
    const ImportedNetwork network = expect_same_output(mobilenet_v2_like(batch), batch);
    EXPECT_EQ(
        kinds(network),
        (std::map<SubgraphKind, int>{
            {SubgraphKind::conv, 8}, {SubgraphKind::depthwise, 3}, {SubgraphKind::pool, 1}, {SubgraphKind::dense, 1}}));
  }
}

TEST(ImportOnnx, MobileNetV3WithItsActivationsInAllSpellings) {
  const ImportedNetwork network = expect_same_output(mobilenet_v3_like(), 2);
  EXPECT_EQ(kinds(network), (std::map<SubgraphKind, int>{{SubgraphKind::conv, 9},
                                                         {SubgraphKind::depthwise, 4},
                                                         {SubgraphKind::squeeze_excite, 4},
                                                         {SubgraphKind::pool, 1},
                                                         {SubgraphKind::dense, 1}}));
}

TEST(ImportOnnx, ResNet) {
  const ImportedNetwork network = expect_same_output(resnet_like(), 1);
  EXPECT_EQ(
      kinds(network),
      (std::map<SubgraphKind, int>{
          {SubgraphKind::conv, 8}, {SubgraphKind::max_pool, 1}, {SubgraphKind::pool, 1}, {SubgraphKind::dense, 1}}));
  int last = 0;
  for (const SubgraphUse& use : partition(network.graph, 1)) last += use.subgraph.activation_last;
  EXPECT_EQ(last, 3);
}

TEST(ImportOnnx, SqueezeNet) {
  const ImportedNetwork network = import_onnx(write_model(squeezenet_like()));
  EXPECT_EQ(
      kinds(network),
      (std::map<SubgraphKind, int>{
          {SubgraphKind::conv, 8}, {SubgraphKind::max_pool, 2}, {SubgraphKind::concat, 2}, {SubgraphKind::pool, 1}}));
  ASSERT_EQ(network.notes.size(), 1u);
  EXPECT_NE(network.notes[0].find("(Softmax) at the end is left out"), std::string::npos) << network.notes[0];
  // Without the softmax, which the import leaves out.
  onnx::ModelProto model;
  ASSERT_TRUE(model.ParseFromString(squeezenet_like()));
  model.mutable_graph()->mutable_output(0)->set_name(model.graph().node().rbegin()->input(0));
  expect_same_output(model.SerializeAsString(), 1);
}

TEST(ImportOnnx, OddOperators) { expect_same_output(odd_operators(), 2); }

TEST(ImportOnnx, AValueThatOthersReadIsNotFoldedInto) {
  ModelBuilder b({1, 3, 4, 4});
  const std::string x = b.conv("image", 3, 3, 1, 1, 0);
  const std::string alias = b.node("Identity", {x});  // batch norm reads x by another name
  expect_same_output(b.finish(b.node("Mul", {b.batch_norm(alias, 3), x})), 1);
}

TEST(ImportOnnx, WeightsMayGoByFurtherNames) {
  ModelBuilder b({1, 3, 4, 4});
  const std::string alias = b.node("Identity", {b.node("Identity", {b.random({3, 3, 1, 1}, -1, 1)})});
  expect_same_output(b.finish(b.node("Conv", {b.node("Conv", {"image", alias}), alias})), 1);
}

TEST(ImportOnnx, FilesAreToldApart) {
  EXPECT_EQ(import_onnx(write_model(resnet_like())).file_hash, import_onnx(write_model(resnet_like())).file_hash);
  EXPECT_NE(import_onnx(write_model(resnet_like())).file_hash, import_onnx(write_model(squeezenet_like())).file_hash);
}

TEST(ImportOnnxRefuses, ByTheNodesName) {
  struct Case {
    const char* message;
    std::function<std::string(ModelBuilder&)> build;
  };
  auto conv = [](std::map<std::string, ModelBuilder::Attribute> attributes, Ints dims = {4, 4, 3, 3}) {
    return [=](ModelBuilder& b) { return b.node("Conv", {"image", b.random(dims, -1, 1)}, attributes); };
  };
  auto op = [](const char* name, ModelBuilder::Attributes attributes = {}) {
    return [=](ModelBuilder& b) { return b.node(name, {"image"}, attributes); };
  };
  const Case cases[] = {
      {"node 'Conv_1' (Conv): padding that differs between the sides", conv({{"pads", Ints{0, 0, 1, 1}}})},
      {"(Conv): auto_pad SAME_UPPER that pads the sides unequally",
       conv({{"auto_pad", std::string("SAME_UPPER")}, {"strides", Ints{2, 2}}})},
      {"(Conv): a kernel of 3 x 1; only square kernels", conv({}, {4, 4, 3, 1})},
      {"(Conv): a dilated convolution", conv({{"dilations", Ints{2, 2}}})},
      {"(Conv): strides that differ between height and width", conv({{"strides", Ints{1, 2}}})},
      {"(Conv): a grouped convolution of 2 groups", conv({{"group", int64_t{2}}}, {4, 2, 3, 3})},
      {"(Conv): weights of 5 input channels for an input of 4", conv({}, {4, 5, 3, 3})},
      {"(Conv): a node that has a kernel of 11, larger than its padded input", conv({}, {4, 4, 11, 11})},
      {"(Conv): padding of -1", conv({{"pads", Ints{-1, -1, -1, -1}}})},
      {"(Conv): strides of 0", conv({{"strides", Ints{0, 0}}})},
      {"(LeakyRelu): this operator is not imported; docs/onnx.md lists those that are", op("LeakyRelu")},
      {"(QuantizeLinear): a quantised operator; only float32 models are imported", op("QuantizeLinear")},
      {"(HardSigmoid): other slopes than alpha = 1/6 and beta = 1/2", op("HardSigmoid")},
      {"(Clip): other bounds than 0 and 6", op("Clip", {{"min", -1.0f}, {"max", 1.0f}})},
      {"(AveragePool): an average that leaves the padding out",
       op("AveragePool", {{"kernel_shape", Ints{3, 3}}, {"pads", Ints(4, 1)}})},
      {"(MaxPool): ceil_mode where windows reach beyond",
       op("MaxPool", {{"kernel_shape", Ints{3, 3}}, {"strides", Ints{2, 2}}, {"ceil_mode", int64_t{1}}})},
      {"(MaxPool): no kernel_shape", op("MaxPool")},
      {"(ReduceMean): a mean over other axes", op("ReduceMean", {{"axes", Ints{1}}})},
      {"(Concat): over another axis than the channels", op("Concat", {{"axis", int64_t{2}}})},
      {"(Flatten): at another axis than 1", op("Flatten", {{"axis", int64_t{2}}})},
      {"(Gemm): no constant weights", op("Gemm")},
      {"(Resize): no constant scales", op("Resize")},
      {"(Softmax): a softmax before the end",
       [](ModelBuilder& b) { return b.node("Relu", {b.node("Softmax", {"image"})}); }},
      {"(Resize): resizing by interpolation",
       [](ModelBuilder& b) {
         return b.node("Resize", {"image", "", b.constant({4}, {1, 1, 2, 2})}, {{"mode", std::string("linear")}});
       }},
      {"(Resize): resizing by other than one whole factor",
       [](ModelBuilder& b) { return b.node("Resize", {"image", "", b.constant({4}, {1, 1, 1.5, 1.5})}); }},
      {"(Reshape): a target shape other than",
       [](ModelBuilder& b) { return b.node("Reshape", {"image", b.integers({1, 2, 2, 8, 8})}); }},
      {"(Add): of values of different shapes",
       [](ModelBuilder& b) { return b.node("Add", {"image", b.node("GlobalAveragePool", {"image"})}); }},
      {"(Add): a constant operand of another shape",
       [](ModelBuilder& b) { return b.node("Add", {"image", b.random({8, 8}, 0, 1)}); }},
      {"(Sub): of two values", [](ModelBuilder& b) { return b.node("Sub", {"image", "image"}); }},
      {"(Relu): takes 'nothing', which no earlier node makes", [](ModelBuilder& b) { return b.node("Relu", {"nothing"}); }},
      {"(FusedConv): an operator of the domain 'com.example'",
       [](ModelBuilder& b) {
         const std::string name = b.node("FusedConv", {"image"});
         b.proto().mutable_graph()->mutable_node(0)->set_domain("com.example");
         return name;
       }},
      {"has the type DOUBLE; convert the model to float32",
       [](ModelBuilder& b) {
         const std::string name = b.conv("image", 4, 4, 1, 1, 0);
         b.proto().mutable_graph()->mutable_initializer(0)->set_data_type(onnx::TensorProto::DOUBLE);
         return name;
       }},
      {"is kept in another file; save the model with its weights in one file",
       [](ModelBuilder& b) {
         const std::string name = b.conv("image", 4, 4, 1, 1, 0);
         b.proto().mutable_graph()->mutable_initializer(0)->set_data_location(onnx::TensorProto::EXTERNAL);
         return name;
       }},
      {"has not as many values as its shape says",
       [](ModelBuilder& b) {
         const std::string name = b.conv("image", 4, 4, 1, 1, 0);
         b.proto().mutable_graph()->mutable_initializer(0)->set_dims(0, 5);
         return name;
       }},
      {"has more values than a file can hold",
       [](ModelBuilder& b) {
         const std::string name = b.conv("image", 4, 4, 1, 1, 0);
         for (int i = 0; i < 4; ++i) b.proto().mutable_graph()->mutable_initializer(0)->set_dims(i, int64_t{1} << 40);
         return name;
       }},
  };
  for (const Case& one : cases) {
    ModelBuilder b({1, 4, 8, 8});
    const std::string message = refusal(b.finish(one.build(b)));
    EXPECT_NE(message.find(one.message), std::string::npos) << "wanted: " << one.message << "\ngot: " << message;
  }
}

TEST(ImportOnnxRefuses, WhatIsNoNetworkOfOneImage) {
  auto message_for = [](const Ints& dims, int64_t opset = 17) {
    ModelBuilder b(dims, opset);
    return refusal(b.finish(b.node("Relu", {"image"})));
  };
  EXPECT_NE(message_for({1, 4, 8, 8}, 6).find("opset 6 is too old"), std::string::npos);
  EXPECT_NE(message_for({1, 4}).find("input 'image' has not the four dimensions"), std::string::npos);
  EXPECT_NE(message_for({1, 4, -1, 8}).find("input 'image' has no fixed channels, height and width"),
            std::string::npos);
  EXPECT_NE(message_for({1, 4, int64_t{1} << 50, 8}).find("has no fixed channels"), std::string::npos);
  EXPECT_NE(message_for({int64_t{1} << 50, 4, 8, 8}).find("has a batch of"), std::string::npos);
  EXPECT_NE(message_for({1, 1024, 1024, 1024}).find("a value of more than 1 GB"), std::string::npos);
  EXPECT_EQ(message_for({-1, 4, 8, 8}), "no error");
  EXPECT_NE(refusal("").find("is no ONNX model, or is cut short"), std::string::npos);
  EXPECT_NE(refusal("[search]\ntime = \"2h\"\n").find("is no ONNX model, or is cut short"), std::string::npos);
  EXPECT_THROW(import_onnx("/nowhere/model.onnx"), UserError);
  ModelBuilder b({1, 4, 8, 8});
  EXPECT_NE(refusal(b.finish("image")).find("computes nothing from its input"), std::string::npos);
  EXPECT_NE(refusal(b.finish("elsewhere")).find("the output 'elsewhere' is made by no node"), std::string::npos);
}

/// Anything but a UserError or a network ends the test.
void import_whatever(const std::string& bytes) {
  try {
    partition(import_onnx(write_model(bytes)).graph, 1);
  } catch (const UserError&) {
  }
}

TEST(ImportOnnxFuzz, EveryTruncationIsRefusedOrRead) {
  const std::string bytes = odd_operators();
  for (size_t cut = 0; cut < bytes.size(); cut += 3) import_whatever(bytes.substr(0, cut));
}

TEST(ImportOnnxFuzz, DamagedBytesAreRefusedOrRead) {
  Random random(3);
  const std::string models[] = {odd_operators(), mobilenet_v3_like(), squeezenet_like()};
  for (int i = 0; i < 1500; ++i) {
    std::string bytes = models[i % 3];
    for (uint64_t flips = 1 + random.below(4); flips > 0; --flips)
      bytes[random.below(bytes.size())] = static_cast<char>(random.below(256));
    import_whatever(bytes);
  }
}

/// Damage that survives parsing: attributes and shapes of any value.
TEST(ImportOnnxFuzz, HostileNumbersAreRefusedOrRead) {
  Random random(4);
  constexpr int64_t kNumbers[] = {-1,        0,        1, 2, 3, 7, 1000, 65536, int64_t{1} << 31, int64_t{1} << 62,
                                  INT64_MIN, INT64_MAX};
  auto any = [&] { return kNumbers[random.below(std::size(kNumbers))]; };
  for (int i = 0; i < 1500; ++i) {
    onnx::ModelProto model;
    ASSERT_TRUE(model.ParseFromString(i % 2 ? odd_operators() : mobilenet_v3_like()));
    onnx::GraphProto& graph = *model.mutable_graph();
    for (int change = 0; change < 2; ++change) {
      onnx::NodeProto& node = *graph.mutable_node(random.below(graph.node_size()));
      if (random.below(2) == 0 && node.attribute_size() > 0) {
        onnx::AttributeProto& attribute = *node.mutable_attribute(random.below(node.attribute_size()));
        attribute.set_i(any());
        for (int k = 0; k < attribute.ints_size(); ++k) attribute.set_ints(k, any());
      } else {
        onnx::TensorProto& tensor = *graph.mutable_initializer(random.below(graph.initializer_size()));
        for (int k = 0; k < tensor.dims_size(); ++k)
          if (random.below(2)) tensor.set_dims(k, any());
        for (int k = 0; k < tensor.int64_data_size(); ++k) tensor.set_int64_data(k, any());
      }
    }
    import_whatever(model.SerializeAsString());
  }
}

}  // namespace
}  // namespace sonar
