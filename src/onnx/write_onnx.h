// Networks as ONNX files: what other systems time, convert or run (docs/onnx.md).
#pragma once
#include <cstdint>
#include <string>

#include "graph/graph.h"
#include "graph/parameters.h"

namespace sonar {

/// The bytes of a model of opset 17, float32: input "image" [batch][c][h][w], output [batch][c], or [batch][c][h][w]
/// where no dense layer or flatten comes last. Batch norms that the graph has are kept. Throws UserError as
/// check_parameters does, and naming the node for a flattened map that anything but activations and dense layers reads.
std::string to_onnx(const Graph& graph, const Parameters& parameters, int batch);

/// The network as it is deployed: batch norms folded, with seeded random weights of its shapes.
std::string untrained_onnx(const Graph& graph, int batch, uint64_t seed);

/// Throws EnvironmentError naming the file when it cannot be written to its end.
void write_onnx(const std::string& path, const std::string& bytes);

}  // namespace sonar
