#include "tune/trial_tuner.h"

#include <algorithm>
#include <numeric>

#include "model/error.h"

namespace sonar {
namespace {

class TrialSpace : public ProgramSpace {
 public:
  explicit TrialSpace(const Subgraph& subgraph)
      : subgraph_(subgraph), knobs_{{"trial", std::vector<int>(kMostTrials)}} {
    std::iota(knobs_[0].values.begin(), knobs_[0].values.end(), 0);
  }
  const Subgraph& subgraph() const override { return subgraph_; }
  const std::vector<KnobSpec>& knobs() const override { return knobs_; }
  std::string why_illegal(const Knobs& knobs) const override {
    if (knobs.size() == 1 && knobs[0] >= 0 && knobs[0] < kMostTrials) return "";
    return "a program of an outside tuner is one trial number from 0 to " + std::to_string(kMostTrials - 1);
  }
  Knobs default_program() const override { return {0}; }
  std::vector<Argument> arguments(const Knobs&) const override {
    throw InternalError(subgraph_.key() + ": the arguments of an outside tuner's program are its own affair");
  }
  std::vector<float> features(const Knobs& knobs) const override { return {static_cast<float>(knobs.at(0))}; }

 private:
  Subgraph subgraph_;
  std::vector<KnobSpec> knobs_;
};

}  // namespace

std::unique_ptr<ProgramSpace> make_trial_space(const Subgraph& subgraph) {
  return std::make_unique<TrialSpace>(subgraph);
}

std::vector<Knobs> TrialTuner::ask(size_t n) {
  std::vector<Knobs> trials;
  while (!ended_ && trials.size() < n && next_ < kMostTrials) trials.push_back({next_++});
  return trials;
}

void TrialTuner::restore_asked(const std::vector<Knobs>& programs) {
  for (const Knobs& knobs : programs) next_ = std::max(next_, knobs.at(0) + 1);
}

void TrialTuner::learn(const Knobs& knobs, const Outcome& outcome) {
  next_ = std::max(next_, knobs[0] + 1);
  const auto* error = std::get_if<MeasureError>(&outcome);
  ended_ = ended_ || (error && error->kind == MeasureErrorKind::no_program);
}

}  // namespace sonar
