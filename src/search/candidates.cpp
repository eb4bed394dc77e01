#include "search/candidates.h"

#include <algorithm>
#include <set>

#include "graph/parameters.h"
#include "model/error.h"

namespace sonar {

std::unique_ptr<Space> make_space(const Config& config) {
  const Config::Space& s = config.space;
  MobileNetV3Options options;
  options.resolutions.assign(s.resolutions.begin(), s.resolutions.end());
  options.widths = s.widths;
  options.expansions.assign(s.expansions.begin(), s.expansions.end());
  options.depths.assign(s.depths.begin(), s.depths.end());
  options.kernels.clear();
  for (const std::string& text : s.kernels) {
    std::array<int, 5>& sizes = options.kernels.emplace_back();
    std::transform(text.begin(), text.end(), sizes.begin(), [](char digit) { return digit - '0'; });
  }
  options.stem_stride = static_cast<int>(s.stem_stride);
  std::copy(s.strides.begin(), s.strides.end(), options.strides.begin());
  options.stem_width = static_cast<int>(s.stem_width);
  std::copy(s.stage_widths.begin(), s.stage_widths.end(), options.stage_widths.begin());
  options.head_width = static_cast<int>(s.head_width);
  options.classifier_width = static_cast<int>(s.classifier_width);
  return make_mobilenetv3(options);
}

std::vector<Architecture> choose_architectures(const Config& config, const Space& space) {
  if (config.space.architectures.empty())
    return sample_architectures(space, static_cast<uint64_t>(config.search.candidates),
                                static_cast<uint64_t>(config.search.seed));
  std::vector<Architecture> result;
  std::set<std::string> seen;
  for (const std::string& name : config.space.architectures) {
    space.check({name});
    if (!seen.insert(name).second) throw UserError("space.architectures names " + name + " twice; remove one");
    result.push_back({name});
  }
  return result;
}

Candidate make_candidate(const std::string& name, const Graph& graph, int batch, DepthwiseFusion fusion) {
  Candidate candidate;
  candidate.architecture = {name};
  candidate.graph = graph;
  candidate.uses = partition(fold_batch_norm(candidate.graph, {}).graph, batch, fusion);
  candidate.counts = count_subgraphs(candidate.uses);
  return candidate;
}

Candidate lower(const Space& space, const Architecture& architecture, int classes, int batch, DepthwiseFusion fusion) {
  return make_candidate(architecture.name, space.lower(architecture, classes), batch, fusion);
}

DepthwiseFusion depthwise_fusion(const Config& config) {
  return config.search.fusion ? DepthwiseFusion::with_neighbours : DepthwiseFusion::apart;
}

NetworkRow network_row(const Candidate& candidate) {
  NetworkRow row;
  row.name = candidate.architecture.name;
  row.macs = count_macs(candidate.graph);
  row.parameters = count_parameters(candidate.graph);
  row.peak_activation_bytes = peak_activation_bytes(candidate.graph);
  row.subgraphs.assign(candidate.counts.begin(), candidate.counts.end());
  return row;
}

}  // namespace sonar
