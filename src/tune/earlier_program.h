// A program that was measured by an earlier run.
#pragma once
#include <optional>
#include <string>

#include "model/subgraph.h"

namespace sonar {

struct EarlierProgram {
  Subgraph subgraph;
  std::string knobs;                 // as ProgramSpace::to_text writes them
  std::optional<double> latency_us;  // nothing: it failed
};

}  // namespace sonar
