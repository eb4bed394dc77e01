// What the cost model and transfer bring: best latency against programs tried, with and without each.
//
//   tuner_ablation --file measured.tsv [--set report|choose] [--minutes M] [--variants plain,model,transfer,both]
//                  [--seeds 3] [--programs 128] [--batch 8] [--compile-core 1] [--device-core 1] [--lock FILE]
//   tuner_ablation --file measured.tsv --judge [--set report|choose]
//
// The subgraphs are drawn from networks between r32-w0.25 and r224-w1.0: two disjoint sets of equal make, one to choose
// the tuner's constants on and one to report. Every program measured is written to the file and never measured again,
// so that a call that was interrupted, or whose --minutes are over, goes on where it was; a call without minutes left
// prints what the file holds. All variants advance together, so that what is printed of an unfinished run compares
// equals. Latencies are relative to the best known one of the subgraph in the file, by whichever variant.
//
// --judge: how well a model orders the programs of subgraphs that it was not fitted to, or only to a few of.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <numeric>
#include <set>

#include "measured_programs.h"
#include "model/error.h"
#include "search/candidates.h"
#include "search/program_measurer.h"
#include "search/tuning.h"

namespace sonar {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

struct Stratum {
  const char* name;
  size_t subgraphs;  // in each set
  bool (*holds)(const Subgraph&);
};
constexpr Stratum kStrata[] = {
    {"conv k1", 10, [](const Subgraph& s) { return s.kind == SubgraphKind::conv && s.kernel == 1; }},
    {"conv k3", 2, [](const Subgraph& s) { return s.kind == SubgraphKind::conv && s.kernel > 1; }},
    {"depthwise", 6, [](const Subgraph& s) { return s.kind == SubgraphKind::depthwise; }},
    {"squeeze-excite", 3, [](const Subgraph& s) { return s.kind == SubgraphKind::squeeze_excite; }},
    {"dense", 2, [](const Subgraph& s) { return s.kind == SubgraphKind::dense; }},
};

std::vector<Subgraph> subgraphs_of(const std::string& set) {
  Config config;
  config.space.widths = {0.25, 0.5, 1.0};
  std::map<SubgraphKey, Subgraph> all;
  for (int resolution : {32, 96, 160, 224}) {
    config.space.resolutions = {resolution};
    if (resolution == 32) config.space.stem_stride = 1, config.space.strides = {1, 2, 2, 1, 2};
    if (resolution != 32) config.space.stem_stride = 2, config.space.strides = {2, 2, 2, 1, 2};
    const auto space = make_space(config);
    for (const Architecture& architecture : sample_architectures(*space, 6, 1))
      for (const auto& [key, count] : lower(*space, architecture, resolution == 32 ? 10 : 1000, 1).counts)
        all.emplace(key, parse_subgraph(key));
  }
  std::vector<Subgraph> result;
  for (const Stratum& stratum : kStrata) {
    std::vector<Subgraph> members;
    for (const auto& [key, subgraph] : all)
      if (stratum.holds(subgraph)) members.push_back(subgraph);
    Random random(stable_hash(stratum.name));
    random.shuffle(members);
    for (size_t i = set == "choose" ? 1 : 0; i < members.size() && i < 2 * stratum.subgraphs; i += 2)
      result.push_back(members[i]);
  }
  return result;
}

// ---- curves

struct Curve {  // of one variant and seed
  std::string variant;
  std::unique_ptr<Tuning> tuning;
  std::vector<std::vector<double>> best_us;  // of each subgraph, after each program
};

std::unique_ptr<Tuning> make_tuning(const std::vector<Subgraph>& subgraphs, const std::string& variant, uint64_t seed) {
  TuningOptions options;
  options.seed = seed;
  options.tuner.cost_model = variant == "model" || variant == "both";
  options.tuner.transfer = variant == "transfer" || variant == "both";
  auto tuning = std::make_unique<Tuning>(subgraphs, host_target(), options);
  tuning->set_occurrences(std::vector<long>(subgraphs.size(), 1));
  return tuning;
}

/// Carries out one job of each curve; false when that needs measuring and may not.
bool carry_out(std::vector<Curve>& curves, const std::vector<std::vector<MeasureJobRow>>& jobs,
               MeasuredPrograms& measured, bool may_measure) {
  std::vector<MeasuredPrograms::Program> asked;
  for (size_t c = 0; c < curves.size(); ++c)
    for (const MeasureJobRow& job : jobs[c])
      for (const Knobs& knobs : job.programs)
        asked.push_back({curves[c].tuning->space(curves[c].tuning->index(job.subgraph)), knobs});
  if (!may_measure && !measured.hold(asked)) return false;
  const std::vector<Outcome> outcomes = measured.measure(asked);
  size_t at = 0;
  for (size_t c = 0; c < curves.size(); ++c)
    for (const MeasureJobRow& job : jobs[c]) {
      for (const Knobs& knobs : job.programs) {
        const Outcome& outcome = outcomes[at++];
        const auto* measurement = std::get_if<Measurement>(&outcome);
        const double latency = measurement ? measurement->median_us : kInfinity;
        std::vector<double>& best = curves[c].best_us[curves[c].tuning->index(job.subgraph)];
        best.push_back(best.empty() ? latency : std::min(best.back(), latency));
        curves[c].tuning->tell(job, knobs, outcome);
      }
      curves[c].tuning->finish(job);
    }
  return true;
}

/// The default programs of all subgraphs, then batches in turns: as a search does, a few subgraphs at a time, so that
/// the later ones of a turn know what the earlier ones found.
void advance(std::vector<Curve>& curves, size_t subgraphs, long programs, long batch, MeasuredPrograms& measured,
             const std::function<bool()>& may_measure) {
  std::vector<std::vector<MeasureJobRow>> jobs;
  for (Curve& curve : curves) {
    curve.best_us.resize(subgraphs);
    jobs.push_back(curve.tuning->default_jobs());
  }
  if (!carry_out(curves, jobs, measured, may_measure())) return;
  const auto together = std::max<size_t>(1, ProgramMeasurer::kChunk / static_cast<size_t>(batch));
  for (long tried = 1; tried < programs;) {
    const long next = std::min((tried / batch + 1) * batch, programs);
    for (size_t begin = 0; begin < subgraphs; begin += together) {
      for (size_t c = 0; c < curves.size(); ++c) {
        jobs[c].clear();
        for (size_t i = begin; i < std::min(subgraphs, begin + together); ++i)
          jobs[c].push_back(curves[c].tuning->batch_of(i, 0, next - tried));
      }
      if (!carry_out(curves, jobs, measured, may_measure())) return;
    }
    tried = next;
    fmt::print(stderr, "{} programs of each subgraph, {} measured now\n", tried, measured.measured_now());
  }
}

void print_curves(const std::vector<Subgraph>& subgraphs, const std::vector<Curve>& curves,
                  const std::vector<std::string>& variants, const MeasuredPrograms& measured) {
  // Only as far as all subgraphs have come; a space that ran out (fewer legal programs) holds nobody up.
  size_t reached = std::numeric_limits<size_t>::max();
  for (const Curve& curve : curves)
    for (size_t i = 0; i < subgraphs.size(); ++i)
      if (!curve.tuning->scheduler().exhausted(i)) reached = std::min(reached, curve.best_us[i].size());
  std::vector<size_t> counts;
  for (size_t n = 8; n <= reached; n *= 2) counts.push_back(n);
  const auto print = [&](const char* stratum, const std::function<bool(const Subgraph&)>& holds) {
    fmt::print("{:<16}", stratum);
    for (size_t n : counts) fmt::print("{:>8}", n);
    fmt::print("   programs to within 5 % (median, mean; never counts as twice all)\n");
    for (const std::string& variant : variants) {
      fmt::print("  {:<14}", variant);
      std::vector<double> needed;
      for (size_t n : counts) {
        double log_sum = 0;
        int terms = 0;
        for (const Curve& curve : curves)
          for (size_t i = 0; curve.variant == variant && i < subgraphs.size(); ++i) {
            if (!holds(subgraphs[i])) continue;
            // A space that ran out stays at what it reached; a subgraph without a valid program counts as ten times.
            const auto& best = curve.best_us[i];
            const double known = measured.best_us(subgraphs[i].key());
            const double latency = best[std::min(n, best.size()) - 1];
            log_sum += std::log(std::isfinite(latency) ? latency / known : 10);
            ++terms;
          }
        fmt::print("{:>8.3f}", std::exp(log_sum / terms));
      }
      for (const Curve& curve : curves)
        for (size_t i = 0; curve.variant == variant && i < subgraphs.size(); ++i) {
          if (!holds(subgraphs[i])) continue;
          const auto& best = curve.best_us[i];
          const double limit = 1.05 * measured.best_us(subgraphs[i].key());
          const auto first = std::find_if(best.begin(), best.end(), [&](double us) { return us <= limit; });
          needed.push_back(first == best.end() ? 2.0 * static_cast<double>(best.size())
                                               : static_cast<double>(first - best.begin() + 1));
        }
      std::sort(needed.begin(), needed.end());
      fmt::print("{:>12.0f}{:>8.0f}\n", needed[needed.size() / 2],
                 std::accumulate(needed.begin(), needed.end(), 0.0) / static_cast<double>(needed.size()));
    }
  };
  for (const Stratum& stratum : kStrata) print(stratum.name, stratum.holds);
  print("all", [](const Subgraph&) { return true; });
}

// ---- judging the model

std::vector<double> ranks(const std::vector<double>& values) {
  std::vector<size_t> order(values.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return values[a] < values[b]; });
  std::vector<double> result(values.size());
  for (size_t place = 0; place < order.size(); ++place) result[order[place]] = static_cast<double>(place);
  return result;
}

double correlation(const std::vector<double>& a, const std::vector<double>& b) {
  const auto n = static_cast<double>(a.size());
  const double mean_a = std::accumulate(a.begin(), a.end(), 0.0) / n,
               mean_b = std::accumulate(b.begin(), b.end(), 0.0) / n;
  double ab = 0, aa = 0, bb = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    ab += (a[i] - mean_a) * (b[i] - mean_b);
    aa += (a[i] - mean_a) * (a[i] - mean_a);
    bb += (b[i] - mean_b) * (b[i] - mean_b);
  }
  return ab / std::sqrt(aa * bb);
}

void judge(const std::vector<Subgraph>& subgraphs, const MeasuredPrograms& measured) {
  struct Data {
    std::shared_ptr<const ProgramSpace> space;
    std::vector<Knobs> knobs;
    std::vector<Outcome> outcomes;
  };
  std::vector<Data> data;
  for (const Subgraph& subgraph : subgraphs) {
    Data one{make_program_space(subgraph, host_target()), {}, {}};
    const auto known = measured.known().find(subgraph.key());
    if (known == measured.known().end()) continue;
    for (const auto& [text, outcome] : known->second) {
      one.knobs.push_back(one.space->from_text(text));
      one.outcomes.push_back(outcome);
    }
    data.push_back(std::move(one));
  }
  fmt::print("{:<16}{:>10}{:>10}{:>12}{:>26}{:>26}\n", "held out", "own rows", "programs", "rank corr.",
             "best of top 8 / best", "best of random 8 / best");
  for (const Stratum& stratum : kStrata)
    for (size_t own : {0, 16, 64}) {
      double correlations = 0, top = 0, chance = 0, programs = 0;
      int terms = 0;
      for (const Data& held : data) {
        if (!stratum.holds(held.space->subgraph()) || held.knobs.size() < own + 64) continue;
        Experience experience;
        for (const Data& other : data)
          if (&other != &held && other.space->subgraph().kind == held.space->subgraph().kind)
            for (size_t i = 0; i < other.knobs.size(); ++i)
              experience.add(*other.space, other.knobs[i], other.outcomes[i], true);
        for (size_t i = 0; i < own; ++i) experience.add(*held.space, held.knobs[i], held.outcomes[i]);
        const std::vector<Knobs> rest(held.knobs.begin() + static_cast<long>(own), held.knobs.end());
        const std::vector<float> predicted = experience.predict(*held.space, rest);
        if (predicted.empty()) continue;
        std::vector<double> slowness, latencies;
        for (size_t i = 0; i < rest.size(); ++i) {
          const auto* measurement = std::get_if<Measurement>(&held.outcomes[own + i]);
          slowness.push_back(-predicted[i]);
          latencies.push_back(measurement ? measurement->median_us : 1e9);
        }
        correlations += correlation(ranks(slowness), ranks(latencies));
        std::vector<size_t> order(rest.size());
        std::iota(order.begin(), order.end(), 0);
        std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return slowness[a] < slowness[b]; });
        const double best = *std::min_element(latencies.begin(), latencies.end());
        double found = kInfinity;
        for (size_t i = 0; i < 8; ++i) found = std::min(found, latencies[order[i]]);
        top += std::log(found / best);
        Random random(1);
        for (int draw = 0; draw < 100; ++draw) {
          double luck = kInfinity;
          for (int i = 0; i < 8; ++i) luck = std::min(luck, latencies[random.below(rest.size())]);
          chance += std::log(luck / best) / 100;
        }
        programs += static_cast<double>(rest.size());
        ++terms;
      }
      if (terms == 0) continue;
      fmt::print("{:<16}{:>10}{:>10.0f}{:>12.3f}{:>26.3f}{:>26.3f}\n", stratum.name, own, programs,
                 correlations / terms, std::exp(top / terms), std::exp(chance / terms));
    }
}

int run(int argc, char** argv) {
  CLI::App app("What the cost model and transfer bring the tuner");
  MeasuringOptions options;
  options.work_folder = "ablation-work";
  std::string set = "report";
  std::vector<std::string> variants = {"plain", "model", "transfer", "both"};
  double minutes = 0;
  int seeds = 3, first_seed = 1, compile_core = 1, device_core = 1;
  long programs = 128, batch = 8;
  bool only_judge = false;
  app.add_option("--file", options.file, "measured programs")->required();
  app.add_option("--work", options.work_folder, "folder for objects and runners");
  app.add_option("--lock", options.lock, "a file that is locked while programs run");
  app.add_option("--set", set, "subgraphs")->check(CLI::IsMember({"choose", "report"}));
  app.add_option("--variants", variants)->delimiter(',')->check(CLI::IsMember({"plain", "model", "transfer", "both"}));
  app.add_option("--minutes", minutes, "no new measuring after these");
  app.add_option("--seeds", seeds)->check(CLI::PositiveNumber);
  app.add_option("--first-seed", first_seed);
  app.add_option("--programs", programs, "tried for each subgraph")->check(CLI::PositiveNumber);
  app.add_option("--batch", batch)->check(CLI::PositiveNumber);
  app.add_option("--compile-core", compile_core);
  app.add_option("--device-core", device_core);
  app.add_flag("--judge", only_judge, "only how well models order what the file holds");
  CLI11_PARSE(app, argc, argv);
  options.compile_cores = {compile_core};
  options.device_cores = {device_core};
  MeasuredPrograms measured(options);
  const std::vector<Subgraph> subgraphs = subgraphs_of(set);
  if (only_judge) {
    judge(subgraphs, measured);
    return 0;
  }
  const auto start = std::chrono::steady_clock::now();
  const auto time_left = [&] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() < 60 * minutes;
  };
  // All variants and seeds advance together.
  std::vector<Curve> curves;
  for (int seed = first_seed; seed < first_seed + seeds; ++seed)
    for (const std::string& variant : variants)
      curves.push_back({variant, make_tuning(subgraphs, variant, static_cast<uint64_t>(seed)), {}});
  advance(curves, subgraphs.size(), programs, batch, measured, time_left);
  for (const Curve& curve : curves)
    for (const auto& best : curve.best_us)
      if (best.empty()) throw UserError("not even the default programs are in the file; allow more --minutes");
  fmt::print("{} subgraphs, {} seeds; best latency over the best known, geometric mean, after so many programs\n",
             subgraphs.size(), curves.size() / variants.size());
  print_curves(subgraphs, curves, variants, measured);
  return 0;
}

}  // namespace
}  // namespace sonar

int main(int argc, char** argv) {
  try {
    return sonar::run(argc, argv);
  } catch (const std::exception& error) {
    fmt::print(stderr, "tuner_ablation: {}\n", error.what());
    return 1;
  }
}
