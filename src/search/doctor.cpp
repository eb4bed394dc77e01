// `doctor`: everything that a run needs, tried once in small, before hours are spent.
#include <fmt/format.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>

#include "model/error.h"
#include "onnx/write_onnx.h"
#include "policy/halving.h"
#include "records/record_library.h"
#include "search/candidates.h"
#include "search/program_measurer.h"
#include "search/proxy_command.h"
#include "search/start_device.h"
#include "search/trainer_client.h"
#include "sonar/sonar.h"

namespace sonar {
namespace {

namespace fs = std::filesystem;

struct Finding {
  std::string name, text;
  bool good = true;
};

std::string duration(double seconds) {
  if (seconds < 120) return fmt::format("{:.3g} s", seconds);
  if (seconds < 7200) return fmt::format("{:.3g} min", seconds / 60);
  if (seconds < 172800) return fmt::format("{:.3g} h", seconds / 3600);
  return fmt::format("{:.3g} days", seconds / 86400);
}

/// Runs one check; an exception is its finding.
void check(std::vector<Finding>& findings, const std::string& name, const std::function<std::string()>& body) {
  try {
    findings.push_back({name, body(), true});
  } catch (const UserError& error) {
    findings.push_back({name, error.what(), false});
  } catch (const EnvironmentError& error) {
    findings.push_back({name, error.what(), false});
  }
}

/// A scratch folder that goes away with the object.
struct Scratch {
  std::string path;
  Scratch() {
    std::string name = (fs::temp_directory_path() / "sonar-doctor-XXXXXX").string();
    if (!mkdtemp(name.data()))
      throw EnvironmentError(name + ": no scratch folder can be made; set TMPDIR to one that is writable");
    path = name;
  }
  ~Scratch() {
    std::error_code ignored;
    fs::remove_all(path, ignored);
  }
};

}  // namespace

Health run_doctor(const Config& config, bool as_json) {
  std::vector<Finding> findings;
  const Scratch scratch;
  const unsigned machine_cores = std::thread::hardware_concurrency();
  check(findings, "cores", [&] {
    refuse_missing_cores(config);
    bool shared = false;
    for (int64_t core : config.device.cores)
      shared |= std::find(config.train.cores.begin(), config.train.cores.end(), core) != config.train.cores.end();
    if (shared)
      throw UserError("train.cores and device.cores share a core: programs would be timed while networks train there");
    return fmt::format("{} on this machine; training and measuring apart", machine_cores);
  });
  check(findings, "disk", [&] {
    struct statvfs info;
    if (statvfs(".", &info) != 0) throw EnvironmentError("the working folder cannot be read");
    const double free = double(info.f_bavail) * info.f_frsize;
    if (free < 512e6)
      throw EnvironmentError(fmt::format("{:.0f} MB free here; a run wants at least 512 MB", free / 1e6));
    return fmt::format("{:.1f} GB free in the working folder", free / 1e9);
  });

  std::unique_ptr<TrainerClient> trainer;
  int classes = static_cast<int>(config.data.classes);
  check(findings, "data", [&] {
    if (config.data.path.empty()) throw UserError("data.path is not set");
    trainer = std::make_unique<TrainerClient>(config, static_cast<int>(config.train.cores.front()),
                                              config.train.devices.front(), nullptr);
    const DataSummary& data = trainer->data();
    classes = static_cast<int>(data.classes.size());
    if (config.data.classes && config.data.classes != classes)
      throw UserError(fmt::format("data.classes is {}, the data holds {}", config.data.classes, classes));
    return fmt::format("{} classes, {} images to train on, {} to validate, {} to test; {} corrupt", classes,
                       data.train_images, data.val_images, data.test_images, data.corrupt.size());
  });

  std::vector<Candidate> probes;  // smallest, middle and largest network
  size_t candidates = 0, unique = 0;
  check(findings, "space", [&] {
    if (classes == 0) throw UserError("the number of classes is not known; mend the data, or set data.classes");
    const std::unique_ptr<Space> space = make_space(config);
    const std::vector<Architecture> architectures = choose_architectures(config, *space);
    std::vector<Candidate> all;
    std::map<SubgraphKey, int> subgraphs;
    for (const Architecture& architecture : architectures) {
      all.push_back(
          lower(*space, architecture, classes, static_cast<int>(config.device.batch), depthwise_fusion(config)));
      for (const auto& [key, count] : all.back().counts) subgraphs[key] += count;
    }
    std::sort(all.begin(), all.end(),
              [](const Candidate& a, const Candidate& b) { return count_macs(a.graph) < count_macs(b.graph); });
    candidates = all.size();
    unique = subgraphs.size();
    for (size_t pick : std::set<size_t>{0, all.size() / 2, all.size() - 1}) probes.push_back(all[pick]);
    return fmt::format("{} candidates, {} unique subgraphs, {} rounds", candidates, unique, round_count(candidates));
  });

  double step_s = 0, program_s = 0;
  if (trainer && !probes.empty())
    check(findings, "training", [&] {
      for (const Candidate& probe : probes)
        step_s +=
            trainer->seconds_per_step(probe.architecture.name, graph_to_json(probe.graph), 3) / double(probes.size());
      return fmt::format("{} for a step of {} images, mean of the smallest, a middle and the largest network",
                         duration(step_s), config.train.batch);
    });

  if (has_outside_tuner(config) && !probes.empty())
    check(findings, "tuner", [&] {
      TunerSession tuner(tuner_session_options(config, scratch.path), nullptr);
      const std::string text = tuner.identity().name + ", " + tuner.identity().target;
      const Subgraph& subgraph = probes.front().uses.front().subgraph;
      const auto began = std::chrono::steady_clock::now();
      Outcome outcome;
      try {
        tuner.tune(subgraph, {0}, 0, [&](TunerSession::Answer answer) { outcome = std::move(answer.outcome); });
      } catch (const TunerGone& gone) {
        throw EnvironmentError(gone.what());
      }
      program_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
      if (const auto* error = std::get_if<MeasureError>(&outcome))
        throw EnvironmentError(fmt::format("{}; the default program of {} failed: {}: {}", text, subgraph.key(),
                                           to_text(error->kind), error->message));
      return fmt::format("{}; the default program of {} in {}", text, subgraph.key(), duration(program_s));
    });

  if (!config.search.proxy.empty() && !probes.empty())
    check(findings, "proxy", [&] {
      const Candidate& probe = probes.back();
      const std::string file = scratch.path + "/" + probe.architecture.name + ".onnx";
      write_onnx(file, untrained_onnx(probe.graph, static_cast<int>(config.device.batch),
                                      static_cast<uint64_t>(config.search.seed)));
      const auto began = std::chrono::steady_clock::now();
      const double value = proxy_command(config).ask(probe.architecture.name, file);
      const double took_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
      return fmt::format("{:.4g} ms for {}, the largest, in {}; at most {} for all candidates", value,
                         probe.architecture.name, duration(took_s), duration(took_s * double(candidates)));
    });

  DeviceParts parts;
  if (!has_outside_tuner(config))
    check(findings, "device", [&] {
      parts = start_local_device(config, scratch.path);
      return parts.identity.device + "; " + parts.identity.compiler + ", " + parts.identity.target;
    });
  if (parts.device && !config.search.records.empty())
    check(findings, "records", [&]() -> std::string {
      const std::string& path = config.search.records;
      if (!fs::exists(path)) return path + " is made by the first run";
      const RecordLibrary library(path, RecordLibrary::Mode::read_only);
      const long fitting = library.records(parts.identity);
      if (const std::string why = why_unused(library, parts.identity); fitting == 0 && !why.empty())
        return fmt::format("{}: none fits this device: {}", path, why);
      return fmt::format("{}: {} records of {} subgraphs fit this device", path, fitting,
                         library.keys(parts.identity).size());
    });
  if (parts.device && !probes.empty()) {
    const Target target = device_target(config);
    ProgramMeasurer measurer(*parts.compiler, *parts.device, measuring_cores(config));
    std::map<SubgraphKey, double> latency;
    const Candidate& probe = probes.front();
    std::vector<std::shared_ptr<const ProgramSpace>> spaces;
    std::vector<Knobs> knobs;
    const std::map<SubgraphKey, CallContext> contexts = call_contexts({&probe.uses}, target, config.device.threads);
    for (const SubgraphUse& use : probe.uses) {
      spaces.push_back(make_program_space(use.subgraph, target));
      knobs.push_back(spaces.back()->default_program());
    }
    check(findings, "programs", [&] {
      std::vector<ProgramToMeasure> programs;
      std::vector<SubgraphKey> keys;
      for (size_t i = 0; i < spaces.size(); ++i) {
        if (!latency.try_emplace(probe.uses[i].subgraph.key(), 0).second) continue;
        keys.push_back(probe.uses[i].subgraph.key());
        programs.push_back({.space = spaces[i], .knobs = knobs[i], .context = contexts.at(keys.back())});
      }
      const auto began = std::chrono::steady_clock::now();
      std::string failure;
      measurer.measure(programs, [&](size_t i, const ProgramMeasurer::Result& result) {
        const Outcome& outcome = result.outcome;
        if (const auto* measurement = std::get_if<Measurement>(&outcome)) {
          latency[keys[i]] = measurement->median_us;
        } else if (failure.empty()) {
          const auto& error = std::get<MeasureError>(outcome);
          failure = keys[i] + ": " + to_text(error.kind) + ": " + error.message;
        }
      });
      program_s =
          std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count() / double(programs.size());
      if (!failure.empty()) throw EnvironmentError("a default program failed: " + failure);
      return fmt::format("{} default programs of {} compiled, run and correct; {} for each", programs.size(),
                         probe.architecture.name, duration(program_s));
    });
    check(findings, "clock", [&] {
      const CallContext& context = contexts.at(probe.uses.front().subgraph.key());
      std::vector<ProgramToMeasure> same(8, {.space = spaces.front(), .knobs = knobs.front(), .context = context});
      std::vector<double> medians;
      measurer.measure(same, [&](size_t, const ProgramMeasurer::Result& result) {
        const Outcome& outcome = result.outcome;
        if (const auto* measurement = std::get_if<Measurement>(&outcome)) medians.push_back(measurement->median_us);
      });
      if (medians.size() < same.size()) throw EnvironmentError("one program, run eight times, failed at times");
      const auto [least, most] = std::minmax_element(medians.begin(), medians.end());
      const double noise = *most / *least - 1;
      if (noise > 0.25)
        throw EnvironmentError(
            fmt::format("one program, timed eight times, differs by {:.0f} %: something else uses core {}; "
                        "measurements will not tell good programs from bad ones",
                        100 * noise, config.device.cores.front()));
      return fmt::format("one program, timed eight times, differs by {:.1f} %", 100 * noise);
    });
    check(findings, "sum", [&] {
      double sum = 0;
      for (const SubgraphUse& use : probe.uses) sum += latency.at(use.subgraph.key());
      const Outcome outcome = measurer.measure_network(probe.uses, spaces, knobs);
      if (const auto* error = std::get_if<MeasureError>(&outcome))
        throw EnvironmentError(std::string("the network as a whole: ") + to_text(error->kind) + ": " + error->message);
      const double whole = std::get<Measurement>(outcome).median_us;
      std::string text = fmt::format("the subgraphs of {} add up to {:.1f} us, the whole takes {:.1f} us ({:+.1f} %)",
                                     probe.architecture.name, sum, whole, 100 * (sum / whole - 1));
      if (std::abs(sum / whole - 1) > 0.1) text += "; consider search.latency = \"end-to-end\"";
      return text;
    });
  }
  if (step_s > 0 && program_s > 0)
    check(findings, "time", [&] {
      const double workers = static_cast<double>(config.train.devices.front() == "cpu" ? config.train.cores.size()
                                                                                       : config.train.devices.size());
      const double steps = double(config.train.epochs) * double(trainer->data().steps_per_epoch);
      const double train = double(candidates) * steps * step_s / workers;
      const double tune = double(unique) * double(config.search.full_programs) * program_s;
      std::string text =
          fmt::format("brute force would take {} of training beside {} of tuning", duration(train), duration(tune));
      if (!config.search.time.empty()) {
        const double budget = parse_duration(config.search.time);
        text += fmt::format("; the budget of {} is {:.1f}x less than the longer of the two", config.search.time,
                            std::max(train, tune) / budget);
        const double slice = budget / round_count(candidates) * workers / (double(candidates) * step_s);
        text += fmt::format("; the first round gives each network about {:.0f} steps ({:.2g} epochs)", slice,
                            slice / double(trainer->data().steps_per_epoch));
        if (slice < double(config.search.minimum_slice_steps))
          text += ", less than a minimum slice: fewer candidates will be sampled";
      } else if (config.search.epochs > 0) {
        text += fmt::format("; the counted budget about {} and {}",
                            duration(config.search.epochs * double(trainer->data().steps_per_epoch) * step_s / workers),
                            duration(config.search.programs * program_s));
      }
      return text;
    });

  Health health;
  for (const Finding& finding : findings) health.healthy &= finding.good;
  if (as_json) {
    nlohmann::json out{{"healthy", health.healthy}, {"findings", nlohmann::json::array()}};
    for (const Finding& f : findings) out["findings"].push_back({{"name", f.name}, {"good", f.good}, {"text", f.text}});
    if (step_s > 0) out["seconds_per_step"] = step_s;
    if (program_s > 0) out["seconds_per_program"] = program_s;
    health.text = out.dump(2);
  } else {
    for (const Finding& f : findings)
      health.text += fmt::format("{:<5} {:<9} {}\n", f.good ? "ok" : "BAD", f.name, f.text);
    health.text += health.healthy ? "all is well" : "mend what is marked BAD first";
  }
  return health;
}

}  // namespace sonar
