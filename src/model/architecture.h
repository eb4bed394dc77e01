#pragma once
#include <compare>
#include <string>

namespace sonar {

/// A point of a search space. `name` is its canonical text, usable as a file name: the family, then its parameters
/// ("mobilenetv3-r32-w0.50-e3-k35335-d22222"). Equal names are equal architectures; space/ parses them.
struct Architecture {
  std::string name;
  std::string family() const { return name.substr(0, name.find('-')); }
  auto operator<=>(const Architecture&) const = default;
};

}  // namespace sonar
