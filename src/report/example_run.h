// A made-up but plausible run, written through the run store as a search would. Tests only.
#pragma once
#include <cstdint>
#include <string>

namespace sonar {

struct ExampleRun {
  int networks = 64;
  int programs = 2000;     // in all
  int rounds_to_run = -1;  // stop after so many; < 0: all, and write results
  bool stop_mid_round = false;
  double threshold_us = 0;  // > 0: search under a threshold
  uint64_t seed = 1;
};

void write_example_run(const std::string& folder, const ExampleRun& example);

}  // namespace sonar
