#include "train/network.h"

#include <cmath>
#include <map>
#include <utility>

#include "model/error.h"
#include "model/random.h"
#include "train/batch_norm.h"

namespace sonar {
namespace {

constexpr double kTwoPi = 6.283185307179586;

torch::Tensor activate(const torch::Tensor& x, Activation activation) {
  switch (activation) {
    case Activation::none:
      return x;
    case Activation::relu:
      return torch::relu(x);
    case Activation::hard_swish:
      return torch::hardswish(x);
    case Activation::hard_sigmoid:
      return torch::hardsigmoid(x);
    default:
      break;
  }
  throw InternalError("an activation that no network has");
}

/// Normal deviates of standard deviation `deviation` (Box and Muller 1958).
void fill_normal(float* values, long count, double deviation, uint64_t seed) {
  Random random(seed);
  for (long i = 0; i < count; i += 2) {
    const double radius = deviation * std::sqrt(-2 * std::log(1 - random.uniform()));
    const double angle = kTwoPi * random.uniform();
    values[i] = float(radius * std::cos(angle));
    if (i + 1 < count) values[i + 1] = float(radius * std::sin(angle));
  }
}

bool is_decayed(const Node& node, const std::string& name) {
  return node.op != Op::batch_norm && name.ends_with(".weight");
}

bool is_statistic(const std::string& name) { return name.ends_with(".running_mean") || name.ends_with(".running_var"); }

/// Imported networks are tuned, not trained; their further operators and activations have no kernels here.
void refuse_untrainable(const Graph& graph) {
  for (const Node& node : graph.nodes) {
    if (node.op > Op::scale)
      throw UserError("network: node '" + node.name + "' has an operator that cannot be trained; only tune it");
    if (node.activation > Activation::hard_sigmoid)
      throw UserError("network: node '" + node.name + "' has the activation " + to_text(node.activation) +
                      ", which cannot be trained; only tune it");
  }
}

std::vector<int> consumers_of(const Graph& graph) {
  std::vector<int> consumers(graph.nodes.size());
  for (const Node& node : graph.nodes) {
    for (int input : node.inputs) ++consumers[size_t(input)];
  }
  return consumers;
}

}  // namespace

Network::Network(const Graph& graph, const torch::Device& device)
    : graph_(graph), device_(device), layers_(graph.nodes.size()), last_use_(graph.nodes.size()) {
  refuse_untrainable(graph);
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    for (int input : graph.nodes[i].inputs) last_use_[size_t(input)] = int(i);
  }
  place_tensors();
  fuse_activations();
  make_views();
}

void Network::place_tensors() {
  std::map<std::string, const Node*> owners;
  for (const Node& node : graph_.nodes) owners[node.name] = &node;
  const auto sizes = parameter_sizes(graph_);
  const auto owner = [&](const std::string& name) -> const Node& {
    return *owners.at(name.substr(0, name.rfind('.')));
  };

  long statistics_count = 0, other = 0;
  for (const auto& [name, count] : sizes) {
    if (!is_statistic(name) && is_decayed(owner(name), name)) decayed += count;
  }
  long next_decayed = 0;
  for (const auto& [name, count] : sizes) {
    TensorPlace place{name, is_statistic(name), 0, count};
    long& next = place.statistic ? statistics_count : is_decayed(owner(name), name) ? next_decayed : other;
    place.offset = next + (&next == &other ? decayed : 0);
    next += count;
    places_.push_back(place);
  }
  const auto options = torch::TensorOptions().device(device_).dtype(torch::kFloat32);
  weights = torch::zeros({decayed + other}, options);
  gradient = torch::zeros({decayed + other}, options);
  statistics = torch::zeros({statistics_count}, options);
}

/// A batch norm whose value goes to one activation and nowhere else applies it itself.
void Network::fuse_activations() {
  const std::vector<int> consumers = consumers_of(graph_);
  for (size_t i = 0; i < graph_.nodes.size(); ++i) {
    const Node& node = graph_.nodes[i];
    if (node.op != Op::activation) continue;
    const size_t before = size_t(node.inputs[0]);
    if (graph_.nodes[before].op == Op::batch_norm && consumers[before] == 1) {
      layers_[before].activation = node.activation;
      layers_[i].fused_away = true;
    }
  }
}

void Network::make_views() {
  std::map<std::string, TensorPlace> by_name;
  for (const TensorPlace& place : places_) by_name[place.name] = place;
  const auto view = [&](const torch::Tensor& flat, const TensorPlace& place, const Node& node) {
    torch::Tensor values = flat.narrow(0, place.offset, place.count);
    if (!place.name.ends_with(".weight")) return values;
    if (node.op == Op::dense) return values.view({node.shape.channels, -1});
    if (node.op != Op::conv) return values;
    return values.view({node.shape.channels, node.kernel, node.kernel, -1}).permute({0, 3, 1, 2});  // channels-last
  };
  for (size_t i = 0; i < graph_.nodes.size(); ++i) {
    const Node& node = graph_.nodes[i];
    const std::pair<const char*, torch::Tensor*> tensors[] = {{".weight", &layers_[i].weight},
                                                              {".bias", &layers_[i].bias},
                                                              {".running_mean", &layers_[i].mean},
                                                              {".running_var", &layers_[i].variance}};
    for (const auto& [suffix, tensor] : tensors) {
      const auto place = by_name.find(node.name + suffix);
      if (place == by_name.end()) continue;
      if (place->second.statistic) {
        *tensor = view(statistics, place->second, node);
      } else {
        *tensor = view(weights, place->second, node).detach().requires_grad_(true);
        tensor->mutable_grad() = view(gradient, place->second, node);
      }
    }
  }
}

void Network::initialise(uint64_t seed, const std::string& name) {
  const std::vector<int> consumers = consumers_of(graph_);
  std::vector<bool> rectified(graph_.nodes.size());  // half of the value's variance is lost in what follows
  for (const Node& node : graph_.nodes) {
    if (node.op == Op::activation || node.op == Op::batch_norm) rectified[size_t(node.inputs[0])] = true;
  }
  Parameters initial;
  for (const auto& [tensor, count] : parameter_sizes(graph_)) {
    const bool one = tensor.ends_with(".weight") || tensor.ends_with(".running_var");
    initial[tensor].assign(size_t(count), one ? 1.f : 0.f);
  }
  for (size_t i = 0; i < graph_.nodes.size(); ++i) {
    const Node& node = graph_.nodes[i];
    if (node.op != Op::conv && node.op != Op::dense) continue;
    std::vector<float>& weight = initial.at(node.name + ".weight");
    const double fan_in = double(weight.size()) / node.shape.channels;
    fill_normal(weight.data(), long(weight.size()), std::sqrt((rectified[i] ? 2 : 1) / fan_in),
                derive_seed(derive_seed(seed, "weights of " + name), node.name));
  }
  set_parameters(initial);
}

torch::Tensor Network::forward(const torch::Tensor& images, bool training) {
  std::vector<torch::Tensor> values(graph_.nodes.size());
  values[0] = images;
  for (size_t i = 1; i < graph_.nodes.size(); ++i) {
    values[i] = run_node(i, values, training);
    for (int input : graph_.nodes[i].inputs) {
      if (last_use_[size_t(input)] == int(i)) values[size_t(input)].reset();
    }
  }
  return values.back().flatten(1);
}

torch::Tensor Network::run_node(size_t index, const std::vector<torch::Tensor>& values, bool training) {
  const Node& node = graph_.nodes[index];
  const Layer& layer = layers_[index];
  const torch::Tensor& x = values[size_t(node.inputs[0])];
  switch (node.op) {
    case Op::input:
      break;
    case Op::conv:
      return torch::conv2d(x, layer.weight, layer.bias, node.stride, node.padding, 1, node.groups);
    case Op::batch_norm:
      if (x.is_cpu() && x.scalar_type() == torch::kFloat32) {
        return batch_norm_activation(x, layer.weight, layer.bias, layer.mean, layer.variance, training,
                                     statistics_momentum, layer.activation);
      }
      return activate(torch::batch_norm(x, layer.weight, layer.bias, layer.mean, layer.variance, training,
                                        statistics_momentum, kBatchNormEpsilon, true),
                      layer.activation);
    case Op::activation:
      return layer.fused_away ? x : activate(x, node.activation);
    case Op::add:
      return x + values[size_t(node.inputs[1])];
    case Op::global_average_pool:
      return x.mean({2, 3}, /*keepdim=*/true);
    case Op::dense:
      return torch::linear(x.flatten(1), layer.weight, layer.bias).unsqueeze(-1).unsqueeze(-1);
    case Op::scale:
      return x * values[size_t(node.inputs[1])];
    default:
      break;
  }
  throw InternalError("network: node " + node.name + " cannot be run");
}

Parameters Network::parameters() const {
  const torch::Tensor host_weights = weights.cpu(), host_statistics = statistics.cpu();
  Parameters result;
  for (const TensorPlace& place : places_) {
    const float* from = (place.statistic ? host_statistics : host_weights).data_ptr<float>() + place.offset;
    result[place.name].assign(from, from + place.count);
  }
  return result;
}

void Network::set_parameters(const Parameters& parameters) {
  check_parameters(graph_, parameters);
  torch::NoGradGuard no_gradient;
  torch::Tensor host_weights = torch::empty({weights.numel()}), host_statistics = torch::empty({statistics.numel()});
  for (const TensorPlace& place : places_) {
    const std::vector<float>& values = parameters.at(place.name);
    std::copy(values.begin(), values.end(),
              (place.statistic ? host_statistics : host_weights).data_ptr<float>() + place.offset);
  }
  weights.copy_(host_weights);
  statistics.copy_(host_statistics);
}

}  // namespace sonar
