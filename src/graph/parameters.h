#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "graph/graph.h"

namespace sonar {

/// Named float32 tensors of a network:
///   conv        "<node>.weight" [out][k][k][in/groups], "<node>.bias" [out] where the node has a bias
///   dense       "<node>.weight" [out][in], "<node>.bias" [out]
///   batch_norm  "<node>.weight", "<node>.bias", "<node>.running_mean", "<node>.running_var", each [c]
using Parameters = std::map<std::string, std::vector<float>>;

/// He-scaled seeded random parameters (batch norm with random, positive variances), for tests and timings.
Parameters random_parameters(const Graph& graph, uint64_t seed);

struct FoldedNetwork {
  Graph graph;  // no batch_norm nodes; every conv has a bias
  Parameters parameters;
};

/// Folds every batch norm (epsilon 1e-3, as trained) into the convolution before it.
/// Pass empty parameters to fold the graph only.
FoldedNetwork fold_batch_norm(const Graph& graph, const Parameters& parameters);
inline constexpr float kBatchNormEpsilon = 1e-3f;

}  // namespace sonar
