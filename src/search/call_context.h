// What a network touches between two calls of one of its subgraphs: programs are timed as if it had just happened, so
// that code, weights and activations lie in the caches where they lie in the network, whatever the caches are.
#pragma once
#include <map>
#include <vector>

#include "graph/partition.h"

namespace sonar {

/// Bytes of memory that is not the subgraph's own. `input`, `residual` and `output`: touched since the network used
/// that buffer last (activations share memory: see search/value_buffers.h).
struct CallContext {
  long bytes = 8L << 20;  // touched between two calls: other weights and activations; the default is a middling network
  long input = 0, residual = 0, output = 0;

  bool operator==(const CallContext&) const = default;
};

/// Of each subgraph of these networks: the median over its places, each number rounded to a power of the square root of
/// two, and no context larger than kMostContextBytes. A function of the networks alone, so that it is constant over a
/// run.
std::map<SubgraphKey, CallContext> call_contexts(const std::vector<const std::vector<SubgraphUse>*>& networks);

}  // namespace sonar
