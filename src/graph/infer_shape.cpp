#include "graph/infer_shape.h"

#include <algorithm>

#include "model/error.h"

namespace sonar {
namespace {

std::string to_text(const Shape& shape) {
  return std::to_string(shape.height) + " x " + std::to_string(shape.width) + " x " + std::to_string(shape.channels);
}

bool within(int value, int least) { return least <= value && value <= kMaxExtent; }

size_t input_count(Op op) {
  switch (op) {
    case Op::input:
      return 0;
    case Op::add:
    case Op::scale:
    case Op::multiply:
    case Op::concat:
      return 2;
    default:
      return 1;
  }
}

std::string check_name(const std::vector<Node>& nodes, const std::string& name) {
  if (name.empty()) return "has no name";
  if (!std::all_of(name.begin(), name.end(), [](char c) { return c > ' ' && c <= '~'; }))
    return "has a name with spaces or characters beyond ASCII";
  for (const Node& node : nodes)
    if (node.name == name) return "has the name of an earlier node";
  return "";
}

/// Of a window (kernel, stride, padding) that gives `out_channels` channels.
InferredShape infer_window(const Node& node, const Shape& in, int out_channels) {
  if (!within(node.kernel, 1)) return {{}, "has a kernel of " + std::to_string(node.kernel)};
  if (!within(node.stride, 1)) return {{}, "has a stride of " + std::to_string(node.stride)};
  if (!within(node.padding, 0)) return {{}, "has a padding of " + std::to_string(node.padding)};
  const int height = in.height + 2 * node.padding - node.kernel, width = in.width + 2 * node.padding - node.kernel;
  if (height < 0 || width < 0)
    return {{}, "has a kernel of " + std::to_string(node.kernel) + ", larger than its padded input " + to_text(in)};
  const Shape out{height / node.stride + 1, width / node.stride + 1, out_channels};
  if (!within(out.height, 1) || !within(out.width, 1)) return {{}, "has an output of " + to_text(out)};
  return {out, ""};
}

InferredShape infer_conv(const Node& node, const Shape& in) {
  const int out_channels = node.shape.channels;
  if (!within(out_channels, 1)) return {{}, "has " + std::to_string(out_channels) + " output channels"};
  const bool depthwise = node.groups == in.channels && node.groups == out_channels;
  if (node.groups != 1 && !depthwise)
    return {{},
            "has " + std::to_string(node.groups) + " groups; groups are 1, or the number of input and output channels"};
  return infer_window(node, in, out_channels);
}

InferredShape infer_concat(const Shape& a, const Shape& b) {
  if (a.height != b.height || a.width != b.width)
    return {{}, "joins shapes of different height or width: " + to_text(a) + " and " + to_text(b)};
  const Shape out{a.height, a.width, a.channels + b.channels};
  if (!within(out.channels, 1)) return {{}, "has an output of " + to_text(out)};
  return {out, ""};
}

InferredShape infer_resize(const Node& node, const Shape& in) {
  if (!within(node.stride, 1)) return {{}, "enlarges " + std::to_string(node.stride) + " times"};
  if (long(in.height) * node.stride > kMaxExtent || long(in.width) * node.stride > kMaxExtent)
    return {{}, "enlarges " + to_text(in) + " " + std::to_string(node.stride) + " times, which is too large"};
  return {{in.height * node.stride, in.width * node.stride, in.channels}, ""};
}

InferredShape infer_flatten(const Shape& in) {
  if (double(in.height) * in.width * in.channels > kMaxExtent)
    return {{}, "flattens " + to_text(in) + ", which is too large"};
  return {{1, 1, static_cast<int>(in.elements())}, ""};
}

}  // namespace

const char* to_text(Op op) {
  switch (op) {
    case Op::input:
      return "input";
    case Op::conv:
      return "conv";
    case Op::batch_norm:
      return "batch_norm";
    case Op::activation:
      return "activation";
    case Op::add:
      return "add";
    case Op::global_average_pool:
      return "global_average_pool";
    case Op::dense:
      return "dense";
    case Op::scale:
      return "scale";
    case Op::max_pool:
      return "max_pool";
    case Op::average_pool:
      return "average_pool";
    case Op::multiply:
      return "multiply";
    case Op::concat:
      return "concat";
    case Op::resize:
      return "resize";
    case Op::flatten:
      return "flatten";
  }
  throw InternalError("unknown operator");
}

InferredShape infer_shape(const std::vector<Node>& nodes, const Node& node) {
  if (std::string error = check_name(nodes, node.name); !error.empty()) return {{}, error};
  if (node.inputs.size() != input_count(node.op))
    return {{},
            "has " + std::to_string(node.inputs.size()) + " inputs; its operator takes " +
                std::to_string(input_count(node.op))};
  for (int input : node.inputs)
    if (input < 0 || input >= static_cast<int>(nodes.size()))
      return {{}, "takes input " + std::to_string(input) + ", which is no earlier node"};
  if ((node.op == Op::input) != nodes.empty())
    return {{}, nodes.empty() ? "comes first and is no input" : "is a second input"};

  if (node.op == Op::input) {
    const Shape& shape = node.shape;
    if (!within(shape.height, 1) || !within(shape.width, 1) || !within(shape.channels, 1))
      return {{}, "has the impossible shape " + to_text(shape)};
    return {shape, ""};
  }
  const Shape& in = nodes[node.inputs[0]].shape;
  switch (node.op) {
    case Op::conv:
      return infer_conv(node, in);
    case Op::batch_norm:
      return {in, ""};
    case Op::activation:
      if (node.activation == Activation::none) return {{}, "has no activation function"};
      return {in, ""};
    case Op::add:
    case Op::multiply: {
      const Shape& other = nodes[node.inputs[1]].shape;
      if (in != other)
        return {{},
                (node.op == Op::add ? "adds shapes that differ: " : "multiplies shapes that differ: ") + to_text(in) +
                    " and " + to_text(other)};
      return {in, ""};
    }
    case Op::max_pool:
    case Op::average_pool:
      if (node.padding >= node.kernel)
        return {{}, "has a padding of " + std::to_string(node.padding) + ", no less than its kernel"};
      return infer_window(node, in, in.channels);
    case Op::concat:
      return infer_concat(in, nodes[node.inputs[1]].shape);
    case Op::resize:
      return infer_resize(node, in);
    case Op::flatten:
      return infer_flatten(in);
    case Op::global_average_pool:
      return {{1, 1, in.channels}, ""};
    case Op::dense:
      if (in.height != 1 || in.width != 1) return {{}, "needs an input of 1 x 1 x c and has " + to_text(in)};
      if (!within(node.shape.channels, 1))
        return {{}, "has " + std::to_string(node.shape.channels) + " output features"};
      return {{1, 1, node.shape.channels}, ""};
    case Op::scale: {
      const Shape& factor = nodes[node.inputs[1]].shape;
      if (factor != Shape{1, 1, in.channels})
        return {{}, "needs a factor of " + to_text(Shape{1, 1, in.channels}) + " and has " + to_text(factor)};
      return {in, ""};
    }
    case Op::input:
      break;
  }
  throw InternalError("unknown operator");
}

}  // namespace sonar
