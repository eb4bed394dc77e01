#include "train/network.h"

#include <gtest/gtest.h>

#include <cmath>

#include "graph/reference.h"
#include "model/error.h"
#include "model/random.h"
#include "train/batch_norm.h"
#include "train/device_render.h"
#include "train/test_graphs.h"

namespace sonar {
namespace {

constexpr int kBatch = 3;

std::vector<TestNetwork> architectures() {
  return {{},
          {.resolution = 20, .classes = 3, .width = 5, .kernel = 5, .activation = Activation::relu},
          {.resolution = 33, .classes = 7, .width = 16, .squeeze_excite = false},
          {.resolution = 16, .classes = 2, .width = 12, .kernel = 7, .activation = Activation::hard_sigmoid}};
}

std::vector<float> random_images(const Graph& graph, uint64_t seed) {
  Random random(seed);
  std::vector<float> images(size_t(kBatch * graph.input_shape().elements()));
  for (float& value : images) value = float(4 * random.uniform() - 2);
  return images;
}

torch::Tensor as_tensor(const std::vector<float>& images, const Graph& graph) {
  const Shape shape = graph.input_shape();
  return torch::tensor(images).view({kBatch, shape.height, shape.width, shape.channels}).permute({0, 3, 1, 2});
}

void expect_close(const torch::Tensor& logits, const std::vector<float>& expected) {
  const torch::Tensor flat = logits.contiguous().flatten();
  ASSERT_EQ(size_t(flat.numel()), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_NEAR(flat.data_ptr<float>()[i], expected[i], 1e-4 * std::max(1.f, std::abs(expected[i]))) << i;
  }
}

TEST(Network, InferenceIsTheReferenceExecutors) {
  torch::NoGradGuard no_gradient;
  for (const TestNetwork& options : architectures()) {
    const Graph graph = make_test_network(options);
    const Parameters parameters = random_parameters(graph, 11);
    const std::vector<float> images = random_images(graph, 12);
    const std::vector<float> expected = run_reference(graph, parameters, images, kBatch);
    Network network(graph, torch::kCPU);
    network.set_parameters(parameters);
    expect_close(network.forward(as_tensor(images, graph), false), expected);

    const FoldedNetwork folded = fold_batch_norm(graph, parameters);
    Network folded_network(folded.graph, torch::kCPU);
    folded_network.set_parameters(folded.parameters);
    expect_close(folded_network.forward(as_tensor(images, graph), false), expected);
  }
}

TEST(Network, RefusesWhatOnlyImportedNetworksHold) {
  auto refusal = [](const Graph& graph) -> std::string {
    try {
      Network network(graph, torch::kCPU);
    } catch (const UserError& error) {
      return error.what();
    }
    return "no error";
  };
  Graph pooled;
  pooled.add_window_pool(pooled.add_input({8, 8, 3}), "pool", Op::max_pool, 2, 2, 0);
  EXPECT_EQ(refusal(pooled), "network: node 'pool' has an operator that cannot be trained; only tune it");
  Graph smooth;
  smooth.add_activation(smooth.add_input({8, 8, 3}), "act", Activation::silu);
  EXPECT_EQ(refusal(smooth), "network: node 'act' has the activation silu, which cannot be trained; only tune it");
}

TEST(Network, ParametersComeBackAsTheyWentIn) {
  const Graph graph = make_test_network({});
  const Parameters parameters = random_parameters(graph, 1);
  Network network(graph, torch::kCPU);
  network.set_parameters(parameters);
  EXPECT_EQ(network.parameters(), parameters);
}

TEST(Network, WeightDecayAppliesToWeightsOnly) {
  const Graph graph = make_test_network({});
  Network network(graph, torch::kCPU);
  for (const TensorPlace& place : network.places()) {
    if (place.statistic) continue;
    const bool weight = place.name.ends_with(".weight") && place.name.find("_bn") == std::string::npos;
    EXPECT_EQ(place.offset + place.count <= network.decayed, weight) << place.name;
  }
}

TEST(Network, InitialWeightsAreHeScaledAndSeeded) {
  const Graph graph = make_test_network({.width = 32});
  Network a(graph, torch::kCPU), b(graph, torch::kCPU);
  a.initialise(1, "net");
  b.initialise(1, "net");
  EXPECT_TRUE(torch::equal(a.weights, b.weights));
  b.initialise(1, "other");
  EXPECT_FALSE(torch::equal(a.weights, b.weights));
  b.initialise(2, "net");
  EXPECT_FALSE(torch::equal(a.weights, b.weights));
  const std::vector<float> head = a.parameters().at("head.weight");  // 32 in, 128 out
  double squares = 0;
  for (float w : head) squares += double(w) * w;
  EXPECT_NEAR(squares / double(head.size()), 2.0 / 32, 0.01);
}

TEST(Network, ActivationsKeepTheirScaleWhenInitialised) {
  torch::NoGradGuard no_gradient;
  const Graph graph = make_test_network({});
  Network network(graph, torch::kCPU);
  network.initialise(1, "net");
  const torch::Tensor logits = network.forward(torch::randn({32, 3, 32, 32}), true);
  EXPECT_GT(logits.std().item<float>(), 0.05);
  EXPECT_LT(logits.std().item<float>(), 5);
}

/// Gradients of the whole network, with the fused operators and with LibTorch's own.
TEST(Network, GradientIsTheNumericalOne) {
  const Graph graph = make_test_network({.resolution = 16, .classes = 4, .width = 6});
  Network network(graph, torch::kCPU);
  network.initialise(3, "net");
  torch::manual_seed(1);
  const torch::Tensor images = torch::rand({8, 3, 16, 16}, torch::kFloat32).contiguous(at::MemoryFormat::ChannelsLast);
  const torch::Tensor labels = torch::arange(8) % 4;
  const auto loss = [&] { return torch::cross_entropy_loss(network.forward(images, true), labels); };
  loss().backward();
  const torch::Tensor gradient = network.gradient.clone();
  torch::NoGradGuard no_gradient;
  // Along a random direction the loss changes by the gradient's part in it.
  for (int trial = 0; trial < 5; ++trial) {
    const torch::Tensor direction = torch::randn(network.weights.sizes());
    const double h = 1e-4;
    const torch::Tensor start = network.weights.clone();
    network.weights.copy_(start + h * direction);
    const double up = loss().item<double>();
    network.weights.copy_(start - h * direction);
    const double down = loss().item<double>();
    network.weights.copy_(start);
    const double expected = gradient.dot(direction).item<double>();
    EXPECT_NEAR((up - down) / (2 * h), expected, 0.02 * gradient.norm().item<double>());
  }
}

class FusedBatchNorm : public testing::TestWithParam<Activation> {};

TEST_P(FusedBatchNorm, IsBatchNormThenActivation) {
  const auto activate = [](const torch::Tensor& x, Activation activation) {
    switch (activation) {
      case Activation::none:
        return x;
      case Activation::relu:
        return torch::relu(x);
      case Activation::hard_swish:
        return torch::hardswish(x);
      case Activation::hard_sigmoid:
        return torch::hardsigmoid(x);
      default:
        return x;
    }
  };
  torch::manual_seed(1);
  for (const std::vector<int64_t>& shape : {std::vector<int64_t>{4, 24, 7, 9}, {2, 3, 5, 5}, {16, 600, 1, 1}}) {
    for (bool training : {true, false}) {
      const int64_t channels = shape[1];
      torch::Tensor x = (torch::randn(shape) * 2 + 3).contiguous(at::MemoryFormat::ChannelsLast).requires_grad_();
      torch::Tensor weight = torch::randn({channels}).requires_grad_(),
                    bias = torch::randn({channels}).requires_grad_();
      torch::Tensor mean = torch::randn({channels}) + 3, variance = torch::rand({channels}) + 0.5;
      torch::Tensor expected_mean = mean.clone(), expected_variance = variance.clone();
      const torch::Tensor dy = torch::randn(shape);

      const torch::Tensor expected = activate(torch::batch_norm(x, weight, bias, expected_mean, expected_variance,
                                                                training, kBatchNormMomentum, kBatchNormEpsilon, false),
                                              GetParam());
      torch::Tensor y =
          batch_norm_activation(x, weight, bias, mean, variance, training, kBatchNormMomentum, GetParam());
      EXPECT_TRUE(torch::allclose(y, expected, 1e-4, 1e-4));
      EXPECT_TRUE(torch::allclose(mean, expected_mean, 1e-5, 1e-5));
      EXPECT_TRUE(torch::allclose(variance, expected_variance, 1e-5, 1e-5));
      if (!training) continue;  // no gradient is asked for in inference
      const auto expected_gradients = torch::autograd::grad({expected}, {x, weight, bias}, {dy});
      const auto gradients = torch::autograd::grad({y}, {x, weight, bias}, {dy});
      for (size_t i = 0; i < 3; ++i) {
        EXPECT_TRUE(torch::allclose(gradients[i], expected_gradients[i], 1e-3, 1e-3)) << "input " << i;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Activations, FusedBatchNorm,
                         testing::Values(Activation::none, Activation::relu, Activation::hard_swish,
                                         Activation::hard_sigmoid));

TEST(DeviceRender, IsTheHostsRender) {
  Dataset data;
  data.resolution = 12;
  Random random(4);
  for (int i = 0; i < 5 * 12 * 12 * 3; ++i) data.pixels.push_back(uint8_t(random.below(256)));
  data.labels.assign(5, 0);
  std::vector<int> images = {0, 1, 2, 3, 4};
  BatchStream stream(images, {.batch = 5, .crop_padding = 3, .flip = true}, 1, "net");
  const Normalisation normalisation{{100, 120, 140}, {50, 60, 70}};
  for (int resolution : {12, 9, 20}) {
    const auto placements = stream.at(resolution);
    std::vector<float> host(5 * size_t(resolution) * size_t(resolution) * 3);
    render_batch(data, normalisation, placements, resolution, host.data());
    const torch::Tensor device =
        render_on_device(upload_images(data, torch::kCPU), normalisation, placements, resolution);
    const torch::Tensor expected = torch::tensor(host).view({5, resolution, resolution, 3}).permute({0, 3, 1, 2});
    EXPECT_TRUE(device.is_contiguous(at::MemoryFormat::ChannelsLast));
    EXPECT_TRUE(torch::allclose(device, expected, 1e-4, 1e-4)) << resolution;
  }
}

}  // namespace
}  // namespace sonar
