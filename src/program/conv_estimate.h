// A roofline of one convolution program: what the cost model is told first, and what the default program is chosen by.
#pragma once
#include "program/space_conv.h"

namespace sonar {

/// What bounds a program, in cycles of one core for the whole batch.
struct ConvEstimate {
  double arithmetic = 0;  // multiply-adds, idle lanes and tails included, at the width of the units
  double loads = 0;       // reads of the inner loop from the L1 cache
  double memory = 0;      // weights and input coming to the L1 cache from beyond
  double rest = 0;        // what tiles cost besides their inner loops, and padding
  double cycles = 0;      // of all of them together
};

/// Assumes two units for multiply-adds, two for loads, and caches of usual speed: it ranks, it does not predict times.
ConvEstimate estimate_conv(const Subgraph& subgraph, const ConvSchedule& schedule, const Target& target,
                           ConvRows rows = ConvRows::joined);

}  // namespace sonar
