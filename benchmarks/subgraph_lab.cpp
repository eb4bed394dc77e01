// Tunes one subgraph, or times given programs of it side by side.
//
//   subgraph_lab KEY [--programs N] [--seed S] [--core C] [--compile-core C] [--sampling SECONDS]
//   subgraph_lab KEY --knobs "vector=16 ..." [--knobs default ...] [--rounds R] [--core C] ...
//   subgraph_lab KEY --count
//
// KEY: a subgraph's key, as `sonar tune --json` prints it. The first form prints the default and the best program after
// N tried ones (default 64) and how many were tried in a second. The second measures the given programs in turn, R
// times over (default 5), and prints each one's median and its ratio to the first, median and range over the rounds:
// ratios of programs timed in turn hold on a machine whose speed wanders. The third prints the number of legal programs
// (exact up to a million knob vectors, else estimated by drawing) and the default one; it measures nothing. Everything
// runs on core 1 unless told otherwise.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <map>

#include "device/quantile.h"
#include "model/error.h"
#include "search/program_measurer.h"
#include "search/start_device.h"
#include "tune/subgraph_tuner.h"

namespace {

using namespace sonar;

constexpr size_t kBatch = 32;

struct Options {
  std::string key;
  std::vector<std::string> knobs;
  long programs = 64, rounds = 5, seed = 1;
  int core = 1, compile_core = 1;
  double sampling_s = 0.03;
  bool count = false;
};

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word.rfind("--", 0) != 0) {
      options.key = word;
      continue;
    }
    if (word == "--count") {
      options.count = true;
      continue;
    }
    if (++i == argc) throw UserError(word + " needs a value");
    const std::string value = argv[i];
    if (word == "--knobs") {
      options.knobs.push_back(value);
    } else if (word == "--programs") {
      options.programs = std::stol(value);
    } else if (word == "--rounds") {
      options.rounds = std::stol(value);
    } else if (word == "--seed") {
      options.seed = std::stol(value);
    } else if (word == "--core") {
      options.core = std::stoi(value);
    } else if (word == "--compile-core") {
      options.compile_core = std::stoi(value);
    } else if (word == "--sampling") {
      options.sampling_s = std::stod(value);
    } else {
      throw UserError("unknown option " + word);
    }
  }
  if (options.key.empty()) throw UserError("give the key of a subgraph");
  return options;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return quantile(values.data(), values.size(), 0.5);
}

double gflops(const Subgraph& subgraph, double us) { return 2e-3 * subgraph.macs() / us; }

class Lab {
 public:
  explicit Lab(const Options& options)
      : options_(options),
        folder_(fmt::format("{}/subgraph-lab-{}", std::filesystem::temp_directory_path().string(), getpid())),
        parts_(start_local_device(config(options), folder_)),
        measurer_(*parts_.compiler, *parts_.device, measuring_cores(config(options))),
        subgraph_(parse_subgraph(options.key)),
        space_(make_program_space(subgraph_, host_target())) {}
  ~Lab() { std::filesystem::remove_all(folder_); }

  void tune() {
    SubgraphTuner tuner(space_, derive_seed(options_.seed, "tune " + subgraph_.key()));
    const auto start = std::chrono::steady_clock::now();
    double default_us = 0, compile_s = 0;
    long tried = 0;
    while (tried < options_.programs) {
      const std::vector<Knobs> batch = tuner.ask(std::min<size_t>(kBatch, options_.programs - tried));
      if (batch.empty()) break;
      measure(batch, tuner.best_latency_us(), [&](size_t i, const ProgramMeasurer::Result& result) {
        const auto& [outcome, seconds] = result;
        tuner.tell(batch[i], outcome);
        compile_s += seconds;
        if (const auto* measured = std::get_if<Measurement>(&outcome); measured && tried == 0 && i == 0)
          default_us = measured->median_us;
      });
      tried += static_cast<long>(batch.size());
    }
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    // The minimum of many noisy readings is biased: the best ones once more, beside the default.
    std::vector<Knobs> contenders = tuner.contenders(4);
    contenders.push_back(space_->default_program());
    std::map<Knobs, std::vector<double>> times;
    for (int round = 0; round < 3; ++round)
      measure(contenders, 0, [&](size_t i, const ProgramMeasurer::Result& result) {
        const Outcome& outcome = result.outcome;
        if (const auto* measured = std::get_if<Measurement>(&outcome))
          times[contenders[i]].push_back(measured->median_us);
      });
    double best_us = 1e30;
    Knobs best;
    for (const auto& [knobs, us] : times)
      if (median(us) < best_us) best_us = median(us), best = knobs;
    if (times.count(space_->default_program())) default_us = median(times[space_->default_program()]);
    fmt::print(
        "{} best {:.2f} us {:.1f} GFLOP/s, default {:.2f} us ({:.2f}x), {:.1f} programs/s, {:.0f} ms compile | {}\n",
        subgraph_.key(), best_us, gflops(subgraph_, best_us), default_us, default_us / best_us, tried / seconds,
        1e3 * compile_s / tried, best.empty() ? "" : space_->to_text(best));
  }

  void compare() {
    std::vector<Knobs> programs, all;
    for (const std::string& text : options_.knobs) {
      programs.push_back(text == "default" ? space_->default_program() : space_->from_text(text));
      if (const std::string why = space_->why_illegal(programs.back()); !why.empty())
        throw UserError("illegal: " + text + ": " + why);
    }
    for (long round = 0; round < options_.rounds; ++round) all.insert(all.end(), programs.begin(), programs.end());
    std::vector<double> us(all.size(), 0), compile_ms(programs.size(), 0);
    measure(all, 0, [&](size_t i, const ProgramMeasurer::Result& result) {
      const auto& [outcome, seconds] = result;
      compile_ms[i % programs.size()] = 1e3 * seconds;
      if (const auto* measured = std::get_if<Measurement>(&outcome)) {
        us[i] = measured->median_us;
      } else {
        const MeasureError& error = std::get<MeasureError>(outcome);
        throw UserError(fmt::format("{}: {}: {}", space_->to_text(all[i]), to_text(error.kind), error.message));
      }
    });
    for (size_t p = 0; p < programs.size(); ++p) {
      std::vector<double> times, ratios;
      for (long round = 0; round < options_.rounds; ++round) {
        times.push_back(us[round * programs.size() + p]);
        ratios.push_back(times.back() / us[round * programs.size()]);
      }
      std::sort(ratios.begin(), ratios.end());
      fmt::print("{:.2f} us {:.1f} GFLOP/s, ratio {:.3f} ({:.3f} to {:.3f}), compile {:.0f} ms | {}\n", median(times),
                 gflops(subgraph_, median(times)), median(ratios), ratios.front(), ratios.back(), compile_ms[p],
                 space_->to_text(programs[p]));
    }
  }

 private:
  static Config config(const Options& options) {
    Config config;
    config.compile.cores = {options.compile_core};
    config.device.cores = {options.core};
    return config;
  }

  void measure(const std::vector<Knobs>& batch, double best_us,
               const std::function<void(size_t, const ProgramMeasurer::Result&)>& done) {
    std::vector<ProgramToMeasure> programs;
    for (const Knobs& knobs : batch)
      programs.push_back({space_, knobs, best_us < 1e30 ? best_us : 0, options_.sampling_s});
    measurer_.measure(programs, done);
  }

  Options options_;
  std::string folder_;
  DeviceParts parts_;
  ProgramMeasurer measurer_;
  Subgraph subgraph_;
  std::shared_ptr<const ProgramSpace> space_;
};

}  // namespace

int main(int argc, char** argv) {
  try {
    const Options options = parse(argc, argv);
    if (options.count) {
      const auto space = make_program_space(parse_subgraph(options.key), host_target());
      fmt::print("{} {:.3g} legal of {:.3g} knob vectors, default {}\n", options.key, space->legal_size(),
                 space->size(), space->to_text(space->default_program()));
      return 0;
    }
    Lab lab(options);
    if (options.knobs.empty()) {
      lab.tune();
    } else {
      lab.compare();
    }
  } catch (const std::exception& error) {
    std::cerr << "subgraph_lab: error: " << error.what() << "\n";
    return 2;
  }
}
