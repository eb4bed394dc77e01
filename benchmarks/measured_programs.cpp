#include "measured_programs.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <fstream>
#include <limits>
#include <set>
#include <sstream>
#include <thread>

#include "model/error.h"

namespace sonar {
namespace {

constexpr double kTurnS = 100;  // the lock is held this long, then others get their turn
constexpr size_t kSlice = 64;   // programs between two looks at the clock

std::string versions() { return fmt::format("{}.{}", kMeasuringProtocolVersion, kProgramSpaceVersion); }

}  // namespace

SharedCore::SharedCore(const std::string& path) {
  if (path.empty()) return;
  file_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (file_ < 0) throw UserError(path + ": cannot be opened");
}

SharedCore::~SharedCore() {
  if (file_ >= 0) ::close(file_);
}

void SharedCore::hold() {
  if (file_ < 0) return;
  const auto held = std::chrono::steady_clock::now() - since_;
  if (held_ && std::chrono::duration<double>(held).count() < kTurnS) return;
  release();
  ::flock(file_, LOCK_EX);
  held_ = true;
  since_ = std::chrono::steady_clock::now();
}

void SharedCore::release() {
  if (!held_) return;
  ::flock(file_, LOCK_UN);
  held_ = false;
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
}

MeasuredPrograms::MeasuredPrograms(const MeasuringOptions& options) : options_(options), core_(options.lock) {
  std::ifstream file(options_.file);
  for (std::string line; std::getline(file, line);) {
    std::istringstream text(line);
    std::string version, key, knobs, latency, early;
    const auto next = [&](std::string& field) { return static_cast<bool>(std::getline(text, field, '\t')); };
    // A line that was cut by a kill has fewer fields.
    if (!next(version) || !next(key) || !next(knobs) || !next(latency) || !next(early) || version != versions())
      continue;
    if (latency == "failed") {
      remember(key, knobs, MeasureError{});
      continue;
    }
    Measurement measurement;
    measurement.median_us = std::stod(latency);
    measurement.stopped_early = early == "1";
    remember(key, knobs, measurement);
  }
}

MeasuredPrograms::~MeasuredPrograms() = default;

void MeasuredPrograms::remember(const SubgraphKey& key, const std::string& knobs, const Outcome& outcome) {
  if (!outcomes_.emplace(std::pair(key, knobs), outcome).second) return;
  known_[key].push_back({knobs, outcome});
  double& best = best_us_.emplace(key, std::numeric_limits<double>::infinity()).first->second;
  if (const auto* measurement = std::get_if<Measurement>(&outcome)) best = std::min(best, measurement->median_us);
}

double MeasuredPrograms::best_us(const SubgraphKey& key) const {
  const auto found = best_us_.find(key);
  return found == best_us_.end() ? std::numeric_limits<double>::infinity() : found->second;
}

bool MeasuredPrograms::hold(const std::vector<Program>& programs) const {
  return std::all_of(programs.begin(), programs.end(), [&](const Program& program) {
    return outcomes_.count({program.space->subgraph().key(), program.space->to_text(program.knobs)});
  });
}

std::vector<Outcome> MeasuredPrograms::measure(const std::vector<Program>& programs) {
  std::vector<ProgramToMeasure> missing;
  std::set<std::pair<SubgraphKey, std::string>> names;
  for (const auto& [space, knobs] : programs) {
    const SubgraphKey key = space->subgraph().key();
    const std::pair name(key, space->to_text(knobs));
    if (outcomes_.count(name) || !names.insert(name).second) continue;
    const double best = best_us(key);
    missing.push_back({space, knobs, std::isfinite(best) ? best : 0, options_.sampling_s});
  }
  if (!missing.empty()) {
    if (!measurer_) {
      Config config;
      config.compile.cores = {options_.compile_cores.begin(), options_.compile_cores.end()};
      config.device.cores = {options_.device_cores.begin(), options_.device_cores.end()};
      parts_ = start_local_device(config, options_.work_folder);
      measurer_ = std::make_unique<ProgramMeasurer>(*parts_.compiler, *parts_.device, measuring_cores(config));
    }
    std::ofstream file(options_.file, std::ios::app);
    for (size_t begin = 0; begin < missing.size(); begin += kSlice) {
      const auto first = missing.begin() + static_cast<long>(begin);
      const std::vector<ProgramToMeasure> slice(first, first + std::min<long>(kSlice, missing.end() - first));
      core_.hold();
      measurer_->measure(slice, [&](size_t i, const ProgramMeasurer::Result& result) {
        const Outcome& outcome = result.outcome;
        const auto* measurement = std::get_if<Measurement>(&outcome);
        const SubgraphKey key = slice[i].space->subgraph().key();
        const std::string knobs = slice[i].space->to_text(slice[i].knobs);
        file << versions() << '\t' << key << '\t' << knobs << '\t'
             << (measurement ? fmt::format("{}", measurement->median_us) : "failed") << '\t'
             << (measurement && measurement->stopped_early ? 1 : 0) << '\n'
             << std::flush;
        if (!file) throw EnvironmentError(options_.file + ": cannot be written");
        remember(key, knobs, outcome);
        ++measured_now_;
      });
    }
  }
  std::vector<Outcome> outcomes;
  for (const auto& [space, knobs] : programs)
    outcomes.push_back(outcomes_.at({space->subgraph().key(), space->to_text(knobs)}));
  return outcomes;
}

}  // namespace sonar
