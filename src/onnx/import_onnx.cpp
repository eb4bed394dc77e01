#include "onnx/import_onnx.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "graph/infer_shape.h"
#include "model/error.h"
#include "onnx/importer.h"
#include "onnx/rewrite_patterns.h"

namespace sonar {
namespace {

/// Values of one image in a tensor: 1 GB. More is a damaged file or no network for one core.
constexpr double kMaxElements = 1 << 28;
constexpr int64_t kOldestOpset = 7;  // operators before broadcast as numpy does not

bool is_quantised(const std::string& op) {
  return op.find("QLinear") == 0 || op.find("Quantize") != op.npos || op.find("Integer") != op.npos;
}

/// A name that graphs allow: printable ASCII without spaces.
std::string clean(std::string name) {
  for (char& c : name)
    if (c <= ' ' || c > '~') c = '_';
  return name.empty() ? "node" : name;
}

}  // namespace

Importer::Importer(OnnxModel model) : model_(std::move(model)) {}

ImportedNetwork Importer::run() {
  if (model_.opset < kOldestOpset)
    throw UserError("opset " + std::to_string(model_.opset) + " is too old; export the model with opset 13 or newer");
  rewrite_patterns(model_);
  network_.file_hash = model_.hash;
  const std::vector<int64_t>& dims = model_.input_dims;
  const std::string place = "input '" + model_.input + "' ";
  if (dims.size() != 4) throw UserError(place + "has not the four dimensions N x C x H x W of images");
  for (size_t i = 1; i < 4; ++i)
    if (dims[i] < 1 || dims[i] > kMaxExtent)
      throw UserError(place +
                      "has no fixed channels, height and width of a sensible size; export the model with a "
                      "fixed size (only the batch may be open)");
  if (dims[0] > kMaxExtent) throw UserError(place + "has a batch of " + std::to_string(dims[0]) + " images");
  if (dims[0] > 0) batch_ = dims[0];
  OnnxNode input{.name = model_.input, .op = "input", .domain = "", .inputs = {}, .outputs = {}, .attributes = {}};
  Node first = node_of(Op::input, {});
  first.shape = {static_cast<int>(dims[2]), static_cast<int>(dims[3]), static_cast<int>(dims[1])};
  values_[model_.input] = {append(input, first), 4};
  for (const OnnxNode& node : model_.nodes)
    for (const std::string& name : node.inputs) ++readers_[name];
  ++readers_[model_.output];
  for (const OnnxNode& node : model_.nodes) import_node(node);
  if (network_.graph.nodes.size() < 2) throw UserError("the network computes nothing from its input");
  return std::move(network_);
}

void Importer::import_node(const OnnxNode& node) {
  using Import = void (Importer::*)(const OnnxNode&);
  static const std::map<std::string, Import> kOperators = {
      {"Add", &Importer::arithmetic},
      {"AveragePool", &Importer::window_pool},
      {"BatchNormalization", &Importer::batch_norm},
      {"Clip", &Importer::clip},
      {"Concat", &Importer::concat},
      {"Conv", &Importer::conv},
      {"Div", &Importer::arithmetic},
      {"Dropout", &Importer::pass},
      {"Flatten", &Importer::flatten},
      {"Gemm", &Importer::gemm},
      {"GlobalAveragePool", &Importer::global_average_pool},
      {"HardSigmoid", &Importer::hard_sigmoid},
      {"Identity", &Importer::pass},
      {"MatMul", &Importer::matmul},
      {"MaxPool", &Importer::window_pool},
      {"Mul", &Importer::arithmetic},
      {"ReduceMean", &Importer::reduce_mean},
      {"Reshape", &Importer::reshape},
      {"Resize", &Importer::resize},
      {"Softmax", &Importer::softmax},
      {"Squeeze", &Importer::squeeze},
      {"Sub", &Importer::arithmetic},
      {"Unsqueeze", &Importer::squeeze},
      {"Upsample", &Importer::resize},
  };
  static const std::map<std::string, Activation> kActivations = {{"HardSwish", Activation::hard_swish},
                                                                 {"Relu", Activation::relu},
                                                                 {"Sigmoid", Activation::sigmoid},
                                                                 {"SiLU", Activation::silu}};
  if (!node.domain.empty())
    refuse(node, "an operator of the domain '" + node.domain + "'; export the model with ONNX's own operators");
  if (node.outputs.empty()) refuse(node, "no output; the file is damaged");
  if (is_quantised(node.op)) refuse(node, "a quantised operator; only float32 models are imported");
  if (const auto found = kActivations.find(node.op); found != kActivations.end())
    return activation(node, found->second);
  const auto found = kOperators.find(node.op);
  if (found == kOperators.end()) refuse(node, "this operator is not imported; docs/onnx.md lists those that are");
  (this->*found->second)(node);
}

int Importer::append(const OnnxNode& node, Node added) {
  const std::string name = clean(node.name);
  const int before = names_[name]++;
  added.name = before == 0 ? name : name + "." + std::to_string(before);
  while (before > 0 && names_.count(added.name)) added.name += "_";
  if (before > 0) ++names_[added.name];
  const InferredShape inferred = infer_shape(network_.graph.nodes, added);
  if (!inferred.error.empty()) refuse(node, "a node that " + inferred.error + "; the file is damaged");
  if (double(inferred.shape.height) * inferred.shape.width * inferred.shape.channels > kMaxElements)
    refuse(node, "a value of more than 1 GB; export the model for smaller images");
  added.shape = inferred.shape;
  network_.graph.nodes.push_back(std::move(added));
  return static_cast<int>(network_.graph.nodes.size()) - 1;
}

void Importer::set(const OnnxNode& node, Value value) {
  value.shared |= readers_[node.outputs[0]] > 1;
  values_[node.outputs[0]] = value;
}

void Importer::affine(const OnnxNode& node, size_t input, const std::vector<double>& factor,
                      const std::vector<double>& shift) {
  const Value in = value(node, input);
  const Node& before = network_.graph.nodes[in.node];
  const size_t channels = before.shape.channels;
  if ((before.op == Op::conv || before.op == Op::dense) && !in.shared) {
    std::vector<float>& weight = network_.parameters.at(before.name + ".weight");
    std::vector<float>& bias = network_.parameters.at(before.name + ".bias");
    const size_t each = weight.size() / channels;
    for (size_t c = 0; c < channels; ++c) {
      for (size_t i = 0; i < each; ++i) weight[c * each + i] = static_cast<float>(weight[c * each + i] * factor[c]);
      bias[c] = static_cast<float>(bias[c] * factor[c] + shift[c]);
    }
    return set(node, in);
  }
  Node added = node_of(Op::conv, {in.node});
  added.shape.channels = added.groups = static_cast<int>(channels);
  added.bias = true;
  const int index = append(node, added);
  const std::string& name = network_.graph.nodes[index].name;
  network_.parameters[name + ".weight"].assign(factor.begin(), factor.end());
  network_.parameters[name + ".bias"].assign(shift.begin(), shift.end());
  set(node, {index, in.rank});
}

void Importer::activation(const OnnxNode& node, Activation activation) {
  const Value in = value(node, 0);
  Node added = node_of(Op::activation, {in.node});
  added.activation = activation;
  set(node, {append(node, added), in.rank});
}

void Importer::clip(const OnnxNode& node) {
  const ClipBounds bounds = clip_bounds(model_, node);
  if (bounds.low == 0 && bounds.high == 6) return activation(node, Activation::relu6);
  if (bounds.low == 0 && bounds.high >= double(std::numeric_limits<float>::max()))
    return activation(node, Activation::relu);
  refuse(node, "other bounds than 0 and 6, or 0 and none; only those are imported");
}

void Importer::hard_sigmoid(const OnnxNode& node) {
  if (!is_usual_hard_sigmoid(node))
    refuse(node, "other slopes than alpha = 1/6 and beta = 1/2; only those are imported");
  activation(node, Activation::hard_sigmoid);
}

void Importer::arithmetic(const OnnxNode& node) {
  if (node.inputs.size() != 2) refuse(node, "not two inputs; the file is damaged");
  for (size_t i : {1, 0})
    if (is_constant(node, i)) return with_constant(node, i);
  with_value(node);
}

void Importer::with_constant(const OnnxNode& node, size_t at) {
  const size_t other = 1 - at;
  std::vector<double> constants = per_channel(node, at, value(node, other));
  const std::vector<double> zeros(constants.size(), 0.0), ones(constants.size(), 1.0);
  if (node.op == "Mul") return affine(node, other, constants, zeros);
  if (node.op == "Div") {
    if (at == 0) refuse(node, "a constant divided by a value; only division by a constant is imported");
    for (double& c : constants) c = 1 / c;
    return affine(node, other, constants, zeros);
  }
  if (node.op == "Sub" && at == 1)
    for (double& c : constants) c = -c;
  affine(node, other, node.op == "Sub" && at == 0 ? std::vector<double>(constants.size(), -1.0) : ones, constants);
}

void Importer::with_value(const OnnxNode& node) {
  const Value a = value(node, 0), b = value(node, 1);
  const Shape &left = shape(a), &right = shape(b);
  if (node.op != "Add" && node.op != "Mul") refuse(node, "of two values; only Add and Mul of those are imported");
  if (a.rank != b.rank) refuse(node, "of values of different rank; reshape one to the other");
  if (left == right)
    return set(node, {append(node, node_of(node.op == "Add" ? Op::add : Op::multiply, {a.node, b.node})), a.rank});
  auto is_factor = [](const Shape& factor, const Shape& x) { return factor == Shape{1, 1, x.channels}; };
  if (node.op == "Mul" && (is_factor(left, right) || is_factor(right, left))) {
    const bool swapped = is_factor(left, right);
    return set(node, {append(node, node_of(Op::scale, {swapped ? b.node : a.node, swapped ? a.node : b.node})), 4});
  }
  refuse(node,
         "of values of different shapes; only equal shapes, and Mul by one factor for each channel, are imported");
}

void Importer::concat(const OnnxNode& node) {
  if (node.inputs.empty()) refuse(node, "no inputs; the file is damaged");
  Value joined = value(node, 0);
  const int64_t axis = integer(node, "axis", 1);
  if (axis != 1 && axis != 1 - joined.rank) refuse(node, "over another axis than the channels; only those are joined");
  for (size_t i = 1; i < node.inputs.size(); ++i) {
    const Value next = value(node, i);
    // Flattened maps would lie pixel by pixel behind each other in the file, but channel by channel here.
    if (next.rank != joined.rank || (joined.rank == 2 && shape(joined).height * shape(joined).width > 1))
      refuse(node, "of flattened maps, or of values of different rank; join them before they are flattened");
    joined.node = append(node, node_of(Op::concat, {joined.node, next.node}));
  }
  set(node, joined);
}

void Importer::flatten(const OnnxNode& node) {
  const Value in = value(node, 0);
  const int64_t axis = integer(node, "axis", 1);
  if (axis != 1 && axis != 1 - in.rank) refuse(node, "at another axis than 1; only each image as a whole is flattened");
  set(node, {in.node, 2, in.shared});
}

void Importer::reshape(const OnnxNode& node) {
  const Value in = value(node, 0);
  const Shape& from = shape(in);
  std::vector<int64_t> target = integers(node, 1, "target shape");
  const std::vector<int64_t> now = in.rank == 4 ? std::vector<int64_t>{batch_, from.channels, from.height, from.width}
                                                : std::vector<int64_t>{batch_, from.elements()};
  const int64_t total = batch_ * from.elements();
  int64_t known = 1;
  for (size_t i = 0; i < target.size(); ++i) {
    if (target[i] == 0 && i < now.size()) target[i] = now[i];
    if (target[i] > total || target[i] == 0 || target[i] < -1)
      refuse(node, "a target shape that holds other values than the input; the file is damaged");
    if (target[i] > 0) known = target[i] > total / known ? total + 1 : known * target[i];
  }
  for (int64_t& extent : target)
    if (extent == -1) extent = total / known;
  if (target == std::vector<int64_t>{batch_, from.elements()}) return set(node, {in.node, 2, in.shared});
  if (target == std::vector<int64_t>{batch_, from.channels, from.height, from.width})
    return set(node, {in.node, 4, in.shared});
  refuse(node, "a target shape other than each image flattened, or as it was; reshaping images is not imported");
}

/// Squeeze and Unsqueeze: between N x C x 1 x 1 and N x C.
void Importer::squeeze(const OnnxNode& node) {
  const Value in = value(node, 0);
  const bool to_vector = node.op == "Squeeze" && in.rank == 4, to_image = node.op == "Unsqueeze" && in.rank == 2;
  if (shape(in).height != 1 || shape(in).width != 1 || (!to_vector && !to_image) ||
      axes(node, 4) != std::vector<int64_t>{2, 3})
    refuse(node, "of other axes than height and width of 1 x 1 maps; only those are imported");
  set(node, {in.node, to_vector ? 2 : 4, in.shared});
}

void Importer::pass(const OnnxNode& node) { set(node, value(node, 0)); }

void Importer::softmax(const OnnxNode& node) {
  // Nothing but shape-keeping operators may follow: the order of the outputs is what a classifier needs.
  if (node.outputs[0] != model_.output) refuse(node, "a softmax before the end; only one at the end is left out");
  network_.notes.push_back("node '" + node.name + "' (Softmax) at the end is left out: it changes no decision");
  pass(node);
}

void Importer::refuse(const OnnxNode& node, const std::string& problem) const {
  throw UserError("node '" + node.name + "' (" + node.op + "): " + problem);
}

bool Importer::has_input(const OnnxNode& node, size_t input) const {
  return input < node.inputs.size() && !node.inputs[input].empty();
}

bool Importer::is_constant(const OnnxNode& node, size_t input) const {
  return has_input(node, input) && model_.constants.count(node.inputs[input]) > 0;
}

const Importer::Value& Importer::value(const OnnxNode& node, size_t input) const {
  if (!has_input(node, input)) refuse(node, "input " + std::to_string(input) + " is missing; the file is damaged");
  const auto found = values_.find(node.inputs[input]);
  if (found == values_.end())
    refuse(node,
           "'" + node.inputs[input] + "' is no image or vector of the network; only operations on those are imported");
  return found->second;
}

const OnnxTensor& Importer::constant(const OnnxNode& node, size_t input, const std::string& what) const {
  if (!is_constant(node, input))
    refuse(node, "no constant " + what + "; export the model with its " + what + " as constants");
  const OnnxTensor& tensor = model_.constants.at(node.inputs[input]);
  if (!tensor.problem.empty()) refuse(node, "tensor '" + node.inputs[input] + "' (" + what + ") " + tensor.problem);
  return tensor;
}

const std::vector<float>& Importer::floats(const OnnxNode& node, size_t input, const std::string& what) const {
  const OnnxTensor& tensor = constant(node, input, what);
  if (tensor.floats.empty())
    refuse(node, "tensor '" + node.inputs[input] + "' (" + what + ") holds no float32 values; the file is damaged");
  return tensor.floats;
}

const std::vector<int64_t>& Importer::integers(const OnnxNode& node, size_t input, const std::string& what) const {
  const OnnxTensor& tensor = constant(node, input, what);
  if (tensor.integers.empty())
    refuse(node, "tensor '" + node.inputs[input] + "' (" + what + ") holds no int64 values; the file is damaged");
  return tensor.integers;
}

int64_t Importer::integer(const OnnxNode& node, const std::string& attribute, int64_t otherwise) const {
  const auto found = node.attributes.find(attribute);
  return found == node.attributes.end() ? otherwise : found->second.integer;
}

float Importer::number(const OnnxNode& node, const std::string& attribute, float otherwise) const {
  const auto found = node.attributes.find(attribute);
  return found == node.attributes.end() ? otherwise : found->second.number;
}

std::string Importer::text(const OnnxNode& node, const std::string& attribute, const std::string& otherwise) const {
  const auto found = node.attributes.find(attribute);
  return found == node.attributes.end() ? otherwise : found->second.text;
}

std::vector<int64_t> Importer::list(const OnnxNode& node, const std::string& attribute) const {
  const auto found = node.attributes.find(attribute);
  return found == node.attributes.end() ? std::vector<int64_t>{} : found->second.integers;
}

/// Ascending, counted from the first of `rank` axes; attribute in old files, second input in new ones.
std::vector<int64_t> Importer::axes(const OnnxNode& node, int rank) const {
  std::vector<int64_t> axes = has_input(node, 1) ? integers(node, 1, "axes") : list(node, "axes");
  for (int64_t& axis : axes)
    if (axis < 0) axis += rank;
  std::sort(axes.begin(), axes.end());
  return axes;
}

std::vector<double> Importer::per_channel(const OnnxNode& node, size_t input, const Value& value) const {
  const OnnxTensor& tensor = constant(node, input, "operand");
  const std::vector<float>& values = floats(node, input, "operand");
  const size_t channels = shape(value).channels;
  if (values.size() == 1) return std::vector<double>(channels, values[0]);
  // The channels are the third axis from the end of images, the last of vectors.
  const size_t from_end = value.rank == 4 ? 3 : 1;
  const bool vector_of_map = value.rank == 2 && shape(value).height * shape(value).width > 1;
  if (values.size() != channels || tensor.dims.size() < from_end || vector_of_map ||
      tensor.dims[tensor.dims.size() - from_end] != int64_t(channels))
    refuse(node,
           "a constant operand of another shape than one value, or one for each channel; only those are imported");
  return {values.begin(), values.end()};
}

ImportedNetwork import_onnx(const std::string& path) {
  OnnxModel model = read_onnx(path);
  try {
    return Importer(std::move(model)).run();
  } catch (const UserError& error) {
    throw UserError(path + ": " + error.what());
  }
}

}  // namespace sonar
