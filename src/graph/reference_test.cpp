#include "graph/reference.h"

#include <gtest/gtest.h>

#include <cmath>

#include "model/error.h"
#include "model/random.h"

namespace sonar {
namespace {

std::vector<float> random_tensor(Random& random, long size) {
  std::vector<float> values(size);
  for (float& value : values) value = static_cast<float>(2 * random.uniform() - 1);
  return values;
}

std::vector<std::vector<float>> random_inputs(Random& random, const Subgraph& subgraph) {
  std::vector<std::vector<float>> inputs;
  for (long size : subgraph_input_sizes(subgraph)) inputs.push_back(random_tensor(random, size));
  return inputs;
}

double activate(double x, Activation activation) {
  switch (activation) {
    case Activation::none:
      return x;
    case Activation::relu:
      return x > 0 ? x : 0;
    case Activation::hard_swish:
      return x <= -3 ? 0 : x >= 3 ? x : x * (x + 3) / 6;
    case Activation::hard_sigmoid:
      return x <= -3 ? 0 : x >= 3 ? 1 : (x + 3) / 6;
    case Activation::relu6:
      return x <= 0 ? 0 : x >= 6 ? 6 : x;
    case Activation::sigmoid:
      return 0.5 * (1 + std::tanh(x / 2));
    case Activation::silu:
      return 0.5 * x * (1 + std::tanh(x / 2));
  }
  return NAN;
}

/// The definition turned round: every input value is scattered to the outputs that it reaches, all in double.
std::vector<double> scatter(const Subgraph& s, const std::vector<std::vector<float>>& inputs) {
  const bool depthwise = s.kind == SubgraphKind::depthwise;
  const int taps = s.kernel * s.kernel, per_output = depthwise ? taps : taps * s.in_channels;
  std::vector<double> out(size_t(s.batch) * s.out_height() * s.out_width() * s.out_channels);
  size_t in_index = 0;
  for (int n = 0; n < s.batch; ++n)
    for (int y = 0; y < s.height; ++y)
      for (int x = 0; x < s.width; ++x)
        for (int c = 0; c < s.in_channels; ++c, ++in_index)
          for (int ky = 0; ky < s.kernel; ++ky)
            for (int kx = 0; kx < s.kernel; ++kx) {
              const int oy = y + s.padding - ky, ox = x + s.padding - kx;
              if (oy < 0 || ox < 0 || oy % s.stride || ox % s.stride) continue;
              if (oy / s.stride >= s.out_height() || ox / s.stride >= s.out_width()) continue;
              const size_t pixel = (size_t(n) * s.out_height() + oy / s.stride) * s.out_width() + ox / s.stride;
              const int tap = ky * s.kernel + kx;
              for (int o = depthwise ? c : 0; o < (depthwise ? c + 1 : s.out_channels); ++o) {
                const int w = o * per_output + (depthwise ? tap : tap * s.in_channels + c);
                out[pixel * s.out_channels + o] += double(inputs[0][in_index]) * inputs[1][w];
              }
            }
  for (size_t i = 0; i < out.size(); ++i) {
    out[i] += inputs[2][i % s.out_channels];
    const double residual = s.residual ? inputs[3][i] : 0;
    out[i] = s.activation_last ? activate(out[i] + residual, s.activation) : activate(out[i], s.activation) + residual;
  }
  return out;
}

void expect_close(const std::vector<float>& got, const std::vector<double>& want, const std::string& what) {
  ASSERT_EQ(got.size(), want.size()) << what;
  for (size_t i = 0; i < want.size(); ++i) ASSERT_NEAR(got[i], want[i], 2e-6 * (1 + std::abs(want[i]))) << what;
}

TEST(Reference, ConvolutionsAgreeWithTheDefinition) {
  Random random(1);
  int convolutions = 0;
  while (convolutions < 400) {
    Subgraph s;
    s.kind = random.below(2) ? SubgraphKind::conv : SubgraphKind::depthwise;
    s.batch = 1 + random.below(3);
    s.height = 1 + random.below(9);
    s.width = 1 + random.below(9);
    s.in_channels = 1 + random.below(40);
    s.out_channels = s.kind == SubgraphKind::depthwise ? s.in_channels : 1 + random.below(20);
    s.kernel = 1 + random.below(6);
    s.stride = 1 + random.below(3);
    s.padding = random.below(4);  // beyond the kernel too: outputs that see no input at all
    s.activation = static_cast<Activation>(random.below(7));
    s.residual = random.below(2);
    s.activation_last = s.residual && s.activation != Activation::none && random.below(2);
    if (s.height + 2 * s.padding < s.kernel || s.width + 2 * s.padding < s.kernel) continue;
    const auto inputs = random_inputs(random, s);
    expect_close(run_subgraph_reference(s, inputs), scatter(s, inputs), s.key());
    ++convolutions;
  }
}

TEST(Reference, LongSumsStayAccurate) {
  Random random(2);
  for (const char* key :
       {"conv-f32-n1-h4-w4-i2048-o8-k3-s1-p1-linear", "depthwise-f32-n1-h40-w40-i3-o3-k31-s1-p15-linear"}) {
    const Subgraph s = parse_subgraph(key);
    const auto inputs = random_inputs(random, s);
    const std::vector<float> got = run_subgraph_reference(s, inputs);
    const std::vector<double> want = scatter(s, inputs);
    double error = 0, squares = 0;
    for (size_t i = 0; i < want.size(); ++i) {
      error = std::max(error, std::abs(got[i] - want[i]));
      squares += want[i] * want[i];
    }
    EXPECT_LT(error, 1e-6 * std::sqrt(squares / want.size())) << key;
  }
}

TEST(Reference, DensePoolAndSqueezeExcite) {
  Random random(3);
  for (int i = 0; i < 50; ++i) {
    Subgraph s;
    s.kind = SubgraphKind::dense;
    s.batch = 1 + random.below(3);
    s.in_channels = 1 + random.below(50);
    s.out_channels = 1 + random.below(50);
    s.activation = static_cast<Activation>(random.below(4));
    auto inputs = random_inputs(random, s);
    expect_close(run_subgraph_reference(s, inputs), scatter(s, inputs), s.key());

    s = {};
    s.kind = SubgraphKind::squeeze_excite;
    s.batch = 1 + random.below(3);
    s.height = 1 + random.below(6);
    s.width = 1 + random.below(6);
    const int channels = s.in_channels = s.out_channels = 1 + random.below(20);
    s.squeeze = 1 + random.below(10);
    inputs = random_inputs(random, s);
    const int pixels = s.height * s.width;
    std::vector<double> scaled, means;
    for (int n = 0; n < s.batch; ++n) {
      auto x = [&](int pixel, int c) { return double(inputs[0][(n * pixels + pixel) * channels + c]); };
      std::vector<double> mean(channels), hidden(s.squeeze), gate(channels);
      for (int c = 0; c < channels; ++c) {
        for (int p = 0; p < pixels; ++p) mean[c] += x(p, c) / pixels;
        means.push_back(mean[c]);
      }
      for (int q = 0; q < s.squeeze; ++q) {
        for (int c = 0; c < channels; ++c) hidden[q] += mean[c] * inputs[1][q * channels + c];
        hidden[q] = activate(hidden[q] + inputs[2][q], Activation::relu);
      }
      for (int c = 0; c < channels; ++c) {
        for (int q = 0; q < s.squeeze; ++q) gate[c] += hidden[q] * inputs[3][c * s.squeeze + q];
        gate[c] = activate(gate[c] + inputs[4][c], Activation::hard_sigmoid);
      }
      for (int p = 0; p < pixels; ++p)
        for (int c = 0; c < channels; ++c) scaled.push_back(x(p, c) * gate[c]);
    }
    expect_close(run_subgraph_reference(s, inputs), scaled, s.key());

    s.kind = SubgraphKind::pool;
    s.squeeze = 0;
    expect_close(run_subgraph_reference(s, {inputs[0]}), means, s.key());
  }
}

std::vector<float> run_key(const SubgraphKey& key, const std::vector<std::vector<float>>& inputs) {
  return run_subgraph_reference(parse_subgraph(key), inputs);
}

TEST(Reference, KindsWithoutWeights) {
  using V = std::vector<float>;
  // A 3 x 3 image of one channel, all negative: padding must not win the maximum.
  const V image{-1, -2, -3, -4, -5, -6, -7, -8, -9};
  EXPECT_EQ(run_key("maxpool-f32-n1-h3-w3-i1-o1-k3-s2-p1-linear", {image}), (V{-1, -2, -4, -5}));
  EXPECT_EQ(run_key("maxpool-f32-n1-h3-w3-i1-o1-k2-s1-p0-linear", {image}), (V{-1, -2, -4, -5}));
  EXPECT_EQ(run_key("avgpool-f32-n1-h3-w3-i1-o1-k2-s2-p1-linear", {image}), (V{-0.25, -1.25, -2.75, -7}));
  const V a{1, 2, 3, 4}, b{5, 6, -7, -8};  // two pixels of two channels
  EXPECT_EQ(run_key("add-f32-n1-h1-w2-i2-o2-k1-s1-p0-relu", {a, b}), (V{6, 8, 0, 0}));
  EXPECT_EQ(run_key("multiply-f32-n1-h1-w2-i2-o2-k1-s1-p0-relu6", {a, b}), (V{5, 6, 0, 0}));
  EXPECT_EQ(run_key("scale-f32-n1-h1-w2-i2-o2-k1-s1-p0-linear", {a, {2, -1}}), (V{2, -2, 6, -4}));
  EXPECT_EQ(run_key("scale-f32-n2-h1-w1-i2-o2-k1-s1-p0-linear", {a, b}), (V{5, 12, -21, -32}));
  EXPECT_EQ(run_key("concat-f32-n2-h1-w1-i2-o3-k1-s1-p0-linear", {a, {9, 8}}), (V{1, 2, 9, 3, 4, 8}));
  EXPECT_EQ(run_key("resize-f32-n1-h1-w2-i2-o2-k1-s2-p0-linear", {a}),
            (V{1, 2, 1, 2, 3, 4, 3, 4, 1, 2, 1, 2, 3, 4, 3, 4}));
}

TEST(Reference, ActivationsAtTheirCorners) {
  auto run = [](Activation activation, float x) {
    Graph graph;
    graph.add_activation(graph.add_input({1, 1, 1}), "act", activation);
    return run_reference(graph, {}, {x}, 1)[0];
  };
  EXPECT_FLOAT_EQ(run(Activation::relu, -2), 0);
  EXPECT_FLOAT_EQ(run(Activation::relu, 7), 7);
  EXPECT_FLOAT_EQ(run(Activation::hard_swish, -3), 0);
  EXPECT_FLOAT_EQ(run(Activation::hard_swish, -1.5), -1.5f * 1.5f / 6);
  EXPECT_FLOAT_EQ(run(Activation::hard_swish, 1), 4.0f / 6);
  EXPECT_FLOAT_EQ(run(Activation::hard_swish, 8), 8);
  EXPECT_FLOAT_EQ(run(Activation::hard_sigmoid, -4), 0);
  EXPECT_FLOAT_EQ(run(Activation::hard_sigmoid, 0), 0.5);
  EXPECT_FLOAT_EQ(run(Activation::hard_sigmoid, 4), 1);
  EXPECT_FLOAT_EQ(run(Activation::relu6, -1), 0);
  EXPECT_FLOAT_EQ(run(Activation::relu6, 7), 6);
  EXPECT_FLOAT_EQ(run(Activation::sigmoid, -200), 0);
  EXPECT_FLOAT_EQ(run(Activation::sigmoid, 0), 0.5);
  EXPECT_FLOAT_EQ(run(Activation::silu, -200), 0);
  EXPECT_FLOAT_EQ(run(Activation::silu, 30), 30);
}

TEST(Reference, BatchNormInInferenceMode) {
  Graph graph;
  graph.add_batch_norm(graph.add_input({1, 2, 2}), "bn");
  const Parameters parameters{
      {"bn.weight", {2, 1}}, {"bn.bias", {1, 0}}, {"bn.running_mean", {3, 0}}, {"bn.running_var", {4, 1}}};
  const std::vector<float> out = run_reference(graph, parameters, {5, 1, 3, 2}, 1);
  EXPECT_NEAR(out[0], 1 + 2 * 2 / std::sqrt(4.001), 1e-6);
  EXPECT_NEAR(out[1], 1 / std::sqrt(1.001), 1e-6);
  EXPECT_NEAR(out[2], 1, 1e-6);
  EXPECT_NEAR(out[3], 2 / std::sqrt(1.001), 1e-6);
}

TEST(Reference, TensorsOfTheWrongSizeAreRefused) {
  const Subgraph s = parse_subgraph("conv-f32-n1-h2-w2-i1-o1-k1-s1-p0-linear");
  try {
    run_subgraph_reference(s, {std::vector<float>(4), std::vector<float>(1), std::vector<float>(2)});
    FAIL() << "a bias of two values was taken";
  } catch (const InternalError& error) {
    EXPECT_STREQ(error.what(), "tensor 2 of conv-f32-n1-h2-w2-i1-o1-k1-s1-p0-linear has 2 values; 1 are needed");
  }
  EXPECT_THROW(run_subgraph_reference(s, {std::vector<float>(4)}), InternalError);
}

}  // namespace
}  // namespace sonar
