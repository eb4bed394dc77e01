// The built-in tuner: neighbours' programs first, then evolution, guided by a cost model.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <vector>

#include "model/knobs.h"
#include "model/measurement.h"
#include "program/program_space.h"
#include "tune/experience.h"
#include "tune/tuner.h"

namespace sonar {

struct TunerOptions {
  int population = 32;       // best programs that parents are drawn from
  double exploration = 0.1;  // share of a batch that is sampled afresh; more finds other basins, later
  double mutation = 0.6;     // of what is bred: mutation of one parent; otherwise crossover of two, then a mutation
  bool cost_model = true;    // choose by predicted speed among many, once enough of the kind was measured
  int generations = 4;       // of evolution on predicted speed before a batch is chosen
  int generation = 256;      // programs in each; about 5 us per program
  bool transfer = true;      // begin with the best programs of the nearest subgraphs
  int transferred = 6;       // programs of other subgraphs that are tried first
};

/// A pure function of the seed, of the sets of programs asked for and told, and of the experience (which is
/// one of the order of arrival). So it is restored by restore_asked() and by telling the outcomes again; no ask is
/// repeated.
class SubgraphTuner : public Tuner {
 public:
  /// `experience` is shared by the tuners of a run, and each adds to it what it is told; null: one of its own.
  SubgraphTuner(std::shared_ptr<const ProgramSpace> space, uint64_t seed, TunerOptions options = {},
                std::shared_ptr<Experience> experience = nullptr);

  /// Every legal program of a space of up to 65,536 knob vectors is found before it runs out; of a larger one, those
  /// that many random draws and moves can find. Outcomes of programs that were never asked for are welcome.
  std::vector<Knobs> ask(size_t n) override;
  void restore_asked(const std::vector<Knobs>& programs) override;

 private:
  void learn(const Knobs& knobs, const Outcome& outcome) override;

  class Choice;  // the programs chosen for one batch so far
  void choose_transferred(Choice& choice) const;
  void choose_by_model(Choice& choice, Random& random) const;
  void choose_bred(Choice& choice, Random& random) const;
  void choose_rest(Choice& choice, Random& random) const;
  std::optional<Knobs> propose(const Choice& choice, const std::vector<Knobs>& parents, Random& random) const;
  Knobs breed(const std::vector<Knobs>& parents, Random& random) const;

  uint64_t seed_;
  TunerOptions options_;
  std::shared_ptr<Experience> experience_;
  std::set<Knobs> known_;  // asked for or told
  std::set<Knobs> told_;
};

}  // namespace sonar
