// Networks from ONNX files (docs/onnx.md): what SONAR tunes beside those of its own search space.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "graph/graph.h"
#include "graph/parameters.h"

namespace sonar {

struct ImportedNetwork {
  Graph graph;  // inference: batch norms folded, activations NHWC
  Parameters parameters;
  std::vector<std::string> notes;  // what was left out, for people
  uint64_t file_hash = 0;          // of the file's bytes: its identity
};

/// Reads a float32 CNN of one image input and one output. Throws UserError naming the file for one that cannot be read,
/// and "node 'X' (Op): what is not supported; what to do" for what is not imported.
ImportedNetwork import_onnx(const std::string& path);

}  // namespace sonar
