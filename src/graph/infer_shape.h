// What each operator asks of its inputs: shared by the builders of graph.cpp and the reader of graph_json.cpp.
#pragma once
#include <string>
#include <vector>

#include "graph/graph.h"

namespace sonar {

/// Largest height, width, channel count, kernel, stride or padding: products of three stay within 64 bits.
inline constexpr int kMaxExtent = 1 << 20;

struct InferredShape {
  Shape shape;
  std::string error;  // what is wrong with the node; empty when it fits
};

/// The output shape of `node`, to be appended to `nodes`. Reads its attributes and, of its own shape, the whole for an
/// input and the channels for conv and dense.
InferredShape infer_shape(const std::vector<Node>& nodes, const Node& node);

const char* to_text(Op op);

}  // namespace sonar
