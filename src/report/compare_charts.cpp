#include "report/compare_charts.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "report/charts.h"
#include "report/plot.h"
#include "report/wording.h"

namespace sonar {
namespace {

/// Marks differ in shape as well as in colour, so that they can be told apart in grey.
std::string diamond(double x, double y, const std::string& tip, double size = 6.5, const char* more = "") {
  const std::string r = coordinate(size);
  return fmt::format("<path class=\"mk k2{}\" d=\"M{},{}l{},{} -{},{} -{},-{}z\"><title>{}</title></path>", more,
                     coordinate(x), coordinate(y - size), r, r, r, r, r, r, escape_html(tip));
}
std::string small_diamond(double x, double y, const std::string& tip) { return diamond(x, y, tip, 4, " pale"); }
std::string large_diamond(double x, double y, const std::string& tip) { return diamond(x, y, tip); }

std::string cross(double x, double y, const std::string& tip) {
  return fmt::format("<path class=\"mk k3\" d=\"M{},{}l8,8m0,-8l-8,8\"><title>{}</title></path>", coordinate(x - 4),
                     coordinate(y - 4), escape_html(tip));
}

std::string legend_mark(const std::string& mark, const std::string& text) {
  return "<span><svg class=\"key\" viewBox=\"0 0 18 16\">" + mark + "</svg>" + escape_html(text) + "</span>";
}
std::string brute_force_mark() { return circle("pt k1", 9, 8, 3.6, ""); }

/// One panel: the networks of the truth at their final values, and what is marked among them.
class Panel {
 public:
  /// `marked`: what must lie within the axes. Of the rest, the worst twentieth by accuracy may lie below them.
  Panel(const ComparedTruth& truth, const std::vector<Objectives>& marked, const std::string& title) : truth_(truth) {
    Range latency, accuracy;
    std::vector<double> accuracies;
    for (const Trace::Network& network : truth.trace->networks) {
      if (!std::isfinite(network.final_latency_us)) continue;
      latency.add(network.final_latency_us);
      accuracies.push_back(network.final_accuracy);
    }
    std::sort(accuracies.begin(), accuracies.end());
    accuracy.add(accuracies[accuracies.size() / 20]);
    accuracy.add(accuracies.back());
    for (const Objectives& mark : marked) {
      accuracy.add(mark.accuracy);
      latency.add(mark.latency_us);
    }
    frame_ = {56, 30, 440, 290, padded_latency_axis(latency, 5), accuracy_axis(accuracy, 6)};
    const auto [x_text, x_unit] = latency_ticks(frame_.x);
    svg_ = open_svg(510, 370, title) + frame_svg(frame_,
                                                 "latency, " + x_unit + (frame_.x.logarithmic ? " (logarithmic)" : ""),
                                                 x_text, "validation accuracy, %", plain_ticks(frame_.y, 0.01));
    std::string cloud;
    for (const Trace::Network& network : truth.trace->networks)
      if (std::isfinite(network.final_latency_us) && network.final_accuracy >= frame_.y.low)
        cloud += fmt::format("M{},{}h.1", coordinate(frame_.px(network.final_latency_us)),
                             coordinate(frame_.py(network.final_accuracy)));
    svg_ += "<path class=\"cloud\" d=\"" + cloud + "\"/>";
  }

  /// The best accuracy within each latency.
  void front_line() {
    PathData steps;
    for (size_t i : truth_.truth->front())
      steps.step_to(frame_.px(final_of(i).latency_us), frame_.py(final_of(i).accuracy));
    svg_ += fmt::format("<path class=\"thin k1\" d=\"{}H{}\"/>", steps.text(), coordinate(frame_.left + frame_.width));
  }
  void front_marks() {
    for (size_t i : truth_.truth->front())
      mark(final_of(i), tip(i, "on the true front"),
           [](double x, double y, const std::string& tip) { return circle("pt k1", x, y, 3.4, tip); });
  }

  template <class Mark>
  void mark(const Objectives& at, const std::string& tip, const Mark& draw) {
    if (std::isfinite(at.latency_us) && std::isfinite(at.accuracy) && at.latency_us > 0)
      svg_ += draw(frame_.px(at.latency_us), frame_.py(at.accuracy), tip);
  }

  Objectives final_of(size_t i) const {
    return {truth_.trace->networks[i].final_accuracy, truth_.trace->networks[i].final_latency_us};
  }
  std::string tip(size_t i, const std::string& what) const {
    return fmt::format("{}\n{} at {}\n{}", truth_.trace->networks[i].name, percent_text(final_of(i).accuracy, 2),
                       latency_text(final_of(i).latency_us), what);
  }
  std::string text() const { return svg_ + "</svg>"; }

 private:
  const ComparedTruth& truth_;
  Frame frame_;
  std::string svg_;
};

bool drawn(const ReturnedNetwork& network) { return network.seed <= 1; }

/// Where a returned network is drawn: a replay's at its final values, a real run's at its own.
Objectives place_of(const ComparedTruth& truth, const ComparedSearch& search, const ReturnedNetwork& network) {
  if (search.real()) return network.objectives;
  const Trace::Network& known = truth.trace->networks[network.place];
  return {known.final_accuracy, known.final_latency_us};
}

/// Class of a search's curve: a colour for each or, where those do not suffice, for each algorithm.
std::string colour_of(const ComparedTruth& truth, size_t search) {
  size_t colour = search;
  if (truth.searches.size() > kSeries) {
    std::vector<std::string> algorithms;
    const auto key = [](const ComparedSearch& s) { return s.real() ? s.name : s.algorithm; };
    for (const ComparedSearch& s : truth.searches)
      if (std::find(algorithms.begin(), algorithms.end(), key(s)) == algorithms.end()) algorithms.push_back(key(s));
    colour = static_cast<size_t>(std::find(algorithms.begin(), algorithms.end(), key(truth.searches[search])) -
                                 algorithms.begin());
  }
  return fmt::format("k{}", colour % kSeries + 1);
}

/// "1.32 ± 0.17", "2.75 ± 0.40, 6.6 missed".
std::string gap_text(const GapPoint& point) {
  const Estimate& gap = point.achieved_with_misses;
  std::string text = fixed_text(gap.mean, 2);
  if (std::isfinite(gap.half_width)) text += " ± " + fixed_text(gap.half_width, 2);
  if (point.misses > 0) text += fmt::format(", {:.2g} missed", point.misses);
  return text;
}

const std::vector<GapPoint>& points_of(const ComparedSearch& search, bool clock) {
  return clock ? search.clock : search.curve;
}

}  // namespace

std::string compare_css() {
  return ".cloud { fill: none; stroke: var(--faint); stroke-width: 3; stroke-linecap: round; opacity: 0.5 }\n"
         ".mk { fill: none; stroke: var(--c); stroke-width: 1.7; pointer-events: all }\n"
         ".mk.pale { stroke-width: 1.2; opacity: 0.6 }\n"
         ".mk:hover { stroke-width: 3 }\n"
         ".thin { fill: none; stroke: var(--c); stroke-width: 1.2; opacity: 0.8 }\n"
         ".band { fill: var(--c); stroke: none; opacity: 0.16 }\n"
         ".missing { stroke-dasharray: 1.5 4; stroke-linecap: round }\n"
         "svg.key { display: inline-block; width: 18px; height: 16px; margin: 0 5px 0 0; vertical-align: -3px }\n"
         "figcaption { font-size: 13.5px; margin-top: 8px } figcaption b { color: var(--ink); font-weight: 640 }\n"
         ".pair { row-gap: 10px } figure { break-inside: avoid }\n"
         "@media print { :root { color-scheme: light } .pair { grid-template-columns: 1fr 1fr } nav { display: none } "
         "}\n";
}

std::string returned_chart(const ComparedTruth& truth, const ComparedSearch& search) {
  std::vector<Objectives> marked;
  for (size_t i : truth.truth->front())
    marked.push_back({truth.trace->networks[i].final_accuracy, truth.trace->networks[i].final_latency_us});
  for (const ReturnedNetwork& network : search.returned)
    if (drawn(network)) marked.push_back(place_of(truth, search, network));
  Panel panel(truth, marked, "true front and networks returned by " + search.name + " on " + truth.name);
  panel.front_line();
  for (const ReturnedNetwork& network : search.returned) {
    if (!drawn(network)) continue;
    std::string tip = search.real() ? fmt::format("{}\n{} at {}\nreturned by {}", network.name,
                                                  percent_text(network.objectives.accuracy, 2),
                                                  latency_text(network.objectives.latency_us), search.name)
                                    : panel.tip(network.place, "returned by " + search.name);
    if (search.real() && network.place != ReturnedNetwork::kUnknown)
      tip += fmt::format("; brute force: {} at {}", percent_text(panel.final_of(network.place).accuracy, 2),
                         latency_text(panel.final_of(network.place).latency_us));
    if (network.answer)
      panel.mark(place_of(truth, search, network), tip, large_diamond);
    else
      panel.mark(place_of(truth, search, network), tip, small_diamond);
  }
  panel.front_marks();
  return panel.text();
}

std::string returned_legend(const ComparedSearch& search) {
  const std::string what = search.real() ? ", its own values" : ", seed 1";
  return "<div class=\"legend\">" + legend_mark(brute_force_mark(), "true front") +
         legend_mark(large_diamond(9, 8, ""), "returned" + what) +
         legend_mark(small_diamond(9, 8, ""), "dominated by others") +
         legend_mark("<path class=\"cloud\" d=\"M4,6h.1M9,10h.1M14,7h.1\"/>", "all networks") + "</div>";
}

std::string optimal_chart(const ComparedTruth& truth, const ComparedSearch& search) {
  std::vector<size_t> answers, flops;
  std::vector<Objectives> marked;
  const auto final_of = [&](size_t i) {
    return Objectives{truth.trace->networks[i].final_accuracy, truth.trace->networks[i].final_latency_us};
  };
  for (const ReturnedNetwork& network : search.returned)
    if (drawn(network) && network.answer && network.place != ReturnedNetwork::kUnknown)
      answers.push_back(network.place);
  for (size_t i = 0; i < truth.flops_front.size(); ++i)
    if (truth.flops_front[i]) flops.push_back(i);
  for (const auto& list : {truth.truth->front(), answers, flops})
    for (size_t i : list) marked.push_back(final_of(i));
  Panel panel(truth, marked,
              "networks that brute force, " + search.name + " and MACs consider optimal on " + truth.name);
  panel.front_marks();
  for (size_t i : flops) panel.mark(final_of(i), panel.tip(i, "on the front of accuracy and MACs"), cross);
  for (size_t i : answers)
    panel.mark(final_of(i), panel.tip(i, "on the front that " + search.name + " sees"), large_diamond);
  return panel.text();
}

std::string optimal_legend(const ComparedTruth& truth, const ComparedSearch& search) {
  std::string html = "<div class=\"legend\">" + legend_mark(brute_force_mark(), "brute force") +
                     legend_mark(large_diamond(9, 8, ""), search.real() ? search.name : search.name + " (seed 1)");
  if (std::find(truth.flops_front.begin(), truth.flops_front.end(), true) != truth.flops_front.end())
    html += legend_mark(cross(9, 8, ""), "MACs (FLOPs) as the latency");
  return html + "</div>";
}

std::string gap_chart(const ComparedTruth& truth, bool clock) {
  Range x, y, end_of;
  for (const ComparedSearch& search : truth.searches)
    for (const GapPoint& point : points_of(search, clock)) {
      x.add(point.seconds);
      if (point.achieved_with_misses.mean > 0) y.add(point.achieved_with_misses.mean);
      if (&point == &points_of(search, clock).back()) end_of.add(point.seconds);
    }
  if (x.empty()) return nothing("No search could be replayed.");

  // Seconds as parts of brute force, or in a unit that people read.
  constexpr std::array<std::pair<double, const char*>, 4> kUnits{{{86400, "d"}, {3600, "h"}, {60, "min"}, {1, "s"}}};
  size_t unit = 0;
  while (unit + 1 < kUnits.size() && x.high < 2 * kUnits[unit].first) ++unit;
  const double seconds = clock ? kUnits[unit].first : truth.brute_force_s() / 100;
  // What happens in the first hundredth shows nothing, unless a search ends there.
  const double last = x.high / seconds;
  const double first = std::max(x.low / seconds, std::min(last / 100, end_of.low / seconds / 4));
  const bool log_x = last > 12 * first;
  const bool log_y = !y.empty() && y.high > 8 * y.low;
  const double floor =
      std::min(y.high / 8, std::max({y.low / 1.2, y.high / 3000, 0.01}));  // what is below, 0 too, lies on the axis
  Frame frame{56,
              30,
              960,
              370,
              log_x ? log_axis(first, last * 1.04, 7) : linear_axis(0, last, 8),
              log_y ? log_axis(floor, y.high * 1.1, 6) : linear_axis(0, y.empty() ? 1 : y.high * 1.05, 6)};
  std::string svg = open_svg(1040, 450, "achieved gap against time spent on " + truth.name);
  svg +=
      frame_svg(frame,
                std::string(clock ? "active run time, " : "spent on training and tuning, % of brute force") +
                    (clock ? kUnits[unit].second : "") + (log_x ? " (logarithmic)" : ""),
                plain_ticks(frame.x), std::string("average accuracy gap, % points") + (log_y ? " (logarithmic)" : ""),
                plain_ticks(frame.y));
  const auto px = [&](const GapPoint& point) { return frame.px(std::max(point.seconds / seconds, frame.x.low)); };
  const auto py = [&](double gap) { return frame.py(std::clamp(gap, frame.y.low, frame.y.high)); };
  struct End {
    double x, y;
    std::string text;
  };
  std::vector<End> ends;
  std::string bands, lines;
  for (size_t s = 0; s < truth.searches.size(); ++s) {
    const ComparedSearch& search = truth.searches[s];
    std::vector<GapPoint> points;  // those within the axes, from the last one before them on
    for (const GapPoint& point : points_of(search, clock)) {
      if (!points.empty() && point.seconds / seconds <= frame.x.low) points.pop_back();
      points.push_back(point);
    }
    if (points.empty()) continue;
    PathData band;
    if (points.size() > 1 && std::isfinite(points.back().achieved_with_misses.half_width)) {
      const auto edge = [&](const GapPoint& point, int side) {
        band.to(px(point), py(point.achieved_with_misses.mean + side * point.achieved_with_misses.half_width));
      };
      for (const GapPoint& point : points) edge(point, 1);
      for (size_t i = points.size(); i-- > 0;) edge(points[i], -1);
      bands += fmt::format("<path class=\"band {}\" d=\"{}z\"/>", colour_of(truth, s), band.text());
    }
    // Dotted while networks of the true front are missed.
    const GapPoint& end = points.back();
    const std::string tip = search.name + "\n" + gap_text(end);
    const auto misses = [](const GapPoint& point) { return point.misses >= 0.5; };
    for (size_t from = 0; from < points.size();) {
      size_t to = from + 1;
      while (to < points.size() && misses(points[to]) == misses(points[from])) ++to;
      PathData path;
      for (size_t i = from; i < std::min(to + 1, points.size()); ++i)
        path.to(px(points[i]), py(points[i].achieved_with_misses.mean));
      lines += line((misses(points[from]) ? "ln missing " : "ln ") + colour_of(truth, s), path, tip);
      from = to;
    }
    lines += circle("pt " + colour_of(truth, s), px(end), py(end.achieved_with_misses.mean), 4, tip);
    ends.push_back({px(end), py(end.achieved_with_misses.mean),
                    search.real() ? search.name : fmt::format("{:g}x", search.speedup)});
  }
  svg += bands + lines;
  // Where a colour stands for several curves, their ends tell them apart, unless a label would lie on another end.
  if (truth.searches.size() > kSeries)
    for (const End& end : ends) {
      const double half = 3.6 * static_cast<double>(end.text.size());
      const bool covered = std::any_of(ends.begin(), ends.end(), [&](const End& other) {
        return &other != &end && other.y < end.y && other.y > end.y - 26 && std::fabs(other.x - end.x) < 2 * half + 5;
      });
      if (!covered) svg += label("mark", end.x, end.y - 8, "middle", end.text);
    }
  return svg + "</svg>";
}

std::string gap_legend(const ComparedTruth& truth, bool clock) {
  std::string html = "<div class=\"legend\">";
  for (size_t s = 0; s < truth.searches.size(); ++s) {
    const auto& points = points_of(truth.searches[s], clock);
    if (points.empty()) continue;
    html += fmt::format("<span><i class=\"chip {}\"></i>{}: {}</span>", colour_of(truth, s),
                        escape_html(truth.searches[s].name), gap_text(points.back()));
  }
  return html + "</div>";
}

}  // namespace sonar
