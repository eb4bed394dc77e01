// Makes ONNX models node by node.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <variant>
#include <vector>

namespace onnx {
class ModelProto;
class NodeProto;
}  // namespace onnx

namespace sonar {

class OnnxBuilder {
 public:
  using Attribute = std::variant<int64_t, float, std::string, std::vector<int64_t>, std::vector<float>>;
  using Attributes = std::map<std::string, Attribute>;

  /// The input is called "image"; a dimension of -1 is left open.
  explicit OnnxBuilder(const std::vector<int64_t>& input_dims, int64_t opset = 17);
  ~OnnxBuilder();
  /// Each returns the name of the new tensor. `name`: of the node, or of the constant; empty: a new one.
  std::string node(const std::string& op, const std::vector<std::string>& inputs, const Attributes& attributes = {},
                   std::string name = "");
  std::string constant(const std::vector<int64_t>& dims, const std::vector<float>& values, std::string name = "");
  std::string integers(const std::vector<int64_t>& values);

  /// The file's bytes, with that tensor as the output, whose shape may be given.
  std::string finish(const std::string& output, const std::vector<int64_t>& dims = {});
  onnx::ModelProto& proto() { return *model_; }

 private:
  std::unique_ptr<onnx::ModelProto> model_;
  int next_ = 0;
};

}  // namespace sonar
