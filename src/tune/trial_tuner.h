// The tuner of a subgraph whose programs an outside tuner proposes: here a program is a number, that of a trial.
#pragma once
#include <memory>
#include <vector>

#include "tune/tuner.h"

namespace sonar {

/// Trials that one subgraph may have; a number of trials that no tool reaches in a search.
inline constexpr int kMostTrials = 16384;

/// (kind, shape, trial): the programs of a subgraph as an outside tuner counts them. Trial 0 is the tool's default
/// program. arguments() throws InternalError: SONAR does not call such a program itself.
std::unique_ptr<ProgramSpace> make_trial_space(const Subgraph& subgraph);

/// Asks for one trial after another, until one has the outcome "no program": the tool has run out, or kMostTrials.
class TrialTuner : public Tuner {
 public:
  explicit TrialTuner(std::shared_ptr<const ProgramSpace> space) : Tuner(std::move(space)) {}
  std::vector<Knobs> ask(size_t n) override;
  void restore_asked(const std::vector<Knobs>& programs) override;

 private:
  void learn(const Knobs& knobs, const Outcome& outcome) override;

  int next_ = 0;
  bool ended_ = false;
};

}  // namespace sonar
