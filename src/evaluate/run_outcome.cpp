#include "evaluate/run_outcome.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <map>

#include "evaluate/recorded_cost.h"
#include "model/error.h"
#include "policy/survivors.h"

namespace sonar {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// Best latency of each subgraph by the last reading of each program: what is measured again replaces what was before.
std::map<SubgraphKey, double> best_latencies(const RunStore& store, const std::vector<ProgramRow>& programs) {
  std::map<SubgraphKey, std::map<std::string, double>> readings;
  for (const EarlierSubgraphRow& row : store.earlier_subgraphs())
    if (row.answered)
      for (const EarlierRow& earlier : store.earlier())
        if (earlier.subgraph == row.subgraph && earlier.latency_us)
          readings[row.subgraph][earlier.knobs] = *earlier.latency_us;
  for (const ProgramRow& row : programs) {
    const auto* measurement = std::get_if<Measurement>(&row.outcome);
    readings[row.subgraph][row.knobs_text] = measurement ? measurement->median_us : kInfinity;
  }
  std::map<SubgraphKey, double> best;
  for (const auto& [key, of_programs] : readings) {
    best[key] = kInfinity;
    for (const auto& [knobs, latency] : of_programs) best[key] = std::min(best[key], latency);
  }
  return best;
}

void mark_answers(std::vector<RunOutcome::Returned>& returned) {
  std::vector<Objectives> objectives;
  for (const RunOutcome::Returned& network : returned) objectives.push_back(network.objectives);
  const std::vector<bool> front = on_front(objectives);
  for (size_t i = 0; i < returned.size(); ++i) returned[i].answer = front[i];
}

}  // namespace

RunOutcome read_outcome(const std::string& folder) {
  if (!std::filesystem::exists(folder + "/run.db"))
    throw UserError(folder + ": holds no run (no run.db); name the folder that sonar search was given with --out");
  const RunStore store(folder, RunStore::Mode::read_only);
  RunOutcome outcome;
  outcome.algorithm = store.value("algorithm").value_or("");
  outcome.finished = store.value("finished") == "1";
  outcome.identity = store.identity();
  if (const auto text = store.value("elapsed_s")) outcome.elapsed_s = std::stod(*text);

  const std::vector<ProgramRow> programs = store.programs();
  const std::vector<double> costs = recorded_costs(programs, store);
  const std::map<SubgraphKey, double> best = best_latencies(store, programs);
  std::map<std::string, size_t> place;
  for (const NetworkRow& row : store.networks()) {
    RunOutcome::Candidate& candidate = outcome.candidates.emplace_back();
    candidate.name = row.name;
    for (const auto& [key, count] : row.subgraphs) {
      const auto found = best.find(key);
      candidate.latency_us += count * (found == best.end() ? kInfinity : found->second);
    }
    place[row.name] = outcome.candidates.size() - 1;
  }

  // Both sides by the clock that they share.
  std::vector<double> accuracy(outcome.candidates.size(), -1), seconds(outcome.candidates.size());
  size_t next = 0;
  for (const auto& timed : store.train_points()) {
    const auto found = place.find(timed.point.network);
    if (found == place.end() || timed.point.val_images <= 0 || !std::isfinite(timed.point.val_accuracy)) continue;
    const size_t i = found->second;
    for (; next < programs.size() && programs[next].elapsed_s <= timed.elapsed_s; ++next) outcome.tune_s += costs[next];
    outcome.train_s += std::max(0.0, timed.point.seconds - seconds[i]);
    seconds[i] = std::max(seconds[i], timed.point.seconds);
    accuracy[i] = std::max(accuracy[i], timed.point.val_accuracy);
    outcome.validations.push_back({i, accuracy[i], timed.elapsed_s, outcome.train_s, outcome.tune_s});
    outcome.elapsed_s = std::max(outcome.elapsed_s, timed.elapsed_s);
  }
  for (; next < programs.size(); ++next) outcome.tune_s += costs[next];
  if (outcome.validations.empty() || programs.empty())
    throw UserError(folder + ": this run has not both trained and measured yet; there is nothing to compare");

  const std::vector<ResultRow> results = store.results();
  for (const ResultRow& row : results)
    outcome.returned.push_back({place.at(row.network), row.objectives, row.on_front});
  if (results.empty()) {
    std::map<size_t, DecisionRow> last;
    for (const DecisionRow& row : store.decisions()) last[place.at(row.network)] = row;
    // As observed: a decision may rest on what its algorithm expects (sonar+) or on a proxy of latency.
    for (const auto& [i, row] : last)
      if (row.kept && accuracy[i] >= 0)
        outcome.returned.push_back({i, {accuracy[i], outcome.candidates[i].latency_us}, false});
    mark_answers(outcome.returned);
  }
  return outcome;
}

}  // namespace sonar
