// What an architecture's name says of it, as numbers, for estimators.
#pragma once
#include <string>
#include <utility>
#include <vector>

namespace sonar {

/// "mobilenetv3-r32-w0.50-e3-k35335-d22222" -> {r, 32}, {w, 0.5}, {e, 3}, {k1, 3}, {k2, 5}, ..., {d5, 2}: each part
/// behind the family is letters and a number; kernels (k) and depths (d) have one digit for each stage. Parts of
/// another form are passed over.
std::vector<std::pair<std::string, double>> architecture_features(const std::string& name);

/// The features of several architectures side by side.
struct FeatureTable {
  std::vector<std::string> names;         // in order of appearance
  std::vector<std::vector<double>> rows;  // [architecture][name]; NaN: it has no such feature
};
FeatureTable feature_table(const std::vector<std::string>& architectures);

/// The multiply-accumulates that features state: those of a column `macs`, `flops`, `MACs` or `FLOPs`. NaN: they do
/// not.
double stated_macs(const std::vector<std::string>& names, const std::vector<double>& features);

}  // namespace sonar
