#include <memory>

#include "cli/verbs.h"

namespace sonar::cli {

void setup_check(CLI::App& app, int& exit_code) {
  struct Options {
    ConfigOptions config;
    bool json = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App* space =
      app.add_subcommand("space", "number of architectures, unique subgraphs, ranges of MACs and parameters");
  options->config.add_to(*space);
  space->add_flag("--json", options->json);
  space->callback([options] { std::puts(describe_space(options->config.load(), options->json).c_str()); });

  CLI::App* doctor =
      app.add_subcommand("doctor", "checks compiler, device, data and disk, and estimates the time needed");
  options->config.add_to(*doctor);
  doctor->add_flag("--json", options->json);
  doctor->callback([options, &exit_code] {
    const Health health = run_doctor(options->config.load(), options->json);
    std::puts(health.text.c_str());
    if (!health.healthy) exit_code = 3;
  });
}

}  // namespace sonar::cli
