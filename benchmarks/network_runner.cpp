// network_runner RUN OUT [NETWORK.onnx]      the file that was tuned, where it was one
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
#include <limits>
#include <map>
#include <nlohmann/json.hpp>

#include "device/batch_file.h"
#include "device/link.h"
#include "model/error.h"
#include "onnx/import_onnx.h"
#include "search/candidates.h"
#include "search/measured_case.h"
#include "search/open_run.h"
#include "search/start_device.h"

namespace sonar {
namespace {

namespace fs = std::filesystem;

// Short bursts, many of them: their median forgets those in which another process had the core.
constexpr double kNetworkBurst = 5e3, kSubgraphBurst = 2e3;  // microseconds
constexpr int kBursts = 30;

/// Writes a case to run later.
class Keeper {
 public:
  Keeper(const DeviceOptions& options, const std::string& folder)
      : options_(options), folder_(folder), linker_(options) {}

  /// Path of the runner; its batch file is named after it.
  std::string keep(Batch batch, double burst_us) {
    const std::string runner = fs::absolute(folder_ + "/runner-" + std::to_string(runners_++)).string();
    const Linked linked = linker_.link(batch.objects, batch.functions, runner);
    for (const auto& error : linked.errors)
      if (error) throw EnvironmentError("cannot link the tuned programs: " + *error);
    Case& c = batch.cases.front();
    c.context_bytes = -1;
    c.best_us = 0;
    c.sample_us = burst_us;
    c.max_samples = kBursts;
    c.sampling_s = 0.5;
    const BatchText text = describe_batch(batch, {0}, options_.threads);
    std::vector<std::string_view> pieces = {text.text};
    pieces.insert(pieces.end(), text.values.begin(), text.values.end());
    write_file(runner + ".batch", pieces);
    return runner;
  }

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

/// The fastest program of each subgraph by its latest measurement; where the run took it from records, of those.
std::map<SubgraphKey, Best> best_programs(const RunStore& store,
                                          const std::map<SubgraphKey, std::shared_ptr<const ProgramSpace>>& spaces) {
  std::map<SubgraphKey, std::map<Knobs, double>> latest;
  for (const EarlierRow& row : store.earlier())
    if (auto space = spaces.find(row.subgraph); space != spaces.end() && row.latency_us)
      latest[row.subgraph][space->second->from_text(row.knobs)] = *row.latency_us;
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
  const DepthwiseFusion fusion = depthwise_fusion(config);
  const Candidate candidate = onnx.empty() ? lower(*make_space(config), {network.name}, classes_of(config), 1, fusion)
                                           : make_candidate(network.name, import_onnx(onnx).graph, 1, fusion);
  const Target target = device_target(config);
  std::map<SubgraphKey, std::shared_ptr<const ProgramSpace>> spaces;
  for (const auto& [key, count] : candidate.counts) spaces[key] = make_program_space(parse_subgraph(key), target);
  const std::map<SubgraphKey, Best> best = best_programs(store, spaces);

  fs::create_directories(out);
  const DeviceParts parts = start_local_device(config, out + "/work");
  std::vector<CompileRequest> requests;
  std::map<SubgraphKey, int> place;
  for (const auto& [key, count] : candidate.counts) {
    if (!best.count(key)) throw UserError(folder + ": no program of " + key + " has run; tune the network first");
    place[key] = static_cast<int>(requests.size());
    requests.push_back({parse_subgraph(key), best.at(key).knobs, "sonar_program_" + std::to_string(requests.size())});
  }
  const std::vector<CompileResult> compiled = compile_all(*parts.compiler, requests);
  for (size_t i = 0; i < compiled.size(); ++i)
    if (compiled[i].error) throw EnvironmentError(requests[i].subgraph.key() + ": " + compiled[i].error->message);

  DeviceOptions options;
  options.compiler = config.device.compiler;
  options.work_folder = out;
  options.runtime_object = parts.compiler->runtime_object();
  options.halide_include = HALIDE_INCLUDE;
  Keeper keeper(options, out);
  nlohmann::json cases = nlohmann::json::array();
  auto add = [&](const std::string& name, int occurrences, double tuned_us, double burst_us, const Batch& batch) {
    const std::string runner = keeper.keep(batch, burst_us);
    cases.push_back({{"name", name},
                     {"occurrences", occurrences},
                     {"tuned_us", tuned_us},
                     {"burst_us", burst_us},
                     {"runner", runner},
                     {"batch", runner + ".batch"}});
  };

  std::vector<std::shared_ptr<const ProgramSpace>> network_spaces;
  std::vector<Knobs> knobs;
  std::vector<int> functions;
  double sum = 0;
  for (const SubgraphUse& use : candidate.uses) {
    const SubgraphKey key = use.subgraph.key();
    network_spaces.push_back(spaces.at(key));
    knobs.push_back(best.at(key).knobs);
    functions.push_back(place.at(key));
    sum += best.at(key).latency_us;
  }
  Batch whole;
  for (size_t i = 0; i < compiled.size(); ++i) {
    whole.objects.push_back(compiled[i].object);
    whole.functions.push_back(requests[i].name);
  }
  whole.cases = {network_case(candidate.uses, network_spaces, knobs, functions)};
  add("network", 1, sum, kNetworkBurst, whole);

  ExpectedOutputs expected;
  for (const auto& [key, count] : candidate.counts) {
    const size_t i = static_cast<size_t>(place.at(key));
    Batch one;
    one.objects = {compiled[i].object};
    one.functions = {requests[i].name};
    one.cases = {program_case(*spaces.at(key), requests[i].knobs, 0, expected.of(requests[i].subgraph), {})};
    add(key, count, best.at(key).latency_us, kSubgraphBurst, one);
  }
  for (const CompileResult& result : compiled) fs::remove(result.object);
  std::ofstream(out + "/cases.json")
      << nlohmann::json{{"network", network.name}, {"macs", network.macs}, {"cases", cases}}.dump(1) << '\n';
}

}  // namespace
}  // namespace sonar

int main(int argc, char** argv) {
  if (argc != 3 && argc != 4) {
    std::fputs("usage: network_runner RUN OUT [NETWORK.onnx]\n", stderr);
    return 2;
  }
  try {
    sonar::run(argv[1], argv[2], argc == 4 ? argv[3] : "");
  } catch (const std::exception& error) {
    std::fprintf(stderr, "network_runner: %s\n", error.what());
    return 1;
  }
}
