// `onnx`: one network of the space as a file.
#include <fmt/format.h>

#include "onnx/write_onnx.h"
#include "search/candidates.h"
#include "search/start_device.h"
#include "sonar/sonar.h"

namespace sonar {

std::string export_onnx(const Config& config, const std::string& architecture, const std::string& file) {
  const std::unique_ptr<Space> space = make_space(config);
  space->check({architecture});
  const Graph graph = space->lower({architecture}, classes_of(config));
  const std::string bytes = untrained_onnx(graph, static_cast<int>(config.device.batch), config.search.seed);
  write_onnx(file, bytes);
  const Shape& image = graph.input_shape();
  return fmt::format("{}: {}, {} x {} x {} x {} to {} classes, {:.1f} MB, random weights", file, architecture,
                     config.device.batch, image.channels, image.height, image.width, graph.output_shape().channels,
                     static_cast<double>(bytes.size()) / 1e6);
}

}  // namespace sonar
