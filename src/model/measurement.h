#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace sonar {

/// Why a program has no latency. Stored by number in run stores: never renumber.
enum class MeasureErrorKind {
  compile_error = 1,
  compile_timeout = 2,
  link_error = 3,
  device_unreachable = 4,
  crash = 5,
  run_timeout = 6,
  wrong_answer = 7,
  no_program = 8,  // an outside tuner has no further program for the subgraph
};

inline constexpr MeasureErrorKind kLastMeasureErrorKind = MeasureErrorKind::no_program;

struct MeasureError {
  MeasureErrorKind kind = MeasureErrorKind::crash;
  std::string message;
};

/// A timed program. All times in microseconds per run.
struct Measurement {
  std::vector<double> samples_us;  // each the mean of a short burst of runs
  double median_us = 0;
  double minimum_us = 0;
  double spread = 0;           // (third quartile - first quartile) / median
  long runs = 0;               // over all samples, warm-up not counted
  bool stopped_early = false;  // clearly slower than the best known; fewer samples were taken
};

/// A failed measurement is a value, never a number.
using Outcome = std::variant<Measurement, MeasureError>;

inline const char* to_text(MeasureErrorKind kind) {
  switch (kind) {
    case MeasureErrorKind::compile_error:
      return "compile error";
    case MeasureErrorKind::compile_timeout:
      return "compile timeout";
    case MeasureErrorKind::link_error:
      return "link error";
    case MeasureErrorKind::device_unreachable:
      return "device unreachable";
    case MeasureErrorKind::crash:
      return "crash";
    case MeasureErrorKind::run_timeout:
      return "run timeout";
    case MeasureErrorKind::wrong_answer:
      return "wrong answer";
    case MeasureErrorKind::no_program:
      return "no program";
  }
  return "unknown";
}

/// The cause that to_text() calls so, if there is one.
inline std::optional<MeasureErrorKind> measure_error_kind(std::string_view text) {
  for (int k = 1; k <= static_cast<int>(kLastMeasureErrorKind); ++k)
    if (text == to_text(static_cast<MeasureErrorKind>(k))) return static_cast<MeasureErrorKind>(k);
  return std::nullopt;
}

}  // namespace sonar
