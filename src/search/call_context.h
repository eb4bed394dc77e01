// What a network touches between two calls of one of its subgraphs: programs are timed as if it had just happened, so
// that code, weights and activations lie in the caches where they lie in the network, whatever the caches are.
#pragma once
#include <array>
#include <map>
#include <vector>

#include "graph/partition.h"
#include "program/program_space.h"

namespace sonar {

/// Bytes of other memory that were touched since a value's memory was touched last, for each eighth of the value:
/// values share an arena (search/memory_plan.h), so that a large one lies where several smaller ones have been.
using SinceTouched = std::array<long, 8>;

/// Bytes of memory that is not the subgraph's own.
struct CallContext {
  long bytes = 8L << 20;  // touched between two calls: other weights and activations; the default is a middling network
  double us = 1000;       // microseconds that pass meanwhile, about: others of the processor take its shared caches
  SinceTouched input{}, residual{}, output{};

  bool operator==(const CallContext&) const = default;
};

/// Of each subgraph of these networks: the median over its places, each number rounded to a power of the eighth root of
/// two, and no context larger than kMostContextBytes or longer than kMostContextUs. Weights count as the default
/// programs store them; the time is reckoned from the others' multiply-adds. A function of the networks and the target,
/// so that it is constant over a run.
std::map<SubgraphKey, CallContext> call_contexts(const std::vector<const std::vector<SubgraphUse>*>& networks,
                                                 const Target& target, int threads);

}  // namespace sonar
