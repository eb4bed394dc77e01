#pragma once
#include <map>
#include <vector>

#include "graph/graph.h"

namespace sonar {

/// One subgraph of a network in its place. Value indices are node indices of the folded graph.
struct SubgraphUse {
  Subgraph subgraph;
  int input = 0;                // node whose value goes in
  int residual = -1;            // node whose value is the second input (see Subgraph), or -1
  int output = 0;               // node whose value comes out
  std::vector<int> parameters;  // nodes that own the weights: conv or dense; several in order of use
};

/// Whether a depthwise convolution is one subgraph with the pointwise ones around it (fused_depthwise).
enum class DepthwiseFusion { apart, with_neighbours };

/// Cuts a folded graph into fused subgraphs in execution order: conv + activation + residual add, or conv + residual
/// add + activation; dense + activation; pool + dense + relu + dense + hard_sigmoid + scale as one squeeze_excite; add,
/// multiply and scale with their activation; the others alone; flatten as the value that it is made of. A node is
/// fused with the next only if nothing else reads its value; an add goes to its later operand, if that is a conv.
/// On request, a depthwise conv together with the pointwise conv (kernel 1, stride 1, no padding) before it, after it,
/// or both; what stands between them but one activation each, as a squeeze-excite does, keeps them apart.
/// Throws UserError naming the node for a batch norm.
std::vector<SubgraphUse> partition(const Graph& folded, int batch, DepthwiseFusion fusion = DepthwiseFusion::apart);

/// Unique subgraphs with their number of occurrences.
std::map<SubgraphKey, int> count_subgraphs(const std::vector<SubgraphUse>& uses);

}  // namespace sonar
