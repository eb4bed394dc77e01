#include "report/plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "report/wording.h"

namespace sonar {
namespace {

/// 1, 2, 2.5 or 5 times a power of ten, at least `step`.
double nice_step(double step) {
  const double power = std::pow(10, std::floor(std::log10(step)));
  for (double factor : {1.0, 2.0, 2.5, 5.0})
    if (factor * power >= step * (1 - 1e-9)) return factor * power;
  return 10 * power;
}

/// Makes a proper range of whatever came in.
void repair(double& low, double& high, double fallback_low, double fallback_high) {
  if (!std::isfinite(low) || !std::isfinite(high)) low = fallback_low, high = fallback_high;
  if (low > high) std::swap(low, high);
}

}  // namespace

double Axis::position(double value) const {
  return logarithmic ? std::log(value / low) / std::log(high / low) : (value - low) / (high - low);
}

Axis linear_axis(double low, double high, int ticks_wanted) {
  repair(low, high, 0, 1);
  if (!(high - low > 1e-9 * std::max(std::fabs(low), std::fabs(high)))) {
    const double room = low == 0 ? 0.5 : 0.05 * std::fabs(low);
    low -= room, high += room;
  }
  Axis axis;
  axis.step = nice_step((high - low) / ticks_wanted);
  axis.low = low, axis.high = high;
  for (double i = std::ceil(low / axis.step - 1e-9); i <= high / axis.step + 1e-9; ++i)
    axis.ticks.push_back(i * axis.step + 0.0);  // no "-0"
  return axis;
}

Axis log_axis(double low, double high, int ticks_wanted) {
  repair(low, high, 1, 10);
  if (!(low > 0)) low = high > 0 ? high / 10 : 1;
  if (!(high > low * 1.02)) low /= 1.1, high = low * 1.21;
  Axis axis;
  axis.logarithmic = true;
  axis.low = low, axis.high = high;
  const std::vector<std::vector<double>> mantissas = {
      {1}, {1, 3}, {1, 2, 5}, {1, 1.5, 2, 3, 5, 7}, {1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 9}};
  for (const auto& choice : mantissas) {
    axis.ticks.clear();
    for (double power = std::pow(10, std::floor(std::log10(low))); power <= high; power *= 10)
      for (double mantissa : choice)
        if (mantissa * power >= low * (1 - 1e-9) && mantissa * power <= high * (1 + 1e-9))
          axis.ticks.push_back(mantissa * power);
    if (static_cast<int>(axis.ticks.size()) >= ticks_wanted) break;
  }
  if (axis.ticks.size() < 3) axis.ticks = linear_axis(low, high, ticks_wanted).ticks;
  return axis;
}

Axis latency_axis(double low, double high, int ticks_wanted) {
  if (low > 0 && high > 3 * low) return log_axis(low, high, ticks_wanted);
  return linear_axis(low, high, ticks_wanted);
}

std::string coordinate(double value) {
  std::string text = fmt::format("{:.1f}", value);
  if (text.ends_with(".0")) text.resize(text.size() - 2);
  return text;
}

void PathData::to(double x, double y) {
  text_ += text_.empty() ? 'M' : 'L';
  text_ += coordinate(x) + "," + coordinate(y);
}

void PathData::step_to(double x, double y) {
  if (text_.empty())
    to(x, y);
  else
    text_ += "H" + coordinate(x) + "V" + coordinate(y);
}

TickText plain_ticks(const Axis& axis, double unit, const std::string& suffix) {
  int decimals = 0;
  auto distinct = [&] {
    return std::all_of(axis.ticks.begin(), axis.ticks.end(), [&](double tick) {
      const double shown = tick / unit, scale = std::pow(10, decimals);
      return std::fabs(std::round(shown * scale) / scale - shown) <= 1e-6 * std::max(1e-12, std::fabs(shown));
    });
  };
  while (decimals < 6 && !distinct()) ++decimals;
  if (axis.logarithmic)  // "0.02, 1, 50": every tick with no more digits than it needs
    return [unit, suffix](double tick) { return fmt::format("{:.4g}", tick / unit) + suffix; };
  return [decimals, unit, suffix](double tick) {
    return fmt::format("{:.{}f}", tick / unit == 0 ? 0.0 : tick / unit, decimals) + suffix;
  };
}

std::string frame_svg(const Frame& frame, const std::string& x_label, const TickText& x_text,
                      const std::string& y_label, const TickText& y_text) {
  const double right = frame.left + frame.width, bottom = frame.top + frame.height;
  std::string svg = "<g class=\"grid\">";
  for (double tick : frame.x.ticks)
    svg +=
        fmt::format("<path d=\"M{},{}V{}\"/>", coordinate(frame.px(tick)), coordinate(frame.top), coordinate(bottom));
  for (double tick : frame.y.ticks)
    svg +=
        fmt::format("<path d=\"M{},{}H{}\"/>", coordinate(frame.left), coordinate(frame.py(tick)), coordinate(right));
  svg += "</g><g class=\"ticks\">";
  for (double tick : frame.x.ticks)
    svg += fmt::format("<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>", coordinate(frame.px(tick)),
                       coordinate(bottom + 18), escape_html(x_text(tick)));
  for (double tick : frame.y.ticks)
    svg += fmt::format("<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>", coordinate(frame.left - 8),
                       coordinate(frame.py(tick) + 4), escape_html(y_text(tick)));
  svg += "</g>";
  svg += fmt::format("<path class=\"axis\" d=\"M{},{}V{}H{}\"/>", coordinate(frame.left), coordinate(frame.top),
                     coordinate(bottom), coordinate(right));
  svg += fmt::format("<text class=\"label\" x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>", coordinate(right),
                     coordinate(bottom + 38), escape_html(x_label));
  svg += fmt::format("<text class=\"label\" x=\"{}\" y=\"{}\">{}</text>", coordinate(frame.left - 56),
                     coordinate(frame.top - 12), escape_html(y_label));
  return svg;
}

void Range::add(double value) {
  if (!std::isfinite(value)) return;
  low = std::min(low, value);
  high = std::max(high, value);
}

std::string open_svg(double width, double height, const std::string& title) {
  return fmt::format("<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\">", width, height, escape_html(title));
}

std::string nothing(const std::string& why) { return "<p class=\"none\">" + why + "</p>"; }

std::string circle(const std::string& classes, double x, double y, double radius, const std::string& tip) {
  return fmt::format("<circle class=\"{}\" cx=\"{}\" cy=\"{}\" r=\"{}\"><title>{}</title></circle>", classes,
                     coordinate(x), coordinate(y), coordinate(radius), escape_html(tip));
}

std::string label(const std::string& classes, double x, double y, const std::string& anchor, const std::string& text) {
  return fmt::format("<text class=\"{}\" x=\"{}\" y=\"{}\" text-anchor=\"{}\">{}</text>", classes, coordinate(x),
                     coordinate(y), anchor, escape_html(text));
}

std::string line(const std::string& classes, const PathData& path, const std::string& tip) {
  if (path.text().empty()) return "";
  return fmt::format("<path class=\"{}\" d=\"{}\"><title>{}</title></path>", classes, path.text(), escape_html(tip));
}

Axis accuracy_axis(const Range& range, int ticks) {
  const double room = std::max(0.004, 0.06 * (range.high - range.low));
  return linear_axis(std::max(0.0, range.low - room), std::min(1.0, range.high + room), ticks);
}

Axis padded_latency_axis(const Range& range, int ticks) {
  if (range.high > 3 * range.low) {
    const double room = std::pow(range.high / range.low, 0.04);
    return log_axis(range.low / room, range.high * room, ticks);
  }
  const double room = std::max(0.01 * range.high, 0.06 * (range.high - range.low));
  return linear_axis(std::max(0.0, range.low - room), range.high + room, ticks);
}

std::pair<TickText, std::string> latency_ticks(const Axis& axis) {
  const bool milliseconds = axis.high >= 1000;
  return {plain_ticks(axis, milliseconds ? 1e3 : 1.0), milliseconds ? "ms" : "µs"};
}

}  // namespace sonar
