#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "graph/parameters.h"
#include "graph/partition.h"
#include "graph/reference.h"
#include "model/error.h"
#include "model/random.h"
#include "space/space.h"

namespace sonar {
namespace {

/// One small architecture, worked out by hand below.
MobileNetV3Options small_options() {
  MobileNetV3Options options;
  options.resolutions = {32};
  options.widths = {1.0};
  options.expansions = {2};
  options.depths = {1};
  options.kernels = {{3, 3, 3, 3, 3}};
  options.stem_stride = 1;
  options.strides = {2, 1, 1, 1, 2};
  options.stem_width = 8;
  options.stage_widths = {8, 16, 16, 16, 24};
  options.squeeze_excite = {false, false, false, true, false};
  options.head_width = 32;
  options.classifier_width = 40;
  return options;
}

/// Small enough to be run by the reference; every kind of block occurs.
MobileNetV3Options runnable_options() {
  MobileNetV3Options options;
  options.resolutions = {16, 20, 31};
  options.widths = {0.25, 0.5};
  options.expansions = {1, 2, 3};
  options.depths = {1, 2, 3};
  options.kernels = {{3, 5, 3, 3, 5}, {5, 3, 7, 1, 3}};
  options.stem_stride = 1;
  options.strides = {1, 2, 2, 1, 2};
  return options;
}

std::string refused(const Space& space, const std::string& name) {
  try {
    space.check({name});
  } catch (const UserError& error) {
    return error.what();
  }
  return "accepted";
}

std::string refused(const MobileNetV3Options& options) {
  try {
    make_mobilenetv3(options);
  } catch (const UserError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(MobileNetV3, TableOneHolds1024DistinctArchitectures) {
  const auto space = make_mobilenetv3({});
  ASSERT_EQ(space->size(), 1024u);
  std::set<std::string> names;
  std::set<std::string> graphs;
  for (uint64_t i = 0; i < space->size(); ++i) {
    const Architecture architecture = space->at(i);
    EXPECT_NO_THROW(space->check(architecture));
    names.insert(architecture.name);
    graphs.insert(graph_to_json(space->lower(architecture, 10)));
  }
  EXPECT_EQ(names.size(), 1024u);
  EXPECT_EQ(graphs.size(), 1024u);
  EXPECT_EQ(space->at(0).name, "mobilenetv3-r128-w0.25-e3-k35335-d22222");
  EXPECT_EQ(space->at(1).name, "mobilenetv3-r128-w0.25-e3-k35335-d22223");
  EXPECT_EQ(space->at(1023).name, "mobilenetv3-r224-w1.00-e6-k35335-d33333");
  EXPECT_EQ(space->at(1023).family(), "mobilenetv3");
  EXPECT_EQ(space->resolution(space->at(1023)), 224);
  EXPECT_THROW(space->at(1024), InternalError);
}

TEST(MobileNetV3, MacsAndParametersByHand) {
  const auto space = make_mobilenetv3(small_options());
  ASSERT_EQ(space->size(), 1u);
  const Graph graph = space->lower(space->at(0), 10);
  const double stem = 32 * 32 * 8 * 27;
  const double stage1 = 32 * 32 * 8 * 16 + 16 * 16 * 16 * 9 + 16 * 16 * 16 * 8;
  const double stage2 = 16 * 16 * 8 * 16 + 16 * 16 * 16 * 9 + 16 * 16 * 16 * 16;
  const double stage3 = 16 * 16 * 16 * 32 + 16 * 16 * 32 * 9 + 16 * 16 * 32 * 16;
  const double squeeze_excite = 2 * (16 * 16 * 32) + 2 * (32 * 8);
  const double stage5 = 16 * 16 * 16 * 32 + 8 * 8 * 32 * 9 + 8 * 8 * 32 * 24;
  const double top = 8 * 8 * 24 * 32 + 8 * 8 * 32 + 32 * 40 + 40 * 10;
  EXPECT_DOUBLE_EQ(count_macs(graph), stem + stage1 + stage2 + 2 * stage3 + squeeze_excite + stage5 + top);

  // Convolutions, and two numbers a channel for each batch norm.
  const double stem_p = 27 * 8 + 16;
  const double stage1_p = (8 * 16 + 32) + (16 * 9 + 32) + (16 * 8 + 16);
  const double stage2_p = (8 * 16 + 32) + (16 * 9 + 32) + (16 * 16 + 32);
  const double stage3_p = (16 * 32 + 64) + (32 * 9 + 64) + (32 * 16 + 32);
  const double squeeze_excite_p = (32 * 8 + 8) + (8 * 32 + 32);
  const double stage5_p = (16 * 32 + 64) + (32 * 9 + 64) + (32 * 24 + 48);
  const double top_p = (24 * 32 + 64) + (32 * 40 + 40) + (40 * 10 + 10);
  EXPECT_DOUBLE_EQ(count_parameters(graph),
                   stem_p + stage1_p + stage2_p + 2 * stage3_p + squeeze_excite_p + stage5_p + top_p);
  // The widest place is the first expansion: 32 x 32 x 8 in, 32 x 32 x 16 out.
  EXPECT_DOUBLE_EQ(peak_activation_bytes(graph), 4.0 * 32 * 32 * (8 + 16));
}

TEST(MobileNetV3, BlocksAreWiredAsInThePaper) {
  const auto space = make_mobilenetv3(small_options());
  std::vector<std::string> names;
  for (const Node& node : space->lower(space->at(0), 10).nodes)
    if (node.name.rfind("stage4", 0) == 0) names.push_back(node.name.substr(14));
  EXPECT_EQ(names, (std::vector<std::string>{"expand", "expand_bn", "expand_act", "depthwise", "depthwise_bn",
                                             "depthwise_act", "se_pool", "se_reduce", "se_relu", "se_expand", "se_gate",
                                             "se_scale", "project", "project_bn", "add"}));

  MobileNetV3Options options;
  options.expansions = {1};
  const auto narrow = make_mobilenetv3(options);
  int residuals = 0;
  for (const Node& node : narrow->lower({"mobilenetv3-r224-w1.00-e1-k35335-d33333"}, 10).nodes) {
    EXPECT_EQ(node.name.find("_block") != std::string::npos && node.name.ends_with("_expand") &&
                  !node.name.ends_with("_se_expand"),
              false)
        << node.name;
    residuals += node.op == Op::add;
  }
  EXPECT_EQ(residuals, 10) << "the second and third block of each stage";

  std::vector<Shape> ends;  // of the stages: the depthwise kernels and strides are in their place
  std::vector<int> kernels;
  const Graph graph = narrow->lower({"mobilenetv3-r224-w1.00-e1-k35335-d22222"}, 10);
  for (const Node& node : graph.nodes) {
    if (node.name.ends_with("block2_add")) ends.push_back(node.shape);
    if (node.name.ends_with("block2_depthwise")) kernels.push_back(node.kernel);
  }
  EXPECT_EQ(ends, (std::vector<Shape>{{56, 56, 24}, {28, 28, 40}, {14, 14, 80}, {14, 14, 112}, {7, 7, 160}}));
  EXPECT_EQ(kernels, (std::vector<int>{3, 5, 3, 3, 5}));
  EXPECT_EQ(graph.output_shape(), (Shape{1, 1, 10}));
}

TEST(MobileNetV3, ActivationsPerStage) {
  const auto space = make_mobilenetv3({});
  for (const Node& node : space->lower(space->at(700), 10).nodes) {
    if (node.op != Op::activation) continue;
    if (node.name.ends_with("se_gate"))
      EXPECT_EQ(node.activation, Activation::hard_sigmoid);
    else if (node.name.ends_with("se_relu") || node.name.starts_with("stage1") || node.name.starts_with("stage2"))
      EXPECT_EQ(node.activation, Activation::relu) << node.name;
    else
      EXPECT_EQ(node.activation, Activation::hard_swish) << node.name;
  }
}

TEST(MobileNetV3, ChannelsAreMultiplesOfEightNeverFarBelow) {
  MobileNetV3Options options;
  options.widths = {0.01, 0.1, 0.25, 0.3, 0.35, 0.75, 1.0, 1.4};
  const auto space = make_mobilenetv3(options);
  const int bases[] = {16, 24, 40, 80, 112, 160, 960, 1280};
  const char* names[] = {"stem",
                         "stage1_block1_project",
                         "stage2_block1_project",
                         "stage3_block1_project",
                         "stage4_block1_project",
                         "stage5_block1_project",
                         "head",
                         "hidden"};
  for (double width : options.widths) {
    char text[64];
    snprintf(text, sizeof text, "mobilenetv3-r128-w%.2f-e3-k35335-d22222", width);
    const Graph graph = space->lower({text}, 10);
    for (int i = 0; i < 8; ++i)
      for (const Node& node : graph.nodes)
        if (node.name == names[i]) {
          EXPECT_EQ(node.shape.channels % 8, 0);
          EXPECT_GE(node.shape.channels, std::max(8.0, 0.9 * width * bases[i]));
          EXPECT_LE(node.shape.channels, std::max(8.0, width * bases[i] + 8));
        }
  }
}

TEST(MobileNetV3, NamesOutsideAreRefusedWithTheReason) {
  MobileNetV3Options options;
  options.resolutions = {32, 64};
  options.widths = {0.25, 0.5, 0.125};
  const auto space = make_mobilenetv3(options);
  EXPECT_EQ(refused(*space, "mobilenetv3-r32-w0.50-e3-k35335-d22222"), "accepted");
  EXPECT_EQ(refused(*space, "mobilenetv3-r32-w0.125-e3-k35335-d22222"), "accepted");
  const std::string outside = " is outside the search space: ";
  EXPECT_EQ(refused(*space, "mobilenetv3-r48-w0.50-e3-k35335-d22222"),
            "architecture 'mobilenetv3-r48-w0.50-e3-k35335-d22222'" + outside + "resolution 48 is not among 32, 64");
  EXPECT_EQ(refused(*space, "mobilenetv3-r32-w0.75-e3-k35335-d22222"),
            "architecture 'mobilenetv3-r32-w0.75-e3-k35335-d22222'" + outside +
                "width multiplier 0.75 is not among 0.25, 0.50, 0.125");
  EXPECT_EQ(refused(*space, "mobilenetv3-r32-w0.50-e4-k35335-d22222"),
            "architecture 'mobilenetv3-r32-w0.50-e4-k35335-d22222'" + outside + "expansion ratio 4 is not among 3, 6");
  EXPECT_EQ(refused(*space, "mobilenetv3-r32-w0.50-e3-k35355-d22222"),
            "architecture 'mobilenetv3-r32-w0.50-e3-k35355-d22222'" + outside + "kernels 35355 are not among 35335");
  EXPECT_EQ(refused(*space, "mobilenetv3-r32-w0.50-e3-k35335-d22242"),
            "architecture 'mobilenetv3-r32-w0.50-e3-k35335-d22242'" + outside + "depth 4 is not among 2, 3");
}

TEST(MobileNetV3, MalformedNamesAreRefusedAtThePlace) {
  const auto space = make_mobilenetv3({});
  const std::string good = "mobilenetv3-r128-w0.50-e3-k35335-d22222";
  ASSERT_EQ(refused(*space, good), "accepted");
  for (size_t length = 0; length < good.size(); ++length)
    EXPECT_NE(refused(*space, good.substr(0, length)), "accepted") << length;
  EXPECT_EQ(refused(*space, "resnet-r128"),
            "'resnet-r128' is no mobilenetv3 architecture (at 'resnet'); a name reads like "
            "mobilenetv3-r32-w0.50-e3-k35335-d22222");
  auto place = [&](const std::string& name) {
    const std::string message = refused(*space, name);
    const size_t from = message.find("(at '"), to = message.find("')");
    return from == message.npos ? message : message.substr(from + 5, to - from - 5);
  };
  EXPECT_EQ(place("mobilenetv3-r128-w0.50-e3-k35335"), "its end");
  EXPECT_EQ(place("mobilenetv3-w0.50-r128-e3-k35335-d22222"), "w0.50");
  EXPECT_EQ(place("mobilenetv3-r+128-w0.50-e3-k35335-d22222"), "r+128");
  EXPECT_EQ(place("mobilenetv3-r128-wnan-e3-k35335-d22222"), "wnan");
  EXPECT_EQ(place("mobilenetv3-r128-w0.5.0-e3-k35335-d22222"), "w0.5.0");
  EXPECT_EQ(place("mobilenetv3-r99999999999-w0.50-e3-k35335-d22222"), "r99999999999");
  EXPECT_EQ(place("mobilenetv3-r128-w0.50-e3-k3533-d22222"), "k3533");
  EXPECT_EQ(place("mobilenetv3-r128-w0.50-e3-k35335-d22202"), "d22202");
  EXPECT_EQ(place(good + "-x1"), "x1");
  EXPECT_EQ(refused(*space, "mobilenetv3-r0128-w0.5-e3-k35335-d22222"),
            "'mobilenetv3-r0128-w0.5-e3-k35335-d22222' is no canonical architecture name; write " + good);
}

TEST(MobileNetV3, ImpossibleOptionsAreRefused) {
  auto with = [](auto change) {
    MobileNetV3Options options;
    change(options);
    return refused(options);
  };
  using Options = MobileNetV3Options;
  EXPECT_EQ(with([](Options& o) { o.resolutions.clear(); }),
            "search space: resolutions is empty; give at least one value");
  EXPECT_EQ(with([](Options& o) { o.widths = {0.5, 1.0, 0.5}; }), "search space: widths holds a value twice");
  EXPECT_EQ(with([](Options& o) { o.widths = {0}; }),
            "search space: widths has the value 0; it must be between 0.01 and 16");
  EXPECT_EQ(with([](Options& o) { o.widths = {NAN}; }),
            "search space: widths has the value nan; it must be between 0.01 and 16");
  EXPECT_EQ(with([](Options& o) { o.expansions = {-1}; }),
            "search space: expansions has the value -1; it must be between 1 and 16");
  EXPECT_EQ(with([](Options& o) {
              o.depths = {2, 10};
            }),
            "search space: depths has the value 10; it must be between 1 and 9");
  EXPECT_EQ(with([](Options& o) {
              o.kernels = {{3, 4, 3, 3, 3}};
            }),
            "search space: kernels has the even value 4; kernels must be odd");
  EXPECT_EQ(with([](Options& o) { o.strides[2] = 0; }),
            "search space: strides has the value 0; it must be between 1 and 8");
  EXPECT_EQ(with([](Options& o) { o.stage_widths[4] = 0; }),
            "search space: stage_widths has the value 0; it must be between 1 and 4096");
  EXPECT_EQ(with([](Options& o) {
              o.resolutions = {128, 24};
            }),
            "search space: the strides divide the resolution by 32 in all, which leaves less than one pixel of "
            "resolution 24; drop it or lower stem_stride or strides");
  EXPECT_EQ(with([](Options& o) { o.resolutions = {32}; }), "accepted");
}

TEST(MobileNetV3, AHugeSpaceIsSampledAtOnce) {
  MobileNetV3Options options;
  options.resolutions.clear();
  for (int r = 0; r < 20; ++r) options.resolutions.push_back(64 + 8 * r);
  options.widths.clear();
  for (int w = 1; w <= 20; ++w) options.widths.push_back(0.05 * w);
  options.expansions = {1, 2, 3, 4, 5, 6};
  options.depths = {1, 2, 3, 4, 5, 6, 7, 8, 9};
  options.kernels.clear();
  for (int i = 0; i < 243; ++i)  // every choice of 3, 5 and 7
    options.kernels.push_back(
        {3 + 2 * (i / 81), 3 + 2 * (i / 27 % 3), 3 + 2 * (i / 9 % 3), 3 + 2 * (i / 3 % 3), 3 + 2 * (i % 3)});
  const auto space = make_mobilenetv3(options);
  EXPECT_EQ(space->size(), uint64_t{20} * 20 * 6 * 243 * 59049);
  std::set<std::string> names;
  for (const Architecture& architecture : sample_architectures(*space, 2000, 3)) {
    names.insert(architecture.name);
    ASSERT_NO_THROW(space->check(architecture)) << architecture.name;
  }
  EXPECT_EQ(names.size(), 2000u);
}

TEST(MobileNetV3, GraphsRoundTripThroughJson) {
  const auto space = make_mobilenetv3(runnable_options());
  for (const Architecture& architecture : sample_architectures(*space, 100, 5)) {
    const Graph graph = space->lower(architecture, 7);
    EXPECT_EQ(graph_from_json(graph_to_json(graph)), graph) << architecture.name;
  }
}

TEST(MobileNetV3, SubgraphsAccountForEveryMac) {
  const auto space = make_mobilenetv3({});
  for (const Architecture& architecture : sample_architectures(*space, 40, 6))
    for (int batch : {1, 4}) {
      const Graph graph = space->lower(architecture, 10);
      const Graph folded = fold_batch_norm(graph, {}).graph;
      EXPECT_DOUBLE_EQ(peak_activation_bytes(folded), peak_activation_bytes(graph));
      double macs = 0, weight_bytes = 0;
      for (const SubgraphUse& use : partition(folded, batch)) {
        macs += use.subgraph.macs();
        weight_bytes += use.subgraph.weight_bytes();
      }
      EXPECT_DOUBLE_EQ(macs, batch * count_macs(graph)) << architecture.name;
      EXPECT_DOUBLE_EQ(weight_bytes, 4 * count_parameters(folded)) << architecture.name;
    }
}

std::vector<float> run_subgraphs(const FoldedNetwork& network, const std::vector<float>& input, int batch) {
  std::map<int, std::vector<float>> values{{0, input}};  // only what an earlier subgraph gave is there to be read
  int last = 0;
  for (const SubgraphUse& use : partition(network.graph, batch)) {
    std::vector<std::vector<float>> tensors{values.at(use.input)};
    for (int node : use.parameters)
      for (const char* tensor : {".weight", ".bias"})
        tensors.push_back(network.parameters.at(network.graph.nodes[node].name + tensor));
    if (use.residual >= 0) tensors.push_back(values.at(use.residual));
    values[use.output] = run_subgraph_reference(use.subgraph, tensors);
    last = use.output;
  }
  EXPECT_EQ(last, static_cast<int>(network.graph.nodes.size()) - 1);
  return values.at(last);
}

void expect_close(const std::vector<float>& got, const std::vector<float>& want, float tolerance) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < want.size(); ++i) EXPECT_NEAR(got[i], want[i], tolerance * (1 + std::abs(want[i])));
}

TEST(MobileNetV3, FoldedAndPartitionedNetworksComputeTheSame) {
  const auto space = make_mobilenetv3(runnable_options());
  for (const Architecture& architecture : sample_architectures(*space, 12, 9)) {
    SCOPED_TRACE(architecture.name);
    const Graph graph = space->lower(architecture, 5);
    const Parameters parameters = random_parameters(graph, stable_hash(architecture.name));
    const FoldedNetwork folded = fold_batch_norm(graph, parameters);
    for (int batch : {1, 2}) {
      Random random(batch);
      std::vector<float> input(batch * graph.input_shape().elements());
      for (float& value : input) value = static_cast<float>(2 * random.uniform() - 1);
      const std::vector<float> want = run_reference(graph, parameters, input, batch);
      const std::vector<float> got = run_reference(folded.graph, folded.parameters, input, batch);
      expect_close(got, want, 1e-4f);
      expect_close(run_subgraphs(folded, input, batch), got, 1e-6f);
      // An output that ignores its input would agree with anything.
      std::vector<float> other = input;
      for (float& value : other) value = -value;
      EXPECT_NE(run_reference(graph, parameters, other, batch), want);
    }
  }
}

}  // namespace
}  // namespace sonar
