#include "onnx/onnx_model.h"

#include <onnx/onnx_pb.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <sstream>
#include <type_traits>

#include "model/error.h"
#include "model/random.h"

namespace sonar {
namespace {

static_assert(sizeof(float) == 4 && std::is_same_v<::google::protobuf::int64, int64_t>);

/// protobuf's own limit.
constexpr size_t kMaxBytes = std::numeric_limits<int>::max();
/// Beyond this no network is meant, and checks of names against each other would take long.
constexpr int kMaxNodes = 20000;

std::string read_bytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream bytes;
  if (file) bytes << file.rdbuf();
  if (!file || std::filesystem::is_directory(path)) throw UserError(path + ": cannot be read; name an ONNX file");
  if (bytes.view().size() > kMaxBytes) throw UserError(path + ": is larger than 2 GB, which no ONNX file can be");
  return std::move(bytes).str();
}

/// The values of a tensor, which stand as raw little-endian bytes or in a field of their type.
template <class Value, class Field>
std::vector<Value> values_of(const onnx::TensorProto& proto, const Field& field, const std::string& path,
                             int64_t elements) {
  std::vector<Value> values;
  if (proto.has_raw_data()) {
    if (proto.raw_data().size() == size_t(elements) * sizeof(Value)) {
      values.resize(elements);
      if (elements > 0) std::memcpy(values.data(), proto.raw_data().data(), proto.raw_data().size());
    }
  } else if (field.size() == elements) {
    values.assign(field.begin(), field.end());
  }
  if (int64_t(values.size()) != elements)
    throw UserError(path + ": tensor '" + proto.name() +
                    "' has not as many values as its shape says; the file is damaged");
  return values;
}

OnnxTensor to_tensor(const onnx::TensorProto& proto, const std::string& path) {
  OnnxTensor tensor;
  double elements = 1;
  for (int64_t extent : proto.dims()) {
    if (extent < 0)
      throw UserError(path + ": tensor '" + proto.name() + "' has a negative extent; the file is damaged");
    tensor.dims.push_back(extent);
    elements *= double(extent);
  }
  if (elements > double(kMaxBytes))
    throw UserError(path + ": tensor '" + proto.name() + "' has more values than a file can hold; the file is damaged");
  if (proto.data_location() == onnx::TensorProto::EXTERNAL) {
    tensor.problem = "is kept in another file; save the model with its weights in one file";
  } else if (proto.data_type() == onnx::TensorProto::FLOAT) {
    tensor.floats = values_of<float>(proto, proto.float_data(), path, tensor.elements());
  } else if (proto.data_type() == onnx::TensorProto::INT64) {
    tensor.integers = values_of<int64_t>(proto, proto.int64_data(), path, tensor.elements());
  } else if (proto.data_type() == onnx::TensorProto::INT32) {
    const auto values = values_of<int32_t>(proto, proto.int32_data(), path, tensor.elements());
    tensor.integers.assign(values.begin(), values.end());
  } else {
    const auto type = static_cast<onnx::TensorProto::DataType>(proto.data_type());
    const std::string& name = onnx::TensorProto::DataType_IsValid(type) ? onnx::TensorProto::DataType_Name(type) : "";
    tensor.problem =
        "has the type " + (name.empty() ? std::to_string(proto.data_type()) : name) + "; convert the model to float32";
  }
  return tensor;
}

OnnxNode to_node(const onnx::NodeProto& proto) {
  OnnxNode node;
  node.op = proto.op_type();
  node.domain = proto.domain() == "ai.onnx" ? "" : proto.domain();
  node.inputs.assign(proto.input().begin(), proto.input().end());
  node.outputs.assign(proto.output().begin(), proto.output().end());
  node.name = !proto.name().empty() ? proto.name() : node.outputs.empty() ? "" : node.outputs.front();
  for (const onnx::AttributeProto& from : proto.attribute()) {
    OnnxAttribute& to = node.attributes[from.name()];
    to.number = from.f();
    to.integer = from.i();
    to.text = from.s();
    to.numbers.assign(from.floats().begin(), from.floats().end());
    to.integers.assign(from.ints().begin(), from.ints().end());
  }
  return node;
}

/// The value of a Constant node.
OnnxTensor constant_value(const onnx::NodeProto& proto, const std::string& path) {
  for (const onnx::AttributeProto& attribute : proto.attribute()) {
    OnnxTensor tensor;
    if (attribute.name() == "value") return to_tensor(attribute.t(), path);
    if (attribute.name() == "value_float") tensor.floats = {attribute.f()};
    if (attribute.name() == "value_int") tensor.integers = {attribute.i()};
    if (!tensor.floats.empty() || !tensor.integers.empty()) return tensor;
    tensor.floats.assign(attribute.floats().begin(), attribute.floats().end());
    tensor.integers.assign(attribute.ints().begin(), attribute.ints().end());
    tensor.dims = {int64_t(std::max(tensor.floats.size(), tensor.integers.size()))};
    if (attribute.name() == "value_floats" || attribute.name() == "value_ints") return tensor;
  }
  OnnxTensor tensor;
  tensor.problem = "is neither float32 nor int64";
  return tensor;
}

void read_input(const onnx::GraphProto& graph, const std::string& path, OnnxModel& model) {
  for (const onnx::ValueInfoProto& input : graph.input()) {
    if (model.constants.count(input.name())) continue;  // old files list the weights as inputs, too
    if (!model.input.empty())
      throw UserError(path + ": the network has more than one input ('" + model.input + "', '" + input.name() +
                      "'); SONAR tunes networks of one image");
    model.input = input.name();
    const onnx::TypeProto_Tensor& type = input.type().tensor_type();
    if (type.elem_type() != onnx::TensorProto::FLOAT)
      throw UserError(path + ": input '" + input.name() + "' is not of float32; convert the model to float32");
    for (const auto& dim : type.shape().dim()) model.input_dims.push_back(dim.has_dim_value() ? dim.dim_value() : -1);
  }
  if (model.input.empty()) throw UserError(path + ": the network has no input");
}

}  // namespace

int64_t OnnxTensor::elements() const {
  if (std::find(dims.begin(), dims.end(), 0) != dims.end()) return 0;  // the others may be of any size then
  int64_t elements = 1;
  for (int64_t extent : dims) elements *= extent;
  return elements;
}

OnnxModel read_onnx(const std::string& path) {
  const std::string bytes = read_bytes(path);
  const google::protobuf::LogSilencer silence;  // it would write to stderr what is said below
  onnx::ModelProto proto;
  if (!proto.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())) || !proto.has_graph())
    throw UserError(path + ": is no ONNX model, or is cut short");
  OnnxModel model;
  model.hash = stable_hash(bytes);
  for (const onnx::OperatorSetIdProto& set : proto.opset_import())
    if (set.domain().empty() || set.domain() == "ai.onnx") model.opset = set.version();
  const onnx::GraphProto& graph = proto.graph();
  if (graph.node_size() > kMaxNodes)
    throw UserError(path + ": has " + std::to_string(graph.node_size()) + " nodes; at most " +
                    std::to_string(kMaxNodes) + " are read");
  for (const onnx::TensorProto& tensor : graph.initializer()) model.constants[tensor.name()] = to_tensor(tensor, path);
  for (const onnx::NodeProto& node : graph.node()) {
    if (node.op_type() == "Constant" && node.output_size() == 1) {
      model.constants[node.output(0)] = constant_value(node, path);
    } else {
      model.nodes.push_back(to_node(node));
    }
  }
  read_input(graph, path, model);
  if (graph.output_size() != 1)
    throw UserError(path + ": the network has " + std::to_string(graph.output_size()) +
                    " outputs; SONAR tunes networks with one: remove the others");
  model.output = graph.output(0).name();
  return model;
}

}  // namespace sonar
