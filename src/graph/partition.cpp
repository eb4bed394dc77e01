#include "graph/partition.h"

#include <algorithm>
#include <string>

#include "graph/infer_shape.h"
#include "model/error.h"

namespace sonar {
namespace {

class Partitioner {
 public:
  Partitioner(const Graph& graph, int batch, DepthwiseFusion fusion)
      : graph_(graph),
        batch_(batch),
        fusion_(fusion),
        consumers_(graph.nodes.size()),
        covered_(graph.nodes.size()),
        available_(graph.nodes.size()),
        stored_(graph.nodes.size()) {
    for (int i = 0; i < size(); ++i) {
      const Node& node = graph.nodes[i];
      for (int input : node.inputs) consumers_[input].push_back(i);
      stored_[i] = node.op == Op::flatten ? stored_[node.inputs[0]] : i;
    }
  }

  std::vector<SubgraphUse> run() {
    for (int i = 0; i < size(); ++i) {
      if (covered_[i]) continue;
      switch (graph_.nodes[i].op) {
        case Op::input:
          available_[i] = true;
          break;
        case Op::conv:
          if (!take_fused_depthwise(i)) take_conv(i);
          break;
        case Op::dense:
          take_dense(i);
          break;
        case Op::global_average_pool:
          if (!take_squeeze_excite(i)) take_pool(i);
          break;
        case Op::max_pool:
          take_window_pool(i, SubgraphKind::max_pool);
          break;
        case Op::average_pool:
          take_window_pool(i, SubgraphKind::average_pool);
          break;
        case Op::activation:
          take_activation(i);
          break;
        case Op::add:
          take_two(i, SubgraphKind::add);
          break;
        case Op::multiply:
          take_two(i, SubgraphKind::multiply);
          break;
        case Op::scale:
          take_two(i, SubgraphKind::scale);
          break;
        case Op::concat:
          take_two(i, SubgraphKind::concat);
          break;
        case Op::resize:
          take_resize(i);
          break;
        case Op::flatten:
          available_[i] = true;
          break;
        case Op::batch_norm:
          refuse(i);
      }
    }
    return std::move(uses_);
  }

 private:
  int size() const { return static_cast<int>(graph_.nodes.size()); }
  int input_of(int node) const { return graph_.nodes[node].inputs[0]; }
  int stored_input(int node) const { return stored_[input_of(node)]; }
  const Shape& input_shape(int node) const { return graph_.nodes[input_of(node)].shape; }

  /// The only reader of a node's value when it is one of that operator, or -1.
  int sole_consumer(int node, Op op) const {
    const std::vector<int>& readers = consumers_[node];
    return readers.size() == 1 && graph_.nodes[readers[0]].op == op ? readers[0] : -1;
  }

  void emit(SubgraphUse use, const std::vector<int>& nodes) {
    for (int node : nodes) covered_[node] = true;
    available_[use.output] = true;
    uses_.push_back(std::move(use));
  }

  [[noreturn]] void refuse(int node) const {
    const Node& bad = graph_.nodes[node];
    throw UserError("node '" + bad.name + "' (" + to_text(bad.op) + ") fits no subgraph: fold batch norms first");
  }

  /// Takes in an activation that is the sole reader of use.output.
  void fuse_activation(SubgraphUse& use, std::vector<int>& nodes) const {
    const int activation = sole_consumer(use.output, Op::activation);
    if (activation < 0) return;
    use.subgraph.activation = graph_.nodes[activation].activation;
    use.output = activation;
    nodes.push_back(activation);
  }

  /// Takes in an addition that is the sole reader of use.output, if its other operand is there by then.
  void fuse_residual(SubgraphUse& use, std::vector<int>& nodes) const {
    const int add = sole_consumer(use.output, Op::add);
    if (add < 0) return;
    const std::vector<int>& operands = graph_.nodes[add].inputs;
    const int other = operands[0] == use.output ? operands[1] : operands[0];
    if (!available_[other]) return;
    use.subgraph.residual = true;
    use.residual = stored_[other];
    use.output = add;
    nodes.push_back(add);
  }

  void take_conv(int conv) {
    const Node& node = graph_.nodes[conv];
    const Shape& in = input_shape(conv);
    const Subgraph subgraph{.kind = node.groups > 1 ? SubgraphKind::depthwise : SubgraphKind::conv,
                            .batch = batch_,
                            .height = in.height,
                            .width = in.width,
                            .in_channels = in.channels,
                            .out_channels = node.shape.channels,
                            .kernel = node.kernel,
                            .stride = node.stride,
                            .padding = node.padding};
    SubgraphUse use{.subgraph = subgraph, .input = stored_input(conv), .output = conv, .parameters = {conv}};
    std::vector<int> nodes{conv};
    fuse_activation(use, nodes);
    fuse_last(use, nodes);
    emit(std::move(use), nodes);
  }

  /// After a convolution and its activation, if any: the residual, and the activation that comes after that.
  void fuse_last(SubgraphUse& use, std::vector<int>& nodes) const {
    fuse_residual(use, nodes);
    if (!use.subgraph.residual || use.subgraph.activation != Activation::none) return;
    fuse_activation(use, nodes);
    use.subgraph.activation_last = use.subgraph.activation != Activation::none;
  }

  bool is_depthwise(int node) const { return graph_.nodes[node].groups > 1; }
  bool is_pointwise(int conv) const {
    const Node& node = graph_.nodes[conv];
    return node.groups == 1 && node.kernel == 1 && node.stride == 1 && node.padding == 0;
  }
  /// The convolution that alone reads a conv's value, or its activation's, or -1.
  int conv_after(int conv) const {
    const int activation = sole_consumer(conv, Op::activation);
    return sole_consumer(activation < 0 ? conv : activation, Op::conv);
  }

  /// A depthwise convolution with its pointwise neighbours, beginning with `first`.
  bool take_fused_depthwise(int first) {
    if (fusion_ == DepthwiseFusion::apart) return false;
    const bool expands = is_pointwise(first);
    const int depthwise = expands ? conv_after(first) : first;
    if (depthwise < 0 || !is_depthwise(depthwise)) return false;
    const int after = conv_after(depthwise);
    const bool projects = after >= 0 && is_pointwise(after);
    if (!expands && !projects) return false;
    const Node& middle = graph_.nodes[depthwise];
    const Shape& in = input_shape(first);
    SubgraphUse use{.subgraph = {.kind = SubgraphKind::fused_depthwise,
                                 .batch = batch_,
                                 .height = in.height,
                                 .width = in.width,
                                 .in_channels = in.channels,
                                 .kernel = middle.kernel,
                                 .stride = middle.stride,
                                 .padding = middle.padding,
                                 .middle_channels = middle.shape.channels,
                                 .expands = expands,
                                 .projects = projects},
                    .input = stored_input(first)};
    std::vector<int> nodes;
    const auto take_stage = [&](int conv) {
      nodes.push_back(conv);
      use.parameters.push_back(conv);
      use.output = conv;
      use.subgraph.activation = Activation::none;
      fuse_activation(use, nodes);
      return use.subgraph.activation;
    };
    if (expands) use.subgraph.expand_activation = take_stage(first);
    const Activation activation = take_stage(depthwise);
    if (projects) {
      use.subgraph.middle_activation = activation;
      take_stage(after);
    }
    use.subgraph.out_channels = graph_.nodes[use.parameters.back()].shape.channels;
    fuse_last(use, nodes);
    emit(std::move(use), nodes);
    return true;
  }

  void take_dense(int dense) {
    const Subgraph subgraph{.kind = SubgraphKind::dense,
                            .batch = batch_,
                            .in_channels = input_shape(dense).channels,
                            .out_channels = graph_.nodes[dense].shape.channels};
    SubgraphUse use{.subgraph = subgraph, .input = stored_input(dense), .output = dense, .parameters = {dense}};
    std::vector<int> nodes{dense};
    fuse_activation(use, nodes);
    emit(std::move(use), nodes);
  }

  /// A subgraph without weights from the input of `node` to its value.
  SubgraphUse plain_use(int node, SubgraphKind kind) const {
    const Shape& in = input_shape(node);
    const Subgraph subgraph{.kind = kind,
                            .batch = batch_,
                            .height = in.height,
                            .width = in.width,
                            .in_channels = in.channels,
                            .out_channels = graph_.nodes[node].shape.channels};
    return {.subgraph = subgraph, .input = stored_input(node), .output = node, .parameters = {}};
  }

  void take_pool(int pool) { emit(plain_use(pool, SubgraphKind::pool), {pool}); }

  void take_window_pool(int pool, SubgraphKind kind) {
    const Node& node = graph_.nodes[pool];
    SubgraphUse use = plain_use(pool, kind);
    use.subgraph.kernel = node.kernel;
    use.subgraph.stride = node.stride;
    use.subgraph.padding = node.padding;
    emit(std::move(use), {pool});
  }

  void take_resize(int resize) {
    SubgraphUse use = plain_use(resize, SubgraphKind::resize);
    use.subgraph.stride = graph_.nodes[resize].stride;
    emit(std::move(use), {resize});
  }

  void take_activation(int activation) {
    SubgraphUse use = plain_use(activation, SubgraphKind::activate);
    use.subgraph.activation = graph_.nodes[activation].activation;
    emit(std::move(use), {activation});
  }

  void take_two(int node, SubgraphKind kind) {
    SubgraphUse use = plain_use(node, kind);
    use.residual = stored_[graph_.nodes[node].inputs[1]];
    std::vector<int> nodes{node};
    if (kind != SubgraphKind::concat) fuse_activation(use, nodes);
    emit(std::move(use), nodes);
  }

  bool take_squeeze_excite(int pool) {
    auto is = [&](int node, Activation activation) { return node >= 0 && graph_.nodes[node].activation == activation; };
    const int reduce = sole_consumer(pool, Op::dense);
    if (reduce < 0) return false;
    const int relu = sole_consumer(reduce, Op::activation);
    if (!is(relu, Activation::relu)) return false;
    const int expand = sole_consumer(relu, Op::dense);
    if (expand < 0) return false;
    const int gate = sole_consumer(expand, Op::activation);
    if (!is(gate, Activation::hard_sigmoid)) return false;
    const int scale = sole_consumer(gate, Op::scale);
    if (scale < 0 || graph_.nodes[scale].inputs != std::vector<int>{input_of(pool), gate}) return false;

    SubgraphUse use = plain_use(pool, SubgraphKind::squeeze_excite);
    use.output = scale;
    use.parameters = {reduce, expand};
    use.subgraph.squeeze = graph_.nodes[reduce].shape.channels;
    emit(std::move(use), {pool, reduce, relu, expand, gate, scale});
    return true;
  }

  const Graph& graph_;
  const int batch_;
  const DepthwiseFusion fusion_;
  std::vector<std::vector<int>> consumers_;  // of each node's value; a node that reads it twice is there twice
  std::vector<bool> covered_;                // nodes in a subgraph already
  std::vector<bool> available_;              // values that exist in memory at this point of the execution
  std::vector<int> stored_;                  // the node whose value lies in memory for each node: flatten's input
  std::vector<SubgraphUse> uses_;
};

}  // namespace

std::vector<SubgraphUse> partition(const Graph& folded, int batch, DepthwiseFusion fusion) {
  if (batch < 1) throw UserError("a batch of " + std::to_string(batch) + " images cannot be run; it must be 1 or more");
  return Partitioner(folded, batch, fusion).run();
}

std::map<SubgraphKey, int> count_subgraphs(const std::vector<SubgraphUse>& uses) {
  std::map<SubgraphKey, int> counts;
  for (const SubgraphUse& use : uses) ++counts[use.subgraph.key()];
  return counts;
}

}  // namespace sonar
