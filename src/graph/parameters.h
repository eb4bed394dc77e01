#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "graph/graph.h"

namespace sonar {

/// Named float32 tensors of a network:
///   conv        "<node>.weight" [out][k][k][in/groups], "<node>.bias" [out] where the node has a bias
///   dense       "<node>.weight" [out][in], "<node>.bias" [out]
///   batch_norm  "<node>.weight", "<node>.bias", "<node>.running_mean", "<node>.running_var", each [c]
using Parameters = std::map<std::string, std::vector<float>>;

/// Name and number of values of every tensor of the graph, in node order and per node in the order above.
std::vector<std::pair<std::string, long>> parameter_sizes(const Graph& graph);

/// Throws UserError naming the tensor when one is missing or of another size. Others may be there.
void check_parameters(const Graph& graph, const Parameters& parameters);

/// He-scaled seeded random parameters (batch norm with random, positive variances), for tests and timings.
Parameters random_parameters(const Graph& graph, uint64_t seed);

struct FoldedNetwork {
  Graph graph;  // no batch_norm nodes; every conv has a bias
  Parameters parameters;
};

/// Folds every batch norm (epsilon 1e-3, as trained) into the convolution before it; the other nodes keep their names.
/// Pass empty parameters to fold the graph only. Throws UserError naming the node for a batch norm that does not follow
/// a convolution whose output nothing else reads, and as check_parameters does.
FoldedNetwork fold_batch_norm(const Graph& graph, const Parameters& parameters);
inline constexpr float kBatchNormEpsilon = 1e-3f;

}  // namespace sonar
