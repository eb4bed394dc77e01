#include "onnx/onnx_builder.h"

#include <onnx/onnx_pb.h>

#include <utility>

namespace sonar {
namespace {

using Ints = std::vector<int64_t>;

void set_attribute(onnx::AttributeProto& attribute, const OnnxBuilder::Attribute& value) {
  if (const auto* integer = std::get_if<int64_t>(&value)) {
    attribute.set_type(onnx::AttributeProto::INT);
    attribute.set_i(*integer);
  } else if (const auto* number = std::get_if<float>(&value)) {
    attribute.set_type(onnx::AttributeProto::FLOAT);
    attribute.set_f(*number);
  } else if (const auto* text = std::get_if<std::string>(&value)) {
    attribute.set_type(onnx::AttributeProto::STRING);
    attribute.set_s(*text);
  } else if (const auto* integers = std::get_if<Ints>(&value)) {
    attribute.set_type(onnx::AttributeProto::INTS);
    attribute.mutable_ints()->Add(integers->begin(), integers->end());
  } else {
    attribute.set_type(onnx::AttributeProto::FLOATS);
    const auto& numbers = std::get<std::vector<float>>(value);
    attribute.mutable_floats()->Add(numbers.begin(), numbers.end());
  }
}

/// A float32 tensor; a dimension of -1 is left open.
void describe(onnx::ValueInfoProto& value, const std::string& name, const Ints& dims) {
  value.set_name(name);
  onnx::TypeProto_Tensor* type = value.mutable_type()->mutable_tensor_type();
  type->set_elem_type(onnx::TensorProto::FLOAT);
  for (int64_t extent : dims) {
    auto* dim = type->mutable_shape()->add_dim();
    extent < 0 ? dim->set_dim_param("open") : dim->set_dim_value(extent);
  }
}

}  // namespace

OnnxBuilder::OnnxBuilder(const Ints& input_dims, int64_t opset) : model_(std::make_unique<onnx::ModelProto>()) {
  model_->set_producer_name("sonar");
  model_->mutable_graph()->set_name("network");
  model_->set_ir_version(8);
  model_->add_opset_import()->set_version(opset);
  describe(*model_->mutable_graph()->add_input(), "image", input_dims);
}

OnnxBuilder::~OnnxBuilder() = default;

std::string OnnxBuilder::node(const std::string& op, const std::vector<std::string>& inputs,
                              const Attributes& attributes, std::string name) {
  onnx::NodeProto* node = model_->mutable_graph()->add_node();
  if (name.empty()) name = op + "_" + std::to_string(next_++);
  node->set_op_type(op);
  node->set_name(name);
  for (const std::string& input : inputs) node->add_input(input);
  node->add_output(name + ".out");
  for (const auto& [key, value] : attributes) {
    onnx::AttributeProto* attribute = node->add_attribute();
    attribute->set_name(key);
    set_attribute(*attribute, value);
  }
  return name + ".out";
}

std::string OnnxBuilder::constant(const Ints& dims, const std::vector<float>& values, std::string name) {
  onnx::TensorProto* tensor = model_->mutable_graph()->add_initializer();
  tensor->set_name(name.empty() ? "constant_" + std::to_string(next_++) : std::move(name));
  tensor->set_data_type(onnx::TensorProto::FLOAT);
  tensor->mutable_dims()->Add(dims.begin(), dims.end());
  tensor->set_raw_data(values.data(), values.size() * sizeof(float));
  return tensor->name();
}

std::string OnnxBuilder::integers(const Ints& values) {
  onnx::TensorProto* tensor = model_->mutable_graph()->add_initializer();
  tensor->set_name("integers_" + std::to_string(next_++));
  tensor->set_data_type(onnx::TensorProto::INT64);
  tensor->add_dims(static_cast<int64_t>(values.size()));
  tensor->mutable_int64_data()->Add(values.begin(), values.end());
  return tensor->name();
}

std::string OnnxBuilder::finish(const std::string& output, const Ints& dims) {
  model_->mutable_graph()->clear_output();
  onnx::ValueInfoProto* value = model_->mutable_graph()->add_output();
  if (dims.empty())
    value->set_name(output);
  else
    describe(*value, output, dims);
  return model_->SerializeAsString();
}

}  // namespace sonar
