#include "onnx/write_onnx.h"

#include <fstream>
#include <set>
#include <vector>

#include "model/error.h"
#include "onnx/onnx_builder.h"

namespace sonar {
namespace {

using Ints = std::vector<int64_t>;

/// [out][pixels][in] to [out][in][pixels].
std::vector<float> channels_first(const std::vector<float>& weight, size_t out, size_t in, size_t pixels) {
  std::vector<float> result(weight.size());
  for (size_t o = 0; o < out; ++o)
    for (size_t p = 0; p < pixels; ++p)
      for (size_t i = 0; i < in; ++i) result[(o * in + i) * pixels + p] = weight[(o * pixels + p) * in + i];
  return result;
}

class OnnxWriter {
 public:
  OnnxWriter(const Graph& graph, const Parameters& parameters, int batch)
      : graph_(graph),
        parameters_(parameters),
        batch_(batch),
        builder_({batch, graph.input_shape().channels, graph.input_shape().height, graph.input_shape().width}) {
    find_gates();
  }

  std::string run() {
    for (size_t i = 0; i < graph_.nodes.size(); ++i) values_.push_back(write(static_cast<int>(i)));
    const Shape& shape = graph_.output_shape();
    const Value& last = values_.back();
    if (last.map.height * last.map.width > 1) refuse(graph_.nodes.back(), "ends in a flattened map");
    Ints dims = {batch_, shape.channels};
    if (!last.flat) dims.insert(dims.end(), {shape.height, shape.width});
    return builder_.finish(last.tensor, dims);
  }

 private:
  struct Value {
    std::string tensor;
    bool flat = false;  // of rank 2
    Shape map = {};     // of a flattened one: what it was
  };

  [[noreturn]] static void refuse(const Node& node, const std::string& what) {
    throw UserError("node '" + node.name + "' cannot be written to ONNX: it " + what +
                    ", whose order is another there; put a dense layer after the flatten");
  }

  /// Dense layers inside squeeze-and-excite blocks stay 1 x 1 convolutions of 1 x 1 maps, as all libraries have them.
  void find_gates() {
    for (const Node& node : graph_.nodes) {
      if (node.op != Op::scale) continue;
      for (int at = node.inputs[1]; is(at, Op::dense) || is(at, Op::activation); at = graph_.nodes[at].inputs[0])
        if (is(at, Op::dense)) gates_.insert(at);
    }
  }
  bool is(int node, Op op) const { return graph_.nodes[node].op == op; }

  std::string parameter(const Node& node, const char* field, const Ints& dims) {
    const std::string name = node.name + "." + field;
    return builder_.constant(dims, parameters_.at(name), name);
  }

  std::string scalar(float value) { return builder_.constant({}, {value}); }

  /// In rank 4.
  std::string image(const Node& reader, const Value& value) {
    if (!value.flat) return value.tensor;
    if (value.map.height * value.map.width > 1) refuse(reader, "reads a flattened map");
    return builder_.node("Unsqueeze", {value.tensor, builder_.integers({2, 3})});
  }

  Value write(int index) {
    const Node& node = graph_.nodes[index];
    const bool takes_vectors = node.op == Op::activation || node.op == Op::dense || node.op == Op::flatten;
    std::vector<std::string> in;
    for (int input : node.inputs) in.push_back(takes_vectors ? values_[input].tensor : image(node, values_[input]));
    const int64_t kernel = node.kernel, stride = node.stride;
    const Ints square = {kernel, kernel}, strides = {stride, stride}, pads(4, node.padding);
    Value value;
    if (takes_vectors) value = values_[node.inputs[0]];
    switch (node.op) {
      case Op::input:
        return {"image"};
      case Op::conv:
        value.tensor = conv(node, in[0], square, strides, pads);
        break;
      case Op::batch_norm: {
        for (const char* field : {"weight", "bias", "running_mean", "running_var"})
          in.push_back(parameter(node, field, {node.shape.channels}));
        value.tensor = builder_.node("BatchNormalization", in, {{"epsilon", kBatchNormEpsilon}}, node.name);
        break;
      }
      case Op::activation:
        value.tensor = activation(node, in[0]);
        break;
      case Op::add:
        value.tensor = builder_.node("Add", in, {}, node.name);
        break;
      case Op::multiply:
      case Op::scale:
        value.tensor = builder_.node("Mul", in, {}, node.name);
        break;
      case Op::global_average_pool:
        value.tensor = builder_.node("GlobalAveragePool", in, {}, node.name);
        break;
      case Op::dense:
        return dense(node, gates_.count(index) > 0);
      case Op::max_pool:
        value.tensor =
            builder_.node("MaxPool", in, {{"kernel_shape", square}, {"strides", strides}, {"pads", pads}}, node.name);
        break;
      case Op::average_pool:
        value.tensor = builder_.node(
            "AveragePool", in,
            {{"kernel_shape", square}, {"strides", strides}, {"pads", pads}, {"count_include_pad", int64_t{1}}},
            node.name);
        break;
      case Op::concat:
        value.tensor = builder_.node("Concat", in, {{"axis", int64_t{1}}}, node.name);
        break;
      case Op::resize: {
        const float factor = static_cast<float>(node.stride);
        value.tensor = builder_.node("Resize", {in[0], "", builder_.constant({4}, {1, 1, factor, factor})},
                                     {{"mode", std::string("nearest")},
                                      {"coordinate_transformation_mode", std::string("asymmetric")},
                                      {"nearest_mode", std::string("floor")}},
                                     node.name);
        break;
      }
      case Op::flatten:
        if (value.flat) return value;
        return {flatten(in[0], node.name), true, graph_.nodes[node.inputs[0]].shape};
    }
    return value;
  }

  std::string conv(const Node& node, const std::string& input, const Ints& kernel, const Ints& strides,
                   const Ints& pads) {
    const int64_t out = node.shape.channels, in = graph_.nodes[node.inputs[0]].shape.channels / node.groups;
    const std::string name = node.name + ".weight";
    const size_t pixels = size_t(node.kernel) * node.kernel;
    std::vector<std::string> inputs = {input,
                                       builder_.constant({out, in, node.kernel, node.kernel},
                                                         channels_first(parameters_.at(name), out, in, pixels), name)};
    if (node.bias) inputs.push_back(parameter(node, "bias", {out}));
    return builder_.node(
        "Conv", inputs,
        {{"kernel_shape", kernel}, {"strides", strides}, {"pads", pads}, {"group", int64_t{node.groups}}}, node.name);
  }

  std::string flatten(const std::string& input, const std::string& name) {
    return builder_.node("Flatten", {input}, {{"axis", int64_t{1}}}, name);
  }

  Value dense(const Node& node, bool gate) {
    const Value& input = values_[node.inputs[0]];
    const int64_t out = node.shape.channels, in = graph_.nodes[node.inputs[0]].shape.channels;
    if (gate && !input.flat) {
      const std::string weight = parameter(node, "weight", {out, in, 1, 1});
      return {builder_.node("Conv", {input.tensor, weight, parameter(node, "bias", {out})},
                            {{"kernel_shape", Ints{1, 1}}}, node.name)};
    }
    const std::string name = node.name + ".weight";
    std::vector<float> weight = parameters_.at(name);
    if (const Shape& map = input.map; map.height * map.width > 1)
      weight = channels_first(weight, out, map.channels, size_t(map.height) * map.width);
    const std::string matrix = builder_.constant({out, in}, weight, name);
    const std::string flat = input.flat ? input.tensor : flatten(input.tensor, node.name + ".flat");
    return {builder_.node("Gemm", {flat, matrix, parameter(node, "bias", {out})}, {{"transB", int64_t{1}}}, node.name),
            true};
  }

  std::string activation(const Node& node, const std::string& input) {
    switch (node.activation) {
      case Activation::none:
        return builder_.node("Identity", {input}, {}, node.name);
      case Activation::relu:
        return builder_.node("Relu", {input}, {}, node.name);
      case Activation::hard_swish:
        return builder_.node("HardSwish", {input}, {}, node.name);
      case Activation::hard_sigmoid:
        return builder_.node("HardSigmoid", {input}, {{"alpha", 1.0f / 6}, {"beta", 0.5f}}, node.name);
      case Activation::relu6:
        return builder_.node("Clip", {input, scalar(0), scalar(6)}, {}, node.name);
      case Activation::sigmoid:
        return builder_.node("Sigmoid", {input}, {}, node.name);
      case Activation::silu:
        return builder_.node("Mul", {input, builder_.node("Sigmoid", {input}, {}, node.name + ".sigmoid")}, {},
                             node.name);
    }
    throw InternalError("node '" + node.name + "' has an activation that is not known");
  }

  const Graph& graph_;
  const Parameters& parameters_;
  int64_t batch_;
  OnnxBuilder builder_;
  std::set<int> gates_;
  std::vector<Value> values_;  // of each node
};

}  // namespace

std::string to_onnx(const Graph& graph, const Parameters& parameters, int batch) {
  check_parameters(graph, parameters);
  return OnnxWriter(graph, parameters, batch).run();
}

std::string untrained_onnx(const Graph& graph, int batch, uint64_t seed) {
  const FoldedNetwork network = fold_batch_norm(graph, random_parameters(graph, seed));
  return to_onnx(network.graph, network.parameters, batch);
}

void write_onnx(const std::string& path, const std::string& bytes) {
  std::ofstream file(path, std::ios::binary);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  file.close();
  if (!file)
    throw EnvironmentError(path +
                           ": cannot be written to its end; is the disk full, or the folder absent or read-only?");
}

}  // namespace sonar
