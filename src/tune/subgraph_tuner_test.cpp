#include "tune/subgraph_tuner.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "model/error.h"

namespace sonar {
namespace {

class FakeSpace : public ProgramSpace {
 public:
  explicit FakeSpace(const std::vector<int>& values_per_knob, std::function<bool(const Knobs&)> legal = nullptr)
      : legal_(std::move(legal)) {
    for (int count : values_per_knob) {
      KnobSpec spec{"knob" + std::to_string(knobs_.size()), {}};
      for (int value = 0; value < count; ++value) spec.values.push_back(value);
      knobs_.push_back(std::move(spec));
    }
  }
  const Subgraph& subgraph() const override { return subgraph_; }
  const std::vector<KnobSpec>& knobs() const override { return knobs_; }
  std::string why_illegal(const Knobs& knobs) const override { return legal_ && !legal_(knobs) ? "forbidden" : ""; }
  Knobs default_program() const override { return Knobs(knobs_.size(), 0); }
  std::vector<Argument> arguments(const Knobs&) const override { return {}; }
  std::vector<float> features(const Knobs& knobs) const override { return {knobs.begin(), knobs.end()}; }

 private:
  Subgraph subgraph_;
  std::vector<KnobSpec> knobs_;
  std::function<bool(const Knobs&)> legal_;
};

Measurement measured(double median_us) {
  Measurement measurement;
  measurement.median_us = median_us;
  return measurement;
}

const MeasureError kFailure{MeasureErrorKind::wrong_answer, "differs from the reference"};

// Separable: each knob has its own best value, and each step away from it costs 15 %.
struct Landscape {
  Knobs best;
  Landscape(const ProgramSpace& space, uint64_t seed) {
    Random random(derive_seed(seed, "landscape"));
    for (const KnobSpec& spec : space.knobs()) best.push_back(spec.values[random.below(spec.values.size())]);
  }
  double latency_us(const Knobs& knobs) const {
    int steps = 0;
    for (size_t i = 0; i < knobs.size(); ++i) steps += std::abs(knobs[i] - best[i]);
    return 100 * std::pow(1.15, steps);
  }
};

TEST(SubgraphTuner, TheFirstProgramIsTheDefault) {
  SubgraphTuner tuner(std::make_shared<FakeSpace>(std::vector<int>{5, 5, 5}), 1);
  EXPECT_TRUE(tuner.ask(0).empty());
  const std::vector<Knobs> batch = tuner.ask(8);
  ASSERT_EQ(batch.size(), 8u);
  EXPECT_EQ(batch[0], (Knobs{0, 0, 0}));
  EXPECT_EQ(tuner.best(), (Knobs{0, 0, 0}));
  EXPECT_EQ(tuner.best_latency_us(), std::numeric_limits<double>::infinity());
  EXPECT_TRUE(tuner.contenders(3).empty());
}

TEST(SubgraphTuner, NeverRepeatsAProgramAndProposesLegalOnesOnly) {
  const auto legal = [](const Knobs& knobs) { return (knobs[0] + knobs[1] + knobs[2]) % 3 == 0; };
  const auto space = std::make_shared<FakeSpace>(std::vector<int>{9, 8, 7, 6}, legal);
  const Landscape landscape(*space, 2);
  SubgraphTuner tuner(space, 2);
  std::set<Knobs> seen = {{3, 3, 3, 3}};
  tuner.tell({3, 3, 3, 3}, measured(50));  // an earlier record
  for (int round = 0; round < 40; ++round)
    for (const Knobs& knobs : tuner.ask(10)) {
      EXPECT_TRUE(seen.insert(knobs).second);
      EXPECT_TRUE(legal(knobs));
      tuner.tell(knobs, measured(landscape.latency_us(knobs)));
    }
  EXPECT_EQ(seen.size(), 401u);
}

TEST(SubgraphTuner, FindsEveryProgramOfASmallSpaceThenStops) {
  const auto legal = [](const Knobs& knobs) { return knobs[0] <= knobs[1]; };
  SubgraphTuner tuner(std::make_shared<FakeSpace>(std::vector<int>{6, 6, 2}, legal), 3);  // 42 legal of 72
  std::set<Knobs> seen;
  std::vector<size_t> sizes;
  for (int round = 0; round < 5; ++round) {
    const std::vector<Knobs> batch = tuner.ask(16);
    sizes.push_back(batch.size());
    for (const Knobs& knobs : batch) {
      EXPECT_TRUE(seen.insert(knobs).second);
      tuner.tell(knobs, measured(1 + knobs[0]));
    }
  }
  EXPECT_EQ(sizes, (std::vector<size_t>{16, 16, 10, 0, 0}));

  SubgraphTuner single(std::make_shared<FakeSpace>(std::vector<int>{1, 1}), 3);
  EXPECT_EQ(single.ask(4), (std::vector<Knobs>{{0, 0}}));
  EXPECT_TRUE(single.ask(4).empty());
}

// Plays `rounds` batches; `shuffle` varies the order of tells within a batch.
std::vector<std::vector<Knobs>> play(SubgraphTuner& tuner, const Landscape& landscape, int rounds, uint64_t shuffle) {
  std::vector<std::vector<Knobs>> batches;
  Random order(shuffle);
  for (int round = 0; round < rounds; ++round) {
    batches.push_back(tuner.ask(12));
    std::vector<Knobs> tells = batches.back();
    order.shuffle(tells);
    for (const Knobs& knobs : tells)
      tuner.tell(knobs, knobs[0] == 4 ? Outcome(kFailure) : Outcome(measured(landscape.latency_us(knobs))));
  }
  return batches;
}

TEST(SubgraphTuner, IsAFunctionOfSeedAsksAndTells) {
  const auto space = std::make_shared<FakeSpace>(std::vector<int>{6, 6, 6, 6, 6});
  const Landscape landscape(*space, 4);
  SubgraphTuner first(space, 4), second(space, 4), other(space, 5);
  const auto batches = play(first, landscape, 12, 1);
  EXPECT_EQ(play(second, landscape, 12, 2), batches);
  EXPECT_NE(play(other, landscape, 12, 1), batches);
  EXPECT_EQ(first.contenders(50), second.contenders(50));

  // Restored from the recorded outcomes alone, it goes on as the first one does.
  SubgraphTuner restored(space, 4);
  for (const auto& batch : batches)
    for (const Knobs& knobs : batch)
      restored.tell(knobs, knobs[0] == 4 ? Outcome(kFailure) : Outcome(measured(landscape.latency_us(knobs))));
  EXPECT_EQ(play(restored, landscape, 3, 3), play(first, landscape, 3, 4));
}

TEST(SubgraphTuner, ContendersAreSortedAndFollowTheLatestOutcome) {
  SubgraphTuner tuner(std::make_shared<FakeSpace>(std::vector<int>{9, 9}), 6);
  tuner.tell({1, 1}, measured(30));
  tuner.tell({2, 2}, measured(10));
  tuner.tell({3, 3}, measured(20));
  tuner.tell({4, 4}, kFailure);
  EXPECT_EQ(tuner.contenders(2), (std::vector<Knobs>{{2, 2}, {3, 3}}));
  EXPECT_EQ(tuner.best_latency_us(), 10);

  tuner.tell({2, 2}, measured(25));  // the first reading was lucky
  EXPECT_EQ(tuner.contenders(9), (std::vector<Knobs>{{3, 3}, {2, 2}, {1, 1}}));
  EXPECT_EQ(tuner.best(), (Knobs{3, 3}));
  tuner.tell({3, 3}, kFailure);
  EXPECT_EQ(tuner.best(), (Knobs{2, 2}));
  tuner.tell({4, 4}, measured(5));
  EXPECT_EQ(tuner.best_latency_us(), 5);
}

// With mutation alone every child is one to three knobs away from its parent, which tells who the parents were.
TEST(SubgraphTuner, FailuresNeverBecomeParents) {
  const auto space = std::make_shared<FakeSpace>(std::vector<int>(12, 8));
  TunerOptions options;
  options.exploration = 0;
  options.mutation = 1;
  options.random_first = 0;
  SubgraphTuner tuner(space, 7, options);
  const Knobs valid(12, 4);
  tuner.tell(valid, measured(100));
  Random random(7);
  for (int failure = 0; failure < 200; ++failure) tuner.tell(space->random(random), kFailure);
  tuner.tell(Knobs(12, 0), kFailure);
  for (const Knobs& child : tuner.ask(100)) {
    int changed = 0;
    for (size_t i = 0; i < child.size(); ++i) changed += child[i] != valid[i];
    EXPECT_LE(changed, 6) << "twice the farthest step, for a child that was moved on from a collision";
  }
}

TEST(SubgraphTuner, ParentsAreTheBestOnesAndBetterOnesMoreOften) {
  // One knob is the parent's label; the others give it room for distinct children.
  const auto space = std::make_shared<FakeSpace>(std::vector<int>(12, 8));
  TunerOptions options;
  options.exploration = 0;
  options.mutation = 1;
  options.population = 3;
  SubgraphTuner tuner(space, 8, options);
  std::vector<Knobs> parents;
  for (int label = 0; label < 8; ++label) {
    parents.push_back(Knobs(12, label));
    tuner.tell(parents.back(), measured(10 + label));
  }
  for (int filler = 0; filler < 8; ++filler) {
    Knobs knobs(12, filler);
    knobs[0] = (filler + 4) % 8;
    tuner.tell(knobs, kFailure);
  }
  std::vector<int> children(8, 0);
  for (const Knobs& child : tuner.ask(600))
    for (int label = 0; label < 8; ++label)
      if (std::count(child.begin(), child.end(), label) >= 8) ++children[label];
  // Linear ranking of three: 3 : 2 : 1.
  EXPECT_NEAR(children[0], 300, 60);
  EXPECT_NEAR(children[1], 200, 60);
  EXPECT_NEAR(children[2], 100, 60);
  EXPECT_EQ(std::count_if(children.begin() + 3, children.end(), [](int count) { return count > 0; }), 0);
}

TEST(SubgraphTuner, BeatsRandomSamplingOnANoisyLandscape) {
  const auto space = std::make_shared<FakeSpace>(std::vector<int>(8, 6));
  const int seeds = 20, programs = 256;
  double log_ratio = 0;
  int wins = 0;
  for (int seed = 0; seed < seeds; ++seed) {
    const Landscape landscape(*space, seed);
    Random noise(seed);
    const auto noisy = [&](const Knobs& knobs) {
      return measured(landscape.latency_us(knobs) * (1 + 0.05 * noise.uniform()));
    };
    SubgraphTuner tuner(space, seed);
    for (int batch = 0; batch < programs / 16; ++batch)
      for (const Knobs& knobs : tuner.ask(16)) tuner.tell(knobs, noisy(knobs));

    Random random(derive_seed(seed, "random sampling"));
    double sampled = std::numeric_limits<double>::infinity();
    for (int program = 0; program < programs; ++program)
      sampled = std::min(sampled, landscape.latency_us(space->random(random)));
    const double ratio = landscape.latency_us(tuner.best()) / sampled;
    log_ratio += std::log(ratio) / seeds;
    wins += ratio < 1;
  }
  EXPECT_LT(std::exp(log_ratio), 0.7);
  EXPECT_GE(wins, 18);
}

TEST(SubgraphTuner, RefusesNonsense) {
  const auto space = std::make_shared<FakeSpace>(std::vector<int>{3, 3});
  SubgraphTuner tuner(space, 1);
  EXPECT_THROW(tuner.tell({1}, measured(1)), InternalError);
  EXPECT_THROW(tuner.tell({1, 1}, measured(0)), InternalError);
  EXPECT_THROW(tuner.tell({1, 1}, measured(std::nan(""))), InternalError);
  TunerOptions options;
  options.exploration = 1.5;
  EXPECT_THROW(SubgraphTuner(space, 1, options), InternalError);
}

}  // namespace
}  // namespace sonar
