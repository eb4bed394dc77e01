// The report: text and tables round the plots of charts.cpp.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "model/error.h"
#include "report/charts.h"
#include "report/html.h"
#include "report/report.h"
#include "report/wording.h"

namespace sonar {
namespace {

/// One unit for a column of latencies, so that its numbers can be compared by eye.
struct LatencyUnit {
  double us = 1;
  const char* name = "µs";
  int decimals = 1;
  explicit LatencyUnit(const std::vector<double>& latencies) {
    double highest = 0;
    for (double latency : latencies)
      if (std::isfinite(latency)) highest = std::max(highest, latency);
    if (highest >= 1000) us = 1000, name = "ms", decimals = highest >= 100e3 ? 1 : highest >= 10e3 ? 2 : 3;
  }
  std::string text(double latency) const { return fixed_text(latency / us, decimals); }
};

std::string times_text(double ratio) {
  return ratio >= 10 ? fmt::format("{:.0f}×", ratio) : fmt::format("{:.1f}×", ratio);
}

// ---- headline ----

struct Cost {
  double spent = 0, brute_force = 0;  // seconds of the device
};

/// What was spent, and what training every candidate in full would cost: told by the search, or worked out from the
/// recorded seconds per step.
std::optional<Cost> train_cost(const ReportData& data) {
  double spent = 0, rates = 0;
  size_t known = 0;
  for (const NetworkView& view : data.networks) {
    if (view.points.empty() || view.points.back().step <= 0) continue;
    const TrainPoint& last = view.points.back();
    spent += last.seconds;
    rates += last.seconds / last.step;
    ++known;
  }
  std::optional<double> brute_force = data.number("brute_force_train_seconds");
  if (!brute_force && known > 0)
    if (const auto full = data.number("full_steps"))
      brute_force = *full * data.networks.size() * rates / known;  // networks never trained count at the mean rate
  const Cost cost{data.number("train_seconds").value_or(spent), brute_force.value_or(0)};
  if (!(cost.spent > 0) || !(cost.brute_force > 0) || !std::isfinite(cost.spent + cost.brute_force))
    return std::nullopt;
  return cost;
}

std::optional<Cost> tune_cost(const ReportData& data) {
  const double spent = data.number("tune_seconds").value_or(data.tune_use.busy_s);
  std::optional<double> brute_force = data.number("brute_force_tune_seconds");
  if (!brute_force && !data.programs.empty())
    if (const auto full = data.number("full_programs"))
      brute_force = *full * data.subgraphs.size() * spent / data.programs.size();
  const Cost cost{spent, brute_force.value_or(0)};
  if (!(cost.spent > 0) || !(cost.brute_force > 0) || !std::isfinite(cost.spent + cost.brute_force))
    return std::nullopt;
  return cost;
}

std::string cost_sentence(const ReportData& data) {
  if (!data.finished) return "";  // what is not yet spent would count as saved
  const auto algorithm = data.texts.find("algorithm");
  for (const char* exhaustive : {"brute-force", "tune", "train"})
    if (algorithm != data.texts.end() && algorithm->second == exhaustive) return "";
  const auto train = train_cost(data), tune = tune_cost(data);
  auto part = [](const char* what, const char* all, const Cost& cost) {
    return fmt::format("{} took {}, {} in full would take {} (<strong>{}</strong>)", what, duration_text(cost.spent),
                       all, duration_text(cost.brute_force), times_text(cost.brute_force / cost.spent));
  };
  std::string text;
  if (train) text += part("Training", "training every candidate", *train);
  if (train && tune) text += "; ";
  if (tune) text += part(train ? "tuning" : "Tuning", "tuning every subgraph", *tune);
  if (text.empty()) return "";
  if (train && tune)
    text += fmt::format("; together <strong>{} less than brute force</strong>",
                        times_text((train->brute_force + tune->brute_force) / (train->spent + tune->spent)));
  return "<p>Search cost. " + text + ".</p>";
}

std::string point_html(const NetworkView& view) {
  return fmt::format("{} ({} at {})", name_html(view.network.name), percent_text(view.objectives.accuracy, 2),
                     latency_text(view.objectives.latency_us));
}

std::string result_sentences(const ReportData& data, const std::vector<const NetworkView*>& front) {
  std::string html;
  if (front.empty()) {
    html += "<p>There is no front yet: no network has both a validated accuracy and a latency.</p>";
  } else {
    const NetworkView &fast = *front.front(), &accurate = *front.back();
    html += fmt::format("<p>{} of {} {}; {} on the front", count_text(data.alive()),
                        plural(data.networks.size(), "network"), data.finished ? "survived" : "still in the running",
                        front.size() == data.alive() && front.size() > 1
                            ? "all are"
                            : count_text(front.size()) + (front.size() == 1 ? " is" : " are"));
    if (front.size() > 1)
      html += fmt::format(", from <strong>{} at {}</strong> to <strong>{} at {}</strong>",
                          percent_text(fast.objectives.accuracy, 2), latency_text(fast.objectives.latency_us),
                          percent_text(accurate.objectives.accuracy, 2), latency_text(accurate.objectives.latency_us));
    else
      html += ": " + point_html(fast);
    html += ".";
    for (const NetworkView* view : front)
      if (view->knee)
        html += " The knee, where more latency begins to buy less accuracy, is " + point_html(*view) + ".";
    html += "</p>";
  }
  if (const auto threshold = data.number("threshold_us")) {
    const NetworkView *chosen = nullptr, *fastest = nullptr;
    for (const NetworkView& view : data.networks) {
      if (view.selected) chosen = &view;
      if (view.has_estimates() && (!fastest || view.objectives.latency_us < fastest->objectives.latency_us))
        fastest = &view;
    }
    if (chosen)
      html += fmt::format("<p>The most accurate network within {} is <strong>{}</strong>.</p>",
                          latency_text(*threshold), point_html(*chosen));
    else if (fastest)
      html += fmt::format("<p>No network reaches {}; the fastest is {}.</p>", latency_text(*threshold),
                          point_html(*fastest));
  }
  double log_gain = 0;
  size_t gains = 0;
  for (const NetworkView* view : front)
    if (std::isfinite(view->default_latency_us) && view->default_latency_us > 0) {
      log_gain += std::log(view->default_latency_us / view->objectives.latency_us);
      ++gains;
    }
  if (gains > 0)
    html += fmt::format(
        "<p>Tuning made the networks on the front <strong>{}</strong> faster than their default programs "
        "(geometric mean).</p>",
        times_text(std::exp(log_gain / gains)));
  return html;
}

std::string headline(const ReportData& data, const std::vector<const NetworkView*>& front) {
  std::string html = "<div class=\"tiles\">";
  html += tile(count_text(data.networks.size()), fmt::format("candidate networks, {} alive", count_text(data.alive())));
  html += tile(fmt::format("{} of {}", data.rounds.size(), data.planned_rounds), "rounds");
  html += tile(count_text(data.programs.size()),
               fmt::format("tensor programs on {}", plural(data.subgraphs.size(), "subgraph")));
  html += tile(count_text(data.steps), "optimiser steps");
  html += tile(duration_text(data.number("wall_seconds").value_or(data.elapsed_s)), "search time");
  if (!front.empty()) {
    double best = 0;
    for (const NetworkView* view : front) best = std::max(best, view->objectives.accuracy);
    html += tile(percent_text(best, 2), "best validation accuracy");
  }
  html += "</div><div class=\"summary\">" + result_sentences(data, front) + cost_sentence(data) + "</div>";
  return html;
}

// ---- the front ----

std::string round_legend(const ReportData& data) {
  std::vector<size_t> dropped(data.rounds.size() + 1, 0);
  for (const NetworkView& view : data.networks)
    if (!view.alive && view.round > 0) ++dropped[view.round];
  std::string html = "<div class=\"legend\">";
  html += fmt::format("<span><i class=\"chip alive\"></i>alive ({})</span>", count_text(data.alive()));
  for (size_t round = dropped.size(); round-- > 1;)
    if (dropped[round] > 0)
      html += fmt::format("<span><i class=\"chip r{}\"></i>dropped in round {} ({})</span>", round, round,
                          count_text(dropped[round]));
  return html + "</div>";
}

/// A sentence in a plot's place needs no legend.
std::string with_legend(const std::string& chart, const std::string& legend) {
  return chart.starts_with("<svg") ? chart + legend : chart;
}

std::string tags(const NetworkView& view) {
  std::string html;
  if (view.selected) html += "<span class=\"tag hot\">chosen</span>";
  if (view.knee) html += "<span class=\"tag\">knee</span>";
  return html;
}

std::string front_section(const ReportData& data, const std::vector<const NetworkView*>& front) {
  std::string html =
      section("front", "Accuracy and latency",
              data.has_results
                  ? "Every candidate at its last estimates: final ones for the survivors, those of its last round for "
                    "each dropped network. The line is the best accuracy within each latency."
                  : "Every candidate at its latest estimates; a dropped network keeps those of its last round. The "
                    "line is the best accuracy within each latency.");
  html += with_legend(front_chart(data), round_legend(data));
  const size_t hidden = std::count_if(data.networks.begin(), data.networks.end(),
                                      [](const NetworkView& view) { return !view.has_estimates(); });
  if (hidden > 0)
    html += fmt::format("<p class=\"sub\">Not drawn: {} without an accuracy or a valid latency.</p>",
                        plural(hidden, "network"));
  if (front.empty()) return html;

  std::vector<double> latencies;
  for (const NetworkView* view : front) latencies.push_back(view->objectives.latency_us);
  const LatencyUnit unit(latencies);
  const std::string in_unit = std::string(", ") + unit.name;
  html += "<h3>The front</h3>";
  Table table({{"#", "n"},
               {"architecture"},
               {"val., %", "n"},
               {"test, %", "n"},
               {"latency" + in_unit, "n"},
               {"end to end" + in_unit, "n"},
               {"diff.", "n"},
               {"untuned" + in_unit, "n"},
               {"MACs", "n"},
               {"param.", "n"}},
              "class=\"sorts\"");
  for (size_t i = 0; i < front.size(); ++i) {
    const NetworkView& view = *front[i];
    std::string end_to_end = kNone, difference = kNone;
    if (view.end_to_end_us > 0) {
      end_to_end = unit.text(view.end_to_end_us);
      difference = fmt::format("{:+.1f} %", 100 * (view.end_to_end_us / view.objectives.latency_us - 1));
    }
    table.row({std::to_string(i + 1), name_html(view.network.name) + " " + tags(view),
               fixed_text(100 * view.objectives.accuracy, 2),
               view.test_accuracy < 0 ? kNone : fixed_text(100 * view.test_accuracy, 2),
               unit.text(view.objectives.latency_us), end_to_end, difference, unit.text(view.default_latency_us),
               magnitude_text(view.network.macs), magnitude_text(view.network.parameters)});
  }
  return html + table.html() +
         "<p class=\"sub\">Latency is the sum over the network's subgraphs; end to end is the whole network measured "
         "as it "
         "ships. Untuned is the sum over the default programs.</p>";
}

// ---- learning and tuning ----

std::string curves_section(const ReportData& data, const std::vector<const NetworkView*>& shown) {
  std::string html = section("training", "Training",
                             "Validation accuracy of every network; a curve ends where its network was dropped.");
  html += with_legend(learning_chart(data), round_legend(data));

  html += section("tuning", "Tuning",
                  "Left: the subgraphs that cost the networks alive most time. Right: what that makes of whole "
                  "networks, those of the front first.");
  html += "<div class=\"pair\"><figure>" + subgraph_chart(data) + "</figure><figure>" +
          network_latency_chart(data, shown) + "</figure></div><div class=\"legend\">";
  if (!shown.empty()) html += "<span>Right:</span>";
  for (size_t i = 0; i < std::min(kSeries, shown.size()); ++i)
    html += fmt::format("<span><i class=\"chip k{}\"></i>{}</span>", i + 1, name_html(shown[i]->network.name));
  html += "</div>";
  if (data.subgraphs.empty()) return html;

  double total = 0;
  std::vector<double> latencies;
  for (const SubgraphView& view : data.subgraphs) {
    if (std::isfinite(view.best_us)) total += view.occurrences * view.best_us;
    latencies.push_back(view.best_us);
  }
  const std::vector<Column> columns = {{"subgraph"},         {"used", "n"},     {"share of time, %", "n"},
                                       {"default, µs", "n"}, {"best, µs", "n"}, {"gain", "n"},
                                       {"GFLOP/s", "n"},     {"programs", "n"}, {"failed", "n"}};
  auto row = [&](Table& table, size_t i) {
    const SubgraphView& view = data.subgraphs[i];
    const std::string chip = i < kSeries ? fmt::format("<i class=\"chip k{}\"></i>", i + 1) : "";
    std::string rate = kNone;
    try {
      if (std::isfinite(view.best_us)) rate = fixed_text(2e-3 * parse_subgraph(view.key).macs() / view.best_us, 1);
    } catch (const UserError&) {
      // Another tuner may name its subgraphs as it likes; then the operations are not known.
    }
    const bool gained = std::isfinite(view.best_us) && std::isfinite(view.default_us);
    table.row({chip + name_html(view.key), count_text(view.occurrences),
               std::isfinite(view.best_us) && total > 0 ? fixed_text(100 * view.occurrences * view.best_us / total, 1)
                                                        : kNone,
               fixed_text(view.default_us, 2), fixed_text(view.best_us, 2),
               gained ? fixed_text(view.default_us / view.best_us, 2) + "×" : kNone, rate, count_text(view.programs),
               count_text(view.failed)});
  };
  constexpr size_t kInSight = 16;
  Table first(columns, "class=\"sorts\"");
  for (size_t i = 0; i < std::min(kInSight, data.subgraphs.size()); ++i) row(first, i);
  html += first.html();
  if (data.subgraphs.size() > kInSight) {
    Table rest(columns, "class=\"sorts\"");
    for (size_t i = kInSight; i < data.subgraphs.size(); ++i) row(rest, i);
    html += fmt::format("<details><summary>{} more</summary>{}</details>",
                        plural(data.subgraphs.size() - kInSight, "subgraph"), rest.html("scroll tall"));
  }
  return html;
}

// ---- use of the devices, failures ----

std::string usage_section(const ReportData& data) {
  auto side = [](const char* name, const SideUse& use) {
    if (use.cores == 0) return fmt::format("{}: no work recorded", name);
    return fmt::format("{}: busy {} of the time on {}", name, percent_text(use.fraction), plural(use.cores, "core"));
  };
  std::string html =
      section("use", "Use of time", side("Training", data.train_use) + "; " + side("tuning", data.tune_use) + ".");
  html += usage_chart(data);
  html +=
      "<div class=\"legend\"><span><i class=\"chip k1\"></i>training</span><span><i class=\"chip "
      "k2\"></i>tuning</span></div>";
  if (data.rounds.empty()) return html;
  Table table({{"round", "n"},
               {"networks", "n"},
               {"kept", "n"},
               {"dropped", "n"},
               {"steps up to", "n"},
               {"programs", "n"},
               {"began", "n"},
               {"took", "n"}},
              "");
  for (const RoundView& round : data.rounds) {
    const auto& steps = round.row.to_steps;
    const bool ended = round.row.ended_s >= 0;
    table.row({std::to_string(round.ordinal), count_text(round.row.networks.size()),
               ended ? count_text(round.kept) : kNone, ended ? count_text(round.dropped) : kNone,
               steps.empty() ? kNone : count_text(*std::max_element(steps.begin(), steps.end())),
               round.row.programs > 0 ? count_text(round.row.programs) : kNone, duration_text(round.row.started_s),
               ended ? duration_text(round.row.ended_s - round.row.started_s) : "under way"});
  }
  return html + table.html();
}

std::string failures_section(const ReportData& data) {
  if (data.failures.empty())
    return section("failures", "Failures",
                   data.programs.empty() ? "No program has been tried yet."
                                         : "Every program tried compiled, ran and gave the right answer.");
  std::string html = section("failures", "Failures",
                             fmt::format("{} of {} failed ({}). None of these has a latency.",
                                         count_text(data.failed_programs), plural(data.programs.size(), "program"),
                                         percent_text(double(data.failed_programs) / data.programs.size())));
  Table table({{"cause", "w"}, {"count", "n"}, {"first seen on"}, {"first message", "message"}}, "");
  for (const FailureCount& failure : data.failures)
    table.row({to_text(failure.kind), count_text(failure.count), name_html(failure.subgraph),
               "<code>" + escape_html(shortened(failure.first_message, 600)) + "</code>"});
  return html + table.html();
}

// ---- all networks, events, configuration ----

std::string networks_section(const ReportData& data) {
  std::string html = section("networks", "All networks", "Why each was kept or dropped. A click on a heading sorts.");
  if (data.networks.empty()) return html + "<p class=\"none\">No candidates have been drawn yet.</p>";
  std::vector<double> latencies;
  for (const NetworkView& view : data.networks) latencies.push_back(view.objectives.latency_us);
  const LatencyUnit unit(latencies);
  Table table({{"architecture"},
               {"outcome", "w"},
               {"val., %", "n"},
               {std::string("latency, ") + unit.name, "n"},
               {"MACs, M", "n"},
               {"param., M", "n"},
               {"steps", "n"},
               {"why", "reason"}},
              "class=\"sorts\" id=\"all\"");
  for (const NetworkView& view : data.networks) {
    std::string outcome = "alive";
    if (!view.alive)
      outcome = fmt::format("dropped in {}", view.round);
    else if (view.non_dominated)
      outcome = "front";
    else if (view.round > 0)
      outcome = "kept";
    table.row({name_html(view.network.name) + " " + tags(view),
               fmt::format("<i class=\"chip {}\"></i>{}", colour_class(view), outcome),
               fixed_text(100 * view.objectives.accuracy, 2), unit.text(view.objectives.latency_us),
               fixed_text(view.network.macs / 1e6, 1), fixed_text(view.network.parameters / 1e6, 2),
               count_text(view.points.empty() ? 0 : view.points.back().step), escape_html(view.reason)});
  }
  return html +
         "<input type=\"search\" data-filters=\"all\" placeholder=\"filter: words of name, outcome, reason\" "
         "aria-label=\"filter the networks\" hidden>" +
         table.html("scroll tall");
}

std::string events_section(const ReportData& data) {
  std::string html =
      section("events", "Events", data.events.empty() ? "Nothing out of the ordinary was recorded." : "");
  if (data.events.empty()) return html;
  constexpr size_t kShown = 1000;
  const size_t first = data.events.size() > kShown ? data.events.size() - kShown : 0;
  if (first > 0)
    html += fmt::format("<p class=\"sub\">The last {} of {}.</p>", count_text(kShown), count_text(data.events.size()));
  Table table({{"after", "n"}, {"kind", "w"}, {"what"}}, "");
  for (size_t i = first; i < data.events.size(); ++i)
    table.row({duration_text(data.events[i].elapsed_s), escape_html(data.events[i].kind),
               escape_html(shortened(data.events[i].text, 1000))});
  return html + table.html(data.events.size() - first > 14 ? "scroll tall" : "scroll");
}

std::string configuration_section(const ReportData& data) {
  std::string html = section("configuration", "Configuration and machine", "");
  html += "<div class=\"pair\"><div><h3>Configuration</h3>";
  if (data.configuration.empty()) {
    html += "<p class=\"none\">None was stored.</p>";
  } else {
    Table table({{"key"}, {"value"}}, "");
    for (const auto& [key, value] : data.configuration)
      table.row({"<code>" + escape_html(key) + "</code>", "<code>" + escape_html(value) + "</code>"});
    html += table.html(data.configuration.size() > 24 ? "scroll tall" : "scroll");
  }
  html += "</div><div><h3>Where programs were measured</h3>";
  if (data.identity) {
    Table table({{"what"}, {"value"}}, "");
    auto row = [&](const char* name, const std::string& value) {
      table.row({name, "<code>" + escape_html(value) + "</code>"});
    };
    row("device", data.identity->device);
    row("target", data.identity->target);
    row("compiler", data.identity->compiler);
    row("threads", std::to_string(data.identity->threads));
    row("program space", std::to_string(data.identity->program_space));
    row("measuring protocol", std::to_string(data.identity->protocol));
    html += table.html();
  } else {
    html += "<p class=\"none\">Nothing has been measured yet.</p>";
  }
  return html + "</div></div>";
}

}  // namespace

std::string report_html(const ReportData& data) {
  std::vector<const NetworkView*> front, others;
  for (const NetworkView* view : front_points(data)) {
    if (view->non_dominated && view->has_estimates())
      front.push_back(view);
    else if (std::isfinite(view->objectives.latency_us))
      others.push_back(view);
  }
  std::vector<const NetworkView*> shown = front;
  shown.insert(shown.end(), others.begin(), others.end());

  const std::string name = escape_html(folder_name(data.folder));
  const char* state = data.finished ? "finished" : "unfinished";
  std::string html =
      page_head("SONAR: " + name, round_colours_css(std::max<int>(data.planned_rounds, data.rounds.size())));
  html += "<header><h1>" + name + "</h1>";
  html += fmt::format(
      "<div class=\"sub\"><span class=\"state {}\">{}</span> &nbsp;SONAR joint search of architectures and "
      "tensor programs",
      state, state);
  if (const auto algorithm = data.texts.find("algorithm"); algorithm != data.texts.end())
    html += ", algorithm " + escape_html(algorithm->second);
  if (const auto classes = data.number("classes")) html += fmt::format(", {} classes", count_text(*classes));
  if (const auto images = data.number("train_images")) html += fmt::format(", {}", plural(*images, "training image"));
  html += "</div><nav>";
  for (auto [id, title] : {std::pair{"front", "Front"},
                           {"training", "Training"},
                           {"tuning", "Tuning"},
                           {"use", "Time"},
                           {"failures", "Failures"},
                           {"networks", "Networks"},
                           {"events", "Events"},
                           {"configuration", "Configuration"}})
    html += fmt::format("<a href=\"#{}\">{}</a>", id, title);
  html += "</nav></header>\n<main>";
  html += headline(data, front);
  html += front_section(data, front);
  html += curves_section(data, shown);
  html += usage_section(data);
  html += failures_section(data);
  html += networks_section(data);
  html += events_section(data);
  html += configuration_section(data);
  return html + page_end("from run.db");
}

}  // namespace sonar
