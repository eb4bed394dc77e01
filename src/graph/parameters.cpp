#include "graph/parameters.h"

#include <cmath>

#include "model/error.h"
#include "model/random.h"

namespace sonar {
namespace {

long fan_in(const Graph& graph, const Node& node) {
  const long in_channels = graph.nodes[node.inputs[0]].shape.channels;
  return node.op == Op::dense ? in_channels : in_channels / node.groups * node.kernel * node.kernel;
}

std::vector<int> count_consumers(const Graph& graph) {
  std::vector<int> consumers(graph.nodes.size());
  for (const Node& node : graph.nodes)
    for (int input : node.inputs) ++consumers[input];
  return consumers;
}

void fold_tensors(const Node& conv, const Node& batch_norm, Parameters& parameters) {
  std::vector<float>& weight = parameters.at(conv.name + ".weight");
  std::vector<float>& bias = parameters[conv.name + ".bias"];
  const int channels = conv.shape.channels;
  bias.resize(channels);  // zeros where the convolution had none
  const auto& gamma = parameters.at(batch_norm.name + ".weight");
  const auto& beta = parameters.at(batch_norm.name + ".bias");
  const auto& mean = parameters.at(batch_norm.name + ".running_mean");
  const auto& variance = parameters.at(batch_norm.name + ".running_var");
  const size_t per_channel = weight.size() / channels;
  for (int c = 0; c < channels; ++c) {
    const double factor = gamma[c] / std::sqrt(double(variance[c]) + kBatchNormEpsilon);
    for (size_t i = 0; i < per_channel; ++i) {
      float& w = weight[c * per_channel + i];
      w = static_cast<float>(w * factor);
    }
    bias[c] = static_cast<float>(beta[c] + (double(bias[c]) - mean[c]) * factor);
  }
  for (const char* tensor : {".weight", ".bias", ".running_mean", ".running_var"})
    parameters.erase(batch_norm.name + tensor);
}

}  // namespace

std::vector<std::pair<std::string, long>> parameter_sizes(const Graph& graph) {
  std::vector<std::pair<std::string, long>> sizes;
  for (const Node& node : graph.nodes) {
    const long channels = node.shape.channels;
    if (node.op == Op::conv || node.op == Op::dense) {
      sizes.emplace_back(node.name + ".weight", channels * fan_in(graph, node));
      if (node.bias) sizes.emplace_back(node.name + ".bias", channels);
    } else if (node.op == Op::batch_norm) {
      for (const char* tensor : {".weight", ".bias", ".running_mean", ".running_var"})
        sizes.emplace_back(node.name + tensor, channels);
    }
  }
  return sizes;
}

void check_parameters(const Graph& graph, const Parameters& parameters) {
  for (const auto& [name, size] : parameter_sizes(graph)) {
    const auto found = parameters.find(name);
    if (found == parameters.end()) throw UserError("parameters: tensor '" + name + "' of the network is missing");
    if (static_cast<long>(found->second.size()) != size)
      throw UserError("parameters: tensor '" + name + "' has " + std::to_string(found->second.size()) +
                      " values; the network needs " + std::to_string(size));
  }
}

Parameters random_parameters(const Graph& graph, uint64_t seed) {
  Parameters parameters;
  auto fill = [&](const std::string& name, long count, double low, double high) {
    Random random(derive_seed(seed, name));
    std::vector<float>& values = parameters[name];
    values.resize(count);
    for (float& value : values) value = static_cast<float>(low + (high - low) * random.uniform());
  };
  for (const Node& node : graph.nodes) {
    const long channels = node.shape.channels;
    if (node.op == Op::conv || node.op == Op::dense) {
      const double bound = std::sqrt(6.0 / fan_in(graph, node));  // He et al. 2015, uniform
      fill(node.name + ".weight", channels * fan_in(graph, node), -bound, bound);
      if (node.bias) fill(node.name + ".bias", channels, -0.1, 0.1);
    } else if (node.op == Op::batch_norm) {
      fill(node.name + ".weight", channels, 0.5, 1.5);
      fill(node.name + ".bias", channels, -0.5, 0.5);
      fill(node.name + ".running_mean", channels, -0.5, 0.5);
      fill(node.name + ".running_var", channels, 0.5, 1.5);
    }
  }
  return parameters;
}

FoldedNetwork fold_batch_norm(const Graph& graph, const Parameters& parameters) {
  const bool graph_only = parameters.empty();
  if (!graph_only) check_parameters(graph, parameters);
  FoldedNetwork folded{{}, parameters};
  const std::vector<int> consumers = count_consumers(graph);
  std::vector<int> moved_to(graph.nodes.size());  // index of each node's value in the folded graph
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    const Node& node = graph.nodes[i];
    if (node.op == Op::batch_norm) {
      const int input = node.inputs[0];
      if (graph.nodes[input].op != Op::conv || consumers[input] != 1)
        throw UserError("batch norm '" + node.name +
                        "' does not follow a convolution whose output nothing else reads; it cannot be folded");
      if (!graph_only) fold_tensors(graph.nodes[input], node, folded.parameters);
      moved_to[i] = moved_to[input];
      continue;
    }
    Node copy = node;
    for (int& input : copy.inputs) input = moved_to[input];
    if (copy.op == Op::conv) {
      copy.bias = true;
      if (!graph_only) folded.parameters[copy.name + ".bias"].resize(copy.shape.channels);
    }
    moved_to[i] = static_cast<int>(folded.graph.nodes.size());
    folded.graph.nodes.push_back(std::move(copy));
  }
  return folded;
}

}  // namespace sonar
