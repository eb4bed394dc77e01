// How far a run is: for `sonar status`, live or after the fact.
#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "report/front.h"
#include "report/report.h"
#include "report/wording.h"

namespace sonar {
namespace {

const char* state_of(const ReportData& data) {
  if (data.finished) return "finished";
  return data.writer ? "running" : "stopped";
}

/// The most accurate network so far, ties by latency.
const NetworkView* best_so_far(const ReportData& data) {
  const NetworkView* best = nullptr;
  for (const NetworkView& view : data.networks) {
    if (!view.alive || !view.has_estimates()) continue;
    if (!best || view.objectives.accuracy > best->objectives.accuracy ||
        (view.objectives.accuracy == best->objectives.accuracy &&
         view.objectives.latency_us < best->objectives.latency_us))
      best = &view;
  }
  return best;
}

nlohmann::json optional_json(const std::optional<double>& value) {
  return value ? nlohmann::json(*value) : nlohmann::json(nullptr);
}

nlohmann::json network_json(const NetworkView* view) {
  if (!view) return nullptr;
  return {{"architecture", view->network.name},
          {"val_accuracy", view->objectives.accuracy},
          {"latency_us", view->objectives.latency_us}};
}

const NetworkView* marked(const ReportData& data, bool NetworkView::*mark) {
  for (const NetworkView& view : data.networks)
    if (view.*mark) return &view;
  return nullptr;
}

nlohmann::json side_json(const ReportData& data, const SideUse& use, const std::string& name) {
  const auto budget = data.number(name + "_budget"), spent = data.number(name + "_spent");
  nlohmann::json json = {{"cores", use.cores},
                         {"busy_seconds", use.busy_s},
                         {"busy_fraction", use.fraction},
                         {"budget", optional_json(budget)},
                         {"spent", optional_json(spent)},
                         {"left", budget && spent ? nlohmann::json(std::max(0.0, *budget - *spent)) : nullptr}};
  if (const auto unit = data.texts.find(name + "_unit"); unit != data.texts.end()) json["unit"] = unit->second;
  return json;
}

std::string budget_text(const ReportData& data, const std::string& name) {
  const auto budget = data.number(name + "_budget"), spent = data.number(name + "_spent");
  if (!budget || !spent) return "";
  const auto it = data.texts.find(name + "_unit");
  const std::string unit = it == data.texts.end() ? "" : " " + valid_utf8(it->second);
  return fmt::format("; budget: {} of {}{} spent, {} left", count_text(*spent), count_text(*budget), unit,
                     count_text(std::max(0.0, *budget - *spent)));
}

std::string use_text(const SideUse& use) {
  if (use.cores == 0) return "no work recorded yet";
  return fmt::format("busy {} of the time on {}", percent_text(use.fraction), plural(use.cores, "core"));
}

std::string point_text(const NetworkView& view) {
  return fmt::format("{} at {}  {}", percent_text(view.objectives.accuracy, 2),
                     latency_text(view.objectives.latency_us), valid_utf8(view.network.name));
}

}  // namespace

std::string status_json(const ReportData& data) {
  nlohmann::json failures = nlohmann::json::array();
  for (const FailureCount& failure : data.failures)
    failures.push_back({{"cause", to_text(failure.kind)},
                        {"count", failure.count},
                        {"subgraph", failure.subgraph},
                        {"first_message", failure.first_message}});
  nlohmann::json last_event = nullptr;
  if (!data.events.empty()) {
    const auto& event = data.events.back();
    last_event = {{"kind", event.kind}, {"text", event.text}};
    if (std::isfinite(event.elapsed_s)) last_event["elapsed_s"] = event.elapsed_s;
  }
  const auto time_budget = data.number("time_budget_s");
  nlohmann::json json = {
      {"run", data.folder},
      {"state", state_of(data)},
      {"process", data.writer ? nlohmann::json(*data.writer) : nullptr},
      {"finished", data.finished},
      {"round", data.rounds.size()},
      {"rounds", data.planned_rounds},
      {"networks", data.networks.size()},
      {"survivors", data.alive()},
      {"subgraphs", data.subgraphs.size()},
      {"elapsed_s", data.elapsed_s},
      {"time_budget_s", optional_json(time_budget)},
      {"time_left_s",
       time_budget && !data.finished ? nlohmann::json(std::max(0.0, *time_budget - data.elapsed_s)) : nullptr},
      {"steps", data.steps},
      {"programs", data.programs.size()},
      {"failed_programs", data.failed_programs},
      {"train", side_json(data, data.train_use, "train")},
      {"tune", side_json(data, data.tune_use, "tune")},
      {"failures", failures},
      {"last_event", last_event},
      {"best", network_json(best_so_far(data))},
      {"knee", network_json(marked(data, &NetworkView::knee))},
      {"threshold_us", optional_json(data.number("threshold_us"))},
      {"selected", network_json(marked(data, &NetworkView::selected))}};
  if (data.has_results) json["results"] = front_points_json(data, FrontScope::survivors);
  return json_text(json);
}

std::string status_text(const ReportData& data) {
  std::string text = fmt::format("run {}: {}", data.folder, state_of(data));
  if (data.writer && *data.writer > 0) text += fmt::format(" (process {})", *data.writer);
  if (!data.finished && !data.writer) text += "; 'sonar search' with the same configuration and folder continues it";
  text += "\n";
  auto line = [&](const char* name, const std::string& value) { text += fmt::format("{:<13}{}\n", name, value); };

  if (data.networks.empty())
    line("round", "not begun");
  else if (data.rounds.empty())
    line("round",
         fmt::format("not begun, {} planned; {}", data.planned_rounds, plural(data.networks.size(), "network")));
  else
    line("round", fmt::format("{} of {}; {} of {} left", data.rounds.size(), data.planned_rounds,
                              count_text(data.alive()), plural(data.networks.size(), "network")));
  std::string time = duration_text(data.elapsed_s);
  if (const auto budget = data.number("time_budget_s"); budget && !data.finished)
    time +=
        fmt::format(" of {}, {} left", duration_text(*budget), duration_text(std::max(0.0, *budget - data.elapsed_s)));
  line("time", time);
  line("training",
       use_text(data.train_use) + fmt::format("; {}", plural(data.steps, "step")) + budget_text(data, "train"));
  std::string failed;
  if (data.failed_programs > 0)
    failed = fmt::format(", {} failed ({})", count_text(data.failed_programs),
                         percent_text(double(data.failed_programs) / data.programs.size()));
  line("tuning", use_text(data.tune_use) +
                     fmt::format("; {} tried on {}{}", plural(data.programs.size(), "program"),
                                 plural(data.subgraphs.size(), "subgraph"), failed) +
                     budget_text(data, "tune"));
  for (const FailureCount& failure : data.failures)
    line("failure", fmt::format("{} x {}: {} ({})", count_text(failure.count), to_text(failure.kind),
                                shortened(failure.first_message, 160), valid_utf8(failure.subgraph)));
  if (!data.events.empty())
    line("last event",
         fmt::format("{}: {} (after {})", valid_utf8(data.events.back().kind), shortened(data.events.back().text, 200),
                     duration_text(data.events.back().elapsed_s)));
  if (const NetworkView* best = best_so_far(data)) line("best so far", point_text(*best));
  if (const NetworkView* knee = marked(data, &NetworkView::knee)) line("knee", point_text(*knee));
  if (const auto threshold = data.number("threshold_us")) {
    const NetworkView* selected = marked(data, &NetworkView::selected);
    line("threshold",
         latency_text(*threshold) + ": " + (selected ? point_text(*selected) : "no network reaches it yet"));
  }
  if (data.has_results) text += "\n" + front_text(data);
  return text;
}

}  // namespace sonar
