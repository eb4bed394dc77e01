// What the programs of a run cost, in seconds.
#pragma once
#include <vector>

#include "records/run_store.h"

namespace sonar {

/// Seconds of each program: of the wall time of the tuning side each one's part, in proportion to its own compiling and
/// timing, for compiling, linking and timing overlap. Runs that did not record that time: their own seconds.
std::vector<double> recorded_costs(const std::vector<ProgramRow>& programs, const RunStore& store);

}  // namespace sonar
