// From (subgraph, knobs) to outcomes: compile, link, run on the device, checked against the reference. All of it
// overlaps as far as the cores allow: while one chunk of programs is timed, the next is linked and the one after
// compiles.
#pragma once
#include <functional>
#include <memory>
#include <vector>

#include "device/device.h"
#include "graph/partition.h"
#include "program/compiler.h"
#include "program/program_space.h"
#include "search/call_context.h"
#include "search/core_claims.h"

namespace sonar {

/// Bumped whenever a time comes to mean something else: part of a record's identity.
inline constexpr int kMeasuringProtocolVersion = 5;

/// Where what runs. Compiling happens on the workers' own cores; where one of these is timed too, the two alternate.
struct MeasuringCores {
  std::vector<int> timing;  // programs are timed on these
  std::vector<int> beside;  // reference and linker run on these; empty: on `timing`, between programs
};

struct ProgramToMeasure {
  std::shared_ptr<const ProgramSpace> space;
  Knobs knobs;
  double best_us = 0;        // of the subgraph so far: clearly slower programs are stopped early; 0: measured out
  double sampling_s = 0.03;  // spent on its samples; more lowers the noise
  CallContext context = {};  // what the network touches between two calls
};

/// Callable from any thread.
class ProgramMeasurer {
 public:
  /// Programs linked into one runner: more amortises linking better, fewer shows results sooner.
  static constexpr size_t kChunk = 16;
  /// Programs that keep every stage busy: one chunk timed, one linked, one compiling.
  static constexpr size_t kBusy = 3 * kChunk;

  struct Result {
    Outcome outcome;
    double compile_s = 0;
  };
  /// What became of some of the programs that were submitted; called from the measurer's threads, one at a time, while
  /// nothing is held.
  struct Chunk {
    std::vector<std::pair<long, Result>> results;  // (ticket, result)
    std::exception_ptr error;                      // the toolchain or the disk failed: nothing more will come
  };
  using Listener = std::function<void(Chunk)>;

  /// `listener`: of what `submit` hands in.
  ProgramMeasurer(ProgramCompiler& compiler, Device& device, const MeasuringCores& cores, Listener listener = {});
  /// Ends at once; what is still out is dropped.
  ~ProgramMeasurer();

  /// Programs with tickets `first`, `first` + 1, ... join the queue.
  void submit(const std::vector<ProgramToMeasure>& programs, long first);

  /// Measures now and waits. For those who submit nothing.
  void measure(const std::vector<ProgramToMeasure>& programs, const std::function<void(size_t, const Result&)>& done);

  /// A whole network in one process, each subgraph with the given knobs. Waits; what was submitted goes on meanwhile,
  /// and alternates with it.
  Outcome measure_network(const std::vector<SubgraphUse>& uses,
                          const std::vector<std::shared_ptr<const ProgramSpace>>& spaces,
                          const std::vector<Knobs>& knobs);

  /// For other work of this process that may run on the timed cores.
  CoreClaims& claims();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Pins the calling thread; cores that it may not use, or an empty list, change nothing.
void pin_this_thread(const std::vector<int>& cores);

/// Moves the calling thread off `cores`; where that leaves it none, it stays, and those that it shares are returned.
std::vector<int> keep_off(const std::vector<int>& cores);

}  // namespace sonar
