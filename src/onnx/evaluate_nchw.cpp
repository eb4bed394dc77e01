#include "onnx/evaluate_nchw.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

namespace sonar {
namespace {

struct Tensor {
  std::vector<int64_t> dims;
  std::vector<double> values;
  int64_t dim(size_t i) const { return i < dims.size() ? dims[i] : 1; }
  int64_t images() const { return dim(0); }
  int64_t channels() const { return dim(1); }
  int64_t pixels() const { return dim(2) * dim(3); }
};

using List = std::vector<int64_t>;

List list(const OnnxNode& node, const char* name, List otherwise) {
  const auto found = node.attributes.find(name);
  return found == node.attributes.end() || found->second.integers.empty() ? otherwise : found->second.integers;
}

int64_t integer(const OnnxNode& node, const char* name, int64_t otherwise) {
  const auto found = node.attributes.find(name);
  return found == node.attributes.end() ? otherwise : found->second.integer;
}

double number(const OnnxNode& node, const char* name, double otherwise) {
  const auto found = node.attributes.find(name);
  return found == node.attributes.end() ? otherwise : found->second.number;
}

/// Every window of a convolution or pooling: visit(image, channel, y, x of the output, its index) per output.
template <class Visit>
Tensor windows(const OnnxNode& node, const Tensor& x, int64_t out_channels, int64_t kernel, const Visit& visit) {
  const int64_t stride = list(node, "strides", {1})[0], pad = list(node, "pads", {0})[0];
  const int64_t height = (x.dim(2) + 2 * pad - kernel) / stride + 1, width = (x.dim(3) + 2 * pad - kernel) / stride + 1;
  Tensor y{{x.images(), out_channels, height, width}, {}};
  for (int64_t n = 0; n < x.images(); ++n)
    for (int64_t c = 0; c < out_channels; ++c)
      for (int64_t i = 0; i < height; ++i)
        for (int64_t j = 0; j < width; ++j) y.values.push_back(visit(n, c, i * stride - pad, j * stride - pad));
  return y;
}

bool inside(const Tensor& x, int64_t i, int64_t j) { return i >= 0 && j >= 0 && i < x.dim(2) && j < x.dim(3); }

double at(const Tensor& x, int64_t n, int64_t c, int64_t i, int64_t j) {
  return x.values[((n * x.channels() + c) * x.dim(2) + i) * x.dim(3) + j];
}

Tensor conv(const OnnxNode& node, const Tensor& x, const Tensor& w) {
  const int64_t kernel = w.dim(2), per_group = w.dim(1), groups = integer(node, "group", 1);
  return windows(node, x, w.dim(0), kernel, [&](int64_t n, int64_t o, int64_t top, int64_t left) {
    const int64_t first = o / (w.dim(0) / groups) * per_group;
    double sum = 0;
    for (int64_t c = 0; c < per_group; ++c)
      for (int64_t i = 0; i < kernel; ++i)
        for (int64_t j = 0; j < kernel; ++j)
          if (inside(x, top + i, left + j)) sum += at(w, o, c, i, j) * at(x, n, first + c, top + i, left + j);
    return sum;
  });
}

Tensor pool(const OnnxNode& node, const Tensor& x, bool max) {
  const int64_t kernel = list(node, "kernel_shape", {})[0];
  return windows(node, x, x.channels(), kernel, [&](int64_t n, int64_t c, int64_t top, int64_t left) {
    double result = max ? -std::numeric_limits<double>::infinity() : 0;
    for (int64_t i = top; i < top + kernel; ++i)
      for (int64_t j = left; j < left + kernel; ++j)
        if (inside(x, i, j)) result = max ? std::max(result, at(x, n, c, i, j)) : result + at(x, n, c, i, j);
    return max ? result : result / double(kernel * kernel);
  });
}

Tensor mean(const Tensor& x, bool keep) {
  Tensor y{keep ? List{x.images(), x.channels(), 1, 1} : List{x.images(), x.channels()}, {}};
  for (auto from = x.values.begin(); from != x.values.end(); from += x.pixels()) {
    double sum = 0;
    for (int64_t p = 0; p < x.pixels(); ++p) sum += from[p];
    y.values.push_back(sum / double(x.pixels()));
  }
  return y;
}

/// Elementwise with numpy's broadcasting.
template <class Function>
Tensor broadcast(Tensor a, Tensor b, const Function& function) {
  const size_t rank = std::max(a.dims.size(), b.dims.size());
  for (Tensor* t : {&a, &b}) t->dims.insert(t->dims.begin(), rank - t->dims.size(), 1);
  Tensor y;
  int64_t count = 1;
  for (size_t d = 0; d < rank; ++d) y.dims.push_back(std::max(a.dims[d], b.dims[d])), count *= y.dims[d];
  for (int64_t index = 0; index < count; ++index) {
    int64_t rest = index, in_a = 0, in_b = 0, step_a = 1, step_b = 1;
    for (size_t d = rank; d-- > 0; rest /= y.dims[d]) {
      const int64_t i = rest % y.dims[d];
      in_a += a.dims[d] == 1 ? 0 : i * step_a, in_b += b.dims[d] == 1 ? 0 : i * step_b;
      step_a *= a.dims[d], step_b *= b.dims[d];
    }
    y.values.push_back(function(a.values[in_a], b.values[in_b]));
  }
  return y;
}

template <class Function>
Tensor mapped(Tensor x, const Function& function) {
  for (double& value : x.values) value = function(value);
  return x;
}

Tensor concat(const std::vector<Tensor>& inputs) {
  Tensor y{inputs[0].dims, {}};
  y.dims[1] = 0;
  for (const Tensor& x : inputs) y.dims[1] += x.channels();
  for (int64_t n = 0; n < y.images(); ++n)
    for (const Tensor& x : inputs) {
      const int64_t each = x.channels() * x.pixels();
      y.values.insert(y.values.end(), x.values.begin() + n * each, x.values.begin() + (n + 1) * each);
    }
  return y;
}

Tensor gemm(const OnnxNode& node, const Tensor& x, const Tensor& w) {
  const bool transposed = integer(node, "transB", 0) != 0;
  const int64_t inputs = x.dim(1), outputs = w.dim(transposed ? 0 : 1);
  Tensor y{{x.images(), outputs}, {}};
  for (int64_t n = 0; n < x.images(); ++n)
    for (int64_t o = 0; o < outputs; ++o) {
      double sum = 0;
      for (int64_t i = 0; i < inputs; ++i)
        sum += x.values[n * inputs + i] * w.values[transposed ? o * inputs + i : i * outputs + o];
      y.values.push_back(number(node, "alpha", 1) * sum);
    }
  return y;
}

Tensor run(const OnnxNode& node, const std::vector<Tensor>& in) {
  const std::string& op = node.op;
  const Tensor& x = in[0];
  auto sigmoid = [](double v) { return 1 / (1 + std::exp(-v)); };
  auto hard_sigmoid = [](double v) { return std::clamp(v / 6 + 0.5, 0.0, 1.0); };
  auto per_channel = [&](const Tensor& t) { return Tensor{{t.dim(0), 1, 1}, t.values}; };
  if (op == "Conv") return conv(node, x, in[1]);
  if (op == "MaxPool") return pool(node, x, true);
  if (op == "AveragePool") return pool(node, x, false);
  if (op == "GlobalAveragePool") return mean(x, true);
  if (op == "ReduceMean") return mean(x, integer(node, "keepdims", 1) != 0);
  if (op == "Relu") return mapped(x, [](double v) { return std::max(v, 0.0); });
  if (op == "Clip") return mapped(x, [&](double v) { return std::clamp(v, in[1].values[0], in[2].values[0]); });
  if (op == "Sigmoid") return mapped(x, sigmoid);
  if (op == "HardSigmoid") return mapped(x, hard_sigmoid);
  if (op == "HardSwish") return mapped(x, [&](double v) { return v * hard_sigmoid(v); });
  if (op == "Add") return broadcast(x, in[1], std::plus<double>());
  if (op == "Sub") return broadcast(x, in[1], std::minus<double>());
  if (op == "Mul") return broadcast(x, in[1], std::multiplies<double>());
  if (op == "Div") return broadcast(x, in[1], std::divides<double>());
  if (op == "Concat") return concat(in);
  if (op == "Identity" || op == "Dropout") return x;
  if (op == "Flatten" || op == "Reshape") return {{x.images(), x.channels() * x.pixels()}, x.values};
  if (op == "Unsqueeze") return {{x.images(), x.channels(), 1, 1}, x.values};
  if (op == "MatMul") return gemm(node, x, in[1]);
  if (op == "Gemm") {
    const double beta = number(node, "beta", 1);
    return broadcast(gemm(node, x, in[1]), in[2], [&](double a, double b) { return a + beta * b; });
  }
  if (op == "BatchNormalization") {
    const double epsilon = number(node, "epsilon", 1e-5);
    Tensor y = broadcast(x, per_channel(in[3]), std::minus<double>());
    y = broadcast(y, per_channel(in[4]), [&](double a, double v) { return a / std::sqrt(v + epsilon); });
    return broadcast(broadcast(y, per_channel(in[1]), std::multiplies<double>()), per_channel(in[2]),
                     std::plus<double>());
  }
  if (op == "Resize") {
    const auto factor = static_cast<int64_t>(in[2].values[2]);
    Tensor y{{x.dim(0), x.dim(1), x.dim(2) * factor, x.dim(3) * factor}, {}};
    for (int64_t plane = 0; plane < x.dim(0) * x.dim(1); ++plane)
      for (int64_t i = 0; i < y.dim(2); ++i)
        for (int64_t j = 0; j < y.dim(3); ++j)
          y.values.push_back(x.values[(plane * x.dim(2) + i / factor) * x.dim(3) + j / factor]);
    return y;
  }
  throw std::logic_error("evaluate_nchw knows no " + op);
}

}  // namespace

std::vector<double> evaluate_nchw(const OnnxModel& model, const std::vector<float>& input, int64_t batch) {
  std::map<std::string, Tensor> values;
  values[""] = {};
  for (const auto& [name, constant] : model.constants)
    values[name] = {constant.dims, {constant.floats.begin(), constant.floats.end()}};
  values[model.input] = {{batch, model.input_dims[1], model.input_dims[2], model.input_dims[3]},
                         {input.begin(), input.end()}};
  for (const OnnxNode& node : model.nodes) {
    if (node.op == "Softmax") continue;  // the import leaves it out
    std::vector<Tensor> inputs;
    for (const std::string& name : node.inputs) inputs.push_back(values.at(name));
    values[node.outputs.at(0)] = run(node, inputs);
  }
  return values.at(model.output).values;
}

}  // namespace sonar
