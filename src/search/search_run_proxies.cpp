// Before the rounds: the number that a command of the user's gives to each network.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "model/error.h"
#include "onnx/write_onnx.h"
#include "search/proxy_command.h"
#include "search/search_run.h"

namespace sonar {
namespace fs = std::filesystem;

/// One network after the other, while nothing else of the run is at work: the command is timed as programs are.
void SearchRun::measure_proxies() {
  if (purpose_ != Purpose::search || config_.search.proxy.empty()) return;
  std::map<std::string, double> known = store_->proxies();
  const ProxyCommand command = proxy_command(config_);
  const fs::path folder = fs::absolute(options_.folder) / "work" / "proxy";
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) throw EnvironmentError(folder.string() + ": cannot be made (" + error.message() + ")");
  if (known.size() < networks_.size())
    say("proxy", fmt::format("asking {} for {} networks", command.command, networks_.size() - known.size()));
  for (size_t i = 0; i < networks_.size(); ++i) {
    const Network& network = networks_[i];
    const std::string& name = network.row.name;
    if (!known.count(name)) {
      if (options_.stop && options_.stop->load()) throw Stopped();
      tuning_now_ = fmt::format("proxy of {} ({} of {} networks)", name, known.size() + 1, networks_.size());
      show_progress();
      const std::string file = (folder / (name + ".onnx")).string();
      write_onnx(file, untrained_onnx(network.candidate.graph, static_cast<int>(config_.device.batch),
                                      static_cast<uint64_t>(config_.search.seed)));
      const double began = clock_.now();
      const double value = command.ask(name, file, options_.stop);  // the file of one that fails stays, to try it
      known[name] = value;
      store_->put_proxy(name, value);
      store_->put_usage({Side::tune, command.cores.front(), began, clock_.now(), "proxy of " + name});
      remember_time();
      fs::remove(file, error);
    }
    policy_->tell_proxy(i, known.at(name));
  }
  tuning_now_.clear();
  const auto [least, most] =
      std::minmax_element(known.begin(), known.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  say("proxy", fmt::format("{} networks, {:.4g} to {:.4g} ms", known.size(), least->second, most->second));
}

}  // namespace sonar
