// `tune` and `train`: the same stages for one network.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "model/error.h"
#include "search/open_run.h"
#include "search/search_run.h"

namespace sonar {
namespace {

using nlohmann::json;

RunEnd run_one(const Config& config, const std::string& architecture, const RunOptions& options,
               SearchRun::Purpose purpose) {
  SearchRun run(config, options, purpose, architecture);
  run.open_store();
  if (!run.already_finished()) {
    try {
      run.open_data();
      run.choose_candidates();
      run.start_device();
      run.restore();
      run.measure_defaults();
      while (run.begin_round()) {
        run.execute_round();
        run.eliminate();
      }
      run.finish();
    } catch (const Stopped&) {
      run.note_stop();
      return RunEnd::stopped;
    }
  }
  run.write_outcome();
  return RunEnd::finished;
}

struct SubgraphResult {
  SubgraphKey key;
  int occurrences = 0;
  double latency_us = std::numeric_limits<double>::infinity();
  double default_us = std::numeric_limits<double>::infinity();
  long programs = 0;
  std::map<std::string, long> failures;
  std::string best;  // knobs
};

}  // namespace

RunEnd run_tune(const Config& config, const std::string& architecture, const RunOptions& options) {
  return run_one(config, architecture, options, SearchRun::Purpose::tune);
}

RunEnd run_train(const Config& config, const std::string& architecture, const RunOptions& options) {
  return run_one(config, architecture, options, SearchRun::Purpose::train);
}

std::string tune_result(const std::string& folder, bool as_json) {
  const RunStore store = open_run(folder);
  const std::vector<NetworkRow> networks = store.networks();
  if (networks.size() != 1) throw UserError(folder + ": is no run of `tune`; see `sonar front` for a search");
  std::map<SubgraphKey, std::map<Knobs, std::pair<double, std::string>>> latest;  // a later measurement replaces
  std::map<SubgraphKey, SubgraphResult> results;
  std::map<long, MeasureJobRow> jobs;
  for (MeasureJobRow& job : store.measure_jobs()) jobs[job.id] = job;
  for (const ProgramRow& row : store.programs()) {
    SubgraphResult& result = results[row.subgraph];
    const MeasurePurpose purpose = jobs.at(row.job).purpose;
    if (purpose != MeasurePurpose::remeasure) ++result.programs;
    if (const auto* measurement = std::get_if<Measurement>(&row.outcome)) {
      latest[row.subgraph][row.knobs] = {measurement->median_us, row.knobs_text};
      if (purpose == MeasurePurpose::fallback) result.default_us = measurement->median_us;
    } else {
      ++result.failures[to_text(std::get<MeasureError>(row.outcome).kind)];
      latest[row.subgraph].erase(row.knobs);
    }
  }
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
             {"subgraphs", json::array()}};
    for (const SubgraphResult& r : rows)
      out["subgraphs"].push_back({{"key", r.key},
                                  {"occurrences", r.occurrences},
                                  {"latency_us", number(r.latency_us)},
                                  {"default_latency_us", number(r.default_us)},
                                  {"gflops", number(gflops(r))},
                                  {"programs", r.programs},
                                  {"failures", r.failures},
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
