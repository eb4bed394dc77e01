#include "search/inheritance.h"

#include <map>

#include "policy/architecture_features.h"

namespace sonar {
namespace {

/// An architecture's name taken apart.
struct Parts {
  double resolution = 0;
  std::vector<double> depths;              // blocks of each stage
  std::map<std::string, double> the_rest;  // and the family, under its own name
};

Parts parts_of(const std::string& architecture) {
  Parts parts;
  parts.the_rest[architecture.substr(0, architecture.find('-'))] = 0;
  for (const auto& [name, value] : architecture_features(architecture)) {
    if (name == "r")
      parts.resolution = value;
    else if (name[0] == 'd')
      parts.depths.push_back(value);
    else
      parts.the_rest[name] = value;
  }
  return parts;
}

/// Blocks that `child` has beyond `parent`; nothing when a stage has fewer, or none has more.
std::optional<double> added_blocks(const Parts& parent, const Parts& child) {
  double added = 0;
  for (size_t stage = 0; stage < child.depths.size(); ++stage) {
    if (parent.depths[stage] > child.depths[stage]) return std::nullopt;
    added += child.depths[stage] - parent.depths[stage];
  }
  return added > 0 ? std::optional(added) : std::nullopt;
}

}  // namespace

std::vector<std::optional<size_t>> weight_parents(const std::vector<std::string>& architectures) {
  std::vector<Parts> all;
  for (const std::string& architecture : architectures) all.push_back(parts_of(architecture));
  std::vector<std::optional<size_t>> parents(all.size());
  for (size_t i = 0; i < all.size(); ++i) {
    std::optional<size_t> smaller, shallower;
    double fewest = 0;
    for (size_t j = 0; j < all.size(); ++j) {
      if (all[j].the_rest != all[i].the_rest || all[j].depths.size() != all[i].depths.size()) continue;
      if (all[j].depths == all[i].depths && all[j].resolution < all[i].resolution &&
          (!smaller || all[j].resolution > all[*smaller].resolution))
        smaller = j;
      if (all[j].resolution != all[i].resolution) continue;
      const std::optional<double> added = added_blocks(all[j], all[i]);
      if (added && (!shallower || *added < fewest)) {
        shallower = j;
        fewest = *added;
      }
    }
    parents[i] = smaller ? smaller : shallower;
  }
  return parents;
}

}  // namespace sonar
