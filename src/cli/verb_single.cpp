#include <memory>

#include "cli/verbs.h"

namespace sonar::cli {
namespace {

struct SingleOptions {
  ConfigOptions config;
  std::string architecture, out;
  double programs = 0;        // tune only
  bool from_records = false;  // tune only
  bool json = false;
};

using Run = RunEnd (*)(const Config&, const std::string&, const RunOptions&);
using Result = std::string (*)(const std::string&, bool);

void add_single(CLI::App& app, int& exit_code, const std::string& name, const char* help, Run run, Result result) {
  auto options = std::make_shared<SingleOptions>();
  CLI::App* verb = app.add_subcommand(name, help);
  options->config.add_to(*verb);
  verb->add_option("--arch", options->architecture, "the network, by name")->required();
  verb->add_option("--out", options->out, "run directory (default: runs/" + name + "-ARCH); continues what it holds");
  if (name == "tune")
    verb->add_option("--programs", options->programs,
                     "tensor programs to try (default: search.full_programs a subgraph)")
        ->check(CLI::Range(1.0, 1e9));
  if (name == "tune")
    verb->add_flag("--from-records", options->from_records,
                   "measure nothing: the best programs that the library search.records holds");
  verb->add_flag("--json", options->json);
  verb->callback([options, &exit_code, name, run, result] {
    Config config = options->config.load();
    // The search's budget is of no use here.
    config.search.time.clear();
    config.search.epochs = 0;
    config.search.programs = options->programs;
    RunOptions run_options;
    run_options.folder = options->out.empty() ? "runs/" + name + "-" + options->architecture : options->out;
    run_options.stop = &stop_requested;
    run_options.from_records = options->from_records;
    {
      Console console(options->json);
      console.attach(run_options);
      if (run(config, options->architecture, run_options) == RunEnd::stopped) exit_code = kStoppedExit;
    }
    std::puts(result(run_options.folder, options->json).c_str());
  });
}

}  // namespace

void setup_single(CLI::App& app, int& exit_code) {
  add_single(app, exit_code, "tune", "tune one network only", run_tune, tune_result);
  add_single(app, exit_code, "train", "train one network only, in full", run_train, train_result);
}

}  // namespace sonar::cli
