// What the verbs print when they are done, read from the run directory.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "model/error.h"
#include "report/report.h"
#include "search/open_run.h"
#include "sonar/sonar.h"

namespace sonar {
namespace {

using nlohmann::json;

struct SubgraphResult {
  SubgraphKey key;
  int occurrences = 0;
  double latency_us = std::numeric_limits<double>::infinity();
  double default_us = std::numeric_limits<double>::infinity();
  long programs = 0;
  std::map<std::string, long> failures;
  std::string best;  // knobs
  bool from_records = false;
  long earlier_programs = 0;  // tried by other runs
};

/// "Brute force would have cost ...", or nothing where that is not known or was done.
std::string saved_cost(const RunStore& store) {
  auto number = [&](const char* name) {
    const auto text = store.value(name);
    return text ? std::stod(*text) : 0.0;
  };
  const double train = number("brute_force_train_seconds"), tune = number("brute_force_tune_seconds");
  const double train_spent = number("train_seconds"), tune_spent = number("tune_seconds");
  if (store.value("algorithm") == "brute-force" || !(train > 0 && tune > 0 && train_spent > 0 && tune_spent > 0))
    return "";
  return fmt::format(
      "Brute force would have cost {:.1f}x the training ({:.0f} s against {:.0f} s) and {:.1f}x the tuning ({:.0f} s "
      "against {:.0f} s), by the recorded cost of a step and of a program.\n",
      train / train_spent, train, train_spent, tune / tune_spent, tune, tune_spent);
}

/// Of a threshold search: that no network is within the limit.
std::string missed_threshold(const RunStore& store) {
  const std::vector<ResultRow> results = store.results();
  if (store.value("algorithm") != "threshold" || results.empty() ||
      std::any_of(results.begin(), results.end(), [](const ResultRow& row) { return row.on_front; }))
    return "";
  const ResultRow& fastest = *std::min_element(
      results.begin(), results.end(),
      [](const ResultRow& a, const ResultRow& b) { return a.objectives.latency_us < b.objectives.latency_us; });
  return fmt::format("no network reaches {:g} ms; the fastest is {} with {:.4g} ms\n",
                     std::stod(store.value("threshold_us").value_or("0")) / 1000, fastest.network,
                     fastest.objectives.latency_us / 1000);
}

}  // namespace

std::string search_result(const std::string& folder, bool as_json) {
  if (as_json) return front(folder, FrontFormat::json);
  const RunStore store = open_run(folder);
  return front(folder, FrontFormat::text) + "\n" + missed_threshold(store) + saved_cost(store) + "report: " + folder +
         "/report.html";
}

std::string tune_result(const std::string& folder, bool as_json) {
  const RunStore store = open_run(folder);
  const std::vector<NetworkRow> networks = store.networks();
  if (networks.size() != 1) throw UserError(folder + ": is no run of `tune`; see `sonar front` for a search");
  std::map<SubgraphKey, std::map<Knobs, std::pair<double, std::string>>> latest;  // a later measurement replaces
  std::map<SubgraphKey, SubgraphResult> results;
  std::map<SubgraphKey, std::string> defaults;  // the default programs
  for (const EarlierRow& row : store.earlier())
    if (row.default_program) defaults[row.subgraph] = row.knobs;
  std::map<long, MeasureJobRow> jobs;
  for (MeasureJobRow& job : store.measure_jobs()) jobs[job.id] = job;
  for (const ProgramRow& row : store.programs()) {
    SubgraphResult& result = results[row.subgraph];
    const MeasurePurpose purpose = jobs.at(row.job).purpose;
    if (purpose != MeasurePurpose::remeasure) ++result.programs;
    if (const auto* measurement = std::get_if<Measurement>(&row.outcome)) {
      latest[row.subgraph][row.knobs] = {measurement->median_us, row.knobs_text};
      if (purpose == MeasurePurpose::fallback) defaults[row.subgraph] = row.knobs_text;
      // The latest reading, as of the others.
      const auto is_default = defaults.find(row.subgraph);
      if (is_default != defaults.end() && is_default->second == row.knobs_text)
        result.default_us = measurement->median_us;
    } else {
      ++result.failures[to_text(std::get<MeasureError>(row.outcome).kind)];
      latest[row.subgraph].erase(row.knobs);
    }
  }
  for (const EarlierSubgraphRow& row : store.earlier_subgraphs()) {
    results[row.subgraph].earlier_programs = row.programs;
    results[row.subgraph].from_records = row.answered;
  }
  for (const EarlierRow& row : store.earlier()) {
    const auto found = results.find(row.subgraph);
    if (found == results.end() || !found->second.from_records || !row.latency_us) continue;
    if (row.default_program && !std::isfinite(found->second.default_us)) found->second.default_us = *row.latency_us;
    // The programs that were measured once more count as measured now.
    if (latest[row.subgraph].empty() && found->second.failures.empty() && *row.latency_us < found->second.latency_us)
      found->second.latency_us = *row.latency_us, found->second.best = row.knobs;
  }
  long answered = 0, earlier_programs = 0, new_programs = 0;
  double total = 0, default_total = 0;
  std::vector<SubgraphResult> rows;
  for (const auto& [key, occurrences] : networks.front().subgraphs) {
    SubgraphResult& result = results[key];
    result.key = key;
    result.occurrences = occurrences;
    for (const auto& [knobs, entry] : latest[key])
      if (entry.first < result.latency_us) result.latency_us = entry.first, result.best = entry.second;
    total += occurrences * result.latency_us;
    default_total += occurrences * result.default_us;
    answered += result.from_records;
    earlier_programs += result.earlier_programs;
    new_programs += result.programs;
    rows.push_back(result);
  }
  std::stable_sort(rows.begin(), rows.end(), [](const SubgraphResult& a, const SubgraphResult& b) {
    return a.occurrences * a.latency_us > b.occurrences * b.latency_us;
  });
  const std::vector<ResultRow> whole = store.results();
  const double end_to_end = whole.empty() ? -1 : whole.front().end_to_end_us;
  auto gflops = [](const SubgraphResult& r) { return 2 * parse_subgraph(r.key).macs() / (r.latency_us * 1e3); };
  if (as_json) {
    auto number = [](double value) { return std::isfinite(value) ? json(value) : json(nullptr); };
    json out{{"architecture", networks.front().name},
             {"latency_us", number(total)},
             {"default_latency_us", number(default_total)},
             {"end_to_end_us", end_to_end > 0 ? json(end_to_end) : json(nullptr)},
             {"finished", store.value("finished") == "1"},
             {"subgraphs_from_records", answered},
             {"earlier_programs", earlier_programs},
             {"programs", new_programs},
             {"subgraphs", json::array()}};
    if (const auto library = store.value("earlier_library")) out["records"] = *library;
    for (const SubgraphResult& r : rows)
      out["subgraphs"].push_back({{"key", r.key},
                                  {"occurrences", r.occurrences},
                                  {"latency_us", number(r.latency_us)},
                                  {"default_latency_us", number(r.default_us)},
                                  {"gflops", number(gflops(r))},
                                  {"programs", r.programs},
                                  {"failures", r.failures},
                                  {"from_records", r.from_records},
                                  {"earlier_programs", r.earlier_programs},
                                  {"knobs", r.best}});
    return out.dump(2);
  }
  size_t width = 8;
  for (const SubgraphResult& r : rows) width = std::max(width, r.key.size());
  std::string text = fmt::format("{:<{}}  {:>5}  {:>10}  {:>10}  {:>8}  {:>8}  failures\n", "subgraph", width, "times",
                                 "latency us", "default us", "GFLOP/s", "programs");
  for (const SubgraphResult& r : rows) {
    std::string failures;
    for (const auto& [cause, count] : r.failures)
      failures += fmt::format("{}{} {}", failures.empty() ? "" : ", ", count, cause);
    text += fmt::format("{:<{}}  {:>5}  {:>10.2f}  {:>10.2f}  {:>8.1f}  {:>8}  {}\n", r.key, width, r.occurrences,
                        r.latency_us, r.default_us, gflops(r), r.programs, failures.empty() ? "-" : failures);
  }
  text += fmt::format("\n{}: {:.1f} us as the sum of its subgraphs, {:.1f} us with the default programs",
                      networks.front().name, total, default_total);
  if (end_to_end > 0)
    text += fmt::format("; {:.1f} us measured as a whole ({:+.1f} %)", end_to_end, 100 * (total / end_to_end - 1));
  if (const auto library = store.value("earlier_library"))
    text += fmt::format("\n{} of {} subgraphs from records; programs tried: {} before ({}), {} now", answered,
                        rows.size(), earlier_programs, *library, new_programs);
  return text;
}

std::string train_result(const std::string& folder, bool as_json) {
  const RunStore store = open_run(folder);
  const auto points = store.train_points();
  const std::vector<ResultRow> results = store.results();
  if (as_json) {
    json out{{"finished", store.value("finished") == "1"}, {"points", json::array()}};
    for (const auto& [point, round, elapsed] : points)
      out["points"].push_back({{"step", point.step},
                               {"val_accuracy", point.val_accuracy},
                               {"train_loss", point.train_loss},
                               {"seconds", point.seconds},
                               {"val_images", point.val_images}});
    if (!results.empty()) {
      out["architecture"] = results.front().network;
      out["val_accuracy"] = results.front().objectives.accuracy;
      out["test_accuracy"] = results.front().test_accuracy;
    }
    return out.dump(2);
  }
  std::string text =
      fmt::format("{:>8}  {:>10}  {:>10}  {:>8}  images\n", "step", "val acc %", "train loss", "seconds");
  for (const auto& [point, round, elapsed] : points)
    text += fmt::format("{:>8}  {:>10.2f}  {:>10.4f}  {:>8.1f}  {}\n", point.step, 100 * point.val_accuracy,
                        point.train_loss, point.seconds, point.val_images);
  if (!results.empty())
    text += fmt::format("\n{}: {:.2f} % validation, {:.2f} % test", results.front().network,
                        100 * results.front().objectives.accuracy, 100 * results.front().test_accuracy);
  return text;
}

}  // namespace sonar
