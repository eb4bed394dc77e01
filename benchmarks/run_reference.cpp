// Runs an imported network by the slow reference, to compare it with other runtimes (benchmarks/peers/compare_onnx.py).
//   run_reference FILE.onnx INPUT OUTPUT
// INPUT and OUTPUT: raw float32, [batch][channels][height][width], as the file's own input and output are.
#include <cstdio>
#include <fstream>
#include <iterator>
#include <vector>

#include "graph/reference.h"
#include "onnx/import_onnx.h"
#include "sonar/error.h"

namespace {

/// [batch][outer][inner] to [batch][inner][outer].
std::vector<float> transposed(const std::vector<float>& values, size_t outer, size_t inner) {
  std::vector<float> result(values.size());
  for (size_t start = 0; start < values.size(); start += outer * inner)
    for (size_t o = 0; o < outer; ++o)
      for (size_t i = 0; i < inner; ++i) result[start + i * outer + o] = values[start + o * inner + i];
  return result;
}

int run(const char* model, const char* from, const char* to) {
  const sonar::ImportedNetwork network = sonar::import_onnx(model);
  std::ifstream file(from, std::ios::binary);
  const std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
  const auto* floats = reinterpret_cast<const float*>(bytes.data());
  const std::vector<float> input(floats, floats + bytes.size() / sizeof(float));
  const sonar::Shape in = network.graph.input_shape(), out = network.graph.output_shape();
  const long batch = long(input.size()) / in.elements();
  if (batch < 1 || batch * in.elements() != long(input.size()))
    throw sonar::UserError(std::string(from) + ": holds no whole number of images of the network's input");
  const std::vector<float> output =
      run_reference(network.graph, network.parameters, transposed(input, in.channels, size_t(in.height) * in.width),
                    static_cast<int>(batch));
  const std::vector<float> nchw = transposed(output, size_t(out.height) * out.width, out.channels);
  std::ofstream(to, std::ios::binary)
      .write(reinterpret_cast<const char*>(nchw.data()), std::streamsize(nchw.size() * sizeof(float)));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: run_reference FILE.onnx INPUT OUTPUT\n");
    return 2;
  }
  try {
    return run(argv[1], argv[2], argv[3]);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "run_reference: error: %s\n", error.what());
    return 2;
  }
}
