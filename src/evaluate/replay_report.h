// From options to replays, and from replays to figures: what `sonar replay` and `sonar compare` share.
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "evaluate/replay.h"
#include "sonar/evaluate.h"

namespace sonar {

/// The replay that the options ask for on this trace. Throws UserError naming the option at fault.
ReplaySetup replay_setup(const Trace& trace, const ReplayOptions& options);

/// Figures by name (docs/evaluation.md), in the order in which they are shown; NaN: it does not exist.
using Figures = std::vector<std::pair<std::string, double>>;
Figures figures(const Trace& trace, const ReplayRun& run);

/// Mean over seeds. NaN: fewer than one value, or than two for the others.
struct Estimate {
  double mean, deviation, half_width;  // standard deviation; half of the 95 % confidence interval (Student's t)
  long values;
};
/// Of the values that are finite.
Estimate estimate(const std::vector<double>& values);
/// Of each figure, over the runs that have it.
std::vector<std::pair<std::string, Estimate>> summary(const std::vector<Figures>& runs);

}  // namespace sonar
