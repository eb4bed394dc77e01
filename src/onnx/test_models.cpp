#include "onnx/test_models.h"

#include <onnx/onnx_pb.h>

#include <cmath>

namespace sonar {

using Ints = std::vector<int64_t>;

std::string ModelBuilder::random(const Ints& dims, double low, double high) {
  int64_t count = 1;
  for (int64_t extent : dims) count *= extent;
  std::vector<float> values(count);
  for (float& value : values) value = static_cast<float>(low + (high - low) * random_.uniform());
  return constant(dims, values);
}

std::string ModelBuilder::conv(const std::string& input, int in, int out, int kernel, int stride, int padding,
                               int groups) {
  const double bound = std::sqrt(6.0 * groups / (double(in) * kernel * kernel));
  const std::string weight = random({out, in / groups, kernel, kernel}, -bound, bound);
  return node("Conv", {input, weight},
              {{"kernel_shape", Ints{kernel, kernel}},
               {"strides", Ints{stride, stride}},
               {"pads", Ints(4, padding)},
               {"group", int64_t(groups)}});
}

std::string ModelBuilder::batch_norm(const std::string& input, int channels) {
  const std::string scale = random({channels}, 0.5, 1.5), bias = random({channels}, -0.5, 0.5);
  const std::string mean = random({channels}, -0.5, 0.5), variance = random({channels}, 0.5, 1.5);
  return node("BatchNormalization", {input, scale, bias, mean, variance}, {{"epsilon", 1e-5f}});
}

namespace {

std::string classifier(ModelBuilder& b, const std::string& input, int channels, int classes) {
  const std::string pooled = b.node("Flatten", {b.node("GlobalAveragePool", {input})}, {{"axis", int64_t{1}}});
  return b.node("Gemm", {pooled, b.random({classes, channels}, -0.5, 0.5), b.random({classes}, -0.1, 0.1)},
                {{"transB", int64_t{1}}});
}

}  // namespace

std::string mobilenet_v2_like(int64_t batch) {
  ModelBuilder b({batch, 3, 32, 32});
  const std::string zero = b.constant({}, {0}), six = b.constant({}, {6});
  auto layer = [&](const std::string& x, int in, int out, int kernel, int stride, int groups) {
    return b.node("Clip", {b.batch_norm(b.conv(x, in, out, kernel, stride, kernel / 2, groups), out), zero, six});
  };
  auto block = [&](const std::string& x, int in, int out, int stride) {
    const int wide = 3 * in;
    const std::string inside = layer(layer(x, in, wide, 1, 1, 1), wide, wide, 3, stride, wide);
    const std::string projected = b.batch_norm(b.conv(inside, wide, out, 1, 1, 0), out);
    return stride == 1 && in == out ? b.node("Add", {x, projected}) : projected;
  };
  std::string x = layer("image", 3, 8, 3, 2, 1);
  x = block(x, 8, 8, 1);
  x = block(x, 8, 12, 2);
  x = block(x, 12, 12, 1);
  return b.finish(classifier(b, layer(x, 12, 24, 1, 1, 1), 24, 10));
}

std::string mobilenet_v3_like() {
  ModelBuilder b({-1, 3, 32, 32});
  const std::string zero = b.constant({}, {0}), three = b.constant({1}, {3}), six = b.constant({}, {6});
  const ModelBuilder::Attributes usual{{"alpha", 1.0f / 6}, {"beta", 0.5f}};
  // Four spellings of one activation.
  auto hard_swish = [&](const std::string& x, int spelling) {
    if (spelling == 0) return b.node("HardSwish", {x});
    if (spelling == 1) return b.node("Mul", {b.node("HardSigmoid", {x}, usual), x});
    const std::string clip = b.node("Clip", {b.node("Add", {x, three}), zero, six});
    if (spelling == 2) return b.node("Div", {b.node("Mul", {x, clip}), six});
    return b.node("Mul", {x, b.node("Mul", {clip, b.constant({}, {1.0f / 6})})});
  };
  auto squeeze_excite = [&](const std::string& x, int channels, bool as_mean) {
    std::string gate = as_mean ? b.node("ReduceMean", {x}, {{"axes", Ints{-2, -1}}, {"keepdims", int64_t{1}}})
                               : b.node("GlobalAveragePool", {x});
    gate = b.node("Relu", {b.conv(gate, channels, 4, 1, 1, 0)});
    gate = b.node("HardSigmoid", {b.conv(gate, 4, channels, 1, 1, 0)}, usual);
    return as_mean ? b.node("Mul", {x, gate}) : b.node("Mul", {gate, x});
  };
  std::string x = hard_swish(b.batch_norm(b.conv("image", 3, 8, 3, 2, 1), 8), 0);
  for (int spelling = 0; spelling < 4; ++spelling) {
    std::string inside = hard_swish(b.conv(x, 8, 16, 1, 1, 0), spelling);
    inside = hard_swish(b.batch_norm(b.conv(inside, 16, 16, 5, 1, 2, 16), 16), spelling);
    x = b.node("Add", {b.conv(squeeze_excite(inside, 16, spelling % 2 == 0), 16, 8, 1, 1, 0), x});
  }
  return b.finish(classifier(b, x, 8, 10));
}

std::string resnet_like() {
  ModelBuilder b({1, 3, 32, 32});
  auto normed = [&](const std::string& x, int in, int out, int kernel, int stride) {
    return b.batch_norm(b.conv(x, in, out, kernel, stride, kernel / 2), out);
  };
  auto block = [&](const std::string& x, int in, int out, int stride) {
    const std::string inside = normed(b.node("Relu", {normed(x, in, out, 3, stride)}), out, out, 3, 1);
    const std::string shortcut = stride == 1 ? x : normed(x, in, out, 1, stride);
    return b.node("Relu", {b.node("Add", {inside, shortcut})});
  };
  std::string x = b.node("Relu", {normed("image", 3, 8, 7, 2)});
  x = b.node("MaxPool", {x}, {{"kernel_shape", Ints{3, 3}}, {"strides", Ints{2, 2}}, {"pads", Ints(4, 1)}});
  x = block(x, 8, 8, 1);
  x = block(x, 8, 16, 2);
  x = block(x, 16, 16, 1);
  return b.finish(classifier(b, x, 16, 10));
}

std::string squeezenet_like() {
  ModelBuilder b({1, 3, 31, 31});
  auto relu = [&](const std::string& x) { return b.node("Relu", {x}); };
  auto pool = [&](const std::string& x) {
    return b.node("MaxPool", {x}, {{"kernel_shape", Ints{3, 3}}, {"strides", Ints{2, 2}}, {"ceil_mode", int64_t{1}}});
  };
  auto fire = [&](const std::string& x, int in, int squeeze, int expand) {
    const std::string small = relu(b.conv(x, in, squeeze, 1, 1, 0));
    return b.node("Concat",
                  {relu(b.conv(small, squeeze, expand, 1, 1, 0)), relu(b.conv(small, squeeze, expand + 1, 3, 1, 1))},
                  {{"axis", int64_t{1}}});
  };
  std::string x = pool(relu(b.conv("image", 3, 8, 3, 2, 0)));  // 15, then 7
  x = pool(fire(fire(x, 8, 4, 8), 17, 5, 9));
  x = b.node("Dropout", {relu(b.conv(x, 19, 10, 1, 1, 0))});
  x = b.node("Reshape", {b.node("GlobalAveragePool", {x}), b.integers({1, -1})});
  return b.finish(b.node("Softmax", {x}, {{"axis", int64_t{1}}}));
}

std::string odd_operators() {
  ModelBuilder b({2, 3, 8, 8});
  std::string x = b.node("Sub", {"image", b.random({1, 3, 1, 1}, 0, 1)});  // as images are normalised
  x = b.node("Div", {x, b.random({3, 1, 1}, 1, 2)});
  x = b.conv(x, 3, 4, 3, 1, 1);
  x = b.node("Mul", {x, b.node("Sigmoid", {x})});    // SiLU
  const std::string early = x = b.batch_norm(x, 4);  // after no convolution
  x = b.node(
      "AveragePool", {x},
      {{"kernel_shape", Ints{3, 3}}, {"strides", Ints{1, 1}}, {"pads", Ints(4, 1)}, {"count_include_pad", int64_t{1}}});
  x = b.node("MaxPool", {x},
             {{"kernel_shape", Ints{2, 2}}, {"strides", Ints{2, 2}}, {"auto_pad", std::string("VALID")}});
  const std::string scales = b.constant({4}, {1, 1, 2, 2});
  x = b.node("Resize", {x, "", scales},
             {{"coordinate_transformation_mode", std::string("asymmetric")}, {"nearest_mode", std::string("floor")}});
  x = b.node("Mul", {x, early});
  x = b.node("Concat", {x, early, "image"}, {{"axis", int64_t{1}}});
  x = b.node("Relu", {b.node("Add", {x, x})});
  std::string gate = b.node("ReduceMean", {x}, {{"axes", Ints{2, 3}}, {"keepdims", int64_t{0}}});
  gate = b.node("Add", {b.node("MatMul", {gate, b.random({11, 11}, -0.5, 0.5)}), b.random({11}, -0.5, 0.5)});
  gate = b.node("Unsqueeze", {b.node("Sigmoid", {gate}), b.integers({2, 3})});
  x = b.node("Mul", {x, gate});
  x = b.node("Identity", {x});
  x = b.node("AveragePool", {x}, {{"kernel_shape", Ints{2, 2}}, {"strides", Ints{2, 2}}});
  x = b.node("Flatten", {x});  // 11 x 4 x 4: the weights must follow
  return b.finish(
      b.node("Gemm", {x, b.random({176, 7}, -0.3, 0.3), b.random({1, 7}, -1, 1)}, {{"alpha", 0.5f}, {"beta", 2.0f}}));
}

}  // namespace sonar
