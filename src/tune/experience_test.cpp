#include "tune/experience.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <stdexcept>

namespace sonar {
namespace {

Target target() {
  Target result;
  result.halide = "host";
  return result;
}

std::unique_ptr<ProgramSpace> space_of(const char* key) { return make_program_space(parse_subgraph(key), target()); }

constexpr const char* kSmall = "conv-f32-n1-h14-w14-i64-o96-k1-s1-p0-relu";
constexpr const char* kLarge = "conv-f32-n1-h14-w14-i64-o128-k1-s1-p0-relu";

Outcome measured(double median_us) {
  Measurement measurement;
  measurement.median_us = median_us;
  return measurement;
}

std::vector<Knobs> random_programs(const ProgramSpace& space, size_t n, uint64_t seed) {
  Random random(seed);
  std::set<Knobs> programs;
  while (programs.size() < n) programs.insert(space.random(random));
  return {programs.begin(), programs.end()};
}

int knob_of(const Knobs& knobs, const char* name) {
  static const auto space = space_of(kSmall);
  for (size_t k = 0; k < knobs.size(); ++k)
    if (space->knobs()[k].name == name) return knobs[k];
  throw std::invalid_argument(name);
}

// Wide tiles are fast here.
double made_up_us(const Knobs& knobs) {
  return 100.0 / (1 + knob_of(knobs, "tile_width")) + knob_of(knobs, "tile_vectors");
}

bool made_to_fail(const Knobs& knobs) { return knob_of(knobs, "pixels_inside") == 1; }

TEST(Experience, ModelsAreAFunctionOfTheFirstRowsOnly) {
  const auto space = space_of(kSmall);
  const std::vector<Knobs> programs = random_programs(*space, 400, 1), asked = random_programs(*space, 50, 2);
  Experience stepwise, at_once;
  EXPECT_TRUE(stepwise.predict(*space, asked).empty());
  size_t fitted = 0, changes = 0;
  std::vector<float> before;
  for (size_t row = 1; row <= programs.size(); ++row) {
    stepwise.add(*space, programs[row - 1], measured(made_up_us(programs[row - 1])));
    const std::vector<float> now = stepwise.predict(*space, asked);
    const size_t rows = Experience::fitted_rows(row);
    EXPECT_LE(rows, row);
    EXPECT_GE(rows, fitted);
    EXPECT_EQ(now.empty(), rows == 0);
    if (rows == fitted) {
      EXPECT_EQ(now, before) << row;
    }
    changes += rows != fitted;
    fitted = rows;
    before = now;
  }
  // 10 % more rows a time: fitting stays cheap.
  EXPECT_GT(changes, 15u);
  EXPECT_LT(changes, 35u);
  // Asked only at the end, as after a restart, it predicts the same.
  for (const Knobs& knobs : programs) at_once.add(*space, knobs, measured(made_up_us(knobs)));
  EXPECT_EQ(at_once.predict(*space, asked), before);
}

TEST(Experience, PredictsAcrossSubgraphsOfAKindAndKnowsFailures) {
  const auto small = space_of(kSmall), large = space_of(kLarge),
             other = space_of("pool-f32-n1-h7-w7-i64-o64-k1-s1-p0-linear");
  Experience experience;
  for (const Knobs& knobs : random_programs(*small, 300, 3))
    experience.add(*small, knobs, made_to_fail(knobs) ? Outcome(MeasureError{}) : measured(made_up_us(knobs)));
  const std::vector<Knobs> asked = random_programs(*large, 1000, 4);
  const std::vector<float> scores = experience.predict(*large, asked);
  ASSERT_EQ(scores.size(), asked.size());
  int agree = 0, pairs = 0;
  for (size_t i = 0; i < asked.size(); ++i)
    for (size_t j = i + 1; j < asked.size() && j < i + 10; ++j) {
      if (made_to_fail(asked[i]) || made_to_fail(asked[j])) continue;
      const double a = made_up_us(asked[i]), b = made_up_us(asked[j]);
      if (std::abs(a / b - 1) < 0.1) continue;
      ++pairs;
      agree += (a < b) == (scores[i] > scores[j]);
    }
  ASSERT_GT(pairs, 50);
  EXPECT_GT(agree, 0.85 * pairs);
  double failing = 0, valid = 0;
  int failures = 0;
  for (size_t i = 0; i < asked.size(); ++i) {
    (made_to_fail(asked[i]) ? failing : valid) += scores[i];
    failures += made_to_fail(asked[i]);
  }
  ASSERT_GT(failures, 10);
  EXPECT_LT(failing / failures, valid / (1000 - failures) - 0.5);
  EXPECT_TRUE(experience.predict(*other, {other->default_program()}).empty());
}

TEST(Experience, TransfersTheLatestReadingsOfTheNearest) {
  const auto small = space_of(kSmall), large = space_of(kLarge),
             far = space_of("conv-f32-n1-h112-w112-i3-o16-k3-s2-p1-relu");
  Experience experience;
  const std::vector<Knobs> programs = random_programs(*small, 12, 5);
  for (size_t i = 0; i < programs.size(); ++i) {
    if (i < 8) {
      EXPECT_TRUE(experience.transferred(*large, 4).empty()) << "too little is known of the neighbour";
    }
    experience.add(*small, programs[i], measured(10.0 + static_cast<double>(i)));
  }
  EXPECT_TRUE(experience.transferred(*far, 4).empty());
  EXPECT_TRUE(experience.transferred(*small, 4).empty()) << "its own programs of this run are no news";
  EXPECT_EQ(experience.transferred(*large, 1).front(), large->closest_legal([&] {
    std::vector<std::pair<std::string, int>> named;
    for (size_t i = 0; i < programs[0].size(); ++i) named.emplace_back(small->knobs()[i].name, programs[0][i]);
    return named;
  }()));
  const std::vector<Knobs> before = experience.transferred(*large, 3);
  experience.correct(*small, programs[0], measured(50));
  EXPECT_NE(experience.transferred(*large, 3), before);

  // Programs of an earlier run on the subgraph itself come unchanged, fastest first, and take half of the places.
  const std::vector<Knobs> own = random_programs(*large, 3, 6);
  for (size_t i = 0; i < own.size(); ++i) experience.add(*large, own[i], measured(3.0 - double(i)), true);
  const std::vector<Knobs> transferred = experience.transferred(*large, 4);
  ASSERT_EQ(transferred.size(), 4u);
  EXPECT_EQ(transferred[0], own[2]);
  EXPECT_EQ(transferred[1], own[1]);
  EXPECT_EQ(transferred[2], large->closest_legal([&] {
    std::vector<std::pair<std::string, int>> named;
    for (size_t i = 0; i < programs[1].size(); ++i) named.emplace_back(small->knobs()[i].name, programs[1][i]);
    return named;
  }()));
}

TEST(Experience, DistanceKnowsKernelStrideAndKind) {
  const Subgraph base = parse_subgraph(kSmall);
  EXPECT_EQ(distance(base, base), 0);
  EXPECT_EQ(distance(base, parse_subgraph("dense-f32-n1-h1-w1-i64-o96-k1-s1-p0-relu")),
            std::numeric_limits<double>::infinity());
  const double channels = distance(base, parse_subgraph("conv-f32-n1-h14-w14-i64-o112-k1-s1-p0-relu"));
  EXPECT_GT(channels, 0);
  EXPECT_LT(channels, distance(base, parse_subgraph("conv-f32-n1-h14-w14-i64-o96-k3-s1-p1-relu")));
  EXPECT_LT(channels, distance(base, parse_subgraph("conv-f32-n1-h28-w28-i64-o96-k1-s2-p0-relu")));
}

}  // namespace
}  // namespace sonar
