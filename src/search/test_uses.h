// Of tests: a piece of a network.
#pragma once
#include "graph/partition.h"

namespace sonar {

/// A 1x1 convolution of 16x16 pixels: `in` to `out` channels.
inline SubgraphUse pointwise_use(int in, int out, int input, int output) {
  SubgraphUse result;
  result.subgraph.kind = SubgraphKind::conv;
  result.subgraph.height = result.subgraph.width = 16;
  result.subgraph.in_channels = in;
  result.subgraph.out_channels = out;
  result.input = input;
  result.output = output;
  return result;
}

}  // namespace sonar
