// What an ONNX file says, as plain values: only onnx_model.cpp (reading) and onnx_builder.cpp
// (writing) include protobuf.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace sonar {

struct OnnxTensor {
  std::vector<int64_t> dims;
  std::string problem;            // why the values were not read: another type, kept in another file; empty: they were
  std::vector<float> floats;      // of a float32 tensor
  std::vector<int64_t> integers;  // of an int64 or int32 tensor
  int64_t elements() const;
};

struct OnnxAttribute {
  float number = 0;
  int64_t integer = 0;
  std::string text;
  std::vector<float> numbers;
  std::vector<int64_t> integers;
};

struct OnnxNode {
  std::string name;  // its own, or that of its first output where it has none
  std::string op;
  std::string domain;                        // empty: ONNX's own
  std::vector<std::string> inputs, outputs;  // an input that is left out is empty
  std::map<std::string, OnnxAttribute> attributes;
};

struct OnnxModel {
  int64_t opset = 0;
  std::vector<OnnxNode> nodes;                  // Constant nodes are constants, too
  std::map<std::string, OnnxTensor> constants;  // by name
  std::string input, output;
  std::vector<int64_t> input_dims;  // -1: not fixed
  uint64_t hash = 0;                // of the file's bytes
};

/// Reads a file with one input of float32 and one output. Throws UserError naming the file for one that cannot be
/// read, is no ONNX model, is cut short, or holds tensors whose size and values disagree.
OnnxModel read_onnx(const std::string& path);

}  // namespace sonar
