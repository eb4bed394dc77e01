// `sonar replay`: the replays of some seeds, summed up.
#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "evaluate/replay.h"
#include "sonar/error.h"
#include "sonar/evaluate.h"

namespace sonar {
namespace {

using Json = nlohmann::ordered_json;

Json number(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

/// Figures of one replay by name, in the order in which they are shown.
std::vector<std::pair<std::string, double>> figures(const Trace& trace, const ReplayRun& run) {
  return {{"selected", run.selected.gap},
          {"achieved", run.achieved.gap},
          {"misses", double(run.selected.misses)},
          {"achieved_misses", double(run.achieved.misses)},
          {"selected_with_misses", run.selected.gap_with_misses},
          {"achieved_with_misses", run.achieved.gap_with_misses},
          {"survivors", double(run.survivors.size())},
          {"hypervolume_ratio", run.hypervolume_ratio},
          {"kendall_tau", run.kendall_tau},
          {"train_spent", run.train_spent_s / trace.brute_force_train_s},
          {"tune_spent", run.tune_spent_s / trace.brute_force_tune_s},
          {"candidates", double(run.candidates)}};
}

ReplaySetup setup_of(const Trace& trace, const ReplayOptions& options) {
  ReplaySetup setup;
  const auto one_of = [](const std::string& option, const std::string& value, const std::string& a,
                         const std::string& b) {
    if (value != a && value != b) throw UserError(fmt::format("--{} is '{}'; it can be {} or {}", option, value, a, b));
    return value == a;
  };
  const auto positive = [](const std::string& option, double value, bool zero) {
    if (!std::isfinite(value) || value < 0 || (value == 0 && !zero))
      throw UserError(fmt::format("--{} is {}; it must be above 0", option, value));
  };
  positive("steps-per-epoch", options.steps_per_epoch, false);
  positive("minimum-slice", options.minimum_slice, false);
  positive("speedup", options.speedup, true);
  positive("train-budget", options.train_budget_s, true);
  positive("tune-budget", options.tune_budget_s, true);
  setup.policy.algorithm = options.algorithm;
  setup.policy.settings = options.settings;
  setup.policy.threshold_us = 1000 * options.threshold_ms;
  setup.policy.survivors = one_of("survivors", options.survivors, "paper", "at-most-half") ? SurvivorRule::paper
                                                                                           : SurvivorRule::at_most_half;
  setup.policy.share = one_of("share", options.share, "steps", "seconds") ? Share::steps : Share::seconds;
  setup.policy.batch_programs = options.batch_programs;
  setup.scheduler =
      one_of("scheduler", options.scheduler, "gradient", "paper") ? SchedulerRule::gradient : SchedulerRule::paper;
  setup.candidates = static_cast<size_t>(options.candidates);
  setup.steps_per_epoch = options.steps_per_epoch;
  setup.minimum_slice = options.minimum_slice;
  setup.whole_rows = options.whole_rows;
  if (!options.proxy_column.empty()) {
    if (options.algorithm != "proxy-command")
      throw UserError("--proxy-column is what the algorithm proxy-command ranks by; give --algorithm proxy-command");
    setup.proxy_column = options.proxy_column;
  }
  make_algorithm(setup.policy);  // refuses what it does not know
  if (options.algorithm == "threshold" && !(options.threshold_ms > 0))
    throw UserError("the algorithm threshold needs --threshold, the latency limit in milliseconds");
  if (options.seeds < 1) throw UserError(fmt::format("--seeds is {}; it must be at least 1", options.seeds));
  if (options.candidates < 0 || options.batch_programs < 1)
    throw UserError("--candidates must not be negative, and --batch-programs at least 1");
  positive("epochs", options.epochs, true);
  positive("programs", options.programs, true);
  const bool counted = options.epochs > 0 || options.programs > 0;
  const bool both = options.train_budget_s > 0 && options.tune_budget_s > 0;
  if (counted && (options.speedup > 0 || options.train_budget_s > 0 || options.tune_budget_s > 0))
    throw UserError("--epochs and --programs count; leave out --speedup, --train-budget and --tune-budget with them");
  if (counted && !(options.epochs > 0 && options.programs > 0))
    throw UserError("counted budgets need both --epochs and --programs");
  if (options.speedup == 0 && !both && !counted && options.algorithm != "brute-force")
    throw UserError(
        "no budget: give --speedup, or --train-budget and --tune-budget in recorded seconds, or --epochs and "
        "--programs");
  setup.train_budget_s =
      options.train_budget_s > 0 ? options.train_budget_s : trace.brute_force_train_s / options.speedup;
  setup.tune_budget_s = options.tune_budget_s > 0 ? options.tune_budget_s : trace.brute_force_tune_s / options.speedup;
  if (counted) {
    setup.train_budget_s = options.epochs * options.steps_per_epoch;
    setup.tune_budget_s = options.programs;
  }
  return setup;
}

std::string as_json(const Trace& trace, const ReplayOptions& options, const ReplaySetup& setup, const Truth& truth,
                    const std::vector<ReplayRun>& runs, const Json& mean, const Json& deviation) {
  const bool exhaustive = options.algorithm == "brute-force";
  Json json = {{"trace", trace.folder},
               {"algorithm", options.algorithm},
               {"networks", trace.networks.size()},
               {"unique_subgraphs", trace.subgraphs.size()},
               {"true_front", truth.front().size()},
               {"brute_force",
                {{"train_s", trace.brute_force_train_s},
                 {"tune_s", trace.brute_force_tune_s},
                 {"unshared_tune_s", trace.unshared_tune_s}}},
               {"budget",
                {{"train_s", exhaustive ? Json() : number(setup.train_budget_s)},
                 {"tune_s", exhaustive ? Json() : number(setup.tune_budget_s)}}}};
  json["runs"] = Json::array();
  for (const ReplayRun& run : runs) {
    Json entry = {{"seed", run.seed}};
    for (const auto& [name, value] : figures(trace, run)) entry[name] = number(value);
    entry["networks"] = Json::array();
    for (size_t i : run.survivors) entry["networks"].push_back(trace.networks[i].name);
    entry["rounds"] = Json::array();
    for (const ReplayRound& round : run.rounds)
      entry["rounds"].push_back({{"networks", round.networks},
                                 {"survivors", round.survivors},
                                 {"train_spent", round.train_spent_s / trace.brute_force_train_s},
                                 {"tune_spent", round.tune_spent_s / trace.brute_force_tune_s},
                                 {"achieved", number(round.achieved.gap)},
                                 {"achieved_misses", round.achieved.misses}});
    json["runs"].push_back(std::move(entry));
  }
  json["mean"] = mean;
  json["deviation"] = deviation;
  return json.dump(2);
}

std::string as_text(const Trace& trace, const ReplayOptions& options, const ReplaySetup& setup, const Truth& truth,
                    const Json& mean, const Json& deviation) {
  std::string text = fmt::format(
      "{}: {} networks, {} unique subgraphs, {} on the true front\n"
      "brute force: {:.4g} s of training, {:.4g} s of tuning ({:.4g} s if each network tuned its own subgraphs)\n",
      trace.folder, trace.networks.size(), trace.subgraphs.size(), truth.front().size(), trace.brute_force_train_s,
      trace.brute_force_tune_s, trace.unshared_tune_s);
  if (options.algorithm != "brute-force")
    text +=
        fmt::format("budget: {:.4g} s of training, {:.4g} s of tuning\n", setup.train_budget_s, setup.tune_budget_s);
  text += fmt::format("{}, {} seed{}\n", options.algorithm, options.seeds, options.seeds == 1 ? "" : "s");
  const std::pair<const char*, const char*> lines[] = {
      {"achieved", "average accuracy gap, all trained networks, % points"},
      {"achieved_misses", "  points of the true front with no such network as fast"},
      {"selected", "average accuracy gap, returned networks, % points"},
      {"misses", "  points of the true front with no such network as fast"},
      {"survivors", "returned networks"},
      {"hypervolume_ratio", "hypervolume over that of the true front"},
      {"kendall_tau", "Kendall tau of estimated and final latency"},
      {"candidates", "candidates"},
      {"train_spent", "training, part of brute force"},
      {"tune_spent", "tuning, part of brute force"}};
  for (const auto& [name, meaning] : lines) {
    if (mean.at(name).is_null()) {
      text += fmt::format("{:>10}            {}\n", "-", meaning);
      continue;
    }
    std::string spread;
    if (options.seeds > 1 && !deviation.at(name).is_null())
      spread = fmt::format("+- {:.3g}", deviation.at(name).get<double>());
    text += fmt::format("{:>10.4g} {:<10} {}\n", mean.at(name).get<double>(), spread, meaning);
  }
  text.pop_back();
  return text;
}

}  // namespace

std::string replay_trace(const std::string& folder, const ReplayOptions& options, bool json) {
  Trace trace = read_trace(folder);
  if (options.epochs > 0 || options.programs > 0) trace = with_counted_costs(std::move(trace), options.steps_per_epoch);
  const Truth truth(trace);
  const ReplaySetup setup = setup_of(trace, options);
  std::vector<ReplayRun> runs;
  for (long seed = 1; seed <= options.seeds; ++seed)
    runs.push_back(replay(trace, truth, setup, static_cast<uint64_t>(seed)));

  // Over the seeds that have the figure.
  Json mean, deviation;
  std::vector<std::vector<std::pair<std::string, double>>> all;
  for (const ReplayRun& run : runs) all.push_back(figures(trace, run));
  for (size_t f = 0; f < all[0].size(); ++f) {
    const std::string& name = all[0][f].first;
    double sum = 0, squares = 0, n = 0;
    for (const auto& of_run : all)
      if (const double value = of_run[f].second; std::isfinite(value)) ++n, sum += value, squares += value * value;
    mean[name] = n > 0 ? Json(sum / n) : Json(nullptr);
    deviation[name] = n > 1 ? Json(std::sqrt(std::max(0.0, (squares - sum * sum / n) / (n - 1)))) : Json(nullptr);
  }
  return json ? as_json(trace, options, setup, truth, runs, mean, deviation)
              : as_text(trace, options, setup, truth, mean, deviation);
}

}  // namespace sonar
