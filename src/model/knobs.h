#pragma once
#include <vector>

namespace sonar {

/// One schedule of one subgraph: a value per knob, in the order of ProgramSpace::knobs().
using Knobs = std::vector<int>;

}  // namespace sonar
