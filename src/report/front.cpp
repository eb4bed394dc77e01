// The front as CSV, JSON and a terminal table.
#include "report/front.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "evaluate/csv.h"
#include "report/report.h"
#include "report/wording.h"

namespace sonar {
namespace {

std::string csv_text(const std::string& text) { return csv_field(valid_utf8(text)); }
std::string csv_number(double value) { return std::isfinite(value) ? fmt::format("{}", value) : ""; }
std::string csv_measured(double value) { return value < 0 ? "" : csv_number(value); }

nlohmann::json json_number(double value) {
  return std::isfinite(value) ? nlohmann::json(value) : nlohmann::json(nullptr);
}
nlohmann::json json_measured(double value) { return value < 0 ? nlohmann::json(nullptr) : json_number(value); }

std::string marks(const NetworkView& view) {
  std::string text = view.on_front ? "front" : view.alive ? "" : "dropped";
  if (view.knee) text += text.empty() ? "knee" : ", knee";
  if (view.selected) text += text.empty() ? "chosen" : ", chosen";
  return text;
}

}  // namespace

std::vector<const NetworkView*> front_points(const ReportData& data, FrontScope scope) {
  std::vector<const NetworkView*> points;
  for (const NetworkView& view : data.networks)
    if (view.alive || scope == FrontScope::all) points.push_back(&view);
  auto latency = [](const NetworkView* view) {
    return std::isnan(view->objectives.latency_us) ? INFINITY : view->objectives.latency_us;
  };
  std::stable_sort(points.begin(), points.end(),
                   [&](const NetworkView* a, const NetworkView* b) { return latency(a) < latency(b); });
  return points;
}

std::string front_csv(const ReportData& data, FrontScope scope) {
  std::string text = "architecture,val_accuracy,latency_us,on_front,test_accuracy,end_to_end_us,round,reason\n";
  for (const NetworkView* view : front_points(data, scope))
    text +=
        fmt::format("{},{},{},{},{},{},{},{}\n", csv_text(view->network.name), csv_number(view->objectives.accuracy),
                    csv_number(view->objectives.latency_us), view->on_front ? 1 : 0, csv_measured(view->test_accuracy),
                    csv_measured(view->end_to_end_us), view->round, csv_text(view->reason));
  return text;
}

nlohmann::json front_points_json(const ReportData& data, FrontScope scope) {
  nlohmann::json points = nlohmann::json::array();
  for (const NetworkView* view : front_points(data, scope))
    points.push_back({{"architecture", view->network.name},
                      {"val_accuracy", json_number(view->objectives.accuracy)},
                      {"latency_us", json_number(view->objectives.latency_us)},
                      {"on_front", view->on_front},
                      {"test_accuracy", json_measured(view->test_accuracy)},
                      {"end_to_end_us", json_measured(view->end_to_end_us)},
                      {"default_latency_us", json_number(view->default_latency_us)},
                      {"macs", json_number(view->network.macs)},
                      {"parameters", json_number(view->network.parameters)},
                      {"knee", view->knee},
                      {"selected", view->selected},
                      {"alive", view->alive},
                      {"round", view->round},
                      {"reason", view->reason}});
  return points;
}

std::string json_text(const nlohmann::json& json) {
  // Compiler messages and file names may hold anything: bytes that are no UTF-8 are replaced, never thrown upon.
  return json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

std::string front_json(const ReportData& data, FrontScope scope) {
  return json_text({{"finished", data.finished}, {"points", front_points_json(data, scope)}});
}

std::string front_text(const ReportData& data, FrontScope scope) {
  const auto points = front_points(data, scope);
  if (points.empty()) return "no networks yet\n";
  std::vector<std::vector<std::string>> table = {
      {"architecture", "val acc", "test acc", "latency", "end to end", "MACs", "parameters", ""}};
  for (const NetworkView* view : points) {
    std::string end_to_end = view->end_to_end_us < 0 ? "–" : latency_text(view->end_to_end_us);
    table.push_back({valid_utf8(view->network.name), percent_text(view->objectives.accuracy, 2),
                     view->test_accuracy < 0 ? "–" : percent_text(view->test_accuracy, 2),
                     latency_text(view->objectives.latency_us), end_to_end, magnitude_text(view->network.macs),
                     magnitude_text(view->network.parameters), marks(*view)});
  }
  return table_text(table, {false, true, true, true, true, true, true, false});
}

std::string table_text(const std::vector<std::vector<std::string>>& table, const std::vector<bool>& right) {
  std::vector<size_t> widths(right.size(), 0);
  for (const auto& row : table)
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], display_width(row[i]));
  std::string text;
  for (const auto& row : table) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      const std::string padding(widths[i] - display_width(row[i]), ' ');
      line += (i ? "  " : "") + (right[i] ? padding + row[i] : row[i] + padding);
    }
    text += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
  }
  return text;
}

}  // namespace sonar
