#include <memory>

#include "cli/verbs.h"

namespace sonar::cli {

void setup_look(CLI::App& app) {
  struct Options {
    std::string run;
    bool json = false, csv = false;
  };
  auto options = std::make_shared<Options>();
  auto add = [&](const char* name, const char* help) {
    CLI::App* verb = app.add_subcommand(name, help);
    verb->add_option("run", options->run, "run directory, live or ended")->required();
    return verb;
  };
  CLI::App* status_verb = add("status", "round, survivors, use of both devices, failures by cause, time left");
  status_verb->add_flag("--json", options->json);
  status_verb->callback([options] { std::puts(status(options->run, options->json).c_str()); });

  CLI::App* front_verb = add("front", "the front and the other survivors");
  auto* json = front_verb->add_flag("--json", options->json);
  front_verb->add_flag("--csv", options->csv)->excludes(json);
  front_verb->callback([options] {
    const FrontFormat format = options->json ? FrontFormat::json : options->csv ? FrontFormat::csv : FrontFormat::text;
    std::puts(front(options->run, format).c_str());
  });

  CLI::App* report_verb = add("report", "writes RUN/report.html and RUN/front.csv");
  report_verb->callback([options] { std::puts(write_report(options->run).c_str()); });
}

}  // namespace sonar::cli
