#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "policy/algorithm.h"
#include "policy/synthetic_space.h"

namespace sonar {
namespace {

// Levels 25, 50, 100: brackets of three, two and one rounds.
PolicyOptions three_brackets(uint64_t seed = 1) {
  return synthetic_options("hyperband", {{"levels", "3"}, {"growth", "2"}, {"brackets", "3"}}, seed);
}

TEST(Hyperband, BracketsBeginAtRisingLevelsWithAsManyAsAThirdOfTheBudgetPays) {
  const SyntheticSpace space(500, 1);
  SyntheticSearch search(space, three_brackets(), 3000);
  search.run();
  ASSERT_EQ(search.rounds.size(), 6u);
  const size_t begins[] = {0, 3, 5};
  const long levels[] = {25, 50, 100};
  for (int b = 0; b < 3; ++b) {
    const RoundPlan& plan = search.rounds[begins[b]].plan;
    double left = 3000;
    for (size_t k = 0; k < begins[b]; ++k) left -= search.rounds[k].spent;
    const double share = left / (3 - b) / (3 - b);  // of the brackets left, of the rounds of this one
    EXPECT_DOUBLE_EQ(plan.train_share, share);
    EXPECT_EQ(plan.members.size(), static_cast<size_t>(share / double(levels[b])));
    for (long to : plan.to_steps) EXPECT_EQ(to, levels[b]);
  }
  for (size_t last : {2, 4, 5})
    for (long to : search.rounds[last].plan.to_steps) EXPECT_EQ(to, 100);
}

TEST(Hyperband, BracketsDrawWithoutReplacementWhileThereIsAnythingNew) {
  const SyntheticSpace space(500, 2);
  SyntheticSearch search(space, three_brackets(), 3000);
  search.run();
  std::set<size_t> drawn;
  size_t sum = 0;
  for (size_t begin : {0, 3, 5}) {
    for (size_t i : search.rounds[begin].plan.members) drawn.insert(i);
    sum += search.rounds[begin].plan.members.size();
  }
  EXPECT_EQ(drawn.size(), sum);
  for (size_t k : {1, 2, 4})  // and go on with some of those that they have
    for (size_t i : search.rounds[k].plan.members)
      EXPECT_TRUE(std::count(search.rounds[k - 1].plan.members.begin(), search.rounds[k - 1].plan.members.end(), i));
}

TEST(Hyperband, AfterTheLastNewOneThoseThatLeftABracketGoOnFromWhereTheyWere) {
  const SyntheticSpace space(25, 3);  // three brackets would draw 33
  SyntheticSearch search(space, three_brackets(), 3000);
  search.run();
  size_t again = 0;
  std::vector<long> steps(25, 0);
  for (const SyntheticRound& round : search.rounds)
    for (size_t m = 0; m < round.plan.members.size(); ++m) {
      const size_t i = round.plan.members[m];
      again += steps[i] > 0 && (&round == &search.rounds[3] || &round == &search.rounds[5]);
      EXPECT_GE(round.plan.to_steps[m], steps[i]);
      steps[i] = round.plan.to_steps[m];
    }
  EXPECT_GT(again, 0u);
  EXPECT_LE(search.spent, 3000);
}

TEST(Hyperband, ReturnsTheFrontOverAllBrackets) {
  const SyntheticSpace space(300, 4);
  SyntheticSearch search(space, three_brackets(), 2000);
  search.run();
  std::vector<Objectives> trained;
  std::vector<size_t> places;
  for (size_t i = 0; i < 300; ++i)
    if (const NetworkState& network = search.policy().state().networks[i]; network.steps > 0) {
      trained.push_back({network.accuracy, space.latency[i]});
      places.push_back(i);
    }
  std::vector<size_t> front;
  for (size_t a = 0; a < trained.size(); ++a) {
    bool dominated = false;
    for (const Objectives& other : trained)
      dominated = dominated || (other.accuracy >= trained[a].accuracy && other.latency_us <= trained[a].latency_us &&
                                (other.accuracy > trained[a].accuracy || other.latency_us < trained[a].latency_us));
    if (!dominated) front.push_back(places[a]);
  }
  EXPECT_EQ(search.policy().result(), front);
}

TEST(Hyperband, DrawsNoMoreCandidatesThanItsBracketsTake) {
  const PolicyOptions options = three_brackets();
  const auto algorithm = make_algorithm(options);
  // A third each: 1000 / 3 / 25, 1000 / 2 / 50, 1000 / 100.
  EXPECT_EQ(algorithm->affordable(5000, 3000, 1, options), 13u + 10u + 10u);
  EXPECT_EQ(algorithm->affordable(20, 3000, 1, options), 20u);
  EXPECT_EQ(algorithm->affordable(20, 0.5, 1, options), 0u);
}

TEST(Hyperband, SeedsDrawDifferently) {
  const SyntheticSpace space(500, 5);
  const auto first = [&](uint64_t seed) {
    SyntheticSearch search(space, three_brackets(seed), 3000);
    search.step();
    return search.rounds[0].plan.members;
  };
  EXPECT_EQ(first(1), first(1));
  EXPECT_NE(first(1), first(2));
}

}  // namespace
}  // namespace sonar
