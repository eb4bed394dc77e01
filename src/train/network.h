// The LibTorch network of a graph. Includes LibTorch's headers: only for the few files that need them.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "graph/graph.h"
#include "graph/parameters.h"
#include "train/torch_headers.h"

namespace sonar {

/// Where one named tensor lies in the network's flat arrays.
struct TensorPlace {
  std::string name;        // as in graph/parameters.h
  bool statistic = false;  // in `statistics` (running mean and variance), else in `weights`
  long offset = 0, count = 0;
};

/// All trainable values lie in one flat array and all running statistics in another, in the layout of
/// graph/parameters.h, so that the optimiser, the average and checkpoints are single arrays. Not copyable: the tensors
/// that the layers use are views of them.
class Network {
 public:
  Network(const Graph& graph, const torch::Device& device);
  Network(const Network&) = delete;
  Network& operator=(const Network&) = delete;

  /// He-scaled weights (He et al. 2015), a function of (seed, network name) only.
  void initialise(uint64_t seed, const std::string& name);
  /// images: [n, c, h, w] in channels-last order. Returns logits [n, classes]. Training uses the batch's statistics and
  /// moves the running ones.
  torch::Tensor forward(const torch::Tensor& images, bool training);

  const Graph& graph() const { return graph_; }
  const std::vector<TensorPlace>& places() const { return places_; }  // in the order of parameter_sizes()
  torch::Tensor weights, gradient;                                    // [values], decayed ones first
  long decayed = 0;                // how many of them weight decay applies to: not biases, not batch norm
  torch::Tensor statistics;        // [values]
  double statistics_momentum = 1;  // of the next forward pass in training; see batch_norm_momentum()
  /// Writes and reads every tensor, host side.
  Parameters parameters() const;
  void set_parameters(const Parameters& parameters);

 private:
  struct Layer {
    torch::Tensor weight, bias, mean, variance;  // views
    bool fused_away = false;                     // an activation that the batch norm before it applies
    Activation activation = Activation::none;    // that a batch norm applies
  };
  torch::Tensor run_node(size_t index, const std::vector<torch::Tensor>& values, bool training);
  void place_tensors();
  void fuse_activations();
  void make_views();

  Graph graph_;
  torch::Device device_;
  std::vector<TensorPlace> places_;
  std::vector<Layer> layers_;  // by node
  std::vector<int> last_use_;  // by node: the node after which its value is let go
};

}  // namespace sonar
