#include "search/tuning.h"

#include <gtest/gtest.h>

#include "model/error.h"

namespace sonar {
namespace {

Target target() {
  Target result;
  result.halide = "host";
  return result;
}

std::vector<Subgraph> subgraphs() {
  return {parse_subgraph("conv-f32-n1-h8-w8-i16-o32-k1-s1-p0-relu"),
          parse_subgraph("depthwise-f32-n1-h8-w8-i32-o32-k3-s1-p1-relu"),
          parse_subgraph("pool-f32-n1-h2-w2-i8-o8-k1-s1-p0-linear")};  // a space so small that it runs out
}

/// A made-up outcome that depends on the program alone; one in eight fails.
Outcome outcome_of(const MeasureJobRow& job, const Knobs& knobs) {
  std::string text = job.subgraph;
  for (int knob : knobs) text += " " + std::to_string(knob);
  Random random(stable_hash(text));
  if (job.purpose != MeasurePurpose::fallback && random.below(8) == 0)
    return MeasureError{MeasureErrorKind::crash, "made up"};
  Measurement measurement;
  measurement.median_us = 5 + 10 * random.uniform();
  return measurement;
}

void carry_out(Tuning& tuning, const MeasureJobRow& job) {
  for (const Knobs& knobs : job.programs) tuning.tell(job, knobs, outcome_of(job, knobs));
  tuning.finish(job);
}

TEST(Tuning, ReplayOfRecordedJobsRestoresWhatIsAskedNext) {
  for (const SchedulerRule rule : {SchedulerRule::paper, SchedulerRule::gradient}) {
    Tuning unbroken(subgraphs(), target(), rule, 7);
    unbroken.set_occurrences({1, 2, 1});
    std::vector<MeasureJobRow> recorded;
    for (const MeasureJobRow& job : unbroken.default_jobs()) {
      carry_out(unbroken, job);
      recorded.push_back(job);
    }
    for (int step = 0; step < 60; ++step) {
      // Two batches are out at once, as when small ones are linked together.
      std::vector<MeasureJobRow> out;
      for (int i = 0; i < 2; ++i)
        if (auto job = unbroken.next_batch(0, 12)) out.push_back(*job);
      for (const MeasureJobRow& job : out) {
        carry_out(unbroken, job);
        recorded.push_back(job);
      }
      if (step % 20 != 19) continue;

      Tuning resumed(subgraphs(), target(), rule, 7);
      for (const MeasureJobRow& job : recorded) {
        resumed.replay(job);
        carry_out(resumed, job);
      }
      resumed.set_occurrences({1, 2, 1});
      const auto expected = unbroken.next_batch(1, 8), got = resumed.next_batch(1, 8);
      ASSERT_TRUE(expected && got);
      EXPECT_EQ(got->subgraph, expected->subgraph);
      EXPECT_EQ(got->programs, expected->programs);
      carry_out(unbroken, *expected);
      recorded.push_back(*expected);
    }
    EXPECT_TRUE(unbroken.exhausted(2));
  }
}

TEST(Tuning, ReplayRefusesRecordsThatDoNotFollow) {
  Tuning tuning(subgraphs(), target(), SchedulerRule::gradient, 7);
  MeasureJobRow job = tuning.default_jobs().front();
  Tuning other(subgraphs(), target(), SchedulerRule::gradient, 7);
  job.programs.front().front() += 1;
  EXPECT_THROW(other.replay(job), InternalError);
}

TEST(Tuning, ContendersAreMeasuredUntilTheBestIsConfirmed) {
  Tuning tuning(subgraphs(), target(), SchedulerRule::gradient, 7);
  tuning.set_occurrences({1, 0, 1});  // the second belongs to no survivor
  for (const MeasureJobRow& job : tuning.default_jobs()) carry_out(tuning, job);
  carry_out(tuning, *tuning.next_batch(0, 16));
  carry_out(tuning, *tuning.next_batch(0, 16));
  const long programs = tuning.programs(0);
  int passes = 0;
  for (auto jobs = tuning.contender_jobs(1, 2); !jobs.empty(); jobs = tuning.contender_jobs(1, 2)) {
    ASSERT_LT(++passes, 20);
    for (const MeasureJobRow& job : jobs) {
      EXPECT_NE(job.subgraph, tuning.key(1));
      // The second reading of each is slower by half: another program comes to lead, and is read again in turn.
      for (const Knobs& knobs : job.programs) {
        Outcome outcome = outcome_of(job, knobs);
        if (auto* measurement = std::get_if<Measurement>(&outcome)) measurement->median_us *= 1.5;
        tuning.tell(job, knobs, outcome);
      }
      tuning.finish(job);
    }
  }
  EXPECT_GT(passes, 1);
  EXPECT_EQ(tuning.programs(0), programs) << "re-measurements are not tried programs";
}

}  // namespace
}  // namespace sonar
