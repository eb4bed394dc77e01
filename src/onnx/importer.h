// The state of one import, and one member for each operator or group of alike ones. import_onnx.cpp holds what is
// elementwise or moves nothing, import_layers.cpp what has weights or windows.
#pragma once
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "onnx/import_onnx.h"
#include "onnx/onnx_model.h"

namespace sonar {

inline Node node_of(Op op, std::vector<int> inputs) {
  Node node;
  node.op = op;
  node.inputs = std::move(inputs);
  return node;
}

class Importer {
 public:
  explicit Importer(OnnxModel model);
  ImportedNetwork run();

 private:
  /// A tensor of the file as a value of the graph. Rank 4 is N x C x H x W; rank 2 is N x CHW.
  struct Value {
    int node = 0;
    int rank = 4;
    bool shared = false;  // whether several nodes of the file read it, by whatever name
  };

  void import_node(const OnnxNode& node);

  // operators
  void conv(const OnnxNode& node);
  void batch_norm(const OnnxNode& node);
  void gemm(const OnnxNode& node);
  void matmul(const OnnxNode& node);
  void window_pool(const OnnxNode& node);
  void global_average_pool(const OnnxNode& node);
  void reduce_mean(const OnnxNode& node);
  void resize(const OnnxNode& node);
  void clip(const OnnxNode& node);
  void hard_sigmoid(const OnnxNode& node);
  void activation(const OnnxNode& node, Activation activation);
  void arithmetic(const OnnxNode& node);
  void with_constant(const OnnxNode& node, size_t constant);
  void with_value(const OnnxNode& node);
  void concat(const OnnxNode& node);
  void flatten(const OnnxNode& node);
  void reshape(const OnnxNode& node);
  void squeeze(const OnnxNode& node);
  void pass(const OnnxNode& node);
  void softmax(const OnnxNode& node);

  // the graph
  int append(const OnnxNode& node, Node added);
  void set(const OnnxNode& node, Value value);
  /// y = factor[c] * x + shift[c]: folded into the weights of the layer that makes x and nothing else reads, or a
  /// depthwise convolution of kernel 1.
  void affine(const OnnxNode& node, size_t input, const std::vector<double>& factor, const std::vector<double>& shift);
  void dense(const OnnxNode& node, Value input, std::vector<float> weight, std::vector<float> bias);
  void pool_window(const OnnxNode& node, Op op, int kernel, int stride, int padding);

  // the file
  [[noreturn]] void refuse(const OnnxNode& node, const std::string& problem) const;
  const Value& value(const OnnxNode& node, size_t input) const;
  const Shape& shape(const Value& value) const { return network_.graph.nodes[value.node].shape; }
  bool has_input(const OnnxNode& node, size_t input) const;
  bool is_constant(const OnnxNode& node, size_t input) const;
  const OnnxTensor& constant(const OnnxNode& node, size_t input, const std::string& what) const;
  const std::vector<float>& floats(const OnnxNode& node, size_t input, const std::string& what) const;
  const std::vector<int64_t>& integers(const OnnxNode& node, size_t input, const std::string& what) const;
  int64_t integer(const OnnxNode& node, const std::string& attribute, int64_t otherwise) const;
  float number(const OnnxNode& node, const std::string& attribute, float otherwise) const;
  std::string text(const OnnxNode& node, const std::string& attribute, const std::string& otherwise) const;
  std::vector<int64_t> list(const OnnxNode& node, const std::string& attribute) const;
  std::vector<int64_t> axes(const OnnxNode& node, int rank) const;
  int square(const OnnxNode& node, const std::string& attribute, int otherwise) const;
  int padding(const OnnxNode& node, int kernel, int stride, const Shape& in) const;
  std::vector<double> per_channel(const OnnxNode& node, size_t input, const Value& value) const;

  OnnxModel model_;
  ImportedNetwork network_;
  std::map<std::string, Value> values_;
  std::map<std::string, int> readers_;  // of each tensor of the file
  std::map<std::string, int> names_;    // of the graph's nodes, with the number of times each was asked for
  int64_t batch_ = 1;                   // of the file; 1 where it is not fixed
};

}  // namespace sonar
