#include <filesystem>
#include <memory>

#include "cli/verbs.h"

namespace sonar::cli {

void ConfigOptions::add_to(CLI::App& app) {
  app.add_option("config", path, "configuration, TOML (docs/configuration.md)")->required();
  app.add_option("overrides", overrides, "section.key=value, any number")->type_name("KEY=VALUE");
}

Config ConfigOptions::load() const {
  std::vector<Override> pairs;
  for (const std::string& text : overrides) {
    const size_t equals = text.find('=');
    if (equals == std::string::npos)
      throw UserError("'" + text + "' is no override; write section.key=value, like search.time=20m");
    pairs.emplace_back(text.substr(0, equals), text.substr(equals + 1));
  }
  return load_config(path, pairs);
}

void setup_search(CLI::App& app, int& exit_code) {
  struct Options {
    ConfigOptions config;
    std::string out;
    bool json = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("search", "joint search; continues the run that --out holds");
  options->config.add_to(*verb);
  verb->add_option("--out", options->out, "run directory (default: runs/NAME of the configuration)");
  verb->add_flag("--json", options->json, "print the front as JSON at the end");
  verb->callback([options, &exit_code] {
    const Config config = options->config.load();
    RunOptions run;
    run.folder =
        options->out.empty() ? "runs/" + std::filesystem::path(options->config.path).stem().string() : options->out;
    run.stop = &stop_requested;
    {
      Console console(false);
      console.attach(run);
      if (run_search(config, run) == RunEnd::stopped) exit_code = kStoppedExit;
    }
    std::puts(search_result(run.folder, options->json).c_str());
  });
}

}  // namespace sonar::cli
