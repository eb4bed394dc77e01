#pragma once
#include <map>
#include <vector>

#include "graph/graph.h"

namespace sonar {

/// One subgraph of a network in its place. Value indices are node indices of the folded graph.
struct SubgraphUse {
  Subgraph subgraph;
  int input = 0;                // node whose value goes in
  int residual = -1;            // node whose value is added, or -1
  int output = 0;               // node whose value comes out
  std::vector<int> parameters;  // nodes that own the weights: conv or dense; two for squeeze_excite, in order of use
};

/// Cuts a folded graph into fused subgraphs in execution order: conv + activation + residual add; dense + activation;
/// pool + dense + relu + dense + hard_sigmoid + scale as one squeeze_excite; global average pool alone. A node is fused
/// with the next only if nothing else reads its value; an add goes to its later operand.
/// Throws UserError naming the node when an operator fits no subgraph.
std::vector<SubgraphUse> partition(const Graph& folded, int batch);

/// Unique subgraphs with their number of occurrences.
std::map<SubgraphKey, int> count_subgraphs(const std::vector<SubgraphUse>& uses);

}  // namespace sonar
