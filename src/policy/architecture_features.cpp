#include "policy/architecture_features.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

namespace sonar {

std::vector<std::pair<std::string, double>> architecture_features(const std::string& name) {
  std::vector<std::pair<std::string, double>> result;
  for (size_t dash = name.find('-'); dash != std::string::npos;) {
    const size_t begin = dash + 1;
    dash = name.find('-', begin);
    const std::string part = name.substr(begin, dash == std::string::npos ? dash : dash - begin);
    const size_t letters = std::min(part.find_first_of("0123456789"), part.size());
    const std::string key = part.substr(0, letters), digits = part.substr(letters);
    if (key.empty() || digits.empty()) continue;
    if ((key == "k" || key == "d") &&
        std::all_of(digits.begin(), digits.end(), [](char c) { return c >= '0' && c <= '9'; })) {
      for (size_t i = 0; i < digits.size(); ++i) result.emplace_back(key + std::to_string(i + 1), digits[i] - '0');
      continue;
    }
    double value = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (error == std::errc{} && end == digits.data() + digits.size()) result.emplace_back(key, value);
  }
  return result;
}

FeatureTable feature_table(const std::vector<std::string>& architectures) {
  FeatureTable table;
  for (const std::string& architecture : architectures) {
    std::vector<double>& row = table.rows.emplace_back();
    for (const auto& [name, value] : architecture_features(architecture)) {
      const auto place =
          static_cast<size_t>(std::find(table.names.begin(), table.names.end(), name) - table.names.begin());
      if (place == table.names.size()) table.names.push_back(name);
      row.resize(table.names.size(), std::numeric_limits<double>::quiet_NaN());
      row[place] = value;
    }
  }
  for (std::vector<double>& row : table.rows) row.resize(table.names.size(), std::numeric_limits<double>::quiet_NaN());
  return table;
}

double stated_macs(const std::vector<std::string>& names, const std::vector<double>& features) {
  for (const char* name : {"macs", "flops", "MACs", "FLOPs"}) {
    const auto found = std::find(names.begin(), names.end(), name);
    if (found == names.end()) continue;
    const double value = features[static_cast<size_t>(found - names.begin())];
    if (std::isfinite(value) && value >= 0) return value;
  }
  return std::numeric_limits<double>::quiet_NaN();
}

}  // namespace sonar
