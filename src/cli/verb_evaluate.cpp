#include <cstdio>
#include <memory>

#include "cli/verbs.h"

namespace sonar::cli {
namespace {

/// What replays share, whatever the algorithm and its budget.
struct ReplayFlags {
  std::vector<std::string> settings;
  void add_to(CLI::App& verb, ReplayOptions& replay) {
    verb.add_option("--set", settings, "a setting of the algorithm, any number")->type_name("KEY=VALUE");
    verb.add_option("--candidates", replay.candidates, "networks sampled from the trace (default: all)");
    verb.add_option("--threshold", replay.threshold_ms, "latency limit in milliseconds, of the algorithm threshold");
    verb.add_option("--survivors", replay.survivors, "paper, at-most-half, crowded")->capture_default_str();
    verb.add_option("--share", replay.share, "steps, seconds")->capture_default_str();
    verb.add_option("--scheduler", replay.scheduler, "gradient, paper")->capture_default_str();
    verb.add_option("--batch-programs", replay.batch_programs, "beta")->capture_default_str();
    verb.add_option("--minimum-slice", replay.minimum_slice, "epochs that a network is trained at least")
        ->capture_default_str();
    verb.add_option("--steps-per-epoch", replay.steps_per_epoch, "how finely training can be stopped")
        ->capture_default_str();
    verb.add_flag("--whole-rows", replay.whole_rows, "curves can be stopped at their rows only");
  }
  void read_settings(ReplayOptions& replay) const {
    for (const std::string& text : settings) {
      const size_t equals = text.find('=');
      if (equals == std::string::npos) throw UserError("--set " + text + ": write key=value, like --set rounds=10");
      replay.settings[text.substr(0, equals)] = text.substr(equals + 1);
    }
  }
};

void setup_replay(CLI::App& app) {
  struct Options {
    std::string trace;
    ReplayOptions replay;
    ReplayFlags flags;
    bool json = false;
  };
  auto options = std::make_shared<Options>();
  ReplayOptions& replay = options->replay;
  CLI::App* verb = app.add_subcommand("replay", "runs an algorithm on a trace; nothing is trained or measured");
  verb->add_option("trace", options->trace, "folder with networks.csv, training.csv, tuning.csv (docs/formats.md)")
      ->required();
  verb->add_option("--algorithm", replay.algorithm, "see docs/algorithm.md")->capture_default_str();
  verb->add_option("--speedup", replay.speedup, "budget = cost of brute force / SPEEDUP, for training and for tuning");
  verb->add_option("--train-budget,--budget-train", replay.train_budget_s, "recorded seconds instead");
  verb->add_option("--tune-budget,--budget-tune", replay.tune_budget_s, "recorded seconds instead");
  verb->add_option("--epochs", replay.epochs, "counted budget instead: over all networks; seconds are then steps");
  verb->add_option("--programs", replay.programs, "counted budget: over all subgraphs");
  verb->add_option("--seeds", replay.seeds, "replays, with seeds 1, 2, ...")->capture_default_str();
  options->flags.add_to(*verb, replay);
  verb->add_option("--proxy-column", replay.proxy_column,
                   "column of networks.csv that the algorithm proxy-command ranks by (default: proxy_ms)");
  verb->add_flag("--json", options->json);
  verb->callback([options] {
    options->flags.read_settings(options->replay);
    std::puts(replay_trace(options->trace, options->replay, options->json).c_str());
  });
}

void setup_compare(CLI::App& app) {
  struct Options {
    std::vector<std::string> inputs;
    std::string out;
    CompareOptions compare;
    ReplayFlags flags;
  };
  auto options = std::make_shared<Options>();
  CompareOptions& compare = options->compare;
  CLI::App* verb = app.add_subcommand(
      "compare", "searches against brute force: the paper's figures 5, 6, 7 and table 2, as a page and as CSV");
  verb->add_option("inputs", options->inputs,
                   "traces and runs of brute force, on which searches are replayed; behind each, real runs to compare "
                   "with it")
      ->required();
  verb->add_option("--out", options->out, "folder to write")->required();
  verb->add_option("--algorithms", compare.algorithms, "to replay, see docs/algorithm.md; NAME or NAME:KEY=VALUE:...")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->capture_default_str();
  verb->add_option("--speedups", compare.speedups, "budgets: cost of brute force / SPEEDUP")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->capture_default_str();
  verb->add_option("--seeds", compare.seeds, "replays of each, with seeds 1, 2, ...")->capture_default_str();
  verb->add_option("--metrics", compare.metrics,
                   "CSV of other latencies (network,NAME,...) for table 2: one for all traces, or one for each")
      ->allow_extra_args(false);
  options->flags.add_to(*verb, compare.replay);
  verb->add_flag("--force", compare.force, "even when the curves of a brute force depend on the order of the run");
  verb->add_flag("--json", compare.json);
  verb->callback([options] {
    options->flags.read_settings(options->compare.replay);
    std::puts(compare_searches(options->inputs, options->compare, options->out).c_str());
  });
}

void setup_trace(CLI::App& app) {
  struct Options {
    std::string run, out;
    bool force = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("trace", "writes the curves of a run as a trace, to replay algorithms on");
  verb->add_option("run", options->run, "run directory, usually of algorithm brute-force")->required();
  verb->add_option("--out", options->out, "folder to write")->required();
  verb->add_flag("--force", options->force, "even when the curves depend on the order of the run");
  verb->callback([options] { std::puts(record_trace(options->run, options->out, options->force).c_str()); });
}

void setup_rank(CLI::App& app) {
  struct Options {
    std::string file;
    std::vector<std::string> maximize;
    std::vector<double> reference;
    bool json = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App* verb =
      app.add_subcommand("rank", "non-dominated ranks, crowding distances and hypervolume of a table of points");
  verb->add_option("points", options->file, "CSV with a header; each column is an objective")->required();
  verb->add_option("--maximize", options->maximize, "columns of which more is better (others: less)")->delimiter(',');
  verb->add_option("--reference", options->reference, "bounds the hypervolume, by column (default: the worst values)")
      ->delimiter(',');
  verb->add_flag("--json", options->json);
  verb->callback([options] {
    std::puts(rank_points(options->file, options->maximize, options->reference, options->json).c_str());
  });
}

}  // namespace

void setup_evaluate(CLI::App& app) {
  setup_trace(app);
  setup_replay(app);
  setup_compare(app);
  setup_rank(app);
}

}  // namespace sonar::cli
