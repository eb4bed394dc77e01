// Which programs of one subgraph are tried next: seeded random sampling and evolution.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "model/knobs.h"
#include "model/measurement.h"
#include "program/program_space.h"

namespace sonar {

struct TunerOptions {
  int population = 32;         // best programs that parents are drawn from
  double exploration = 0.15;   // share of a batch that is sampled afresh; more finds other basins, later
  double mutation = 0.6;       // of the rest: mutation of one parent; otherwise crossover of two, then a mutation
  int random_first = 16;       // programs sampled at random before evolution begins
};

/// Ask/tell: a pure function of (seed, asks and tells in their order), so replaying recorded outcomes restores it.
class SubgraphTuner {
 public:
  SubgraphTuner(std::shared_ptr<const ProgramSpace> space, uint64_t seed, TunerOptions options = {});

  /// Up to n programs never asked for before; the first ever is the default program. Fewer when the space runs out.
  std::vector<Knobs> ask(size_t n);
  /// In any order. A program may be told again (re-measurement): the latest outcome counts. Outcomes of programs that were
  /// never asked for (earlier records) are welcome.
  void tell(const Knobs& knobs, const Outcome& outcome);

  /// Best valid program, by median latency; infinity when there is none.
  double best_latency_us() const;
  const Knobs& best() const;  // the default program while nothing valid is known
  /// The n best valid programs, fastest first.
  std::vector<Knobs> contenders(size_t n) const;
  const ProgramSpace& space() const { return *space_; }

 private:
  bool propose(Knobs& knobs);

  std::shared_ptr<const ProgramSpace> space_;
  TunerOptions options_;
  Random random_;
  std::map<Knobs, double> told_;  // latency; infinity for a failure
  std::map<Knobs, bool> asked_;
  std::vector<std::pair<double, Knobs>> ranked_;  // valid programs, fastest first
  Knobs default_;
};

}  // namespace sonar
