#include "evaluate/compare.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <map>
#include <set>
#include <sstream>
#include <unordered_map>

#include "evaluate/csv.h"
#include "evaluate/run_outcome.h"
#include "model/error.h"
#include "policy/algorithm.h"
#include "policy/architecture_features.h"
#include "policy/survivors.h"

namespace sonar {
namespace {

namespace fs = std::filesystem;
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

using Index = std::unordered_map<std::string, size_t>;
Index index_of(const Trace& trace) {
  Index index;
  for (size_t i = 0; i < trace.networks.size(); ++i) index[trace.networks[i].name] = i;
  return index;
}

// ---- truths

std::vector<double> macs_of(const Trace& trace) {
  std::vector<double> result;
  for (const Trace::Network& network : trace.networks) {
    double macs = stated_macs(trace.feature_names, network.features), sum = 0;
    for (auto [subgraph, count] : network.subgraphs) sum += count * trace.subgraphs[subgraph].macs;
    result.push_back(std::isnan(macs) && sum > 0 ? sum : macs);
  }
  return result;
}

/// Front of final accuracy and a latency metric, among the networks that have both it and a final latency.
std::vector<bool> front_by(const Trace& trace, const std::vector<double>& metric) {
  std::vector<Objectives> objectives;
  for (size_t i = 0; i < metric.size(); ++i)
    objectives.push_back(
        {trace.networks[i].final_accuracy, std::isfinite(trace.networks[i].final_latency_us) ? metric[i] : kNan});
  return on_front(objectives);
}

/// Kendall's tau of a metric with the final latency, over the networks that have it.
RankedMetric rank(const Trace& trace, const std::string& name, const std::vector<double>& metric) {
  std::vector<double> values, final;
  for (size_t i = 0; i < metric.size(); ++i)
    if (!std::isnan(metric[i])) {
      values.push_back(metric[i]);
      final.push_back(trace.networks[i].final_latency_us);
    }
  return {name, estimate({kendall_tau(values, final)}), static_cast<long>(values.size())};
}

ComparedTruth make_truth(const std::string& folder, const std::string& name) {
  ComparedTruth truth;
  truth.name = name;
  truth.trace = std::make_unique<Trace>(read_trace(folder));
  const Trace& trace = *truth.trace;
  truth.truth = std::make_unique<Truth>(trace);
  truth.macs = macs_of(trace);
  for (const Trace::Network& network : trace.networks) {
    double sum = 0;
    for (auto [subgraph, count] : network.subgraphs) sum += count * trace.subgraphs[subgraph].tuning.at(1).latency_us;
    truth.untuned_us.push_back(sum);
  }
  truth.on_front.assign(trace.networks.size(), false);
  for (size_t i : truth.truth->front()) truth.on_front[i] = true;
  truth.flops_front = front_by(trace, truth.macs);
  truth.ranks.push_back(rank(trace, "MACs", truth.macs));
  if (truth.ranks.back().networks == 0)
    truth.notes.push_back(
        "the multiply-accumulates of its networks are not known (column macs of networks.csv): no FLOPs proxy");
  truth.ranks.push_back(rank(trace, "untuned", truth.untuned_us));
  return truth;
}

// ---- curves of the achieved gap

/// Of one or several seeds; the last point stands at `end`, where all is trained. Moments are dense early, where most
/// happens, and regular over the whole.
std::vector<GapPoint> gap_curve(const Truth& truth, const std::vector<std::vector<TrainedSlice>>& seeds, double end) {
  constexpr int kMoments = 160;
  double begin = std::numeric_limits<double>::infinity();
  for (const auto& slices : seeds) {
    if (slices.empty()) continue;
    begin = std::min(begin, slices.front().spent_s);
    end = std::max(end, slices.back().spent_s);
  }
  if (!std::isfinite(begin)) return {};
  std::set<double> at = {begin, end};
  for (int i = 1; i < kMoments; ++i) {
    const double part = static_cast<double>(i) / kMoments;
    at.insert(begin + part * (end - begin));
    if (begin > 0) at.insert(std::min(end, begin * std::pow(end / begin, part)));
  }
  const std::vector<double> moments(at.begin(), at.end());
  std::vector<std::vector<AccuracyGap>> gaps;
  for (const auto& slices : seeds) gaps.push_back(truth.gaps(slices, moments));
  std::vector<GapPoint> curve;
  for (size_t m = 0; m < moments.size(); ++m) {
    std::vector<double> achieved, misses, with_misses;
    for (const auto& of_seed : gaps) {
      achieved.push_back(of_seed[m].gap);
      misses.push_back(static_cast<double>(of_seed[m].misses));
      with_misses.push_back(of_seed[m].gap_with_misses);
    }
    curve.push_back({moments[m], estimate(achieved), estimate(misses).mean, estimate(with_misses)});
  }
  return curve;
}

// ---- searches

/// An entry of --algorithms: a name, and behind it settings of its own: "pareto:confidence=1:early_drop=2".
struct NamedAlgorithm {
  std::string name;
  std::map<std::string, std::string> settings;
};
NamedAlgorithm named_algorithm(const std::string& text) {
  std::vector<std::string> parts;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, ':');) parts.push_back(part);
  if (parts.empty()) parts.emplace_back();
  return {parts[0], algorithm_settings({parts.begin() + 1, parts.end()}, "--algorithms " + text)};
}

ComparedSearch replay_search(const ComparedTruth& truth, const CompareOptions& options, const std::string& algorithm,
                             double speedup) {
  ComparedSearch search;
  search.name = fmt::format("{} {:g}x", algorithm, speedup);
  const NamedAlgorithm named = named_algorithm(algorithm);
  search.algorithm = named.name;
  search.speedup = speedup;
  ReplayOptions of_replay = options.replay;
  of_replay.algorithm = named.name;
  for (const auto& [key, value] : named.settings) of_replay.settings[key] = value;
  of_replay.speedup = speedup;
  of_replay.seeds = options.seeds;
  of_replay.train_budget_s = of_replay.tune_budget_s = of_replay.epochs = of_replay.programs = 0;
  const ReplaySetup setup = replay_setup(*truth.trace, of_replay);
  std::vector<Figures> all;
  std::vector<std::vector<TrainedSlice>> slices;
  double end = 0;
  for (long seed = 1; seed <= options.seeds; ++seed) {
    ReplayRun run;
    try {
      run = replay(*truth.trace, *truth.truth, setup, static_cast<uint64_t>(seed));
    } catch (const UserError& error) {  // this budget cannot pay for it; others may
      search.refused = error.what();
      return search;
    }
    for (size_t i = 0; i < run.survivors.size(); ++i)
      search.returned.push_back({seed, truth.trace->networks[run.survivors[i]].name, run.survivors[i], run.measured[i],
                                 static_cast<bool>(run.answers[i])});
    all.push_back(figures(*truth.trace, run));
    end = std::max(end, run.train_spent_s + run.tune_spent_s);
    slices.push_back(std::move(run.slices));
  }
  search.figures = summary(all);
  search.curve = gap_curve(*truth.truth, slices, end);
  return search;
}

/// By the truth's final latencies; networks that are not in it cannot be judged.
ComparedSearch judge_run(const ComparedTruth& truth, const std::string& folder, const std::string& name) {
  const RunOutcome outcome = read_outcome(folder);
  const Trace& trace = *truth.trace;
  ComparedSearch search;
  search.name = name;
  search.algorithm = outcome.algorithm;
  if (!outcome.finished) search.notes.push_back("this run has not finished");
  if (truth.identity && outcome.identity)
    for (const IdentityDifference& difference : differences(*truth.identity, *outcome.identity))
      search.notes.push_back(
          fmt::format("measured with another {}: {} here, {} there", difference.what, difference.b, difference.a));

  const Index index = index_of(trace);
  std::vector<size_t> place(outcome.candidates.size(), ReturnedNetwork::kUnknown);
  std::vector<double> believed, final;
  for (size_t c = 0; c < place.size(); ++c)
    if (const auto found = index.find(outcome.candidates[c].name); found != index.end()) {
      place[c] = found->second;
      believed.push_back(outcome.candidates[c].latency_us);
      final.push_back(trace.networks[place[c]].final_latency_us);
    }
  if (believed.empty())
    throw UserError(
        fmt::format("{}: none of its {} networks is in {}; name a trace or a brute-force run of the same "
                    "search space before it",
                    folder, place.size(), trace.folder));
  if (believed.size() < place.size())
    search.notes.push_back(fmt::format("{} of its {} networks are not in {} and are left out of gap, tau and volume",
                                       place.size() - believed.size(), place.size(), truth.name));

  std::vector<TrainedSlice> ledgers, clock;
  std::vector<double> observed(trace.networks.size(), kNan), selected = observed;
  for (const RunOutcome::Validation& point : outcome.validations) {
    const size_t i = place[point.candidate];
    if (i == ReturnedNetwork::kUnknown) continue;
    ledgers.push_back({i, point.accuracy, point.train_s + point.tune_s});
    clock.push_back({i, point.accuracy, point.elapsed_s});
    observed[i] = point.accuracy;
  }
  ReplayRun run;  // the same figures as of a replay
  for (const RunOutcome::Returned& returned : outcome.returned) {
    const size_t i = place[returned.candidate];
    search.returned.push_back(
        {0, outcome.candidates[returned.candidate].name, i, returned.objectives, returned.answer});
    if (i == ReturnedNetwork::kUnknown) continue;
    selected[i] = trace.networks[i].final_accuracy;
    run.survivors.push_back(i);
  }
  run.achieved = truth.truth->gap(observed);
  run.selected = truth.truth->gap(selected);
  run.hypervolume_ratio = truth.truth->hypervolume_ratio(run.survivors);
  run.kendall_tau = kendall_tau(believed, final);
  run.candidates = static_cast<long>(believed.size());
  run.train_spent_s = outcome.train_s;
  run.tune_spent_s = outcome.tune_s;
  search.figures = summary({figures(trace, run)});
  search.curve = gap_curve(*truth.truth, {ledgers}, outcome.train_s + outcome.tune_s);
  search.clock = gap_curve(*truth.truth, {clock}, outcome.elapsed_s);
  return search;
}

// ---- metrics of the user's

/// Ranks each column of the file on each of the truths; inserted before the ranks of searches.
void add_metrics(const std::string& file, const std::vector<ComparedTruth*>& truths) {
  CsvReader csv(file);
  const int name = csv.needed_column("network");
  if (csv.header().size() < 2)
    throw UserError(file + ": has no column beside network; give one for each latency, named as it should be shown");
  std::vector<Index> indices;
  std::vector<std::vector<std::vector<double>>> values;  // [truth][column][network]
  for (const ComparedTruth* truth : truths) {
    indices.push_back(index_of(*truth->trace));
    values.emplace_back(csv.header().size(), std::vector<double>(truth->trace->networks.size(), kNan));
  }
  std::set<std::string> seen;
  while (csv.next()) {
    const std::string network(csv.field(name));
    bool known = false;
    if (!seen.insert(network).second) csv.refuse("network " + network + " stands there twice");
    for (size_t t = 0; t < truths.size(); ++t) {
      const auto found = indices[t].find(network);
      if (found == indices[t].end()) continue;
      known = true;
      for (size_t c = 0; c < csv.header().size(); ++c)
        if (static_cast<int>(c) != name && !csv.field(static_cast<int>(c)).empty())
          values[t][c][found->second] = csv.number(static_cast<int>(c));
    }
    if (!known)
      csv.refuse(fmt::format("network {} is not in {}; correct its name or remove the row", network,
                             truths.size() == 1 ? truths[0]->trace->folder : "any of the traces"));
  }
  for (size_t t = 0; t < truths.size(); ++t)
    for (size_t c = 0; c < csv.header().size(); ++c)
      if (static_cast<int>(c) != name)
        truths[t]->ranks.push_back(rank(*truths[t]->trace, csv.header()[c], values[t][c]));
}

// ---- what the arguments are

bool is_trace(const std::string& folder) {
  return fs::exists(folder + "/networks.csv") || fs::exists(folder + "/networks.csv.gz");
}

/// The last name of a folder; the whole path where that is taken already.
std::string name_of(const std::string& folder, std::set<std::string>& taken) {
  const fs::path path = fs::weakly_canonical(folder);
  std::string name = path.filename().string();
  if (name.empty() || !taken.insert(name).second) taken.insert(name = folder);
  return name;
}

template <class T>
std::vector<T> without_repeats(const std::vector<T>& list) {
  std::vector<T> result;
  for (const T& value : list)
    if (std::find(result.begin(), result.end(), value) == result.end()) result.push_back(value);
  return result;
}

}  // namespace

Estimate ComparedSearch::figure(const std::string& wanted) const {
  for (const auto& [known, value] : figures)
    if (known == wanted) return value;
  return estimate({});
}

Comparison compare(const std::vector<std::string>& inputs, const CompareOptions& options, const std::string& out) {
  for (const std::string& algorithm : options.algorithms)
    if (named_algorithm(algorithm).name == "brute-force")
      throw UserError(
          "--algorithms brute-force: brute force is the truth that the others are compared with; leave it out");
  for (double speedup : options.speedups)
    if (!(speedup > 0) || !std::isfinite(speedup))
      throw UserError(fmt::format("--speedups {:g}: a budget is brute force divided by a number above 0", speedup));

  Comparison comparison;
  comparison.seeds = options.seeds;
  std::set<std::string> taken, traces;
  std::vector<std::pair<size_t, std::string>> runs;  // the truth that judges it, folder
  for (const std::string& folder : inputs) {
    if (!fs::is_directory(folder))
      throw UserError(folder +
                      ": is no folder; name traces (networks.csv, training.csv, tuning.csv) and runs (run.db)");
    if (is_trace(folder)) {
      comparison.truths.push_back(make_truth(folder, name_of(folder, taken)));
      continue;
    }
    if (!fs::exists(folder + "/run.db"))
      throw UserError(folder + ": is neither a trace (no networks.csv) nor a run (no run.db)");
    const RunStore store(folder, RunStore::Mode::read_only);
    if (store.value("algorithm") != "brute-force") {
      if (comparison.truths.empty())
        throw UserError(folder +
                        ": is a search, and no truth stands before it; name first a trace, or a run of "
                        "search.algorithm=brute-force, with the same networks");
      runs.emplace_back(comparison.truths.size() - 1, folder);
      continue;
    }
    const std::string name = name_of(folder, taken);
    std::string trace = out + "/trace-" + fs::weakly_canonical(folder).filename().string();
    for (int copy = 2; !traces.insert(trace).second; ++copy) trace += "-" + std::to_string(copy);
    const std::string told = record_trace(folder, trace, options.force);
    ComparedTruth& truth = comparison.truths.emplace_back(make_truth(trace, name));
    truth.identity = store.identity();
    for (size_t at = told.find("\nnote: "); at != std::string::npos; at = told.find("\nnote: ", at + 1))
      truth.notes.push_back(told.substr(at + 7, told.find('\n', at + 1) - at - 7));
  }

  if (options.metrics.size() > 1 && options.metrics.size() != comparison.truths.size())
    throw UserError(
        fmt::format("--metrics is given {} times for {} truths; give one file for all, or one for each in "
                    "their order",
                    options.metrics.size(), comparison.truths.size()));
  for (size_t m = 0; m < options.metrics.size(); ++m) {
    std::vector<ComparedTruth*> of_file;
    for (size_t t = 0; t < comparison.truths.size(); ++t)
      if (options.metrics.size() == 1 || t == m) of_file.push_back(&comparison.truths[t]);
    add_metrics(options.metrics[m], of_file);
  }

  std::string refused;
  size_t compared = runs.size();
  for (ComparedTruth& truth : comparison.truths)
    for (const std::string& algorithm : without_repeats(options.algorithms))
      for (double speedup : without_repeats(options.speedups)) {
        truth.searches.push_back(replay_search(truth, options, algorithm, speedup));
        refused = refused.empty() ? truth.searches.back().refused : refused;
        compared += truth.searches.back().refused.empty();
      }
  if (compared == 0 && !refused.empty()) throw UserError(refused);
  for (const auto& [judge, folder] : runs)
    comparison.truths[judge].searches.push_back(judge_run(comparison.truths[judge], folder, name_of(folder, taken)));
  for (ComparedTruth& truth : comparison.truths)
    for (const ComparedSearch& search : truth.searches)
      if (search.refused.empty())
        truth.ranks.push_back(
            {search.name, search.figure("kendall_tau"), std::lround(search.figure("candidates").mean)});
  return comparison;
}

}  // namespace sonar
