// For the tests: ONNX models made in memory, with random weights.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "model/random.h"
#include "onnx/onnx_builder.h"

namespace sonar {

/// Adds layers of random weights.
class ModelBuilder : public OnnxBuilder {
 public:
  using OnnxBuilder::OnnxBuilder;
  std::string random(const std::vector<int64_t>& dims, double low, double high);
  /// A square convolution of random weights, without bias.
  std::string conv(const std::string& input, int in, int out, int kernel, int stride, int padding, int groups = 1);
  std::string batch_norm(const std::string& input, int channels);

 private:
  Random random_{1};
};

/// The shapes of well-known networks with narrow layers on 32 x 32 images.
std::string mobilenet_v2_like(int64_t batch = 1);
std::string mobilenet_v3_like();
std::string resnet_like();
std::string squeezenet_like();
/// Every operator that those do without.
std::string odd_operators();

}  // namespace sonar
