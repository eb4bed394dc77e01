// For the tests: ONNX models made in memory, with random weights.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "model/random.h"

namespace onnx {
class ModelProto;
class NodeProto;
}  // namespace onnx

namespace sonar {

class ModelBuilder {
 public:
  using Attribute = std::variant<int64_t, float, std::string, std::vector<int64_t>, std::vector<float>>;
  using Attributes = std::map<std::string, Attribute>;

  /// The input is called "image"; a dimension of -1 is left open.
  explicit ModelBuilder(const std::vector<int64_t>& input_dims, int64_t opset = 17);
  ~ModelBuilder();
  /// Each returns the name of the new tensor.
  std::string node(const std::string& op, const std::vector<std::string>& inputs, const Attributes& attributes = {});
  std::string constant(const std::vector<int64_t>& dims, const std::vector<float>& values);
  std::string integers(const std::vector<int64_t>& values);
  std::string random(const std::vector<int64_t>& dims, double low, double high);
  /// A square convolution of random weights, without bias.
  std::string conv(const std::string& input, int in, int out, int kernel, int stride, int padding, int groups = 1);
  std::string batch_norm(const std::string& input, int channels);

  /// The file's bytes, with that tensor as the output.
  std::string finish(const std::string& output);
  onnx::ModelProto& proto() { return *model_; }

 private:
  std::unique_ptr<onnx::ModelProto> model_;
  Random random_{1};
  int next_ = 0;
};

/// The shapes of well-known networks with narrow layers on 32 x 32 images.
std::string mobilenet_v2_like(int64_t batch = 1);
std::string mobilenet_v3_like();
std::string resnet_like();
std::string squeezenet_like();
/// Every operator that those do without.
std::string odd_operators();

}  // namespace sonar
