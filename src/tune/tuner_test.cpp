// What every tuner promises, of each of them.
#include "tune/tuner.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>

#include "model/error.h"
#include "tune/subgraph_tuner.h"
#include "tune/trial_tuner.h"

namespace sonar {
namespace {

const char* const kKey = "conv-f32-n1-h8-w8-i16-o32-k1-s1-p0-relu";

struct Kind {
  const char* name;
  std::function<std::unique_ptr<Tuner>()> make;
};

std::unique_ptr<Tuner> make_built_in() {
  Target target;
  target.halide = "host";
  return std::make_unique<SubgraphTuner>(make_program_space(parse_subgraph(kKey), target), 5);
}

std::unique_ptr<Tuner> make_trials() { return std::make_unique<TrialTuner>(make_trial_space(parse_subgraph(kKey))); }

class TunerConformance : public testing::TestWithParam<Kind> {
 protected:
  static Outcome outcome_of(const Knobs& knobs) {
    std::string text;
    for (int knob : knobs) text += " " + std::to_string(knob);
    Random random(stable_hash(text));
    if (random.below(4) == 0) return MeasureError{MeasureErrorKind::crash, "made up"};
    return measured(5 + 10 * random.uniform());
  }
  static Measurement measured(double median_us) {
    Measurement measurement;
    measurement.median_us = median_us;
    return measurement;
  }
};

TEST_P(TunerConformance, BeginsWithTheDefaultProgramAndNeverRepeatsOne) {
  const auto tuner = GetParam().make();
  EXPECT_TRUE(tuner->ask(0).empty());
  EXPECT_TRUE(std::isinf(tuner->best_latency_us()));
  EXPECT_EQ(tuner->best(), tuner->space().default_program());
  std::set<Knobs> seen;
  for (int batch = 0; batch < 8; ++batch) {
    const std::vector<Knobs> programs = tuner->ask(9);
    ASSERT_EQ(programs.size(), 9u);
    if (batch == 0) EXPECT_EQ(programs.front(), tuner->space().default_program());
    for (const Knobs& knobs : programs) {
      EXPECT_TRUE(seen.insert(knobs).second);
      EXPECT_EQ(tuner->space().why_illegal(knobs), "");
      EXPECT_EQ(tuner->space().from_text(tuner->space().to_text(knobs)), knobs);
      tuner->tell(knobs, outcome_of(knobs));
    }
  }
}

TEST_P(TunerConformance, TheLatestOutcomeOfAProgramCounts) {
  const auto tuner = GetParam().make();
  const std::vector<Knobs> p = tuner->ask(4);
  for (size_t i = 0; i < 4; ++i) tuner->tell(p[i], measured(10 + double(i)));
  EXPECT_EQ(tuner->contenders(2), (std::vector<Knobs>{p[0], p[1]}));
  tuner->tell(p[0], measured(12.5));
  tuner->tell(p[1], MeasureError{MeasureErrorKind::crash, "made up"});
  EXPECT_EQ(tuner->contenders(9), (std::vector<Knobs>{p[2], p[0], p[3]}));
  EXPECT_EQ(tuner->best(), p[2]);
  EXPECT_DOUBLE_EQ(tuner->best_latency_us(), 12);
}

TEST_P(TunerConformance, IsRestoredFromWhatWasAskedForAndTold) {
  const auto unbroken = GetParam().make();
  std::vector<std::vector<Knobs>> batches;
  for (int batch = 0; batch < 5; ++batch) {
    batches.push_back(unbroken->ask(7));
    for (const Knobs& knobs : batches.back()) unbroken->tell(knobs, outcome_of(knobs));
  }
  batches.push_back(unbroken->ask(7));  // still out
  const auto resumed = GetParam().make();
  for (const auto& batch : batches) resumed->restore_asked(batch);
  for (size_t i = 0; i + 1 < batches.size(); ++i)
    for (const Knobs& knobs : batches[i]) resumed->tell(knobs, outcome_of(knobs));
  EXPECT_EQ(resumed->best(), unbroken->best());
  EXPECT_EQ(resumed->ask(7), unbroken->ask(7));
}

TEST_P(TunerConformance, RefusesNonsense) {
  const auto tuner = GetParam().make();
  const Knobs program = tuner->ask(1).front();
  EXPECT_THROW(tuner->tell({}, measured(1)), InternalError);
  EXPECT_THROW(tuner->tell(program, measured(0)), InternalError);
  EXPECT_THROW(tuner->tell(program, measured(std::nan(""))), InternalError);
  EXPECT_TRUE(tuner->contenders(1).empty());
}

INSTANTIATE_TEST_SUITE_P(All, TunerConformance,
                         testing::Values(Kind{"built_in", make_built_in}, Kind{"trials", make_trials}),
                         [](const auto& info) { return info.param.name; });

TEST(TrialTuner, EndsWithTheFirstOutcomeOfNoProgram) {
  const auto tuner = make_trials();
  EXPECT_EQ(tuner->ask(3), (std::vector<Knobs>{{0}, {1}, {2}}));
  tuner->tell({1}, MeasureError{MeasureErrorKind::crash, ""});
  EXPECT_EQ(tuner->ask(1), (std::vector<Knobs>{{3}}));
  tuner->tell({2}, MeasureError{MeasureErrorKind::no_program, ""});
  EXPECT_TRUE(tuner->ask(1).empty());
}

}  // namespace
}  // namespace sonar
