// A user's command that tells the latency of a network: what other systems need for it can stand for SONAR's own
// (search.proxy; docs/evaluation.md).
#pragma once
#include <atomic>
#include <string>
#include <vector>

#include "sonar/config.h"

namespace sonar {

struct ProxyCommand {
  std::string command;     // split_command's syntax; the file is put behind it
  std::vector<int> cores;  // that it is pinned to
  double time_limit_s = 300;

  /// Runs the command once, in the working folder: milliseconds, above 0. Throws EnvironmentError naming the command,
  /// the network and the remedy when it cannot be started, fails, takes longer than the limit, or prints anything but
  /// one such number on its standard output; Stopped soon after `stop` turns true.
  double ask(const std::string& network, const std::string& file, const std::atomic<bool>* stop = nullptr) const;
};

ProxyCommand proxy_command(const Config& config);

}  // namespace sonar
