#include "graph/partition.h"

#include <algorithm>
#include <string>

#include "graph/infer_shape.h"
#include "model/error.h"

namespace sonar {
namespace {

class Partitioner {
 public:
  Partitioner(const Graph& graph, int batch)
      : graph_(graph),
        batch_(batch),
        consumers_(graph.nodes.size()),
        covered_(graph.nodes.size()),
        available_(graph.nodes.size()) {
    for (int i = 0; i < size(); ++i)
      for (int input : graph.nodes[i].inputs) consumers_[input].push_back(i);
  }

  std::vector<SubgraphUse> run() {
    for (int i = 0; i < size(); ++i) {
      if (covered_[i]) continue;
      switch (graph_.nodes[i].op) {
        case Op::input:
          available_[i] = true;
          break;
        case Op::conv:
          take_conv(i);
          break;
        case Op::dense:
          take_dense(i);
          break;
        case Op::global_average_pool:
          if (!take_squeeze_excite(i)) take_pool(i);
          break;
        case Op::batch_norm:
        case Op::activation:
        case Op::add:
        case Op::scale:
          refuse(i);
      }
    }
    return std::move(uses_);
  }

 private:
  int size() const { return static_cast<int>(graph_.nodes.size()); }
  int input_of(int node) const { return graph_.nodes[node].inputs[0]; }
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
    std::string message = "node '" + bad.name + "' (" + to_text(bad.op) + ") fits no subgraph: ";
    switch (bad.op) {
      case Op::batch_norm:
        message += "fold batch norms first";
        break;
      case Op::activation:
        message += "an activation must follow a conv or dense node whose output nothing else reads";
        break;
      case Op::add:
        message +=
            "one operand must be a conv node, with or without an activation, that nothing else reads, the other "
            "one must be computed before it";
        break;
      default:
        message += "only squeeze-excite scales: pool, dense, relu, dense, hard_sigmoid, scale of the pool's input";
    }
    throw UserError(message);
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
    use.residual = other;
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
    SubgraphUse use{.subgraph = subgraph, .input = input_of(conv), .output = conv, .parameters = {conv}};
    std::vector<int> nodes{conv};
    fuse_activation(use, nodes);
    fuse_residual(use, nodes);
    emit(std::move(use), nodes);
  }

  void take_dense(int dense) {
    const Subgraph subgraph{.kind = SubgraphKind::dense,
                            .batch = batch_,
                            .in_channels = input_shape(dense).channels,
                            .out_channels = graph_.nodes[dense].shape.channels};
    SubgraphUse use{.subgraph = subgraph, .input = input_of(dense), .output = dense, .parameters = {dense}};
    std::vector<int> nodes{dense};
    fuse_activation(use, nodes);
    emit(std::move(use), nodes);
  }

  Subgraph make_pool(int pool) const {
    const Shape& in = input_shape(pool);
    return {.kind = SubgraphKind::pool,
            .batch = batch_,
            .height = in.height,
            .width = in.width,
            .in_channels = in.channels,
            .out_channels = in.channels};
  }

  void take_pool(int pool) {
    emit({.subgraph = make_pool(pool), .input = input_of(pool), .output = pool, .parameters = {}}, {pool});
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

    SubgraphUse use{
        .subgraph = make_pool(pool), .input = input_of(pool), .output = scale, .parameters = {reduce, expand}};
    use.subgraph.kind = SubgraphKind::squeeze_excite;
    use.subgraph.squeeze = graph_.nodes[reduce].shape.channels;
    emit(std::move(use), {pool, reduce, relu, expand, gate, scale});
    return true;
  }

  const Graph& graph_;
  const int batch_;
  std::vector<std::vector<int>> consumers_;  // of each node's value; a node that reads it twice is there twice
  std::vector<bool> covered_;                // nodes in a subgraph already
  std::vector<bool> available_;              // values that exist in memory at this point of the execution
  std::vector<SubgraphUse> uses_;
};

}  // namespace

std::vector<SubgraphUse> partition(const Graph& folded, int batch) {
  if (batch < 1) throw UserError("a batch of " + std::to_string(batch) + " images cannot be run; it must be 1 or more");
  return Partitioner(folded, batch).run();
}

std::map<SubgraphKey, int> count_subgraphs(const std::vector<SubgraphUse>& uses) {
  std::map<SubgraphKey, int> counts;
  for (const SubgraphUse& use : uses) ++counts[use.subgraph.key()];
  return counts;
}

}  // namespace sonar
