// Records for tests.
#pragma once
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "model/random.h"
#include "records/run_store.h"

namespace sonar {

inline RecordIdentity test_identity() { return {"x86-64-linux-avx512", "CPU of 2 cores", "Halide 21.0.0", 3, 2, 1}; }

inline LibraryRecord measured_record(const std::string& run, long arrival, const std::string& knobs, double median_us,
                                     double measured_at) {
  LibraryRecord record;
  record.identity = test_identity();
  record.origin = {run, "tune", -1};
  record.program.arrival = arrival;
  record.program.measured_at = measured_at;
  record.program.subgraph = "conv-f32-n1-h8-w8-i3-o8-k3-s1-p1-hswish";
  record.program.knobs_text = knobs;
  record.program.outcome = Measurement{{median_us, median_us * 1.5}, median_us, median_us, 0.1, 20, false};
  record.program.compile_s = 0.25;
  return record;
}

inline LibraryRecord failed_record(const std::string& run, long arrival, const std::string& knobs,
                                   MeasureErrorKind kind, double measured_at) {
  LibraryRecord record = measured_record(run, arrival, knobs, 1, measured_at);
  record.program.outcome = MeasureError{kind, "what happened"};
  return record;
}

inline LibraryRecord random_record(Random& random) {
  const auto number = [&] { return std::ldexp(1 + random.uniform(), static_cast<int>(random.below(80)) - 40); };
  const std::string texts[] = {"", "'; DROP TABLE record; --", "\"quoted\" \\ \n \t", "µs ≤ 1", std::string("a\0b", 3)};
  LibraryRecord record =
      measured_record("run-" + std::to_string(random.below(3)), static_cast<long>(random.below(1000)),
                      "vector=" + std::to_string(random.below(99)) + " shift=-2", 1, number());
  record.origin.verb = random.below(2) ? "tune" : "search";
  record.identity.device = texts[random.below(5)];
  record.identity.threads = 1 + static_cast<int>(random.below(8));
  record.purpose = static_cast<MeasurePurpose>(1 + random.below(3));
  record.program.compile_s = number();
  if (random.below(3) == 0) {
    record.program.outcome = MeasureError{static_cast<MeasureErrorKind>(1 + random.below(8)), texts[random.below(5)]};
  } else {
    Measurement measured;
    for (uint64_t i = random.below(5); i > 0; --i) measured.samples_us.push_back(number());
    measured.minimum_us = number();
    measured.median_us = measured.minimum_us * (1 + random.uniform());
    measured.spread = random.uniform();
    measured.runs = static_cast<long>(random.below(1'000'000'000'000));
    measured.stopped_early = random.below(2) == 1;
    record.program.outcome = measured;
  }
  return record;
}

inline void expect_same(const LibraryRecord& a, const LibraryRecord& b) {
  EXPECT_EQ(a.identity, b.identity);
  EXPECT_EQ(a.origin, b.origin);
  EXPECT_EQ(a.purpose, b.purpose);
  EXPECT_EQ(a.program.arrival, b.program.arrival);
  EXPECT_EQ(a.program.measured_at, b.program.measured_at);
  EXPECT_EQ(a.program.subgraph, b.program.subgraph);
  EXPECT_EQ(a.program.knobs_text, b.program.knobs_text);
  EXPECT_EQ(a.program.compile_s, b.program.compile_s);
  ASSERT_EQ(a.program.outcome.index(), b.program.outcome.index());
  if (const auto* failure = std::get_if<MeasureError>(&a.program.outcome)) {
    EXPECT_EQ(failure->kind, std::get<MeasureError>(b.program.outcome).kind);
    EXPECT_EQ(failure->message, std::get<MeasureError>(b.program.outcome).message);
    return;
  }
  const auto &x = std::get<Measurement>(a.program.outcome), &y = std::get<Measurement>(b.program.outcome);
  EXPECT_EQ(x.samples_us, y.samples_us);
  EXPECT_EQ(x.median_us, y.median_us);
  EXPECT_EQ(x.minimum_us, y.minimum_us);
  EXPECT_EQ(x.spread, y.spread);
  EXPECT_EQ(x.runs, y.runs);
  EXPECT_EQ(x.stopped_early, y.stopped_early);
}

}  // namespace sonar
