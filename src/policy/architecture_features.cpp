#include "policy/architecture_features.h"

#include <algorithm>
#include <charconv>

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

}  // namespace sonar
