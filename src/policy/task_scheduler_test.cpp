#include "policy/task_scheduler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "model/error.h"
#include "model/random.h"

namespace sonar {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

std::vector<TaskScheduler::Task> make_tasks(size_t n) {
  std::vector<TaskScheduler::Task> tasks;
  for (size_t i = 0; i < n; ++i)
    tasks.push_back({(i % 2 ? "conv-" : "depthwise-") + std::to_string(i), 1e6 * static_cast<double>(i + 1)});
  return tasks;
}

TaskScheduler make_scheduler(size_t n, SchedulerRule rule, uint64_t seed = 1) {
  TaskScheduler scheduler(make_tasks(n), rule, seed);
  scheduler.set_occurrences(std::vector<long>(n, 1));
  for (size_t i = 0; i < n; ++i) scheduler.tell_default(i, 1000);
  return scheduler;
}

std::vector<int> ask_times(TaskScheduler& scheduler, int times) {
  std::vector<int> asked;
  for (int i = 0; i < times; ++i) asked.push_back(scheduler.ask());
  return asked;
}

const auto kRules = testing::Values(SchedulerRule::paper, SchedulerRule::gradient);

class EachRule : public testing::TestWithParam<SchedulerRule> {};
INSTANTIATE_TEST_SUITE_P(TaskScheduler, EachRule, kRules,
                         [](const auto& rule) { return rule.param == SchedulerRule::paper ? "paper" : "gradient"; });

TEST_P(EachRule, SubgraphsWithoutABatchComeFirst) {
  TaskScheduler scheduler = make_scheduler(6, GetParam());
  std::vector<int> asked;
  for (int i = 0; i < 6; ++i) {
    asked.push_back(scheduler.ask());
    scheduler.tell_batch(asked.back(), 1000.0 / (i + 2), 64, false);
  }
  std::sort(asked.begin(), asked.end());
  EXPECT_EQ(asked, (std::vector<int>{0, 1, 2, 3, 4, 5}));
}

TEST_P(EachRule, TiesAreBrokenUniformlyAndBySeed) {
  const int seeds = 6000;
  std::vector<int> first(6, 0);
  std::map<std::vector<int>, int> orders;  // of the first three
  for (int seed = 0; seed < seeds; ++seed) {
    TaskScheduler scheduler = make_scheduler(6, GetParam(), seed);
    const std::vector<int> order = ask_times(scheduler, 3);
    ++first[order[0]];
    ++orders[order];
  }
  // Six standard deviations of a binomial count.
  for (int count : first) EXPECT_NEAR(count, 1000, 6 * std::sqrt(seeds * 1.0 / 6 * 5 / 6));
  ASSERT_EQ(orders.size(), 120u);
  for (const auto& [order, count] : orders) EXPECT_NEAR(count, 50, 6 * std::sqrt(50));
}

TEST_P(EachRule, BusyExhaustedAndUnusedSubgraphsAreNotAskedFor) {
  TaskScheduler scheduler = make_scheduler(4, GetParam());
  scheduler.set_occurrences({1, 0, 1, 1});
  std::vector<int> asked = ask_times(scheduler, 4);
  EXPECT_EQ(asked[3], -1);
  std::sort(asked.begin(), asked.end());
  EXPECT_EQ(asked, (std::vector<int>{-1, 0, 2, 3}));

  scheduler.tell_batch(2, 500, 10, /*exhausted=*/true);
  EXPECT_EQ(scheduler.ask(), -1);
  scheduler.tell_batch(0, 900, 64, false);
  EXPECT_EQ(scheduler.ask(), 0);
  scheduler.set_occurrences({0, 1, 1, 0});
  EXPECT_EQ(scheduler.ask(), 1);
  EXPECT_EQ(scheduler.ask(), -1);
}

// Told sets are what counts: not their order, nor whether there were asks.
TEST_P(EachRule, ReplayingTheTellsRestoresTheNextAsks) {
  Random random(7);
  for (int repeat = 0; repeat < 60; ++repeat) {
    const size_t n = 1 + random.below(9);
    const uint64_t seed = random();
    TaskScheduler scheduler(make_tasks(n), GetParam(), seed);
    std::vector<long> occurrences;
    for (size_t i = 0; i < n; ++i) occurrences.push_back(static_cast<long>(random.below(4)));
    scheduler.set_occurrences(occurrences);
    std::vector<double> best;
    for (size_t i = 0; i < n; ++i) {
      best.push_back(random.below(5) == 0 ? kInfinity : 100 + static_cast<double>(random.below(900)));
      scheduler.tell_default(i, best[i]);
    }
    const std::vector<double> defaults = best;

    struct Told {
      double best_us;
      long programs;
    };
    std::vector<std::vector<Told>> told(n);
    std::vector<int> pending;
    for (int event = 0; event < 80; ++event) {
      if (random.below(2) == 0) {
        const int task = scheduler.ask();
        if (task >= 0) pending.push_back(task);
      } else if (!pending.empty()) {
        const size_t which = random.below(pending.size());
        const int task = pending[which];
        pending.erase(pending.begin() + static_cast<long>(which));
        if (random.below(6) == 0) {
          scheduler.cancel(task);
          continue;
        }
        if (std::isinf(best[task]) ? random.below(3) == 0 : random.below(2) == 0)
          best[task] = std::isinf(best[task]) ? 700 : best[task] * (0.5 + random.uniform() / 2);
        told[task].push_back({best[task], 4 + static_cast<long>(random.below(60))});
        scheduler.tell_batch(task, best[task], told[task].back().programs, false);
      }
    }
    for (int task : pending) scheduler.cancel(task);

    TaskScheduler restored(make_tasks(n), GetParam(), seed);
    std::vector<size_t> order;
    for (size_t i = 0; i < n; ++i) {
      order.insert(order.end(), told[i].size(), i);
      restored.tell_default(i, defaults[i]);
    }
    random.shuffle(order);
    std::vector<size_t> next(n, 0);
    for (size_t task : order) {
      const Told& batch = told[task][next[task]++];
      restored.tell_batch(task, batch.best_us, batch.programs, false);
    }
    restored.set_occurrences(occurrences);
    EXPECT_EQ(ask_times(restored, static_cast<int>(n)), ask_times(scheduler, static_cast<int>(n)));
    for (size_t i = 0; i < n; ++i) {
      EXPECT_EQ(restored.batches(i), static_cast<long>(told[i].size()));
      EXPECT_EQ(restored.best_latency_us(i), best[i]);
    }
  }
}

TEST_P(EachRule, OrderOfTellsWithSeveralPendingDoesNotMatter) {
  Random random(8);
  TaskScheduler forward = make_scheduler(8, GetParam()), backward = make_scheduler(8, GetParam());
  for (int round = 0; round < 50; ++round) {
    std::vector<int> asked = ask_times(forward, 5);
    ASSERT_EQ(ask_times(backward, 5), asked);
    std::map<int, double> outcome;
    for (int task : asked) outcome[task] = forward.best_latency_us(task) * (0.6 + 0.4 * random.uniform());
    for (int task : asked) forward.tell_batch(task, outcome[task], 16, false);
    random.shuffle(asked);
    for (int task : asked) backward.tell_batch(task, outcome[task], 16, false);
  }
}

TEST_P(EachRule, ACancelledAskIsAsIfItHadNotHappened) {
  TaskScheduler scheduler = make_scheduler(8, GetParam()), untouched = scheduler;
  const std::vector<int> asked = ask_times(scheduler, 5);
  for (int task : {asked[3], asked[0], asked[4], asked[1], asked[2]}) scheduler.cancel(task);
  EXPECT_EQ(ask_times(scheduler, 8), ask_times(untouched, 8));
}

TEST_P(EachRule, AHopelessSubgraphGetsItsEvenShareAndNoMore) {
  TaskScheduler scheduler = make_scheduler(5, GetParam());
  scheduler.tell_default(3, kInfinity);
  for (int batch = 0; batch < 500; ++batch) {
    const int task = scheduler.ask();
    const double best = task == 3 ? kInfinity : scheduler.best_latency_us(task) * 0.99;
    scheduler.tell_batch(task, best, 64, false);
    if (batch < 5) continue;
    EXPECT_NEAR(scheduler.batches(3), (batch + 1) / 5.0, 1.01);
  }
  // Its first valid program makes it an ordinary subgraph, and a promising one.
  scheduler.tell_batch(3, 4000, 64, false);
  EXPECT_EQ(scheduler.ask(), 3);
}

TEST_P(EachRule, OnlyHopelessSubgraphsAreStillAskedFor) {
  TaskScheduler scheduler = make_scheduler(2, GetParam());
  for (size_t i = 0; i < 2; ++i) scheduler.tell_default(i, kInfinity);
  for (int batch = 0; batch < 20; ++batch) {
    const int task = scheduler.ask();
    ASSERT_GE(task, 0);
    scheduler.tell_batch(task, kInfinity, 4, false);
  }
  EXPECT_EQ(scheduler.batches(0), 10);
  EXPECT_EQ(scheduler.batches(1), 10);
}

TEST(PaperRule, PriorityIsTheLastDecreaseTimesTheOccurrences) {
  TaskScheduler scheduler = make_scheduler(4, SchedulerRule::paper);
  scheduler.set_occurrences({1, 3, 1, 2});
  scheduler.tell_batch(0, 800, 64, false);  // 200
  scheduler.tell_batch(1, 900, 64, false);  // 300
  scheduler.tell_batch(2, 750, 64, false);  // 250
  scheduler.tell_batch(3, 999, 64, false);  // 2
  EXPECT_EQ(ask_times(scheduler, 4), (std::vector<int>{1, 2, 0, 3}));
  scheduler.tell_batch(1, 900, 64, false);  // 0: the last batch counts, not the first
  scheduler.cancel(3);
  EXPECT_EQ(ask_times(scheduler, 2), (std::vector<int>{3, 1}));
  scheduler.cancel(1);
  scheduler.tell_batch(2, 780, 64, false);  // a re-measured best that rose counts as no decrease
  scheduler.cancel(3);
  EXPECT_EQ(scheduler.ask(), 3);
}

TEST(PaperRule, OfManySubgraphsTheHighestPriorityIsAlwaysFound) {
  constexpr size_t n = 300;
  TaskScheduler scheduler = make_scheduler(n, SchedulerRule::paper);
  std::vector<double> decrease(n, -1);  // of the last batch; -1: none yet
  std::vector<double> best(n, 1000);
  Random random(7);
  for (int batch = 0; batch < 2000; ++batch) {
    const int asked = scheduler.ask();
    ASSERT_GE(asked, 0);
    const auto i = static_cast<size_t>(asked);
    const auto untried = std::count(decrease.begin(), decrease.end(), -1.0);
    EXPECT_EQ(decrease[i], untried > 0 ? -1 : *std::max_element(decrease.begin(), decrease.end())) << batch;
    const double now = best[i] * (1 - 0.5 * random.uniform());
    decrease[i] = best[i] - now;
    best[i] = now;
    scheduler.tell_batch(i, now, 4, false);
  }
}

TEST(PaperRule, WhenNothingImprovesAllAreTriedAtRandom) {
  TaskScheduler scheduler = make_scheduler(5, SchedulerRule::paper);
  std::vector<int> asked;
  for (int batch = 0; batch < 5000; ++batch) {
    asked.push_back(scheduler.ask());
    scheduler.tell_batch(asked.back(), 1000, 64, false);
  }
  int repeats = 0;
  for (size_t i = 1; i < asked.size(); ++i) repeats += asked[i] == asked[i - 1];
  for (size_t task = 0; task < 5; ++task) EXPECT_NEAR(scheduler.batches(task), 1000, 6 * std::sqrt(5000 * 0.2 * 0.8));
  EXPECT_NEAR(repeats, 1000, 6 * std::sqrt(5000 * 0.2 * 0.8));
}

TEST(GradientRule, FollowsItsFormula) {
  // Kinds of their own, so that floor is half of the subgraph's own latency.
  const std::vector<TaskScheduler::Task> tasks = {{"a-0", 1e6}, {"b-0", 1e6}, {"c-0", 0}};
  const auto gradient = [](double w, std::vector<double> best, std::vector<double> programs, double floor) {
    const size_t from = best.size() > 4 ? best.size() - 4 : 0;
    const double recent = std::log(best[from] / best.back()) / std::log(programs.back() / programs[from]);
    return w * (0.2 * recent + 0.8 * 0.5) * (best.back() - floor) / programs.back();
  };
  Random random(9);
  for (int repeat = 0; repeat < 200; ++repeat) {
    TaskScheduler scheduler(tasks, SchedulerRule::gradient, repeat);
    std::vector<long> occurrences;
    std::vector<std::pair<double, int>> expected;
    for (int i = 0; i < 3; ++i) {
      occurrences.push_back(1 + static_cast<long>(random.below(5)));
      std::vector<double> best = {500 + 500 * random.uniform()}, programs = {1};
      scheduler.tell_default(i, best[0]);
      for (uint64_t batch = 0, batches = 1 + random.below(6); batch < batches; ++batch) {
        best.push_back(best.back() * (0.5 + 0.5 * random.uniform()));
        const long tried = 1 + static_cast<long>(random.below(64));
        programs.push_back(programs.back() + static_cast<double>(tried));
        scheduler.tell_batch(i, best.back(), tried, false);
      }
      expected.emplace_back(
          -gradient(static_cast<double>(occurrences[i]), best, programs, i == 2 ? 0 : best.back() / 2), i);
    }
    scheduler.set_occurrences(occurrences);
    std::sort(expected.begin(), expected.end());
    EXPECT_EQ(ask_times(scheduler, 3), (std::vector<int>{expected[0].second, expected[1].second, expected[2].second}));
  }
}

TEST(GradientRule, ALowThroughputBesideAnAlikeSubgraphIsWorthMore) {
  // 0 and 1 stand at the same latency after the same programs, but a subgraph like 1 reaches a tenfold throughput.
  TaskScheduler scheduler({{"conv-0", 1e6}, {"dense-1", 1e6}, {"dense-2", 1e7}}, SchedulerRule::gradient, 1);
  for (size_t i = 0; i < 3; ++i) {
    scheduler.tell_default(i, 100);
    scheduler.tell_batch(i, 100, 64, false);
  }
  scheduler.set_occurrences({1, 1, 0});
  EXPECT_EQ(ask_times(scheduler, 2), (std::vector<int>{1, 0}));
}

TEST(TaskScheduler, RefusesNonsense) {
  TaskScheduler scheduler = make_scheduler(2, SchedulerRule::paper);
  EXPECT_THROW(scheduler.tell_default(2, 1), InternalError);
  EXPECT_THROW(scheduler.tell_default(0, 0), InternalError);
  EXPECT_THROW(scheduler.tell_batch(0, std::nan(""), 1, false), InternalError);
  EXPECT_THROW(scheduler.set_occurrences({1}), InternalError);
}

// Curves that are known: latency = floor + (start - floor) exp(-programs / tau).
struct Curve {
  double start, floor, tau;
  long occurrences;
  double after(double programs) const { return floor + (start - floor) * std::exp(-programs / tau); }
};

double total_latency(const std::vector<Curve>& curves, const std::vector<long>& programs) {
  double total = 0;
  for (size_t i = 0; i < curves.size(); ++i)
    total += static_cast<double>(curves[i].occurrences) * curves[i].after(static_cast<double>(programs[i]));
  return total;
}

TEST_P(EachRule, BeatsRoundRobinOnExponentialCurves) {
  Random random(10);
  double log_ratio = 0;
  const int instances = 40, batches = 60, batch = 16;
  for (int instance = 0; instance < instances; ++instance) {
    std::vector<Curve> curves;
    std::vector<long> occurrences;
    for (int i = 0; i < 20; ++i) {
      const double start = 100 * std::pow(10, 2 * random.uniform());
      curves.push_back({start, start * (0.1 + 0.8 * random.uniform()), 8 * std::pow(10, 1.5 * random.uniform()),
                        1 + static_cast<long>(random.below(8))});
      occurrences.push_back(curves.back().occurrences);
    }
    TaskScheduler scheduler(make_tasks(20), GetParam(), instance);
    scheduler.set_occurrences(occurrences);
    std::vector<long> scheduled(20, 0), even(20, 0);
    for (size_t i = 0; i < 20; ++i) scheduler.tell_default(i, curves[i].start);
    for (int step = 0; step < batches; ++step) {
      const int task = scheduler.ask();
      scheduled[task] += batch;
      scheduler.tell_batch(task, curves[task].after(static_cast<double>(scheduled[task])), batch, false);
      even[step % 20] += batch;
    }
    log_ratio += std::log(total_latency(curves, scheduled) / total_latency(curves, even)) / instances;
  }
  EXPECT_LT(std::exp(log_ratio), 0.95);
}

}  // namespace
}  // namespace sonar
