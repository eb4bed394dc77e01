// Which programs of one subgraph are tried next: seeded random sampling and evolution.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "model/knobs.h"
#include "model/measurement.h"
#include "program/program_space.h"

namespace sonar {

struct TunerOptions {
  int population = 32;        // best programs that parents are drawn from
  double exploration = 0.15;  // share of a batch that is sampled afresh; more finds other basins, later
  double mutation = 0.6;      // of the rest: mutation of one parent; otherwise crossover of two, then a mutation
  int random_first = 0;        // programs sampled at random before evolution begins; the default program is a good
                               // first parent, so more of them cost a small budget dearly (docs/algorithm.md)
};

/// Ask/tell: a pure function of the seed and of the sets of programs asked for and told, so replaying recorded outcomes
/// restores it, in whatever order they are told.
class SubgraphTuner {
 public:
  SubgraphTuner(std::shared_ptr<const ProgramSpace> space, uint64_t seed, TunerOptions options = {});

  /// Up to n programs never asked for or told before; the first ever is the default program. Fewer when the space runs
  /// out: every legal program of a space of up to 65,536 knob vectors is found; of a larger one, those that many random
  /// draws and moves can find.
  std::vector<Knobs> ask(size_t n);
  /// In any order. A program may be told again (re-measurement): the latest outcome counts. Outcomes of programs that
  /// were never asked for (earlier records) are welcome.
  void tell(const Knobs& knobs, const Outcome& outcome);

  /// Best valid program, by median latency; infinity when there is none.
  double best_latency_us() const;
  const Knobs& best() const;  // the default program while nothing valid is known
  /// The n best valid programs, fastest first.
  std::vector<Knobs> contenders(size_t n) const;
  const ProgramSpace& space() const { return *space_; }

 private:
  // Untried, distinct programs among which a batch is chosen.
  std::vector<Knobs> generate(size_t n, Random& random) const;
  std::optional<Knobs> propose(const std::set<Knobs>& pool, Random& random) const;
  Knobs breed(Random& random) const;
  const Knobs& parent(Random& random) const;
  std::vector<Knobs> enumerate_untried(const std::set<Knobs>& pool) const;

  std::shared_ptr<const ProgramSpace> space_;
  uint64_t seed_;
  TunerOptions options_;
  std::set<Knobs> known_;                      // asked for or told
  std::map<Knobs, double> latencies_;          // of the valid programs, median in microseconds
  std::set<std::pair<double, Knobs>> ranked_;  // the same, fastest first
  Knobs default_;
};

}  // namespace sonar
