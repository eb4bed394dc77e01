#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdio>

#include "cli/verbs.h"

namespace sonar::cli {
namespace {

constexpr double kPlainEvery = 10;  // seconds between progress lines where there is no terminal

std::string fit(const std::string& text) {
  winsize size{};
  const size_t width = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20 ? size.ws_col - 1 : 119;
  return text.size() <= width ? text : text.substr(0, width - 3) + "...";
}

}  // namespace

Console::Console(bool quiet) : quiet_(quiet), terminal_(isatty(STDERR_FILENO)) {}

Console::~Console() { clear(); }

void Console::clear() {
  if (live_) std::fputs("\033[2A\033[J", stderr);
  live_ = false;
}

void Console::attach(RunOptions& options) {
  if (quiet_) return;
  options.message = [this](const std::string& text) {
    clear();
    std::fprintf(stderr, "%s\n", text.c_str());
  };
  options.progress = [this](const Progress& progress) {
    std::string head = fmt::format("{:.0f} s", progress.elapsed_s);
    if (progress.budget_s > 0) head += fmt::format(" of {:.0f} s", progress.budget_s);
    if (progress.rounds > 0)
      head += fmt::format(", round {}/{}, {} networks", progress.round, progress.rounds, progress.networks);
    if (terminal_) {
      clear();
      std::fprintf(stderr, "%s\n%s\n", fit("train  " + head + "  " + progress.train).c_str(),
                   fit("tune   " + progress.tune).c_str());
      live_ = true;
    } else if (progress.elapsed_s - last_plain_s_ >= kPlainEvery || progress.elapsed_s < last_plain_s_) {
      last_plain_s_ = progress.elapsed_s;
      std::string text = fmt::format("{:>7.1f} s  progress   {}", progress.elapsed_s, head);
      if (!progress.train.empty()) text += "; train: " + progress.train;
      if (!progress.tune.empty()) text += "; tune: " + progress.tune;
      std::fprintf(stderr, "%s\n", text.c_str());
    }
  };
}

}  // namespace sonar::cli
