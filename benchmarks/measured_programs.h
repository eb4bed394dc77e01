// Programs measured for a benchmark, kept in a file, so that a later call measures only what is new.
#pragma once
#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "model/measurement.h"
#include "program/program_space.h"
#include "search/program_measurer.h"
#include "search/start_device.h"

namespace sonar {

struct MeasuringOptions {
  std::string file;         // of the measured programs; made when missing
  std::string work_folder;  // for objects and runners
  std::vector<int> compile_cores, device_cores;
  std::string lock;          // a file that is locked while programs run, so that several may share a core; empty: none
  double sampling_s = 0.02;  // per program
};

/// A lock file that several processes take in turns of some 100 s, so that only one measures at a time.
class SharedCore {
 public:
  explicit SharedCore(const std::string& path);  // empty: no lock
  ~SharedCore();
  SharedCore(const SharedCore&) = delete;
  SharedCore& operator=(const SharedCore&) = delete;
  void hold();  // waits for its turn, unless it has it still
  void release();

 private:
  int file_ = -1;
  bool held_ = false;
  std::chrono::steady_clock::time_point since_;
};

/// Lines of the file: protocol and space version, subgraph, knobs by name, latency in microseconds ("failed": none),
/// 1 when sampling was stopped early; separated by tabs. Lines of other versions are passed over.
class MeasuredPrograms {
 public:
  explicit MeasuredPrograms(const MeasuringOptions& options);
  ~MeasuredPrograms();

  struct Program {
    std::shared_ptr<const ProgramSpace> space;
    Knobs knobs;
  };
  /// Whether all of them were measured before.
  bool hold(const std::vector<Program>& programs) const;
  /// In order; measured now where the file does not have them. Clearly slower programs than the subgraph's best are
  /// stopped early.
  std::vector<Outcome> measure(const std::vector<Program>& programs);

  struct Known {
    std::string knobs_text;
    Outcome outcome;
  };
  const std::map<SubgraphKey, std::vector<Known>>& known() const { return known_; }
  /// Of everything known; infinity when nothing is.
  double best_us(const SubgraphKey& key) const;
  long measured_now() const { return measured_now_; }

 private:
  void remember(const SubgraphKey& key, const std::string& knobs, const Outcome& outcome);

  MeasuringOptions options_;
  SharedCore core_;
  DeviceParts parts_;
  std::unique_ptr<ProgramMeasurer> measurer_;
  std::map<SubgraphKey, std::vector<Known>> known_;
  std::map<std::pair<SubgraphKey, std::string>, Outcome> outcomes_;
  std::map<SubgraphKey, double> best_us_;
  long measured_now_ = 0;
};

}  // namespace sonar
