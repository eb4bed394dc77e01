// `space`: what a configuration's search space holds.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "search/candidates.h"
#include "search/start_device.h"
#include "sonar/sonar.h"

namespace sonar {
namespace {

/// Spaces up to this size are lowered whole; of larger ones a seeded sample of it is, and the answer says so.
constexpr uint64_t kLoweredWhole = 4096;

struct Range {
  double least = 0, most = 0;
};

Range range_of(const std::vector<NetworkRow>& rows, double NetworkRow::*field) {
  const auto [least, most] = std::minmax_element(
      rows.begin(), rows.end(), [&](const NetworkRow& a, const NetworkRow& b) { return a.*field < b.*field; });
  return {(*least).*field, (*most).*field};
}

}  // namespace

std::string describe_space(const Config& config, bool as_json) {
  const std::unique_ptr<Space> space = make_space(config);
  const int classes = classes_of(config);
  std::vector<Architecture> architectures = config.space.architectures.empty()
                                                ? sample_architectures(*space, std::min(space->size(), kLoweredWhole),
                                                                       static_cast<uint64_t>(config.search.seed))
                                                : choose_architectures(config, *space);
  const uint64_t size = config.space.architectures.empty() ? space->size() : architectures.size();
  std::vector<NetworkRow> rows;
  std::map<SubgraphKey, long> subgraphs;
  long occurrences = 0;
  for (const Architecture& architecture : architectures) {
    const Candidate candidate =
        lower(*space, architecture, classes, static_cast<int>(config.device.batch), depthwise_fusion(config));
    rows.push_back(network_row(candidate));
    for (const auto& [key, count] : candidate.counts) subgraphs[key] += count, occurrences += count;
  }
  std::map<std::string, long> by_kind;
  for (const auto& [key, count] : subgraphs) ++by_kind[key.substr(0, key.find('-'))];
  const Range macs = range_of(rows, &NetworkRow::macs), parameters = range_of(rows, &NetworkRow::parameters),
              memory = range_of(rows, &NetworkRow::peak_activation_bytes);
  if (as_json) {
    using nlohmann::json;
    auto pair = [](const Range& range) { return json{{"min", range.least}, {"max", range.most}}; };
    json out{{"architectures", size},
             {"unique_subgraphs", subgraphs.size()},
             {"subgraph_occurrences", occurrences},
             {"unique_subgraphs_by_kind", by_kind},
             {"macs", pair(macs)},
             {"parameters", pair(parameters)},
             {"peak_activation_bytes", pair(memory)},
             {"lowered", rows.size()},
             {"candidates", config.search.candidates > 0 ? std::min<uint64_t>(config.search.candidates, size) : size},
             {"smallest", std::min_element(rows.begin(), rows.end(),
                                           [](const NetworkRow& a, const NetworkRow& b) { return a.macs < b.macs; })
                              ->name},
             {"largest", std::max_element(rows.begin(), rows.end(), [](const NetworkRow& a, const NetworkRow& b) {
                           return a.macs < b.macs;
                         })->name}};
    return out.dump(2);
  }
  std::string kinds;
  for (const auto& [kind, count] : by_kind) kinds += fmt::format("{}{} {}", kinds.empty() ? "" : ", ", count, kind);
  std::string text = fmt::format("architectures         {}\n", size);
  if (rows.size() < size)
    text += fmt::format("                      (the figures below: a seeded sample of {})\n", rows.size());
  text += fmt::format("unique subgraphs      {} ({}), {} occurrences\n", subgraphs.size(), kinds, occurrences);
  text += fmt::format("multiply-accumulates  {:.4g} M to {:.4g} M an image\n", macs.least / 1e6, macs.most / 1e6);
  text += fmt::format("parameters            {:.4g} M to {:.4g} M\n", parameters.least / 1e6, parameters.most / 1e6);
  text += fmt::format("peak activations      {:.4g} MB to {:.4g} MB an image", memory.least / 1e6, memory.most / 1e6);
  return text;
}

}  // namespace sonar
