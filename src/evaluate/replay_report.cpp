// `sonar replay`: the replays of some seeds, summed up.
#include "evaluate/replay_report.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "sonar/error.h"

namespace sonar {
namespace {

using Json = nlohmann::ordered_json;

Json number(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

/// The 0.975 quantile of Student's t distribution: a table, beyond it the expansion in 1/n (Abramowitz and Stegun
/// 26.7.5), which there is off by less than 1e-4.
double t_975(long degrees) {
  constexpr double kTable[] = {12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281};
  if (degrees <= 10) return kTable[degrees - 1];
  constexpr double z = 1.959964, z3 = z * z * z, z5 = z3 * z * z, z7 = z5 * z * z, z9 = z7 * z * z;
  const double n = static_cast<double>(degrees);
  return z + (z3 + z) / (4 * n) + (5 * z5 + 16 * z3 + 3 * z) / (96 * n * n) +
         (3 * z7 + 19 * z5 + 17 * z3 - 15 * z) / (384 * n * n * n) +
         (79 * z9 + 776 * z7 + 1482 * z5 - 1920 * z3 - 945 * z) / (92160 * n * n * n * n);
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

Figures figures(const Trace& trace, const ReplayRun& run) {
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

Estimate estimate(const std::vector<double>& values) {
  double sum = 0, n = 0;
  for (double value : values)
    if (std::isfinite(value)) ++n, sum += value;
  const double none = std::numeric_limits<double>::quiet_NaN(), mean = n > 0 ? sum / n : none;
  if (n < 2) return {mean, none, none, static_cast<long>(n)};
  double squares = 0;
  for (double value : values)
    if (std::isfinite(value)) squares += (value - mean) * (value - mean);
  const double deviation = std::sqrt(squares / (n - 1));
  return {mean, deviation, t_975(static_cast<long>(n) - 1) * deviation / std::sqrt(n), static_cast<long>(n)};
}

std::vector<std::pair<std::string, Estimate>> summary(const std::vector<Figures>& runs) {
  std::vector<std::pair<std::string, Estimate>> result;
  for (size_t f = 0; f < runs.at(0).size(); ++f) {
    std::vector<double> values;
    for (const Figures& run : runs) values.push_back(run[f].second);
    result.emplace_back(runs[0][f].first, estimate(values));
  }
  return result;
}

ReplaySetup replay_setup(const Trace& trace, const ReplayOptions& options) {
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
  setup.policy.survivors = survivor_rule(options.survivors, "--survivors");
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

std::string replay_trace(const std::string& folder, const ReplayOptions& options, bool json) {
  Trace trace = read_trace(folder);
  if (options.epochs > 0 || options.programs > 0) trace = with_counted_costs(std::move(trace), options.steps_per_epoch);
  const Truth truth(trace);
  const ReplaySetup setup = replay_setup(trace, options);
  std::vector<ReplayRun> runs;
  for (long seed = 1; seed <= options.seeds; ++seed)
    runs.push_back(replay(trace, truth, setup, static_cast<uint64_t>(seed)));

  std::vector<Figures> all;
  for (const ReplayRun& run : runs) all.push_back(figures(trace, run));
  Json mean, deviation;  // over the seeds that have the figure
  for (const auto& [name, of_seeds] : summary(all)) {
    mean[name] = number(of_seeds.mean);
    deviation[name] = number(of_seeds.deviation);
  }
  return json ? as_json(trace, options, setup, truth, runs, mean, deviation)
              : as_text(trace, options, setup, truth, mean, deviation);
}

}  // namespace sonar
