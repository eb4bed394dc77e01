#pragma once

namespace sonar {

/// The estimates by which networks are judged.
struct Objectives {
  double accuracy = 0;    // fraction 0..1, higher is better
  double latency_us = 0;  // microseconds, lower is better
};

}  // namespace sonar
