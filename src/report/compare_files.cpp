#include "report/compare_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "evaluate/csv.h"
#include "report/front.h"
#include "report/html.h"
#include "report/wording.h"

namespace sonar {
namespace {

using Json = nlohmann::ordered_json;

std::string number(double value) { return std::isfinite(value) ? fmt::format("{}", value) : ""; }
Json json_number(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

/// Figures in the table of searches: name, heading, decimals.
struct Shown {
  const char *name, *heading;
  int decimals;
};
constexpr Shown kShown[] = {{"achieved", "achieved gap", 2}, {"achieved_misses", "missed", 1},
                            {"selected", "selected gap", 2}, {"misses", "missed", 1},
                            {"survivors", "survivors", 1},   {"hypervolume_ratio", "hypervolume", 3},
                            {"kendall_tau", "tau", 3}};

/// With its first column flush left.
std::string aligned(const std::vector<std::vector<std::string>>& cells) {
  std::vector<bool> right(cells[0].size(), true);
  right[0] = false;
  return table_text(cells, right);
}

/// Table 2: names of the metrics over all truths, those of searches last.
std::vector<std::string> metric_names(const Comparison& comparison) {
  std::vector<std::string> names;
  for (const bool of_search : {false, true})
    for (const ComparedTruth& truth : comparison.truths)
      for (const RankedMetric& metric : truth.ranks) {
        const bool is_search = std::any_of(truth.searches.begin(), truth.searches.end(),
                                           [&](const ComparedSearch& search) { return search.name == metric.name; });
        if (is_search == of_search && std::find(names.begin(), names.end(), metric.name) == names.end())
          names.push_back(metric.name);
      }
  return names;
}

const RankedMetric* find_metric(const ComparedTruth& truth, const std::string& name) {
  for (const RankedMetric& metric : truth.ranks)
    if (metric.name == name && std::isfinite(metric.tau.mean)) return &metric;
  return nullptr;
}

/// "0.93", "0.93 ± 0.01".
std::string estimate_text(const Estimate& estimate, int decimals) {
  if (!std::isfinite(estimate.mean)) return kNone;
  std::string text = fixed_text(estimate.mean, decimals);
  if (std::isfinite(estimate.half_width)) text += " ± " + fixed_text(estimate.half_width, decimals);
  return text;
}

}  // namespace

std::vector<const ComparedSearch*> shown_in_figure6(const ComparedTruth& truth) {
  std::vector<const ComparedSearch*> shown;
  for (const ComparedSearch& search : truth.searches) {
    if (!search.refused.empty()) continue;
    const auto same = std::find_if(shown.begin(), shown.end(), [&](const ComparedSearch* other) {
      return !search.real() && !other->real() && other->algorithm == search.algorithm;
    });
    if (same == shown.end())
      shown.push_back(&search);
    else if (search.speedup > (*same)->speedup)
      *same = &search;
  }
  return shown;
}

std::vector<std::vector<std::string>> search_cells(const ComparedTruth& truth) {
  std::vector<std::vector<std::string>> cells(1, {"search"});
  for (const Shown& shown : kShown) cells[0].push_back(shown.heading);
  for (const ComparedSearch& search : truth.searches) {
    if (!search.refused.empty()) continue;
    std::vector<std::string>& row = cells.emplace_back(1, search.name);
    for (const Shown& shown : kShown) row.push_back(estimate_text(search.figure(shown.name), shown.decimals));
  }
  return cells;
}

std::vector<std::vector<std::string>> table2_cells(const Comparison& comparison) {
  std::vector<std::vector<std::string>> cells(1, {"metric"});
  for (const ComparedTruth& truth : comparison.truths) cells[0].push_back(truth.name);
  for (const std::string& name : metric_names(comparison)) {
    std::vector<std::string>& row = cells.emplace_back(1, name);
    for (const ComparedTruth& truth : comparison.truths) {
      const RankedMetric* metric = find_metric(truth, name);
      row.push_back(metric ? estimate_text(metric->tau, 3) : "*");
      if (metric && metric->networks < static_cast<long>(truth.trace->networks.size()))
        row.back() += fmt::format(" (n = {})", metric->networks);
    }
  }
  return cells;
}

std::vector<std::string> remarks(const ComparedTruth& truth) {
  std::vector<std::string> result = truth.notes;
  for (const ComparedSearch& search : truth.searches) {
    if (!search.refused.empty()) result.push_back(search.name + " is not possible: " + search.refused);
    for (const std::string& note : search.notes) result.push_back(search.name + ": " + note);
  }
  return result;
}

std::string figure5_csv(const Comparison& comparison) {
  std::string csv =
      "trace,series,seed,network,final_accuracy,final_latency_us,search_accuracy,search_latency_us,on_search_front\n";
  for (const ComparedTruth& truth : comparison.truths) {
    const std::string name = csv_field(truth.name);
    const auto finals = [&](size_t i) {
      const Trace::Network& network = truth.trace->networks[i];
      return number(network.final_accuracy) + "," + number(network.final_latency_us);
    };
    for (size_t i = 0; i < truth.trace->networks.size(); ++i)
      csv += fmt::format("{},all,,{},{},,,\n", name, csv_field(truth.trace->networks[i].name), finals(i));
    for (size_t i : truth.truth->front())
      csv += fmt::format("{},true front,,{},{},,,\n", name, csv_field(truth.trace->networks[i].name), finals(i));
    for (const ComparedSearch& search : truth.searches)
      for (const ReturnedNetwork& network : search.returned)
        csv += fmt::format("{},{},{},{},{},{},{},{}\n", name, csv_field(search.name),
                           network.seed > 0 ? std::to_string(network.seed) : "", csv_field(network.name),
                           network.place == ReturnedNetwork::kUnknown ? "," : finals(network.place),
                           number(network.objectives.accuracy), number(network.objectives.latency_us),
                           network.answer ? 1 : 0);
  }
  return csv;
}

std::string figure6_csv(const Comparison& comparison) {
  std::string csv = "trace,search,network,final_accuracy,final_latency_us,macs,brute_force,sonar,flops\n";
  for (const ComparedTruth& truth : comparison.truths)
    for (const ComparedSearch* search : shown_in_figure6(truth)) {
      std::vector<bool> answers(truth.trace->networks.size());
      for (const ReturnedNetwork& network : search->returned)
        if (network.seed <= 1 && network.answer && network.place != ReturnedNetwork::kUnknown)
          answers[network.place] = true;
      for (size_t i = 0; i < answers.size(); ++i) {
        const Trace::Network& network = truth.trace->networks[i];
        csv +=
            fmt::format("{},{},{},{},{},{},{:d},{:d},{:d}\n", csv_field(truth.name), csv_field(search->name),
                        csv_field(network.name), number(network.final_accuracy), number(network.final_latency_us),
                        number(truth.macs[i]), bool(truth.on_front[i]), bool(answers[i]), bool(truth.flops_front[i]));
      }
    }
  return csv;
}

std::string figure7_csv(const Comparison& comparison) {
  std::string csv =
      "trace,search,axis,seconds,part_of_brute_force,seeds,achieved,half_width,achieved_misses,achieved_with_misses,"
      "half_width_with_misses\n";
  for (const ComparedTruth& truth : comparison.truths)
    for (const ComparedSearch& search : truth.searches)
      for (const bool clock : {false, true})
        for (const GapPoint& point : clock ? search.clock : search.curve)
          csv += fmt::format("{},{},{},{},{},{},{},{},{},{},{}\n", csv_field(truth.name), csv_field(search.name),
                             clock ? "clock" : "ledgers", number(point.seconds),
                             clock ? "" : number(point.seconds / truth.brute_force_s()), point.achieved.values,
                             number(point.achieved.mean), number(point.achieved.half_width), number(point.misses),
                             number(point.achieved_with_misses.mean), number(point.achieved_with_misses.half_width));
  return csv;
}

std::string table2_csv(const Comparison& comparison) {
  std::string csv = "metric,trace,kendall_tau,half_width,networks\n";
  for (const std::string& name : metric_names(comparison))
    for (const ComparedTruth& truth : comparison.truths)
      if (const RankedMetric* metric = find_metric(truth, name))
        csv += fmt::format("{},{},{},{},{}\n", csv_field(name), csv_field(truth.name), number(metric->tau.mean),
                           number(metric->tau.half_width), metric->networks);
  return csv;
}

std::string searches_csv(const Comparison& comparison) {
  std::string csv = "trace,search,algorithm,speedup,figure,mean,half_width,seeds\n";
  for (const ComparedTruth& truth : comparison.truths)
    for (const ComparedSearch& search : truth.searches)
      for (const auto& [name, value] : search.figures)
        csv += fmt::format("{},{},{},{},{},{},{},{}\n", csv_field(truth.name), csv_field(search.name),
                           csv_field(search.algorithm), search.real() ? "" : number(search.speedup), name,
                           number(value.mean), number(value.half_width), value.values);
  return csv;
}

std::string comparison_text(const Comparison& comparison, const std::vector<std::string>& files) {
  std::string text;
  for (const ComparedTruth& truth : comparison.truths) {
    text +=
        fmt::format("{}: {}, {}, {} on the true front; brute force: {} of training, {} of tuning\n", truth.name,
                    plural(truth.trace->networks.size(), "network"),
                    plural(truth.trace->subgraphs.size(), "unique subgraph"), truth.truth->front().size(),
                    duration_text(truth.trace->brute_force_train_s), duration_text(truth.trace->brute_force_tune_s));
    text += aligned(search_cells(truth));
    for (const std::string& remark : remarks(truth)) text += "note: " + remark + "\n";
    text += '\n';
  }
  text += "Kendall's tau with the final latency\n";
  text += aligned(table2_cells(comparison));
  text += fmt::format("Means over {}, ± half of the 95 % confidence interval; gaps in % points.",
                      plural(comparison.seeds, "seed"));
  for (const std::string& file : files) text += "\n" + file;
  return text;
}

std::string comparison_json(const Comparison& comparison, const std::vector<std::string>& files) {
  Json json = {{"seeds", comparison.seeds}, {"truths", Json::array()}, {"files", files}};
  const auto estimate_json = [](const Estimate& value) {
    return Json{{"mean", json_number(value.mean)}, {"half_width", json_number(value.half_width)}};
  };
  for (const ComparedTruth& truth : comparison.truths) {
    Json entry = {
        {"trace", truth.name},
        {"networks", truth.trace->networks.size()},
        {"unique_subgraphs", truth.trace->subgraphs.size()},
        {"true_front", truth.truth->front().size()},
        {"brute_force", {{"train_s", truth.trace->brute_force_train_s}, {"tune_s", truth.trace->brute_force_tune_s}}},
        {"notes", truth.notes},
        {"searches", Json::array()},
        {"kendall_tau", Json::object()}};
    for (const ComparedSearch& search : truth.searches) {
      Json of_search = {{"name", search.name},
                        {"algorithm", search.algorithm},
                        {"speedup", search.real() ? Json(nullptr) : Json(search.speedup)},
                        {"refused", search.refused.empty() ? Json(nullptr) : Json(search.refused)},
                        {"notes", search.notes},
                        {"figures", Json::object()}};
      for (const auto& [name, value] : search.figures) of_search["figures"][name] = estimate_json(value);
      entry["searches"].push_back(std::move(of_search));
    }
    for (const RankedMetric& metric : truth.ranks) entry["kendall_tau"][metric.name] = estimate_json(metric.tau);
    json["truths"].push_back(std::move(entry));
  }
  return json.dump(2);
}

}  // namespace sonar
