// Slow, obviously right execution: what every program and every network is compared with.
#pragma once
#include <cstdint>
#include <vector>

#include "graph/graph.h"
#include "graph/parameters.h"

namespace sonar {

/// Runs a graph (folded or not; batch norm in inference mode) on `batch` NHWC images. Returns the output
/// [batch][h][w][c].
std::vector<float> run_reference(const Graph& graph, const Parameters& parameters, const std::vector<float>& input,
                                 int batch);

/// The tensors of one subgraph, in the order in which its program takes them (see Subgraph):
/// input, then weight, bias (of each stage for squeeze_excite and fused_depthwise, none for pool), then residual if
/// any.
std::vector<long> subgraph_input_sizes(const Subgraph& subgraph);
std::vector<float> run_subgraph_reference(const Subgraph& subgraph, const std::vector<std::vector<float>>& inputs);

}  // namespace sonar
