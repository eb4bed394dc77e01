#include "graph/reference.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "model/error.h"

namespace sonar {
namespace {

using Tensor = std::vector<float>;  // [batch][height][width][channels]

/// Products are added up in float32 over this many input channels at most, and in double beyond: vectorised, with an
/// error far below that of a plain float32 sum over all of them.
constexpr int kFloatTerms = 16;

struct ConvShape {
  int batch, height, width, in_channels, out_channels, kernel, stride, padding;
  int out_height() const { return (height + 2 * padding - kernel) / stride + 1; }
  int out_width() const { return (width + 2 * padding - kernel) / stride + 1; }
  size_t out_values() const { return size_t(batch) * out_height() * out_width() * out_channels; }
};

/// The part of the kernel that lies inside the input, for one output coordinate: taps [begin, end).
struct Taps {
  int origin, begin, end;
  Taps(int out, int extent, const ConvShape& s)
      : origin(out * s.stride - s.padding), begin(std::max(0, -origin)), end(std::min(s.kernel, extent - origin)) {}
};

/// [outer][inner] to [inner][outer].
Tensor transpose(const Tensor& values, size_t outer, size_t inner) {
  Tensor result(values.size());
  for (size_t o = 0; o < outer; ++o)
    for (size_t i = 0; i < inner; ++i) result[i * outer + o] = values[o * inner + i];
  return result;
}

/// sum[o] += sum over i < in_channels of x[i] * weight[i][o].
void accumulate(const float* x, int in_channels, const float* weight, int out_channels, float* partial, double* sum) {
  for (int first = 0; first < in_channels; first += kFloatTerms) {
    const int last = std::min(in_channels, first + kFloatTerms);
    std::fill(partial, partial + out_channels, 0.0f);
    for (int i = first; i < last; ++i) {
      const float factor = x[i];
      const float* row = weight + size_t(i) * out_channels;
      for (int o = 0; o < out_channels; ++o) partial[o] += factor * row[o];
    }
    for (int o = 0; o < out_channels; ++o) sum[o] += partial[o];
  }
}

/// weight: [out][k][k][in].
Tensor convolve(const ConvShape& s, const Tensor& input, const Tensor& weight) {
  const Tensor rows = transpose(weight, s.out_channels, weight.size() / s.out_channels);  // [k][k][in][out]
  Tensor output(s.out_values());
  Tensor partial(s.out_channels);
  std::vector<double> sum(s.out_channels);
  float* out = output.data();
  for (int n = 0; n < s.batch; ++n)
    for (int y = 0; y < s.out_height(); ++y)
      for (int x = 0; x < s.out_width(); ++x) {
        const Taps vertical(y, s.height, s), horizontal(x, s.width, s);
        std::fill(sum.begin(), sum.end(), 0.0);
        for (int ky = vertical.begin; ky < vertical.end; ++ky)
          for (int kx = horizontal.begin; kx < horizontal.end; ++kx) {
            const size_t pixel = (size_t(n) * s.height + vertical.origin + ky) * s.width + horizontal.origin + kx;
            accumulate(&input[pixel * s.in_channels], s.in_channels,
                       &rows[size_t(ky * s.kernel + kx) * s.in_channels * s.out_channels], s.out_channels,
                       partial.data(), sum.data());
          }
        for (int o = 0; o < s.out_channels; ++o) *out++ = static_cast<float>(sum[o]);
      }
  return output;
}

void multiply_add(const float* a, const float* b, int count, float* sum) {
  for (int i = 0; i < count; ++i) sum[i] += a[i] * b[i];
}

/// weight: [c][k][k]. A kernel row is added up in float32, the rows in double.
Tensor convolve_depthwise(const ConvShape& s, const Tensor& input, const Tensor& weight) {
  const int channels = s.out_channels;
  const Tensor rows = transpose(weight, channels, weight.size() / channels);  // [k][k][c]
  Tensor output(s.out_values());
  Tensor partial(channels);
  std::vector<double> sum(channels);
  float* out = output.data();
  for (int n = 0; n < s.batch; ++n)
    for (int y = 0; y < s.out_height(); ++y)
      for (int x = 0; x < s.out_width(); ++x) {
        const Taps vertical(y, s.height, s), horizontal(x, s.width, s);
        std::fill(sum.begin(), sum.end(), 0.0);
        for (int ky = vertical.begin; ky < vertical.end; ++ky) {
          std::fill(partial.begin(), partial.end(), 0.0f);
          for (int kx = horizontal.begin; kx < horizontal.end; ++kx) {
            const size_t pixel = (size_t(n) * s.height + vertical.origin + ky) * s.width + horizontal.origin + kx;
            multiply_add(&input[pixel * channels], &rows[size_t(ky * s.kernel + kx) * channels], channels,
                         partial.data());
          }
          for (int c = 0; c < channels; ++c) sum[c] += partial[c];
        }
        for (int c = 0; c < channels; ++c) *out++ = static_cast<float>(sum[c]);
      }
  return output;
}

void add_bias(Tensor& values, const Tensor& bias) {
  for (size_t start = 0; start < values.size(); start += bias.size())
    for (size_t c = 0; c < bias.size(); ++c) values[start + c] += bias[c];
}

/// weight: [out][in].
Tensor dense(int batch, const Tensor& input, const Tensor& weight, const Tensor& bias) {
  const int out_features = static_cast<int>(bias.size());
  const int in_features = static_cast<int>(weight.size() / bias.size());
  Tensor output = convolve({batch, 1, 1, in_features, out_features, 1, 1, 0}, input, weight);
  add_bias(output, bias);
  return output;
}

Tensor pool(int batch, int channels, const Tensor& input) {
  const size_t pixels = input.size() / batch / channels;
  Tensor output(size_t(batch) * channels);
  std::vector<double> sum(channels);
  for (int n = 0; n < batch; ++n) {
    std::fill(sum.begin(), sum.end(), 0.0);
    for (size_t p = 0; p < pixels; ++p)
      for (int c = 0; c < channels; ++c) sum[c] += input[(n * pixels + p) * channels + c];
    for (int c = 0; c < channels; ++c) output[size_t(n) * channels + c] = static_cast<float>(sum[c] / pixels);
  }
  return output;
}

void scale(int batch, int channels, Tensor& values, const Tensor& factor) {
  const size_t pixels = values.size() / batch / channels;
  for (int n = 0; n < batch; ++n)
    for (size_t p = 0; p < pixels; ++p)
      for (int c = 0; c < channels; ++c) values[(n * pixels + p) * channels + c] *= factor[size_t(n) * channels + c];
}

/// Max or mean over windows; padding counts as nothing to the max, as zeros to the mean.
Tensor pool_windows(const ConvShape& s, const Tensor& input, bool max) {
  const int channels = s.in_channels;
  Tensor output(s.out_values());
  std::vector<double> value(channels);
  float* out = output.data();
  for (int n = 0; n < s.batch; ++n)
    for (int y = 0; y < s.out_height(); ++y)
      for (int x = 0; x < s.out_width(); ++x) {
        const Taps vertical(y, s.height, s), horizontal(x, s.width, s);
        std::fill(value.begin(), value.end(), max ? -std::numeric_limits<double>::infinity() : 0.0);
        for (int ky = vertical.begin; ky < vertical.end; ++ky)
          for (int kx = horizontal.begin; kx < horizontal.end; ++kx) {
            const size_t pixel = (size_t(n) * s.height + vertical.origin + ky) * s.width + horizontal.origin + kx;
            const float* in = &input[pixel * channels];
            for (int c = 0; c < channels; ++c) value[c] = max ? std::max(value[c], double(in[c])) : value[c] + in[c];
          }
        for (int c = 0; c < channels; ++c)
          *out++ = static_cast<float>(max ? value[c] : value[c] / (double(s.kernel) * s.kernel));
      }
  return output;
}

void multiply(Tensor& values, const Tensor& other) {
  for (size_t i = 0; i < values.size(); ++i) values[i] *= other[i];
}

Tensor concat(const Tensor& a, int a_channels, const Tensor& b, int b_channels) {
  Tensor output;
  output.reserve(a.size() + b.size());
  for (size_t pixel = 0; pixel < a.size() / a_channels; ++pixel) {
    output.insert(output.end(), a.begin() + pixel * a_channels, a.begin() + (pixel + 1) * a_channels);
    output.insert(output.end(), b.begin() + pixel * b_channels, b.begin() + (pixel + 1) * b_channels);
  }
  return output;
}

Tensor resize(int batch, int height, int width, int channels, int factor, const Tensor& input) {
  Tensor output;
  output.reserve(input.size() * factor * factor);
  for (int n = 0; n < batch; ++n)
    for (int y = 0; y < height * factor; ++y)
      for (int x = 0; x < width * factor; ++x) {
        const auto pixel = input.begin() + ((size_t(n) * height + y / factor) * width + x / factor) * channels;
        output.insert(output.end(), pixel, pixel + channels);
      }
  return output;
}

void add(Tensor& values, const Tensor& other) {
  for (size_t i = 0; i < values.size(); ++i) values[i] += other[i];
}

float relu6(float x) { return std::min(std::max(x, 0.0f), 6.0f); }

float sigmoid(float x) { return static_cast<float>(1 / (1 + std::exp(-double(x)))); }

void activate(Tensor& values, Activation activation) {
  switch (activation) {
    case Activation::none:
      return;
    case Activation::relu:
      for (float& x : values) x = std::max(x, 0.0f);
      return;
    case Activation::hard_swish:
      for (float& x : values) x = x * relu6(x + 3) / 6;
      return;
    case Activation::hard_sigmoid:
      for (float& x : values) x = relu6(x + 3) / 6;
      return;
    case Activation::relu6:
      for (float& x : values) x = relu6(x);
      return;
    case Activation::sigmoid:
      for (float& x : values) x = sigmoid(x);
      return;
    case Activation::silu:
      for (float& x : values) x = x * sigmoid(x);
      return;
  }
  throw InternalError("unknown activation");
}

void normalize(Tensor& values, const Node& node, const Parameters& parameters) {
  const Tensor& weight = parameters.at(node.name + ".weight");
  const Tensor& bias = parameters.at(node.name + ".bias");
  const Tensor& mean = parameters.at(node.name + ".running_mean");
  const Tensor& variance = parameters.at(node.name + ".running_var");
  const size_t channels = node.shape.channels;
  for (size_t c = 0; c < channels; ++c) {
    const double deviation = std::sqrt(double(variance[c]) + kBatchNormEpsilon);
    for (size_t i = c; i < values.size(); i += channels)
      values[i] = static_cast<float>((double(values[i]) - mean[c]) / deviation * weight[c] + bias[c]);
  }
}

Tensor run_node(const Graph& graph, const Node& node, const std::vector<Tensor>& values, const Parameters& parameters,
                int batch) {
  const Tensor& in = values[node.inputs[0]];
  const Shape& shape = graph.nodes[node.inputs[0]].shape;
  switch (node.op) {
    case Op::conv: {
      const ConvShape conv{batch,       shape.height, shape.width, shape.channels, node.shape.channels,
                           node.kernel, node.stride,  node.padding};
      const Tensor& weight = parameters.at(node.name + ".weight");
      Tensor out = node.groups > 1 ? convolve_depthwise(conv, in, weight) : convolve(conv, in, weight);
      if (node.bias) add_bias(out, parameters.at(node.name + ".bias"));
      return out;
    }
    case Op::dense:
      return dense(batch, in, parameters.at(node.name + ".weight"), parameters.at(node.name + ".bias"));
    case Op::global_average_pool:
      return pool(batch, shape.channels, in);
    case Op::batch_norm: {
      Tensor out = in;
      normalize(out, node, parameters);
      return out;
    }
    case Op::activation: {
      Tensor out = in;
      activate(out, node.activation);
      return out;
    }
    case Op::add: {
      Tensor out = in;
      add(out, values[node.inputs[1]]);
      return out;
    }
    case Op::scale: {
      Tensor out = in;
      scale(batch, shape.channels, out, values[node.inputs[1]]);
      return out;
    }
    case Op::max_pool:
    case Op::average_pool:
      return pool_windows(
          {batch, shape.height, shape.width, shape.channels, shape.channels, node.kernel, node.stride, node.padding},
          in, node.op == Op::max_pool);
    case Op::multiply: {
      Tensor out = in;
      multiply(out, values[node.inputs[1]]);
      return out;
    }
    case Op::concat:
      return concat(in, shape.channels, values[node.inputs[1]], graph.nodes[node.inputs[1]].shape.channels);
    case Op::resize:
      return resize(batch, shape.height, shape.width, shape.channels, node.stride, in);
    case Op::flatten:
      return in;
    case Op::input:
      break;
  }
  throw InternalError("operator of node '" + node.name + "' cannot be run");
}

void check_size(const std::string& what, size_t got, size_t needed) {
  if (got != needed)
    throw InternalError(what + " has " + std::to_string(got) + " values; " + std::to_string(needed) + " are needed");
}

}  // namespace

std::vector<float> run_reference(const Graph& graph, const Parameters& parameters, const std::vector<float>& input,
                                 int batch) {
  check_parameters(graph, parameters);
  check_size("the input of the network", input.size(), size_t(batch) * graph.input_shape().elements());
  std::vector<size_t> last_use(graph.nodes.size());
  for (size_t i = 0; i < graph.nodes.size(); ++i)
    for (int in : graph.nodes[i].inputs) last_use[in] = i;
  std::vector<Tensor> values(graph.nodes.size());
  values[0] = input;
  for (size_t i = 1; i < graph.nodes.size(); ++i) {
    const Node& node = graph.nodes[i];
    values[i] = run_node(graph, node, values, parameters, batch);
    for (int in : node.inputs)
      if (last_use[in] == i) values[in] = {};
  }
  return std::move(values.back());
}

std::vector<long> subgraph_input_sizes(const Subgraph& s) {
  const long in = long(s.batch) * s.height * s.width * s.in_channels;
  const long c_in = s.in_channels, c_out = s.out_channels, taps = long(s.kernel) * s.kernel, squeeze = s.squeeze;
  std::vector<long> sizes{in};
  switch (s.kind) {
    case SubgraphKind::conv:
    case SubgraphKind::dense:
      sizes.insert(sizes.end(), {c_out * taps * c_in, c_out});
      break;
    case SubgraphKind::depthwise:
      sizes.insert(sizes.end(), {c_out * taps, c_out});
      break;
    case SubgraphKind::squeeze_excite:
      sizes.insert(sizes.end(), {squeeze * c_in, squeeze, c_in * squeeze, c_in});
      break;
    case SubgraphKind::fused_depthwise:
      for (const Subgraph& stage : stages_of(s)) {
        const std::vector<long> own = subgraph_input_sizes(stage);
        sizes.insert(sizes.end(), {own[1], own[2]});
      }
      break;
    default:
      break;
  }
  if (s.has_second_input()) sizes.push_back(s.second_input_elements());
  return sizes;
}

std::vector<float> run_subgraph_reference(const Subgraph& s, const std::vector<std::vector<float>>& inputs) {
  const std::vector<long> sizes = subgraph_input_sizes(s);
  if (inputs.size() != sizes.size())
    throw InternalError(s.key() + " takes " + std::to_string(sizes.size()) + " tensors, not " +
                        std::to_string(inputs.size()));
  for (size_t i = 0; i < sizes.size(); ++i)
    check_size("tensor " + std::to_string(i) + " of " + s.key(), inputs[i].size(), sizes[i]);

  if (s.kind == SubgraphKind::fused_depthwise) {
    Tensor value = inputs[0];
    size_t next = 1;
    for (const Subgraph& stage : stages_of(s)) {
      std::vector<Tensor> own{std::move(value), inputs[next], inputs[next + 1]};
      if (stage.residual) own.push_back(inputs.back());
      value = run_subgraph_reference(stage, own);
      next += 2;
    }
    return value;
  }
  const ConvShape conv{s.batch, s.height, s.width, s.in_channels, s.out_channels, s.kernel, s.stride, s.padding};
  Tensor out;
  switch (s.kind) {
    case SubgraphKind::conv:
    case SubgraphKind::dense:
      out = convolve(conv, inputs[0], inputs[1]);
      add_bias(out, inputs[2]);
      break;
    case SubgraphKind::depthwise:
      out = convolve_depthwise(conv, inputs[0], inputs[1]);
      add_bias(out, inputs[2]);
      break;
    case SubgraphKind::pool:
      out = pool(s.batch, s.in_channels, inputs[0]);
      break;
    case SubgraphKind::squeeze_excite: {
      Tensor gate = dense(s.batch, pool(s.batch, s.in_channels, inputs[0]), inputs[1], inputs[2]);
      activate(gate, Activation::relu);
      gate = dense(s.batch, gate, inputs[3], inputs[4]);
      activate(gate, Activation::hard_sigmoid);
      out = inputs[0];
      scale(s.batch, s.in_channels, out, gate);
      break;
    }
    case SubgraphKind::max_pool:
    case SubgraphKind::average_pool:
      out = pool_windows(conv, inputs[0], s.kind == SubgraphKind::max_pool);
      break;
    case SubgraphKind::add:
      out = inputs[0];
      add(out, inputs[1]);
      break;
    case SubgraphKind::multiply:
      out = inputs[0];
      multiply(out, inputs[1]);
      break;
    case SubgraphKind::scale:
      out = inputs[0];
      scale(s.batch, s.in_channels, out, inputs[1]);
      break;
    case SubgraphKind::activate:
      out = inputs[0];
      break;
    case SubgraphKind::concat:
      out = concat(inputs[0], s.in_channels, inputs[1], s.out_channels - s.in_channels);
      break;
    case SubgraphKind::resize:
      out = resize(s.batch, s.height, s.width, s.in_channels, s.stride, inputs[0]);
      break;
    case SubgraphKind::fused_depthwise:
      break;  // above, stage by stage
  }
  if (!s.activation_last) activate(out, s.activation);
  if (s.residual) add(out, inputs.back());
  if (s.activation_last) activate(out, s.activation);
  return out;
}

}  // namespace sonar
