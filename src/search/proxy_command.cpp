#include "search/proxy_command.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>

#include "model/error.h"
#include "process/process.h"
#include "search/start_device.h"
#include "search/trainer_client.h"
#include "search/tuner_session.h"

namespace sonar {
namespace {

constexpr size_t kShown = 200;  // characters of an output in a message

/// Without white space at both ends.
std::string_view trimmed(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t\r\n");
  if (begin == std::string_view::npos) return "";
  return text.substr(begin, text.find_last_not_of(" \t\r\n") + 1 - begin);
}

}  // namespace

double ProxyCommand::ask(const std::string& network, const std::string& file, const std::atomic<bool>* stop) const {
  const auto refuse = [&](const std::string& what) {
    throw EnvironmentError(
        fmt::format("search.proxy, of {}: {}; try it by hand: {} '{}', then run the same command to continue: nothing "
                    "measured is lost",
                    network, what, command, file));
  };
  ProcessOptions process;
  process.command = split_command(command, "search.proxy");
  process.command.push_back(file);
  process.cores = cores;
  ProcessResult result;
  try {
    result = run_process(process, "", time_limit_s, stop);
  } catch (const EnvironmentError& error) {
    refuse(error.what());
  }
  if (result.exit_code != 0 && stop && stop->load()) throw Stopped();
  if (result.timed_out)
    refuse(
        fmt::format("it has not ended after {:g} s; make it faster, or raise search.proxy_time_limit_s", time_limit_s));
  if (result.exit_code != 0) refuse((result.signal > 0 ? "it was " : "it ") + result.describe());
  const std::string_view text = trimmed(result.out);
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty()) refuse("it printed nothing; it must print milliseconds, one number, on its standard output");
  if (error != std::errc{} || end != text.data() + text.size())
    refuse(fmt::format(
        "it printed '{}', which is not one number; it must print milliseconds alone on its standard output, "
        "and all else on its standard error",
        text.substr(0, kShown)));
  if (!std::isfinite(value) || value <= 0)
    refuse(fmt::format("it printed {}; a latency is a number of milliseconds above 0", text));
  return value;
}

ProxyCommand proxy_command(const Config& config) {
  return {config.search.proxy, measuring_cores(config).timing, config.search.proxy_time_limit_s};
}

}  // namespace sonar
