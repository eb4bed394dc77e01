// What one core can do at best, and how near to that a tuned network's programs come.
//
//   roofline [RUN] [--core N] [--json]
//
// Measures the peak of register-only multiply-adds at the vector width and at half of it, and the bandwidth of loads,
// stores and copies from each level of memory. Of a RUN of `sonar tune` it bounds each subgraph from below (Williams,
// Waterman, Patterson: Roofline, CACM 2009, with a roof per level):
//
//   max(2 macs / peak, weight bytes / load bandwidth of the level beyond L2, activations in / load + out / store
//   bandwidth)
//
// Activations come from L1 where they fit half of it, from L2 where they fit that, and otherwise from beyond it.
// Subgraphs are sorted by the time lost over it.
#include <fmt/format.h>
#include <immintrin.h>
#include <sched.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <iostream>
#include <nlohmann/json.hpp>
#include <vector>

#include "program/program_space.h"
#include "sonar/sonar.h"

namespace {

using nlohmann::json;
using namespace sonar;

constexpr int kRepeats = 9;  // the best of so many: what disturbs only slows

template <class Body>
double best_seconds(const Body& body) {
  double best = 1e30;
  for (int i = 0; i < kRepeats; ++i) {
    const auto start = std::chrono::steady_clock::now();
    body();
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return best;
}

float volatile sink;

// Twelve chains hide the latency of four cycles at two a cycle, with room to spare.
#define SONAR_FMA_LOOP(NAME, TARGET, VECTOR, SET, FMA, FIRST)                       \
  __attribute__((target(TARGET), noinline)) void NAME(long rounds) {                \
    VECTOR a[12], m = SET(0.999f), b = SET(0.001f);                                 \
    for (VECTOR & v : a) v = SET(1.0f);                                             \
    for (long i = 0; i < rounds; ++i) {                                             \
      _Pragma("GCC unroll 12") for (int k = 0; k < 12; ++k) a[k] = FMA(a[k], m, b); \
    }                                                                               \
    float sum = 0;                                                                  \
    for (VECTOR & v : a) sum += FIRST(v);                                           \
    sink = sum;                                                                     \
  }
SONAR_FMA_LOOP(fma_16, "avx512f", __m512, _mm512_set1_ps, _mm512_fmadd_ps, _mm512_cvtss_f32)
SONAR_FMA_LOOP(fma_8, "avx2,fma", __m256, _mm256_set1_ps, _mm256_fmadd_ps, _mm256_cvtss_f32)
SONAR_FMA_LOOP(fma_4, "avx2,fma", __m128, _mm_set1_ps, _mm_fmadd_ps, _mm_cvtss_f32)

#define SONAR_MEMORY_LOOPS(SUFFIX, TARGET, VECTOR, LOAD, STORE, ADD, SET, FIRST, LANES)                           \
  __attribute__((target(TARGET), noinline)) void load_##SUFFIX(const float* p, float*, long n) {                  \
    VECTOR a = SET(0), b = SET(0), c = SET(0), d = SET(0);                                                        \
    for (long i = 0; i < n; i += 4 * LANES) {                                                                     \
      a = ADD(a, LOAD(p + i)), b = ADD(b, LOAD(p + i + LANES));                                                   \
      c = ADD(c, LOAD(p + i + 2 * LANES)), d = ADD(d, LOAD(p + i + 3 * LANES));                                   \
    }                                                                                                             \
    sink = FIRST(ADD(ADD(a, b), ADD(c, d)));                                                                      \
  }                                                                                                               \
  __attribute__((target(TARGET), noinline)) void store_##SUFFIX(const float*, float* q, long n) {                 \
    const VECTOR v = SET(1.0f);                                                                                   \
    for (long i = 0; i < n; i += 2 * LANES) STORE(q + i, v), STORE(q + i + LANES, v);                             \
  }                                                                                                               \
  __attribute__((target(TARGET), noinline)) void copy_##SUFFIX(const float* p, float* q, long n) {                \
    for (long i = 0; i < n; i += 2 * LANES) STORE(q + i, LOAD(p + i)), STORE(q + i + LANES, LOAD(p + i + LANES)); \
  }
SONAR_MEMORY_LOOPS(16, "avx512f", __m512, _mm512_load_ps, _mm512_store_ps, _mm512_add_ps, _mm512_set1_ps,
                   _mm512_cvtss_f32, 16)
SONAR_MEMORY_LOOPS(8, "avx2,fma", __m256, _mm256_load_ps, _mm256_store_ps, _mm256_add_ps, _mm256_set1_ps,
                   _mm256_cvtss_f32, 8)

using MemoryLoop = void (*)(const float*, float*, long);

struct Level {
  std::string name;
  long bytes = 0;
  double load = 0, store = 0, copy = 0;  // GB/s; a copied byte counts once
};

struct Machine {
  double peak = 0, half_peak = 0;  // GFLOP/s
  std::vector<Level> levels;       // L1, L2, beyond L2, memory
};

double gflops(void (*loop)(long), int lanes) {
  constexpr long rounds = 2'000'000;
  return 12.0 * 2 * lanes * rounds / best_seconds([&] { loop(rounds); }) * 1e-9;
}

double bandwidth(MemoryLoop loop, const float* from, float* to, long bytes) {
  const long floats = bytes / 4 / 64 * 64, times = std::max(1L, (64L << 20) / bytes);
  loop(from, to, floats);
  const double seconds = best_seconds([&] {
    for (long i = 0; i < times; ++i) loop(from, to, floats);
  });
  return 4.0 * static_cast<double>(floats) * static_cast<double>(times) / seconds * 1e-9;
}

Machine measure_machine(const Target& target) {
  Machine machine;
  const bool wide = target.vector_floats == 16;
  machine.peak = wide ? gflops(fma_16, 16) : gflops(fma_8, 8);
  machine.half_peak = wide ? gflops(fma_8, 8) : gflops(fma_4, 4);
  machine.levels = {
      {"L1", target.l1_bytes / 2}, {"L2", target.l2_bytes / 2}, {"L3", 6 * target.l2_bytes}, {"memory", 256L << 20}};
  for (Level& level : machine.levels) {
    const size_t size = static_cast<size_t>(level.bytes);
    // Both fit the level together when they are copied; 4 KiB aliasing between them is kept away by the odd offset.
    auto* memory = static_cast<char*>(std::aligned_alloc(4096, 2 * size + 8192));
    std::memset(memory, 0, 2 * size + 8192);
    auto* from = reinterpret_cast<float*>(memory);
    auto* to = reinterpret_cast<float*>(memory + size + 2048);
    level.load = bandwidth(wide ? load_16 : load_8, from, to, level.bytes);
    level.store = bandwidth(wide ? store_16 : store_8, from, to, level.bytes);
    level.copy = bandwidth(wide ? copy_16 : copy_8, from, to, level.bytes / 2);
    std::free(memory);
  }
  return machine;
}

struct Bound {
  std::string key, limit;
  double occurrences = 0, latency_us = 0, bound_us = 0;
  double lost_us() const { return occurrences * (latency_us - bound_us); }
};

Bound bound_of(const json& row, const Machine& machine, const Target& target) {
  Bound bound;
  bound.key = row["key"];
  bound.occurrences = row["occurrences"];
  bound.latency_us = row["latency_us"];
  const Subgraph subgraph = parse_subgraph(bound.key);
  const auto space = make_program_space(subgraph, target);
  double weights = 0, in = 0, out = 0;
  for (const Argument& argument : space->arguments(space->default_program())) {
    double bytes = 4;
    for (int extent : argument.extents) bytes *= extent;
    const bool weight = argument.role == Argument::Role::weight || argument.role == Argument::Role::bias;
    (weight ? weights : argument.role == Argument::Role::output ? out : in) += bytes;
  }
  const double activations = in + out;
  const Level& near = machine.levels[activations <= static_cast<double>(target.l1_bytes) / 2 ? 0
                                     : activations <= static_cast<double>(target.l2_bytes)   ? 1
                                                                                             : 2];
  const std::pair<double, const char*> limits[] = {
      {2 * static_cast<double>(subgraph.macs()) / machine.peak * 1e-3, "multiply-adds"},
      {weights / machine.levels[2].load * 1e-3, "weights"},
      {(in / near.load + out / near.store) * 1e-3, "activations"}};
  const auto& most = *std::max_element(std::begin(limits), std::end(limits));
  bound.bound_us = most.first;
  bound.limit = most.second;
  return bound;
}

std::vector<Bound> bounds_of_run(const std::string& run, const Machine& machine, const Target& target) {
  std::vector<Bound> bounds;
  const json result = json::parse(tune_result(run, true));
  for (const json& row : result["subgraphs"])
    if (row["latency_us"].is_number()) bounds.push_back(bound_of(row, machine, target));
  std::sort(bounds.begin(), bounds.end(), [](const Bound& a, const Bound& b) { return a.lost_us() > b.lost_us(); });
  return bounds;
}

void print(const Machine& machine, const std::vector<Bound>& bounds) {
  std::cout << fmt::format("multiply-adds  {:.1f} GFLOP/s, at half the vector width {:.1f}\n", machine.peak,
                           machine.half_peak);
  std::cout << "GB/s           load    store     copy\n";
  for (const Level& level : machine.levels)
    std::cout << fmt::format("{:<10} {:>8.1f} {:>8.1f} {:>8.1f}\n", level.name, level.load, level.store, level.copy);
  if (bounds.empty()) return;
  double latency = 0, bound = 0;
  std::cout << fmt::format("\n{:<60} {:>5} {:>10} {:>9} {:>8} {:>8}  limit\n", "subgraph", "times", "latency us",
                           "bound us", "reached", "lost us");
  for (const Bound& b : bounds) {
    std::cout << fmt::format("{:<60} {:>5} {:>10.2f} {:>9.2f} {:>6.0f} % {:>8.1f}  {}\n", b.key, b.occurrences,
                             b.latency_us, b.bound_us, 100 * b.bound_us / b.latency_us, b.lost_us(), b.limit);
    latency += b.occurrences * b.latency_us;
    bound += b.occurrences * b.bound_us;
  }
  std::cout << fmt::format("\n{:.1f} us, bound {:.1f} us: {:.0f} % reached\n", latency, bound, 100 * bound / latency);
}

void print_json(const Machine& machine, const std::vector<Bound>& bounds) {
  json out{{"peak_gflops", machine.peak}, {"half_width_gflops", machine.half_peak}, {"levels", json::array()}};
  for (const Level& l : machine.levels)
    out["levels"].push_back(
        {{"name", l.name}, {"bytes", l.bytes}, {"load_gbs", l.load}, {"store_gbs", l.store}, {"copy_gbs", l.copy}});
  for (const Bound& b : bounds)
    out["subgraphs"].push_back({{"key", b.key},
                                {"occurrences", b.occurrences},
                                {"latency_us", b.latency_us},
                                {"bound_us", b.bound_us},
                                {"lost_us", b.lost_us()},
                                {"limit", b.limit}});
  std::cout << out.dump(2) << "\n";
}

}  // namespace

int main(int argc, char** argv) {
  std::string run;
  bool as_json = false;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--json") {
      as_json = true;
    } else if (argument == "--core" && i + 1 < argc) {
      cpu_set_t set;
      CPU_ZERO(&set);
      CPU_SET(std::atoi(argv[++i]), &set);
      if (sched_setaffinity(0, sizeof set, &set) != 0) {
        std::cerr << "roofline: core " << argv[i] << " cannot be used\n";
        return 3;
      }
    } else if (run.empty() && argument.rfind("--", 0) != 0) {
      run = argument;
    } else {
      std::cerr << "usage: roofline [RUN] [--core N] [--json]\n";
      return 2;
    }
  }
  try {
    const Target target = host_target();
    if (target.vector_floats < 8) throw EnvironmentError("roofline needs a CPU with AVX2");
    const Machine machine = measure_machine(target);
    const std::vector<Bound> bounds = run.empty() ? std::vector<Bound>{} : bounds_of_run(run, machine, target);
    as_json ? print_json(machine, bounds) : print(machine, bounds);
  } catch (const UserError& error) {
    std::cerr << "roofline: " << error.what() << "\n";
    return 2;
  } catch (const EnvironmentError& error) {
    std::cerr << "roofline: " << error.what() << "\n";
    return 3;
  }
  return 0;
}
