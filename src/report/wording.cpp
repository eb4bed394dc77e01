#include "report/wording.h"

#include <fmt/format.h>

#include <cmath>
#include <filesystem>

namespace sonar {
namespace {

constexpr const char* kNone = "–";
constexpr const char* kReplacement = "\xef\xbf\xbd";

/// Three significant digits, plain notation.
std::string three_digits(double value) {
  const double size = std::fabs(value);
  if (size >= 99.95) return fmt::format("{:.0f}", value);
  if (size >= 9.995) return fmt::format("{:.1f}", value);
  return fmt::format("{:.2f}", value);
}

/// Length of the well-formed UTF-8 sequence at the start of `text`; 0 when there is none.
size_t sequence_length(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  const size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || text.size() < length) return 0;
  for (size_t i = 1; i < length; ++i)
    if ((byte(i) & 0xc0) != 0x80) return 0;
  const bool overlong = (first == 0xe0 && byte(1) < 0xa0) || (first == 0xf0 && byte(1) < 0x90);
  const bool surrogate = first == 0xed && byte(1) > 0x9f;
  const bool beyond = first == 0xf4 && byte(1) > 0x8f;
  return overlong || surrogate || beyond ? 0 : length;
}

}  // namespace

std::string latency_text(double us) {
  if (!std::isfinite(us)) return kNone;
  if (us < 999.5) return three_digits(us) + " µs";
  if (us < 999.5e3) return three_digits(us / 1e3) + " ms";
  return three_digits(us / 1e6) + " s";
}

std::string percent_text(double fraction, int decimals) {
  return std::isfinite(fraction) ? fmt::format("{:.{}f} %", 100 * fraction, decimals) : kNone;
}

std::string duration_text(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0) return kNone;
  if (seconds < 99.95) return three_digits(seconds) + " s";
  const long whole = std::lround(seconds);
  if (whole < 3600) return fmt::format("{} min {} s", whole / 60, whole % 60);
  if (whole < 48 * 3600) return fmt::format("{} h {} min", whole / 3600, whole / 60 % 60);
  return fmt::format("{} d {} h", whole / 86400, whole / 3600 % 24);
}

std::string count_text(double count) {
  if (!std::isfinite(count)) return kNone;
  std::string digits = fmt::format("{:.0f}", std::round(count) + 0.0);  // no "-0"
  const size_t sign = digits[0] == '-';
  for (size_t at = digits.size(); at > sign + 3; digits.insert(at -= 3, ",")) {
  }
  return digits;
}

std::string magnitude_text(double value) {
  if (!std::isfinite(value)) return kNone;
  constexpr std::pair<double, const char*> kUnits[] = {{1e12, " T"}, {1e9, " G"}, {1e6, " M"}, {1e3, " k"}};
  for (auto [unit, name] : kUnits)
    if (std::fabs(value) >= 0.9995 * unit) return three_digits(value / unit) + name;
  return fmt::format("{:.0f}", value);
}

std::string fixed_text(double value, int decimals) {
  return std::isfinite(value) ? fmt::format("{:.{}f}", value, decimals) : kNone;
}

std::string plural(double count, std::string_view noun) {
  return fmt::format("{} {}{}", count_text(count), noun, count == 1 ? "" : "s");
}

std::string folder_name(const std::string& path) {
  std::error_code error;
  std::filesystem::path whole = std::filesystem::absolute(path, error).lexically_normal();
  if (whole.filename().empty()) whole = whole.parent_path();
  return whole.filename().empty() ? path : whole.filename().string();
}

std::string valid_utf8(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  while (!text.empty()) {
    const size_t length = sequence_length(text);
    const auto first = static_cast<unsigned char>(text[0]);
    const bool control = (first < 0x20 && first != '\n' && first != '\t') || first == 0x7f;
    if (length == 0 || control)
      result += kReplacement;
    else
      result += text.substr(0, length);
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return result;
}

std::string escape_html(std::string_view text) {
  std::string result;
  for (char c : valid_utf8(text)) {
    switch (c) {
      case '&':
        result += "&amp;";
        break;
      case '<':
        result += "&lt;";
        break;
      case '>':
        result += "&gt;";
        break;
      case '"':
        result += "&quot;";
        break;
      case '\'':
        result += "&#39;";
        break;
      default:
        result += c;
    }
  }
  return result;
}

std::string shortened(std::string_view text, size_t length) {
  const std::string valid = valid_utf8(text);
  std::string result;
  size_t characters = 0;
  for (std::string_view rest = valid; !rest.empty();) {
    if (++characters > length) return result + "…";
    const size_t size = sequence_length(rest);
    if (rest[0] == '\n' || rest[0] == '\t')
      result += ' ';
    else
      result += rest.substr(0, size);
    rest.remove_prefix(size);
  }
  return result;
}

size_t display_width(std::string_view text) {
  size_t width = 0;
  for (unsigned char c : text) width += (c & 0xc0) != 0x80;
  return width;
}

}  // namespace sonar
