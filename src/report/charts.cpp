#include "report/charts.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <unordered_map>

#include "report/plot.h"
#include "report/wording.h"

namespace sonar {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

std::string fate(const NetworkView& view) {
  std::string text;
  if (!view.alive)
    text = fmt::format("dropped in round {}", view.round);
  else if (view.non_dominated)
    text = "on the front";
  else
    text = view.round > 0 ? "kept" : "candidate";
  if (!view.reason.empty()) text += ": " + view.reason;
  return text;
}

std::string tip_of(const NetworkView& view) {
  return fmt::format("{}\n{} at {}\n{}", view.network.name, percent_text(view.objectives.accuracy, 2),
                     latency_text(view.objectives.latency_us), fate(view));
}

/// Numbers that refer to the table of the front. Those with a meaning are placed first; one that would lie on another
/// is left out.
std::string front_labels(const std::vector<const NetworkView*>& front, const Frame& frame) {
  struct Box {
    double left, right, bottom;
  };
  std::vector<Box> placed;
  std::string svg;
  for (const bool meaning : {true, false})
    for (size_t i = 0; i < front.size(); ++i) {
      const NetworkView& view = *front[i];
      if ((view.knee || view.selected) != meaning) continue;
      std::string text = std::to_string(i + 1);
      if (view.knee) text += " knee";
      if (view.selected) text += " chosen";
      const double right = frame.px(view.objectives.latency_us) - 8, bottom = frame.py(view.objectives.accuracy) - 9;
      const Box box{right - 7.5 * text.size(), right, bottom};
      const bool covered = std::any_of(placed.begin(), placed.end(), [&](const Box& other) {
        return box.left < other.right && other.left < box.right && std::fabs(box.bottom - other.bottom) < 13;
      });
      if (covered) continue;
      placed.push_back(box);
      svg += label(meaning ? "mark strong" : "mark", right, bottom, "end", text);
    }
  return svg;
}

struct Colour {
  double red, green, blue;
};

std::string mix(const Colour& from, const Colour& to, double share) {
  auto channel = [&](double a, double b) { return static_cast<int>(std::lround(a + (b - a) * share)); };
  return fmt::format("#{:02x}{:02x}{:02x}", channel(from.red, to.red), channel(from.green, to.green),
                     channel(from.blue, to.blue));
}

}  // namespace

std::string colour_class(const NetworkView& view) { return view.alive ? "alive" : fmt::format("r{}", view.round); }

std::string round_colours_css(int rounds) {
  std::string light, dark;
  for (int round = 1; round <= rounds; ++round) {
    const double share = rounds > 1 ? double(round - 1) / (rounds - 1) : 1.0;
    light += fmt::format(".r{}{{--c:{}}}", round, mix({193, 205, 220}, {26, 71, 133}, share));
    dark += fmt::format(".r{}{{--c:{}}}", round, mix({63, 74, 90}, {139, 186, 245}, share));
  }
  return light + "\n@media (prefers-color-scheme: dark){" + dark + "}\n";
}

std::string front_chart(const ReportData& data) {
  std::vector<const NetworkView*> drawn;
  Range latency, accuracy;
  for (const NetworkView& view : data.networks) {
    if (!view.has_estimates()) continue;
    drawn.push_back(&view);
    latency.add(view.objectives.latency_us);
    accuracy.add(view.objectives.accuracy);
  }
  if (drawn.empty()) return nothing("No network has both an accuracy and a latency yet.");
  const auto threshold = data.number("threshold_us");
  if (threshold && *threshold > 0) latency.add(*threshold);

  Frame frame{56, 30, 960, 400, padded_latency_axis(latency, 7), accuracy_axis(accuracy, 7)};
  const auto [x_text, x_unit] = latency_ticks(frame.x);
  std::string svg = open_svg(1040, 480, "accuracy against latency of all candidates");
  svg += frame_svg(frame, "latency, " + x_unit + (frame.x.logarithmic ? " (logarithmic)" : ""), x_text,
                   "validation accuracy, %", plain_ticks(frame.y, 0.01));

  if (threshold && *threshold > 0) {
    const double x = frame.px(*threshold);
    const bool room_at_right = x < frame.left + frame.width - 160;
    svg += fmt::format("<path class=\"threshold\" d=\"M{},{}V{}\"/>", coordinate(x), coordinate(frame.top),
                       coordinate(frame.top + frame.height));
    svg += label("note", x + (room_at_right ? 6 : -6), frame.top + 12, room_at_right ? "start" : "end",
                 "threshold " + latency_text(*threshold));
  }

  // Drawn in order of importance: what was dropped first lies at the bottom.
  std::stable_sort(drawn.begin(), drawn.end(), [](const NetworkView* a, const NetworkView* b) {
    return std::tuple(a->non_dominated, a->alive, a->round) < std::tuple(b->non_dominated, b->alive, b->round);
  });
  for (const NetworkView* view : drawn)
    if (!view->non_dominated)
      svg += circle("pt " + colour_class(*view), frame.px(view->objectives.latency_us),
                    frame.py(view->objectives.accuracy), view->alive ? 4.5 : 3, tip_of(*view));

  // The front as what it means: the best accuracy within each latency.
  std::vector<const NetworkView*> front;
  for (const NetworkView* view : front_points(data))
    if (view->non_dominated && view->has_estimates()) front.push_back(view);
  PathData steps;
  for (const NetworkView* view : front)
    steps.step_to(frame.px(view->objectives.latency_us), frame.py(view->objectives.accuracy));
  if (!front.empty()) {
    svg += fmt::format("<path class=\"front\" d=\"{}H{}\"/>", steps.text(), coordinate(frame.left + frame.width));
  }
  for (const NetworkView* view : front) {
    const double x = frame.px(view->objectives.latency_us), y = frame.py(view->objectives.accuracy);
    if (view->knee)
      svg += fmt::format("<circle class=\"ring\" cx=\"{}\" cy=\"{}\" r=\"10\"/>", coordinate(x), coordinate(y));
    svg += circle("pt front-pt", x, y, 5.5, tip_of(*view));
  }
  return svg + front_labels(front, frame) + "</svg>";
}

std::string learning_chart(const ReportData& data) {
  Range steps, accuracy;
  for (const NetworkView& view : data.networks)
    for (const TrainPoint& point : view.points) {
      if (point.step > 0) steps.add(point.step);
      accuracy.add(point.val_accuracy);
    }
  if (steps.empty() || accuracy.empty()) return nothing("No validation has been recorded yet.");
  // Slices double from round to round, so that a linear axis would squeeze the early ones into a corner.
  const bool logarithmic = steps.high > 12 * steps.low;
  Frame frame{56,
              30,
              960,
              350,
              logarithmic ? log_axis(steps.low, steps.high, 7) : linear_axis(0, steps.high, 8),
              accuracy_axis(accuracy, 6)};
  std::string svg = open_svg(1040, 430, "validation accuracy against optimiser steps");
  svg += frame_svg(
      frame, logarithmic ? "optimiser steps (logarithmic)" : "optimiser steps",
      [](double tick) { return count_text(tick); }, "validation accuracy, %", plain_ticks(frame.y, 0.01));
  std::vector<const NetworkView*> order;
  for (const NetworkView& view : data.networks) order.push_back(&view);
  std::stable_sort(order.begin(), order.end(), [](const NetworkView* a, const NetworkView* b) {
    return std::pair(a->alive, a->round) < std::pair(b->alive, b->round);
  });
  for (const NetworkView* view : order) {
    PathData path;
    size_t drawn = 0;
    double x = 0, y = 0;
    for (const TrainPoint& point : view->points) {
      if (!std::isfinite(point.val_accuracy) || point.step < 0 || (logarithmic && point.step == 0)) continue;
      x = frame.px(point.step), y = frame.py(point.val_accuracy);
      path.to(x, y);
      ++drawn;
    }
    const std::string classes = colour_class(*view) + (view->alive ? "" : " faded");
    if (drawn > 1) svg += line("ln " + classes, path, tip_of(*view));
    if (drawn == 1) svg += circle("pt " + classes, x, y, 2, tip_of(*view));
  }
  return svg + "</svg>";
}

std::string subgraph_chart(const ReportData& data) {
  Range latency, programs;
  size_t shown = 0;
  for (; shown < std::min(kSeries, data.subgraphs.size()); ++shown) {
    const SubgraphView& view = data.subgraphs[shown];
    programs.add(view.programs);
    for (const auto& improvement : view.curve) latency.add(improvement.best_us);
  }
  if (latency.empty()) return nothing("No program has been measured with success yet.");
  Frame frame{56, 30, 440, 290, linear_axis(0, std::max(5.0, programs.high), 6), padded_latency_axis(latency, 5)};
  const auto [y_text, y_unit] = latency_ticks(frame.y);
  std::string svg = open_svg(510, 370, "best latency of the subgraphs against programs tried");
  svg += frame_svg(
      frame, "programs tried on the subgraph", [](double tick) { return count_text(tick); }, "best latency, " + y_unit,
      y_text);
  for (size_t i = 0; i < shown; ++i) {
    const SubgraphView& view = data.subgraphs[i];
    if (view.curve.empty()) continue;
    PathData path;
    for (const auto& improvement : view.curve)
      path.step_to(frame.px(improvement.programs), frame.py(improvement.best_us));
    path.step_to(frame.px(view.programs), frame.py(view.best_us));
    svg += fmt::format("<circle class=\"end k{}\" cx=\"{}\" cy=\"{}\" r=\"2.4\"/>", i + 1,
                       coordinate(frame.px(view.programs)), coordinate(frame.py(view.best_us)));
    svg += line(fmt::format("ln k{}", i + 1), path,
                fmt::format("{}\n{} after {}", view.key, latency_text(view.best_us), plural(view.programs, "program")));
  }
  return svg + "</svg>";
}

std::string network_latency_chart(const ReportData& data, const std::vector<const NetworkView*>& shown) {
  const size_t count = std::min(kSeries, shown.size());
  std::unordered_map<SubgraphKey, double> best;
  std::unordered_map<SubgraphKey, std::vector<std::pair<size_t, int>>> users;
  for (size_t i = 0; i < count; ++i)
    for (const auto& [key, occurrences] : shown[i]->network.subgraphs) users[key].emplace_back(i, occurrences);

  struct Curve {
    long missing = 0;  // subgraphs without a valid program
    double sum = 0;
    std::vector<std::pair<double, double>> points;  // programs, latency
  };
  std::vector<Curve> curves(count);
  for (const auto& [key, uses] : users)
    for (const auto& [i, occurrences] : uses) ++curves[i].missing;
  Range latency;
  for (size_t n = 0; n < data.programs.size(); ++n) {
    const auto* measured = std::get_if<Measurement>(&data.programs[n].outcome);
    if (!measured || !(measured->median_us > 0) || !std::isfinite(measured->median_us)) continue;
    const auto uses = users.find(data.programs[n].subgraph);
    if (uses == users.end()) continue;
    const auto [known, first] = best.try_emplace(uses->first, measured->median_us);
    if (!first && measured->median_us >= known->second) continue;
    const double change = first ? measured->median_us : measured->median_us - known->second;
    known->second = measured->median_us;
    for (const auto& [i, occurrences] : uses->second) {
      if (first) --curves[i].missing;
      curves[i].sum += occurrences * change;
      if (curves[i].missing == 0) {
        curves[i].points.emplace_back(n + 1, curves[i].sum);
        latency.add(curves[i].sum);
      }
    }
  }
  if (latency.empty()) return nothing("No network has a valid program for each of its subgraphs yet.");
  const double programs = data.programs.size();
  Frame frame{56, 30, 440, 290, linear_axis(0, std::max(5.0, programs), 5), padded_latency_axis(latency, 5)};
  const auto [y_text, y_unit] = latency_ticks(frame.y);
  std::string svg = open_svg(510, 370, "latency of the networks against programs tried");
  svg += frame_svg(
      frame, "programs tried in all", [](double tick) { return count_text(tick); }, "network latency, " + y_unit,
      y_text);
  for (size_t i = 0; i < count; ++i) {
    if (curves[i].points.empty()) continue;
    PathData path;
    double last_x = -kInfinity;
    for (const auto& [n, us] : curves[i].points) {
      const double x = frame.px(n);
      if (x - last_x < 0.25 && n != curves[i].points.back().first) continue;  // less than can be seen
      path.step_to(x, frame.py(us));
      last_x = x;
    }
    path.step_to(frame.px(programs), frame.py(curves[i].points.back().second));
    const auto& [first_n, first_us] = curves[i].points.front();
    svg += line(fmt::format("ln k{}", i + 1), path,
                fmt::format("{}\n{} at first, {} now", shown[i]->network.name, latency_text(first_us),
                            latency_text(curves[i].points.back().second)));
  }
  return svg + "</svg>";
}

std::string usage_chart(const ReportData& data) {
  std::map<std::pair<Side, int>, std::vector<std::pair<double, double>>> lanes;
  for (const UsageRow& row : data.usage)
    if (row.ended_s > row.started_s && std::isfinite(row.ended_s) && std::isfinite(row.started_s))
      lanes[{row.side, row.core}].emplace_back(row.started_s, row.ended_s);
  if (lanes.empty() || !(data.elapsed_s > 0)) return nothing("No stretch of work has been recorded yet.");
  const double lane_height = lanes.size() > 16 ? 8 : 18, pitch = lane_height + (lanes.size() > 16 ? 3 : 6);
  Frame frame{96, 22, 920, pitch * lanes.size() + 4, linear_axis(0, data.elapsed_s, 8), linear_axis(0, 1, 2)};
  frame.y.ticks.clear();
  constexpr std::array<std::pair<double, const char*>, 4> kUnits{{{86400, "d"}, {3600, "h"}, {60, "min"}, {1, "s"}}};
  size_t unit = 0;
  while (unit + 1 < kUnits.size() && data.elapsed_s < 2 * kUnits[unit].first) ++unit;
  const double seconds = kUnits[unit].first;
  // Ticks at round numbers of the unit shown, not of seconds.
  frame.x.ticks = linear_axis(0, data.elapsed_s / seconds, 8).ticks;
  for (double& tick : frame.x.ticks) tick *= seconds;
  std::string svg = open_svg(1040, frame.height + 66, "use of the cores over time");
  svg += frame_svg(frame, std::string("active run time, ") + kUnits[unit].second, plain_ticks(frame.x, seconds), "",
                   [](double) { return std::string(); });
  double y = frame.top + 5 + lane_height / 2;
  for (auto& [lane, stretches] : lanes) {
    const auto& [side, core] = lane;
    std::sort(stretches.begin(), stretches.end());
    // Work comes in thousands of short stretches: those nearer than what can be seen are drawn as one.
    std::string path;
    double busy = 0, covered = 0, start = -1, end = -1;
    auto flush = [&] {
      if (start >= 0)
        path += fmt::format("M{},{}h{}", coordinate(start), coordinate(y), coordinate(std::max(0.3, end - start)));
    };
    for (const auto& [from, to] : stretches) {
      if (to > covered) busy += to - std::max(from, covered), covered = to;
      const double x0 = frame.px(from), x1 = frame.px(to);
      if (start >= 0 && x0 - end < 0.4) {
        end = std::max(end, x1);
        continue;
      }
      flush();
      start = x0, end = x1;
    }
    flush();
    const char* name = side == Side::train ? "train" : "tune";
    svg += label("ticks-text", frame.left - 8, y + 4, "end", fmt::format("{} {}", name, core));
    svg += fmt::format(
        "<path class=\"lane k{}\" style=\"stroke-width:{}\" d=\"{}\"><title>{}</title></path>",
        side == Side::train ? 1 : 2, lane_height, path,
        escape_html(fmt::format("{} core {}: busy {} of the time", name, core, percent_text(busy / data.elapsed_s))));
    y += pitch;
  }
  for (const RoundView& round : data.rounds) {
    if (round.row.ended_s < 0) continue;
    const double x = frame.px(round.row.ended_s);
    svg += fmt::format("<path class=\"boundary\" d=\"M{},{}V{}\"/>", coordinate(x), coordinate(frame.top - 4),
                       coordinate(frame.top + frame.height));
    svg += label("note", x, frame.top - 8, "middle", fmt::format("round {}", round.ordinal));
  }
  return svg + "</svg>";
}

}  // namespace sonar
