#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>

#include "cli/verbs.h"

namespace sonar::cli {

std::atomic<bool> stop_requested{false};

namespace {

extern "C" void on_interrupt(int) {
  // A second Ctrl-C ends at once: what was measured stands in the store anyway.
  if (stop_requested.exchange(true)) _exit(kStoppedExit);
}

int complain(const char* text, int code) {
  std::fprintf(stderr, "sonar: error: %s\n", text);
  return code;
}

int run(int argc, char** argv) {
  CLI::App app("SONAR: joint search over neural architectures and tensor programs", "sonar");
  app.set_version_flag("--version", version());
  app.require_subcommand(1);
  int exit_code = 0;
  setup_search(app, exit_code);
  setup_look(app);
  setup_single(app, exit_code);
  setup_records(app);
  setup_check(app, exit_code);
  setup_evaluate(app);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& done) {  // --help, --version
    return app.exit(done);
  } catch (const CLI::ParseError& error) {
    return complain((std::string(error.what()) + "; see sonar --help").c_str(), 2);
  }
  return exit_code;
}

}  // namespace
}  // namespace sonar::cli

int main(int argc, char** argv) {
  using namespace sonar::cli;
  std::signal(SIGINT, on_interrupt);
  std::signal(SIGTERM, on_interrupt);
  std::signal(SIGPIPE, SIG_IGN);
  try {
    return run(argc, argv);
  } catch (const sonar::UserError& error) {
    return complain(error.what(), 2);
  } catch (const sonar::EnvironmentError& error) {
    return complain(error.what(), 3);
  } catch (const std::exception& error) {
    return complain((std::string("internal: ") + error.what()).c_str(), 1);
  }
}
