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

Outcome outcome_of(const Landscape& landscape, const Knobs& knobs) {
  return knobs[0] == 4 ? Outcome(kFailure) : Outcome(measured(landscape.latency_us(knobs)));
}

// Plays `rounds` batches; `shuffle` varies the order of tells within a batch. Appends what was told.
std::vector<std::vector<Knobs>> play(SubgraphTuner& tuner, const Landscape& landscape, int rounds, uint64_t shuffle,
                                     std::vector<Knobs>* told = nullptr) {
  std::vector<std::vector<Knobs>> batches;
  Random order(shuffle);
  for (int round = 0; round < rounds; ++round) {
    batches.push_back(tuner.ask(12));
    std::vector<Knobs> tells = batches.back();
    order.shuffle(tells);
    for (const Knobs& knobs : tells) {
      tuner.tell(knobs, outcome_of(landscape, knobs));
      if (told) told->push_back(knobs);
    }
  }
  return batches;
}

TEST(SubgraphTuner, IsAFunctionOfSeedAsksAndTells) {
  const auto space = std::make_shared<FakeSpace>(std::vector<int>{6, 6, 6, 6, 6});
  const Landscape landscape(*space, 4);
  for (const bool cost_model : {false, true}) {
    TunerOptions options;
    options.cost_model = cost_model;
    SubgraphTuner first(space, 4, options), second(space, 4, options), other(space, 5, options);
    std::vector<Knobs> told;
    const auto batches = play(first, landscape, 12, 1, &told);
    // A model is a function of the order of arrival too; without one, the order does not matter.
    EXPECT_EQ(play(second, landscape, 12, cost_model ? 1 : 2), batches);
    EXPECT_NE(play(other, landscape, 12, 1), batches);
    EXPECT_EQ(first.contenders(50), second.contenders(50));

    // Restored from what was asked for and from the recorded outcomes, without asking again, it goes on as the first
    // one does. Two batches are out then.
    const std::vector<Knobs> pending = first.ask(7), more = first.ask(5);
    SubgraphTuner restored(space, 4, options);
    for (const auto& batch : batches) restored.restore_asked(batch);
    restored.restore_asked(pending);
    restored.restore_asked(more);
    for (const Knobs& knobs : told) restored.tell(knobs, outcome_of(landscape, knobs));
    for (SubgraphTuner* tuner : {&first, &restored})
      for (const auto* batch : {&more, &pending})
        for (const Knobs& knobs : *batch) tuner->tell(knobs, outcome_of(landscape, knobs));
    EXPECT_EQ(play(restored, landscape, 3, 3), play(first, landscape, 3, 3));
  }
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
  options.cost_model = false;
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
  options.cost_model = false;
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

// On a real space: every knob's distance from a hidden program costs, some pairs of knobs more so, and readings are
// noisy. A part of the programs fails.
struct Hidden {
  Knobs best;
  std::vector<double> weights;
  std::shared_ptr<const ProgramSpace> space;
  Hidden(std::shared_ptr<const ProgramSpace> of, uint64_t seed) : space(std::move(of)) {
    Random random(derive_seed(seed, "hidden"));
    best = space->random(random);
    for (size_t i = 0; i < best.size(); ++i) weights.push_back(0.1 + 0.4 * random.uniform());
  }
  double latency_us(const Knobs& knobs) const {
    double slowdown = 0, before = 0;
    for (size_t i = 0; i < knobs.size(); ++i) {
      const double away = weights[i] * std::abs(std::log2((1.0 + knobs[i]) / (1.0 + best[i])));
      slowdown += away + 0.5 * away * before;
      before = away;
    }
    return 100 * std::exp(slowdown);
  }
  Outcome read(const Knobs& knobs, Random& noise) const {
    const double latency = latency_us(knobs) * (1 + 0.04 * noise.uniform());
    return stable_hash(space->to_text(knobs)) % 10 == 0 ? Outcome(kFailure) : Outcome(measured(latency));
  }
};

Target target() {
  Target result;
  result.halide = "host";
  return result;
}

std::shared_ptr<const ProgramSpace> space_of(const char* key) {
  return make_program_space(parse_subgraph(key), target());
}

double best_after(SubgraphTuner& tuner, const Hidden& hidden, int programs, uint64_t seed) {
  Random noise(derive_seed(seed, "noise"));
  for (int tried = 0; tried < programs; tried += 8)
    for (const Knobs& knobs : tuner.ask(8)) tuner.tell(knobs, hidden.read(knobs, noise));
  return hidden.latency_us(tuner.best());
}

// 0 is the hidden optimum: the log of how much slower the best program found is, means over the seeds.
TEST(SubgraphTuner, TheModelComesNearerToTheOptimumThanEvolutionAloneAndThatThanChance) {
  const int seeds = 12, programs = 96;
  double guided = 0, evolved = 0, sampled = 0;
  int wins = 0;
  for (int seed = 0; seed < seeds; ++seed) {
    const auto space = space_of(seed % 2 ? "conv-f32-n1-h14-w14-i96-o160-k1-s1-p0-linear"
                                         : "depthwise-f32-n1-h28-w28-i72-o72-k3-s1-p1-relu");
    const Hidden hidden(space, seed);
    TunerOptions plain;
    plain.cost_model = false;
    SubgraphTuner with_model(space, seed), without(space, seed, plain);
    const double by_model = std::log(best_after(with_model, hidden, programs, seed) / 100);
    const double by_evolution = std::log(best_after(without, hidden, programs, seed) / 100);
    Random random(derive_seed(seed, "chance"));
    double by_chance = std::numeric_limits<double>::infinity();
    for (int i = 0; i < programs; ++i) by_chance = std::min(by_chance, hidden.latency_us(space->random(random)));
    guided += by_model / seeds;
    evolved += by_evolution / seeds;
    sampled += std::log(by_chance / 100) / seeds;
    wins += by_model < by_evolution;
  }
  EXPECT_LT(guided, 0.75 * evolved);
  EXPECT_LT(evolved, sampled);
  EXPECT_GE(wins, 8);
}

TEST(SubgraphTuner, TransferredProgramsAreTriedFirst) {
  const auto near = space_of("conv-f32-n1-h14-w14-i96-o128-k1-s1-p0-linear"),
             far = space_of("conv-f32-n1-h112-w112-i3-o16-k3-s2-p1-hswish"),
             space = space_of("conv-f32-n1-h14-w14-i96-o160-k1-s1-p0-linear");
  const auto experience = std::make_shared<Experience>();
  SubgraphTuner neighbour(near, 1, {}, experience), stranger(far, 1, {}, experience);
  best_after(neighbour, Hidden(near, 1), 32, 1);
  best_after(stranger, Hidden(far, 2), 32, 1);
  const std::vector<Knobs> transferred = experience->transferred(*space, 6);
  ASSERT_EQ(transferred.size(), 6u);
  std::vector<std::pair<std::string, int>> named;
  for (size_t i = 0; i < neighbour.best().size(); ++i) named.emplace_back(near->knobs()[i].name, neighbour.best()[i]);
  EXPECT_EQ(transferred.front(), space->closest_legal(named));

  SubgraphTuner tuner(space, 1, {}, experience);
  std::vector<Knobs> expected = {space->default_program()};
  for (const Knobs& knobs : transferred)
    if (knobs != expected.front()) expected.push_back(knobs);
  std::vector<Knobs> batch = tuner.ask(4);  // in small batches too
  const std::vector<Knobs> second = tuner.ask(8);
  batch.insert(batch.end(), second.begin(), second.end());
  batch.resize(expected.size());
  EXPECT_EQ(batch, expected);

  TunerOptions alone;
  alone.transfer = false;
  SubgraphTuner without(space, 1, alone, experience);
  const std::vector<Knobs> first = without.ask(7);
  EXPECT_NE(first, expected);
}

TEST(SubgraphTuner, GoesOnWhenEverythingFails) {
  const auto space = space_of("conv-f32-n1-h14-w14-i96-o160-k1-s1-p0-linear");
  const auto experience = std::make_shared<Experience>();
  SubgraphTuner tuner(space, 1, {}, experience);
  std::set<Knobs> seen;
  for (int round = 0; round < 12; ++round)
    for (const Knobs& knobs : tuner.ask(8)) {
      EXPECT_TRUE(seen.insert(knobs).second);
      tuner.tell(knobs, kFailure);
    }
  EXPECT_EQ(seen.size(), 96u);
  EXPECT_TRUE(tuner.contenders(1).empty());
  // The first valid program is bred from although all others failed.
  tuner.tell(*seen.begin(), measured(1e-3));
  EXPECT_EQ(tuner.ask(8).size(), 8u);
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
