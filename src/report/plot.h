// Axes, scales and frames of the report's plots, as SVG text. Private to report/.
#pragma once
#include <functional>
#include <limits>
#include <string>
#include <utility>
#include <vector>

namespace sonar {

struct Axis {
  bool logarithmic = false;
  double low = 0, high = 1;   // the ends of the axis, in the data's unit; low < high
  std::vector<double> ticks;  // within the ends, ascending
  double step = 0;            // between ticks of a linear axis
  /// 0 at low, 1 at high.
  double position(double value) const;
};

/// Axes that hold [low, high] with a little room, whatever the two are (equal, reversed, not finite).
Axis linear_axis(double low, double high, int ticks_wanted);
/// low and high must be positive to be taken into account.
Axis log_axis(double low, double high, int ticks_wanted);
/// Logarithmic when the values span more than a factor of three.
Axis latency_axis(double low, double high, int ticks_wanted);

/// The drawing area of a plot inside an SVG view box.
struct Frame {
  double left, top, width, height;
  Axis x, y;
  double px(double value) const { return left + width * x.position(value); }
  double py(double value) const { return top + height * (1 - y.position(value)); }
};

using TickText = std::function<std::string(double)>;

/// Grid, ticks and labels.
std::string frame_svg(const Frame& frame, const std::string& x_label, const TickText& x_text,
                      const std::string& y_label, const TickText& y_text);

/// Ends of what is drawn; values that are not finite are passed over.
struct Range {
  double low = std::numeric_limits<double>::infinity(), high = -std::numeric_limits<double>::infinity();
  void add(double value);
  bool empty() const { return low > high; }
};

/// Axes with room round the data: accuracies as fractions within 0..1, latencies in microseconds.
Axis accuracy_axis(const Range& range, int ticks);
Axis padded_latency_axis(const Range& range, int ticks);
/// One unit for all ticks of an axis, and its name.
std::pair<TickText, std::string> latency_ticks(const Axis& axis);

std::string open_svg(double width, double height, const std::string& title);
/// A sentence in a plot's place.
std::string nothing(const std::string& why);
std::string circle(const std::string& classes, double x, double y, double radius, const std::string& tip);
std::string label(const std::string& classes, double x, double y, const std::string& anchor, const std::string& text);

/// "12.5": a coordinate with one decimal, which is a fifth of a pixel at most.
std::string coordinate(double value);

/// Path data through points ("M1,2L3,4"); `steps`: horizontal first, then vertical.
class PathData {
 public:
  void to(double x, double y);
  void step_to(double x, double y);
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

std::string line(const std::string& classes, const PathData& path, const std::string& tip);

/// Fewest decimals with which the ticks of an axis differ.
TickText plain_ticks(const Axis& axis, double unit = 1, const std::string& suffix = "");

}  // namespace sonar
