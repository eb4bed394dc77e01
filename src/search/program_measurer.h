// From (subgraph, knobs) to outcomes: compile, link, run on the device, checked against the reference.
#pragma once
#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "device/device.h"
#include "graph/partition.h"
#include "program/compiler.h"
#include "program/program_space.h"

namespace sonar {

/// Bumped whenever a time comes to mean something else: part of a record's identity.
inline constexpr int kMeasuringProtocolVersion = 1;

struct ProgramToMeasure {
  std::shared_ptr<const ProgramSpace> space;
  Knobs knobs;
  double best_us = 0;  // of the subgraph so far: clearly slower programs are stopped early; 0: measured out
};

/// Not thread-safe: one thread measures.
class ProgramMeasurer {
 public:
  /// Programs linked into one runner: more amortises linking better, fewer shows results sooner.
  static constexpr size_t kChunk = 16;

  /// `overlap`: compile the next chunk while this one is measured; only where the two use different cores.
  ProgramMeasurer(Compiler& compiler, Device& device, bool overlap);

  /// `done(i, outcome, compile_s)` as each outcome is known. Ends early, between chunks, when *stop is set.
  /// `sampling_s`: time spent on the samples of one program; more lowers the noise.
  void measure(const std::vector<ProgramToMeasure>& programs, double sampling_s,
               const std::function<void(size_t, const Outcome&, double)>& done, const std::atomic<bool>* stop);

  /// A whole network, subgraph after subgraph in one process, each with the given knobs; activations flow from one to
  /// the next, weights are random, the result is checked against the reference.
  Outcome measure_network(const std::vector<SubgraphUse>& uses,
                          const std::vector<std::shared_ptr<const ProgramSpace>>& spaces,
                          const std::vector<Knobs>& knobs);

 private:
  struct Compiled;
  Compiled compile(const std::vector<ProgramToMeasure>& programs, size_t begin, size_t end);
  const std::vector<float>& expected(const Subgraph& subgraph);

  Compiler& compiler_;
  Device& device_;
  bool overlap_;
  long next_name_ = 0;
  std::map<SubgraphKey, std::vector<float>> expected_;  // of the latest subgraphs
  size_t expected_values_ = 0;
};

}  // namespace sonar
