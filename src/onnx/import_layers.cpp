// Layers with weights or windows.
#include <cmath>

#include "model/error.h"
#include "onnx/importer.h"

namespace sonar {
namespace {

/// [out][in][pixels] to [out][pixels][in].
std::vector<float> channels_last(const std::vector<float>& weight, size_t out, size_t in, size_t pixels) {
  std::vector<float> result(weight.size());
  for (size_t o = 0; o < out; ++o)
    for (size_t i = 0; i < in; ++i)
      for (size_t p = 0; p < pixels; ++p) result[(o * pixels + p) * in + i] = weight[(o * in + i) * pixels + p];
  return result;
}

std::string times(int64_t a, int64_t b) { return std::to_string(a) + " x " + std::to_string(b); }

}  // namespace

void Importer::conv(const OnnxNode& node) {
  const Value& input = value(node, 0);
  const OnnxTensor& weight = constant(node, 1, "weights");
  const std::vector<float>& values = floats(node, 1, "weights");
  if (input.rank != 4 || weight.dims.size() != 4)
    refuse(node, "a convolution of other than two dimensions; only images are convolved");
  const Shape in = shape(input);
  const int64_t out_channels = weight.dims[0], groups = integer(node, "group", 1);
  const bool depthwise = groups > 1 && groups == in.channels && groups == out_channels;
  if (groups != 1 && !depthwise)
    refuse(node, "a grouped convolution of " + std::to_string(groups) + " groups, " + times(in.channels, out_channels) +
                     " channels; groups are 1, or the number of input and output channels");
  if (weight.dims[1] * groups != in.channels)
    refuse(node, "weights of " + std::to_string(weight.dims[1] * groups) + " input channels for an input of " +
                     std::to_string(in.channels) + "; the file is damaged");
  if (weight.dims[2] != weight.dims[3])
    refuse(node, "a kernel of " + times(weight.dims[2], weight.dims[3]) + "; only square kernels are imported");
  for (int64_t dilation : list(node, "dilations"))
    if (dilation != 1) refuse(node, "a dilated convolution; only dilation 1 is imported");
  const int kernel = square(node, "kernel_shape", static_cast<int>(weight.dims[2]));
  if (kernel != weight.dims[2]) refuse(node, "a kernel_shape other than that of its weights; the file is damaged");
  const int stride = square(node, "strides", 1), pad = padding(node, kernel, stride, in);
  std::vector<float> bias(out_channels);
  if (has_input(node, 2)) bias = floats(node, 2, "bias");
  if (int64_t(bias.size()) != out_channels)
    refuse(node, "a bias of " + std::to_string(bias.size()) + " values for " + std::to_string(out_channels) +
                     " channels; the file is damaged");
  // Squeeze-and-excite is often written so: a dense layer in all but name.
  if (in.height == 1 && in.width == 1 && kernel == 1 && pad == 0 && !depthwise) return dense(node, input, values, bias);

  Node added = node_of(Op::conv, {input.node});
  added.shape.channels = static_cast<int>(out_channels);
  added.kernel = kernel;
  added.stride = stride;
  added.padding = pad;
  added.groups = static_cast<int>(groups);
  added.bias = true;
  const int index = append(node, added);
  const std::string& name = network_.graph.nodes[index].name;
  network_.parameters[name + ".weight"] = channels_last(values, out_channels, weight.dims[1], size_t(kernel) * kernel);
  network_.parameters[name + ".bias"] = std::move(bias);
  set(node, {index, 4});
}

void Importer::batch_norm(const OnnxNode& node) {
  if (integer(node, "training_mode", 0) != 0 || node.outputs.size() > 1)
    refuse(node, "a batch norm in training mode; export the model for inference");
  const size_t channels = shape(value(node, 0)).channels;
  const char* names[] = {"scale", "bias", "mean", "variance"};
  const std::vector<float>* tensors[4];
  for (int i = 0; i < 4; ++i) {
    tensors[i] = &floats(node, i + 1, names[i]);
    if (tensors[i]->size() != channels)
      refuse(node, std::string("a ") + names[i] + " of " + std::to_string(tensors[i]->size()) + " values for " +
                       std::to_string(channels) + " channels; the file is damaged");
  }
  const double epsilon = number(node, "epsilon", 1e-5f);
  std::vector<double> factor(channels), shift(channels);
  for (size_t c = 0; c < channels; ++c) {
    factor[c] = (*tensors[0])[c] / std::sqrt(double((*tensors[3])[c]) + epsilon);
    shift[c] = (*tensors[1])[c] - (*tensors[2])[c] * factor[c];
  }
  affine(node, 0, factor, shift);
}

void Importer::dense(const OnnxNode& node, Value input, std::vector<float> weight, std::vector<float> bias) {
  const Shape in = shape(input);
  const int64_t outputs = static_cast<int64_t>(bias.size());
  if (outputs == 0 || int64_t(weight.size()) != outputs * in.elements())
    refuse(node, "weights of " + std::to_string(weight.size()) + " values for " + times(outputs, in.elements()) +
                     " outputs and inputs; the file is damaged, or what is before it is not what was read");
  if (in.height * in.width > 1) {
    weight = channels_last(weight, outputs, in.channels, size_t(in.height) * in.width);
    OnnxNode flatten = node;
    flatten.name += "_flatten";
    input.node = append(flatten, node_of(Op::flatten, {input.node}));
  }
  Node added = node_of(Op::dense, {input.node});
  added.shape.channels = static_cast<int>(outputs);
  added.bias = true;
  const int index = append(node, added);
  const std::string& name = network_.graph.nodes[index].name;
  network_.parameters[name + ".weight"] = std::move(weight);
  network_.parameters[name + ".bias"] = std::move(bias);
  set(node, {index, input.rank});
}

void Importer::gemm(const OnnxNode& node) {
  const Value& input = value(node, 0);
  const OnnxTensor& weight = constant(node, 1, "weights");
  std::vector<float> values = floats(node, 1, "weights");
  if (input.rank != 2 || weight.dims.size() != 2 || integer(node, "transA", 0) != 0)
    refuse(node, "a product of other than a batch of vectors and a matrix; flatten its input to two dimensions");
  const bool transposed = node.op == "Gemm" && integer(node, "transB", 0) != 0;
  const size_t outputs = weight.dims[transposed ? 0 : 1], inputs = weight.dims[transposed ? 1 : 0];
  if (!transposed) values = channels_last(values, 1, inputs, outputs);  // [in][out] to [out][in]
  const float alpha = number(node, "alpha", 1), beta = number(node, "beta", 1);
  for (float& w : values) w *= alpha;
  std::vector<float> bias(outputs);
  if (has_input(node, 2)) {
    const std::vector<float>& given = floats(node, 2, "bias");
    if (given.size() != outputs && given.size() != 1)
      refuse(node, "a bias of " + std::to_string(given.size()) + " values for " + std::to_string(outputs) +
                       " outputs; only one value for each output is imported");
    for (size_t o = 0; o < outputs; ++o) bias[o] = beta * given[given.size() == 1 ? 0 : o];
  }
  dense(node, input, std::move(values), std::move(bias));
}

void Importer::matmul(const OnnxNode& node) {
  if (!is_constant(node, 1)) refuse(node, "a product of two values of the network; only constant weights are imported");
  gemm(node);
}

void Importer::pool_window(const OnnxNode& node, Op op, int kernel, int stride, int padding) {
  Node added = node_of(op, {value(node, 0).node});
  added.kernel = kernel;
  added.stride = stride;
  added.padding = padding;
  set(node, {append(node, added), 4});
}

void Importer::window_pool(const OnnxNode& node) {
  const Value& input = value(node, 0);
  if (input.rank != 4) refuse(node, "pooling of other than images; only two dimensions are pooled");
  if (node.outputs.size() > 1 && !node.outputs[1].empty())
    refuse(node, "the indices of a pooling; only its values are imported");
  for (int64_t dilation : list(node, "dilations"))
    if (dilation != 1) refuse(node, "a dilated pooling; only dilation 1 is imported");
  const Shape in = shape(input);
  const int kernel = square(node, "kernel_shape", 0), stride = square(node, "strides", 1);
  const int pad = padding(node, kernel, stride, in);
  const bool average = node.op == "AveragePool";
  if (average && pad > 0 && integer(node, "count_include_pad", 0) == 0)
    refuse(node, "an average that leaves the padding out; export it with count_include_pad = 1, or without padding");
  if (integer(node, "ceil_mode", 0) != 0)
    for (int extent : {in.height, in.width})
      if ((extent + 2 * pad - kernel) % stride != 0)
        refuse(node,
               "ceil_mode where windows reach beyond the padded input; choose an input size where it changes nothing");
  if (average && pad == 0 && kernel == in.height && kernel == in.width) return global_average_pool(node);
  pool_window(node, average ? Op::average_pool : Op::max_pool, kernel, stride, pad);
}

void Importer::global_average_pool(const OnnxNode& node) {
  const Value& input = value(node, 0);
  if (input.rank != 4) refuse(node, "pooling of other than images; only two dimensions are pooled");
  set(node, {append(node, node_of(Op::global_average_pool, {input.node})), 4});
}

void Importer::reduce_mean(const OnnxNode& node) {
  const Value& input = value(node, 0);
  if (input.rank != 4 || axes(node, 4) != std::vector<int64_t>{2, 3})
    refuse(node, "a mean over other axes than height and width; only those are imported");
  global_average_pool(node);
  if (integer(node, "keepdims", 1) == 0) values_.at(node.outputs.at(0)).rank = 2;
}

void Importer::resize(const OnnxNode& node) {
  const Value& input = value(node, 0);
  const Shape in = shape(input);
  if (input.rank != 4) refuse(node, "resizing of other than images; only those are resized");
  if (text(node, "mode", "nearest") != "nearest")
    refuse(node, "resizing by interpolation; only mode nearest is imported");
  std::vector<double> scales;
  if (node.op == "Resize" && has_input(node, 3)) {
    const std::vector<int64_t>& sizes = integers(node, 3, "sizes");
    const int64_t from[] = {batch_, in.channels, in.height, in.width};
    for (size_t i = 0; i < sizes.size() && i < 4; ++i) scales.push_back(double(sizes[i]) / double(from[i]));
  } else {
    const size_t at = node.op == "Resize" && model_.opset >= 11 ? 2 : 1;
    const auto attribute = node.attributes.find("scales");
    const std::vector<float>& given =
        attribute != node.attributes.end() ? attribute->second.numbers : floats(node, at, "scales");
    scales.assign(given.begin(), given.end());
  }
  if (scales.size() != 4 || scales[0] != 1 || scales[1] != 1 || scales[2] != scales[3] || scales[2] < 1 ||
      scales[2] != std::floor(scales[2]) || scales[2] > 64)
    refuse(node, "resizing by other than one whole factor for height and width (1 to 64); only those are imported");
  const int factor = static_cast<int>(scales[2]);
  const std::string transform =
      text(node, "coordinate_transformation_mode", model_.opset >= 11 ? "half_pixel" : "asymmetric");
  const std::string rounding = text(node, "nearest_mode", model_.opset >= 11 ? "round_prefer_floor" : "floor");
  const bool centred = transform.ends_with("half_pixel") && rounding.starts_with("round_prefer");
  const bool left =
      transform == "asymmetric" && (rounding == "floor" || (rounding == "round_prefer_floor" && factor <= 2));
  if (!centred && !left)
    refuse(node, "nearest_mode " + rounding + " with coordinates " + transform +
                     "; only the pixel that covers the new one is imported");
  if (factor == 1) return pass(node);
  Node added = node_of(Op::resize, {input.node});
  added.stride = factor;
  set(node, {append(node, added), 4});
}

int Importer::square(const OnnxNode& node, const std::string& attribute, int otherwise) const {
  const std::vector<int64_t> values = list(node, attribute);
  if (values.empty()) {
    if (otherwise < 1) refuse(node, "no " + attribute + "; the file is damaged");
    return otherwise;
  }
  if (values.size() != 2 || values[0] != values[1])
    refuse(node, attribute + " that differ between height and width; only square ones are imported");
  if (values[0] < 1 || values[0] > 4096)
    refuse(node, attribute + " of " + std::to_string(values[0]) + "; 1 to 4096 are imported");
  return static_cast<int>(values[0]);
}

int Importer::padding(const OnnxNode& node, int kernel, int stride, const Shape& in) const {
  const std::string mode = text(node, "auto_pad", "NOTSET");
  if (mode == "VALID") return 0;
  if (mode == "SAME_UPPER" || mode == "SAME_LOWER") {
    auto total = [&](int extent) {
      return std::max(0, ((extent + stride - 1) / stride - 1) * stride + kernel - extent);
    };
    const int rows = total(in.height), columns = total(in.width);
    if (rows != columns || rows % 2 != 0)
      refuse(node, "auto_pad " + mode + " that pads the sides unequally here; export it with explicit, equal pads");
    return rows / 2;
  }
  if (mode != "NOTSET") refuse(node, "auto_pad " + mode + "; the file is damaged");
  const std::vector<int64_t> pads = list(node, "pads");
  if (pads.empty()) return 0;
  for (int64_t pad : pads)
    if (pads.size() != 4 || pad != pads[0])
      refuse(node, "padding that differs between the sides; only equal padding is imported");
  if (pads[0] < 0 || pads[0] > 4096) refuse(node, "padding of " + std::to_string(pads[0]) + "; 0 to 4096 are imported");
  return static_cast<int>(pads[0]);
}

}  // namespace sonar
