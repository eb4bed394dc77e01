// network_runner RUN OUT [FILE.onnx]      FILE.onnx: where RUN tuned an imported network
// Compiles the best programs that a finished run of `sonar tune` found and writes what it takes to time them again
// later beside other systems: OUT/runner-N, the measuring runner linked with the programs, and OUT/runner-N.batch, its
// input, for the whole network and for each subgraph alone; and OUT/cases.json,
//   {"network", "macs", "cases": [{"name", "occurrences", "tuned_us", "burst_us", "runner", "batch"}]}
// where the whole network is named "network" and the others go by their keys. `runner batch 0` then prints samples (see
// src/device/runner/runner.cpp), each the mean of a burst of at least burst_us. Subgraphs are timed with
// warm weights, as the peers' are.
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "device/batch_file.h"
#include "device/link.h"
#include "model/error.h"
#include "onnx/import_onnx.h"
#include "search/candidates.h"
#include "search/open_run.h"
#include "search/program_measurer.h"
#include "search/start_device.h"

namespace sonar {
namespace {

namespace fs = std::filesystem;

// Short bursts, many of them: their median forgets those in which another process had the core.
constexpr double kNetworkBurst = 5e3, kSubgraphBurst = 2e3;  // microseconds
constexpr int kBursts = 30;

/// Measures nothing: keeps the runner and the batch file of each batch, which holds one case, perhaps repeated.
class KeepingDevice : public Device {
 public:
  KeepingDevice(const DeviceOptions& options, const std::string& folder)
      : options_(options), folder_(folder), linker_(options) {}

  std::vector<Outcome> measure(const Batch& batch,
                               const std::function<void(size_t, const Outcome&)>& done,
                               const std::function<void()>&) override {
    const std::string runner = fs::absolute(folder_ + "/runner-" + std::to_string(runners_++)).string();
    const Linked linked = linker_.link(batch.objects, batch.functions, runner);
    for (const auto& error : linked.errors)
      if (error) throw EnvironmentError("cannot link the tuned programs: " + *error);
    Batch kept = batch;
    Case& c = kept.cases.front();
    for (BufferSpec& buffer : c.buffers) buffer.rotate = false;
    c.best_us = 0;
    c.sample_us = burst_us;
    c.max_samples = kBursts;
    c.sampling_s = 0.5;
    const BatchText text = describe_batch(kept, {0}, options_.rotate_bytes, options_.threads);
    std::vector<std::string_view> pieces = {text.text};
    pieces.insert(pieces.end(), text.values.begin(), text.values.end());
    write_file(runner + ".batch", pieces);
    latest_runner = runner;
    const std::vector<Outcome> outcomes(batch.cases.size(), summarize({1}, 1, false));
    for (size_t i = 0; done && i < outcomes.size(); ++i) done(i, outcomes[i]);
    return outcomes;
  }
  std::string description() const override { return "files to be measured later"; }

  double burst_us = kNetworkBurst;
  std::string latest_runner;

 private:
  DeviceOptions options_;
  std::string folder_;
  RunnerLinker linker_;
  int runners_ = 0;
};

struct Best {
  Knobs knobs;
  double latency_us = std::numeric_limits<double>::infinity();
};

/// The fastest program of each subgraph by its latest measurement.
std::map<SubgraphKey, Best> best_programs(const RunStore& store) {
  std::map<SubgraphKey, std::map<Knobs, double>> latest;
  for (const ProgramRow& row : store.programs()) {
    if (const auto* measurement = std::get_if<Measurement>(&row.outcome))
      latest[row.subgraph][row.knobs] = measurement->median_us;
    else
      latest[row.subgraph].erase(row.knobs);
  }
  std::map<SubgraphKey, Best> result;
  for (const auto& [key, programs] : latest)
    for (const auto& [knobs, latency_us] : programs)
      if (latency_us < result[key].latency_us) result[key] = {knobs, latency_us};
  return result;
}

void run(const std::string& folder, const std::string& out, const std::string& onnx) {
  const RunStore store = open_run(folder);
  const std::vector<NetworkRow> networks = store.networks();
  if (networks.size() != 1) throw UserError(folder + ": is no run of `sonar tune`");
  const NetworkRow& network = networks.front();
  Config config = load_config(folder + "/config.toml");
  config.compile.cores.clear();  // wherever this process may run
  const Candidate candidate = onnx.empty() ? lower(*make_space(config), {network.name}, classes_of(config), 1)
                                           : make_candidate(network.name, import_onnx(onnx).graph, 1);
  const std::map<SubgraphKey, Best> best = best_programs(store);
  const Target target = host_target();
  std::map<SubgraphKey, std::shared_ptr<const ProgramSpace>> spaces;
  for (const auto& [key, count] : candidate.counts) {
    if (!best.count(key)) throw UserError(folder + ": no program of " + key + " has run; tune the network first");
    spaces[key] = make_program_space(parse_subgraph(key), target);
  }

  fs::create_directories(out);
  const DeviceParts parts = start_local_device(config, out + "/work");
  DeviceOptions options;
  options.compiler = config.device.compiler;
  options.work_folder = out;
  options.runtime_object = parts.compiler->runtime_object();
  options.halide_include = HALIDE_INCLUDE;
  options.rotate_bytes = 1;
  KeepingDevice device(options, out);
  ProgramMeasurer measurer(*parts.compiler, device, {});
  nlohmann::json cases = nlohmann::json::array();
  auto add = [&](const std::string& name, int occurrences, double tuned_us) {
    cases.push_back({{"name", name},
                     {"occurrences", occurrences},
                     {"tuned_us", tuned_us},
                     {"burst_us", device.burst_us},
                     {"runner", device.latest_runner},
                     {"batch", device.latest_runner + ".batch"}});
  };

  std::vector<std::shared_ptr<const ProgramSpace>> network_spaces;
  std::vector<Knobs> knobs;
  double sum = 0;
  for (const SubgraphUse& use : candidate.uses) {
    network_spaces.push_back(spaces.at(use.subgraph.key()));
    knobs.push_back(best.at(use.subgraph.key()).knobs);
    sum += best.at(use.subgraph.key()).latency_us;
  }
  const Outcome whole = measurer.measure_network(candidate.uses, network_spaces, knobs);
  if (const auto* error = std::get_if<MeasureError>(&whole))
    throw EnvironmentError(network.name + ": " + error->message);
  add("network", 1, sum);

  device.burst_us = kSubgraphBurst;
  for (const auto& [key, count] : candidate.counts) {
    const Best& program = best.at(key);
    measurer.measure({{spaces.at(key), program.knobs}}, [&, key = key](size_t, const Outcome& outcome) {
      if (const auto* error = std::get_if<MeasureError>(&outcome)) throw EnvironmentError(key + ": " + error->message);
    });
    add(key, count, program.latency_us);
  }
  std::ofstream(out + "/cases.json")
      << nlohmann::json{{"network", network.name}, {"macs", network.macs}, {"cases", cases}}.dump(1) << '\n';
}

}  // namespace
}  // namespace sonar

int main(int argc, char** argv) {
  if (argc != 3 && argc != 4) {
    std::fputs("usage: network_runner RUN OUT [FILE.onnx]\n", stderr);
    return 2;
  }
  try {
    sonar::run(argv[1], argv[2], argc == 4 ? argv[3] : "");
  } catch (const std::exception& error) {
    std::fprintf(stderr, "network_runner: %s\n", error.what());
    return 1;
  }
}
