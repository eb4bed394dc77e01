#include "search/tuning.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

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

/// Of the subgraph that the scheduler chooses; nullopt when none is free.
std::optional<MeasureJobRow> next_batch(Tuning& tuning, int round, long n) {
  const int task = tuning.scheduler().ask();
  if (task < 0) return std::nullopt;
  return tuning.batch_of(static_cast<size_t>(task), round, n);
}

TuningOptions options(SchedulerRule rule = SchedulerRule::gradient) {
  TuningOptions result;
  result.rule = rule;
  result.seed = 7;
  return result;
}

TEST(Tuning, WhatIsAskedNextFollowsFromTheRecords) {
  for (const SchedulerRule rule : {SchedulerRule::paper, SchedulerRule::gradient}) {
    Tuning unbroken(subgraphs(), target(), options(rule));
    unbroken.set_occurrences({1, 2, 1});
    std::vector<MeasureJobRow> jobs;
    std::vector<ProgramRow> arrivals;
    Random order(3);
    // Several jobs are out at once, and their outcomes arrive in any order.
    const auto carry_out_shuffled = [&](std::vector<MeasureJobRow> out) {
      std::vector<ProgramRow> arriving;
      for (MeasureJobRow& job : out) {
        job.id = static_cast<long>(jobs.size()) + 1;
        jobs.push_back(job);
        for (const Knobs& knobs : job.programs)
          arriving.push_back({job.id, 0, job.subgraph, knobs, "", outcome_of(job, knobs)});
      }
      order.shuffle(arriving);
      for (const ProgramRow& row : arriving) {
        unbroken.tell(jobs[static_cast<size_t>(row.job) - 1], row.knobs, row.outcome);
        arrivals.push_back(row);
      }
      for (const MeasureJobRow& job : out) unbroken.finish(job);
    };
    carry_out_shuffled(unbroken.default_jobs());
    for (int step = 0; step < 60; ++step) {
      std::vector<MeasureJobRow> out;
      for (int i = 0; i < 2; ++i)
        if (auto job = next_batch(unbroken, 0, 12)) out.push_back(*job);
      carry_out_shuffled(out);
      if (step % 15 != 14) continue;

      Tuning resumed(subgraphs(), target(), options(rule));
      EXPECT_TRUE(resumed.restore(jobs, arrivals).empty());
      resumed.set_occurrences({1, 2, 1});
      std::vector<MeasureJobRow> next;
      for (int i = 0; i < 2; ++i) {
        const auto expected = next_batch(unbroken, 1, 8), got = next_batch(resumed, 1, 8);
        ASSERT_EQ(got.has_value(), expected.has_value());
        if (!expected) continue;
        EXPECT_EQ(got->subgraph, expected->subgraph);
        EXPECT_EQ(got->programs, expected->programs);
        next.push_back(*expected);
      }
      ASSERT_FALSE(next.empty());
      carry_out_shuffled(next);
    }
    EXPECT_TRUE(unbroken.scheduler().exhausted(2));
  }
}

TEST(Tuning, RestoreRefusesRecordsOfAnotherProgramSpace) {
  Tuning tuning(subgraphs(), target(), options());
  MeasureJobRow job = tuning.default_jobs().front();
  Tuning other(subgraphs(), target(), options());
  job.programs.front().front() += 1;
  EXPECT_THROW(other.restore({job}, {}), InternalError);
}

TEST(Tuning, RestoreReturnsTheJobsThatWereOutAndAsksForOthers) {
  Tuning first(subgraphs(), target(), options()), second(subgraphs(), target(), options());
  std::vector<MeasureJobRow> jobs = first.default_jobs();
  first.set_occurrences({1, 1, 0});
  for (int batch = 0; batch < 2; ++batch) jobs.push_back(*next_batch(first, 0, 8));
  std::vector<ProgramRow> programs;
  for (size_t j = 0; j < jobs.size(); ++j) {
    jobs[j].id = static_cast<long>(j) + 1;
    // Of the last job only the first outcome came.
    for (size_t p = 0; p < (j + 1 == jobs.size() ? 1 : jobs[j].programs.size()); ++p)
      programs.push_back({jobs[j].id, static_cast<int>(p), jobs[j].subgraph, jobs[j].programs[p], "",
                          outcome_of(jobs[j], jobs[j].programs[p])});
  }
  const std::vector<MeasureJobRow> unfinished = second.restore(jobs, programs);
  ASSERT_EQ(unfinished.size(), 1u);
  EXPECT_EQ(unfinished.front().programs, jobs.back().programs);
  const MeasureJobRow next = second.batch_of(second.index(jobs.back().subgraph), 0, 8);
  for (const Knobs& knobs : next.programs)
    EXPECT_EQ(std::count(jobs.back().programs.begin(), jobs.back().programs.end(), knobs), 0);
}

TEST(Tuning, EarlierRecordsAreTriedFirstAndAreNoProgramsOfThisRun) {
  const Subgraph subgraph = subgraphs()[0];
  const auto space = make_program_space(subgraph, target());
  Random random(5);
  std::vector<EarlierProgram> earlier;
  std::set<Knobs> programs;
  while (programs.size() < 40) {
    const Knobs knobs = space->random(random);
    if (!programs.insert(knobs).second) continue;
    Measurement measurement;
    measurement.median_us = 1 + double(earlier.size());
    earlier.push_back(
        {subgraph, space->to_text(knobs), earlier.size() == 9 ? Outcome(MeasureError{}) : Outcome(measurement)});
  }
  earlier.push_back({subgraph, "vector=16 colour=3", MeasureError{}});  // of another version
  earlier.push_back({subgraph, "", MeasureError{}});
  earlier.push_back(earlier.front());
  Tuning tuning(subgraphs(), target(), options());
  EXPECT_EQ(tuning.add_earlier(earlier), 40u);
  tuning.set_occurrences({1, 1, 1});
  EXPECT_EQ(tuning.programs(0), 0);
  EXPECT_TRUE(std::isinf(tuning.tuner(0).best_latency_us())) << "nothing was measured in this run";
  EXPECT_EQ(tuning.default_jobs()[0].programs.front(), space->default_program());
  const MeasureJobRow batch = tuning.batch_of(0, 0, 12);
  ASSERT_EQ(batch.programs.size(), 12u);
  std::vector<std::string> first;
  for (size_t i = 0; i < 4; ++i) first.push_back(space->to_text(batch.programs[i]));
  EXPECT_EQ(first, (std::vector<std::string>{earlier[0].knobs_text, earlier[1].knobs_text, earlier[2].knobs_text,
                                             earlier[3].knobs_text}));
  carry_out(tuning, batch);
  EXPECT_EQ(tuning.programs(0), 12);
}

TEST(Tuning, ContendersAreMeasuredUntilTheBestIsConfirmed) {
  Tuning tuning(subgraphs(), target(), options());
  tuning.set_occurrences({1, 0, 1});  // the second belongs to no survivor
  for (const MeasureJobRow& job : tuning.default_jobs()) carry_out(tuning, job);
  carry_out(tuning, *next_batch(tuning, 0, 16));
  carry_out(tuning, *next_batch(tuning, 0, 16));
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
