#include <gtest/gtest.h>

#include <algorithm>

#include "model/error.h"
#include "policy/algorithm.h"
#include "policy/synthetic_space.h"

namespace sonar {
namespace {

using Settings = std::map<std::string, std::string>;

std::vector<size_t> kept(const std::vector<Decision>& decisions) {
  std::vector<size_t> result;
  for (const Decision& decision : decisions)
    if (decision.verdict.kept) result.push_back(decision.network);
  std::sort(result.begin(), result.end());
  return result;
}

// The paper's Algorithm 1 with the ledgers of design 5.1, written out on its own.
TEST(Pareto, WithoutSettingsIsAlgorithmOne) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    const SyntheticSpace space(100, seed);
    SyntheticSearch search(space, synthetic_options("pareto", {}, seed), 600);
    std::vector<size_t> alive;
    for (size_t i = 0; i < 100; ++i) alive.push_back(i);
    std::vector<long> steps(100, 0);
    double left = 600;
    for (int round = 0; round < 7; ++round) {  // ceil(log2 100)
      ASSERT_TRUE(search.step());
      const SyntheticRound& now = search.rounds.back();
      ASSERT_EQ(now.plan.members, alive);
      EXPECT_DOUBLE_EQ(now.plan.train_share, left / (7 - round));
      const auto further = static_cast<long>(now.plan.train_share / static_cast<double>(alive.size()));
      std::vector<Objectives> observed;
      std::vector<std::string> names;
      for (size_t m = 0; m < alive.size(); ++m) {
        const long to = std::min(100L, steps[alive[m]] + std::max(1L, further));
        if (to < 100) {  // what capped networks leave goes to the others
          EXPECT_EQ(now.plan.to_steps[m], to);
        }
        left -= static_cast<double>(now.plan.to_steps[m] - steps[alive[m]]);
        steps[alive[m]] = now.plan.to_steps[m];
        observed.push_back({space.accuracy(alive[m], steps[alive[m]]), space.latency[alive[m]]});
        names.push_back(space.networks[alive[m]].name);
      }
      const std::vector<Verdict> verdicts = pareto_survivors(observed, names, SurvivorRule::paper);
      std::vector<size_t> next;
      for (size_t m = 0; m < alive.size(); ++m) {
        if (verdicts[m].kept) next.push_back(alive[m]);
        EXPECT_EQ(now.decisions[m].verdict.reason, verdicts[m].reason);
        EXPECT_EQ(now.decisions[m].objectives.accuracy, observed[m].accuracy);
      }
      EXPECT_EQ(kept(now.decisions), next);
      alive = next;
    }
    EXPECT_FALSE(search.step());
    EXPECT_EQ(search.policy().result(), alive);
  }
}

TEST(Pareto, SettingsOfNoEffectChangeNothing) {
  const SyntheticSpace space(100, 3);
  SyntheticSearch plain(space, synthetic_options("pareto"), 600);
  SyntheticSearch set(space,
                      synthetic_options("pareto", {{"extrapolate", "0"},
                                                   {"confidence", "0"},
                                                   {"levels", "0"},
                                                   {"early_drop", "0"},
                                                   {"validation_images", "500"}}),
                      600);
  plain.run();
  set.run();
  ASSERT_EQ(plain.rounds.size(), set.rounds.size());
  for (size_t k = 0; k < plain.rounds.size(); ++k) {
    EXPECT_EQ(plain.rounds[k].plan.to_steps, set.rounds[k].plan.to_steps);
    EXPECT_EQ(kept(plain.rounds[k].decisions), kept(set.rounds[k].decisions));
  }
}

const std::vector<std::pair<std::string, Settings>>& variants() {
  static const std::vector<std::pair<std::string, Settings>> list = {
      {"pareto", {}},
      {"pareto", {{"levels", "5"}}},
      {"pareto", {{"levels", "6"}, {"growth", "1.7"}, {"finals", "3"}, {"extrapolate", "2"}}},
      {"pareto", {{"confidence", "1"}}},
      {"pareto", {{"early_drop", "1"}}},
      {"pareto", {{"extrapolate", "9"}, {"confidence", "2"}, {"early_drop", "2"}}},
      {"threshold", {{"extrapolate", "2"}, {"early_drop", "1"}}},
      {"hyperband", {}},
      {"hyperband", {{"levels", "4"}, {"growth", "3"}, {"brackets", "4"}, {"finals", "2"}}}};
  return list;
}

// A continued run decides what the unbroken one does, whatever the options: after each round, another process that is
// told the records plans the same, and judges the same.
TEST(Halving, DecisionsAreAFunctionOfTheRecords) {
  const SyntheticSpace space(80, 4);
  for (const auto& [algorithm, settings] : variants()) {
    PolicyOptions options = synthetic_options(algorithm, settings);
    options.threshold_us = 30;
    SyntheticSearch search(space, options, 500);
    while (true) {
      SearchPolicy other = search.retold();
      const double remaining = search.remaining();
      if (!search.step()) {
        EXPECT_FALSE(other.begin_round({remaining, 0}));
        EXPECT_EQ(other.result(), search.policy().result());
        break;
      }
      ASSERT_TRUE(other.begin_round({remaining, 0}));
      const RoundPlan& plan = search.rounds.back().plan;
      ASSERT_EQ(other.round().members, plan.members) << algorithm;
      ASSERT_EQ(other.round().to_steps, plan.to_steps) << algorithm;
      for (size_t m = 0; m < plan.members.size(); ++m)
        other.tell_training(plan.members[m], plan.to_steps[m], space.accuracy(plan.members[m], plan.to_steps[m]),
                            double(plan.to_steps[m]));
      const std::vector<Decision> decisions = other.end_round();
      ASSERT_EQ(kept(decisions), kept(search.rounds.back().decisions)) << algorithm;
      for (size_t d = 0; d < decisions.size(); ++d)
        EXPECT_EQ(decisions[d].verdict.reason, search.rounds.back().decisions[d].verdict.reason);
    }
  }
}

TEST(Halving, BudgetsAreKeptAndUsed) {
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    const SyntheticSpace space(120, seed);
    for (const auto& [algorithm, settings] : variants())
      for (double budget : {300.0, 1200.0}) {
        PolicyOptions options = synthetic_options(algorithm, settings, seed);
        options.threshold_us = 30;
        // As callers do: no more candidates than the budget pays for.
        SyntheticSpace chosen = space;
        const size_t affordable = make_algorithm(options)->affordable(120, budget, 1, options);
        chosen.networks.resize(affordable);
        chosen.subgraphs.resize(affordable);
        SyntheticSearch search(chosen, options, budget);
        search.run();
        EXPECT_LE(search.spent, budget + 1e-9) << algorithm << budget;
        EXPECT_GE(search.spent, 0.5 * budget) << algorithm << budget;
        EXPECT_FALSE(search.policy().result().empty());
      }
  }
}

TEST(Levels, EachRoundTakesAsManyAsItsShareBringsToTheNextLevelAndTheLastTrainsInFull) {
  const SyntheticSpace space(19, 5);  // as many as a quarter of the budget brings to the first level
  SyntheticSearch search(space, synthetic_options("pareto", {{"levels", "4"}}), 1000);
  search.run();
  ASSERT_EQ(search.rounds.size(), 4u);
  const long levels[] = {13, 25, 50, 100};  // 12.5 is rounded
  double left = 1000;
  for (size_t k = 0; k < 4; ++k) {
    const RoundPlan& plan = search.rounds[k].plan;
    EXPECT_DOUBLE_EQ(plan.train_share, left / double(4 - k));
    for (long to : plan.to_steps) EXPECT_EQ(to, levels[k]);
    const double step = double(levels[k] - (k == 0 ? 0 : levels[k - 1])), members = double(plan.members.size());
    EXPECT_LE(members * step, plan.train_share);
    if (k > 0 && plan.members.size() < search.rounds[k - 1].plan.members.size()) {
      EXPECT_GT((members + 1) * step, plan.train_share);
    }
    left -= search.rounds[k].spent;
  }
  // 19 * 13 of 250, 19 * 12 of 251, 10 * 25 of 262.5, 5 * 50 of 275.
  EXPECT_EQ(search.rounds[1].plan.members.size(), 19u);
  EXPECT_EQ(search.rounds[2].plan.members.size(), 10u);
  EXPECT_EQ(search.rounds[3].plan.members.size(), 5u);
}

TEST(Levels, NoneIsBelowTheMinimumSlice) {
  const SyntheticSpace space(30, 5);
  PolicyOptions options = synthetic_options("pareto", {{"levels", "30"}});
  options.minimum_slice = 10;
  SyntheticSearch search(space, options, 1200);
  search.run();
  ASSERT_EQ(search.rounds.size(), 5u);
  const long levels[] = {10, 13, 25, 50, 100};  // 6.25 and what is below it are not worth a round
  for (size_t k = 0; k < 5; ++k)
    EXPECT_EQ(*std::max_element(search.rounds[k].plan.to_steps.begin(), search.rounds[k].plan.to_steps.end()),
              levels[k]);
}

TEST(Levels, CandidatesAreAsManyAsReachTheFirstLevel) {
  PolicyOptions options = synthetic_options("pareto", {{"levels", "4"}});
  const auto algorithm = make_algorithm(options);
  EXPECT_EQ(algorithm->affordable(1000, 1040, 1, options), 20u);  // a quarter of it, at 13 steps each
  EXPECT_EQ(algorithm->affordable(10, 1040, 1, options), 10u);
  EXPECT_EQ(algorithm->affordable(1000, 40, 1, options), 1u);
  EXPECT_EQ(algorithm->affordable(1000, 0.5, 1, options), 0u);
  options.settings["finals"] = "5";
  EXPECT_EQ(make_algorithm(options)->affordable(1000, 1040, 1, options), 10u);  // an eighth
}

TEST(Confidence, KeepsWhatIsNotSurelyDominatedAsFarAsTrainingCanBeDoubled) {
  const SyntheticSpace space(200, 6);
  SyntheticSearch all(space, synthetic_options("pareto", {{"confidence", "100"}}), 2000);
  all.run();
  for (size_t k = 0; k + 1 < all.rounds.size(); ++k) {
    const SyntheticRound& round = all.rounds[k];
    const double next =
        (round.plan.train_share * double(all.rounds.size() - k) - round.spent) / double(all.rounds.size() - k - 1);
    double mean = 0;
    for (long to : round.plan.to_steps) mean += double(std::min(to, 100 - to)) / double(round.plan.members.size());
    std::vector<Objectives> objectives;
    std::vector<std::string> names;
    for (const Decision& decision : round.decisions) {
      objectives.push_back(decision.objectives);
      names.push_back(space.networks[decision.network].name);
    }
    size_t half = 0;
    for (const Verdict& verdict : pareto_survivors(objectives, names, SurvivorRule::paper)) half += verdict.kept;
    const size_t members = round.plan.members.size();
    const size_t most = mean > 0 ? std::min(members, size_t(next / mean)) : members;
    EXPECT_EQ(kept(round.decisions).size(), std::max(half, most)) << k;
  }
}

TEST(Halving, RefusesSettingsByName) {
  const auto message = [](const std::string& algorithm, const Settings& settings) -> std::string {
    try {
      make_algorithm(synthetic_options(algorithm, settings));
    } catch (const UserError& error) {
      return error.what();
    }
    return "";
  };
  const auto has = [](const std::string& text, const std::string& part) {
    EXPECT_NE(text.find(part), std::string::npos) << "'" << text << "' lacks '" << part << "'";
  };
  has(message("pareto", {{"confidence", "much"}}), "pareto: confidence is 'much'; it must be a number from 0 to 100");
  has(message("pareto", {{"levels", "-1"}}), "pareto: levels is '-1'");
  has(message("pareto", {{"growth", "3"}}), "pareto: growth is a setting of geometric levels; set levels as well");
  has(message("pareto", {{"levels", "3"}, {"confidence", "1"}}), "levels and confidence exclude each other");
  has(message("threshold", {{"levels", "3"}}), "algorithm threshold has no setting 'levels'; it has early_drop");
  has(message("hyperband", {{"brackets", "0"}}), "hyperband: brackets is '0'; it must be a number from 1");
  EXPECT_EQ(message("hyperband", {{"brackets", "2"}, {"growth", "3"}}), "");
}

TEST(AlgorithmSettings, AreKeysAndValues) {
  EXPECT_EQ(algorithm_settings({"a=1", "b=x=y"}, "here"), (Settings{{"a", "1"}, {"b", "x=y"}}));
  for (const auto& [text, part] :
       std::vector<std::pair<std::vector<std::string>, std::string>>{{{"a"}, "here a: write key=value"},
                                                                     {{"=1"}, "here =1: write key=value"},
                                                                     {{"a=1", "a=2"}, "here: a is given twice"}})
    try {
      algorithm_settings(text, "here");
      FAIL();
    } catch (const UserError& error) {
      EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
    }
}

}  // namespace
}  // namespace sonar
