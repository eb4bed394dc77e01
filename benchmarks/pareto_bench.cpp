// Ranking and hypervolume on random points, with the measured order of growth.
#include <benchmark/benchmark.h>

#include "model/random.h"
#include "policy/pareto.h"

namespace {

sonar::Points random_points(size_t n, size_t objectives) {
  sonar::Random random(1);
  sonar::Points points(n, std::vector<double>(objectives));
  for (auto& point : points)
    for (double& value : point) value = random.uniform();
  return points;
}

void ranks(benchmark::State& state) {
  const size_t objectives = state.range(1);
  const sonar::Points points = random_points(state.range(0), objectives);
  const std::vector<bool> maximize(objectives, true);
  for (auto _ : state) benchmark::DoNotOptimize(sonar::non_dominated_ranks(points, maximize));
  state.SetComplexityN(state.range(0));
}
BENCHMARK(ranks)
    ->ArgNames({"points", "objectives"})
    ->Unit(benchmark::kMillisecond)
    ->ArgsProduct({{10'000, 100'000, 1'000'000}, {2}})
    ->Complexity(benchmark::oNLogN);
BENCHMARK(ranks)
    ->ArgNames({"points", "objectives"})
    ->Unit(benchmark::kMillisecond)
    ->Args({10'000, 3})
    ->Args({10'000, 4});

void crowding(benchmark::State& state) {
  const sonar::Points points = random_points(state.range(0), 2);
  const std::vector<int> ranks = sonar::non_dominated_ranks(points, {true, true});
  for (auto _ : state) benchmark::DoNotOptimize(sonar::crowding_distances(points, ranks));
}
BENCHMARK(crowding)->ArgName("points")->Unit(benchmark::kMillisecond)->Arg(1'000'000);

void hypervolume(benchmark::State& state) {
  const size_t objectives = state.range(1);
  const sonar::Points points = random_points(state.range(0), objectives);
  const std::vector<bool> maximize(objectives, true);
  const std::vector<double> reference(objectives, 0);
  for (auto _ : state) benchmark::DoNotOptimize(sonar::hypervolume(points, maximize, reference));
}
BENCHMARK(hypervolume)
    ->ArgNames({"points", "objectives"})
    ->Unit(benchmark::kMillisecond)
    ->Args({1'000'000, 2})
    ->Args({10'000, 3})
    ->Args({1'000, 4});

}  // namespace

BENCHMARK_MAIN();
