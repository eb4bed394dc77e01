// From which network's weights another may start (weight inheritance, train.inherit).
#pragma once
#include <optional>
#include <string>
#include <vector>

namespace sonar {

/// Of each architecture the one, among the same ones, that it may start from: the same but for the resolution, of the
/// next lower one; or else the same but for the depths, no stage deeper, with the fewest blocks to add. Nothing for an
/// architecture that has neither. Whoever follows the parents never meets an architecture twice.
std::vector<std::optional<size_t>> weight_parents(const std::vector<std::string>& architectures);

}  // namespace sonar
