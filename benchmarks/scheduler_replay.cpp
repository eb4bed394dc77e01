// Replays the task scheduler on recorded tuning logs: how near to the best known latency each rule comes with a part of
// the recorded trials.
//
//   zcat trials.csv.gz | scheduler_replay tasks.csv
//   scheduler_replay RUN...
//
// tasks.csv: run,task,name,weight,flop,...   trials.csv, from standard input: run,task,trial,latency_us,...   (an empty
// latency is a failed trial). RUN: folders of SONAR's own runs (run.db), all of whose networks together are the
// workload. A task's first trial stands for its default program; a task without any valid trial costs trials but is
// left out of the latency. Prints the total latency over the best known one, geometric mean over the runs.
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <limits>
#include <map>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "policy/halving.h"
#include "policy/task_scheduler.h"
#include "records/run_store.h"

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr int kSeeds = 10;
constexpr long kBeta = 64;

struct Recorded {
  std::string key;
  double macs = 0;
  long occurrences = 0;
  std::vector<double> best_after;  // trials, best_after[0] the first
};
using Run = std::vector<Recorded>;

std::vector<std::string> fields(const std::string& line) {
  std::vector<std::string> values;
  std::istringstream text(line);
  for (std::string value; std::getline(text, value, ',');) values.push_back(value);
  return values;
}

// The kind of operator, as the first word of SONAR's own keys.
std::string kind_of(const std::string& name) {
  for (const char* kind : {"depthwise", "conv2d", "dense", "pool", "softmax", "matmul", "transpose"})
    if (name.find(kind) != std::string::npos) return kind;
  return name;
}

std::map<std::string, Run> read_runs(const char* tasks_path) {
  std::map<std::string, std::map<int, Recorded>> tasks;
  std::ifstream tasks_file(tasks_path);
  std::string line;
  std::getline(tasks_file, line);
  while (std::getline(tasks_file, line)) {
    const auto f = fields(line);
    tasks[f.at(0)][std::stoi(f.at(1))] = {
        kind_of(f.at(2)) + "-" + f.at(1), std::stod(f.at(4)) / 2, std::stol(f.at(3)), {}};
  }
  std::getline(std::cin, line);
  while (std::getline(std::cin, line)) {
    const auto f = fields(line);
    auto& best = tasks.at(f.at(0)).at(std::stoi(f.at(1))).best_after;
    const double latency = f.at(3).empty() ? kInfinity : std::stod(f.at(3));
    best.push_back(best.empty() ? latency : std::min(best.back(), latency));
  }
  std::map<std::string, Run> runs;
  for (auto& [name, by_index] : tasks)
    for (auto& [index, task] : by_index)
      if (!task.best_after.empty()) runs[name].push_back(std::move(task));
  return runs;
}

/// Curves of a run of SONAR: programs in the order in which they were measured, re-measurements left out.
Run read_own_run(const std::string& folder) {
  const sonar::RunStore store(folder, sonar::RunStore::Mode::read_only);
  std::map<std::string, Recorded> tasks;
  for (const sonar::NetworkRow& network : store.networks())
    for (const auto& [key, occurrences] : network.subgraphs) {
      Recorded& task = tasks[key];
      task.key = key;
      task.macs = sonar::parse_subgraph(key).macs();
      task.occurrences += occurrences;
    }
  std::map<long, sonar::MeasurePurpose> purposes;
  for (const sonar::MeasureJobRow& job : store.measure_jobs()) purposes[job.id] = job.purpose;
  for (const sonar::ProgramRow& program : store.programs()) {
    if (purposes.at(program.job) == sonar::MeasurePurpose::remeasure) continue;
    auto& best = tasks.at(program.subgraph).best_after;
    const auto* measurement = std::get_if<sonar::Measurement>(&program.outcome);
    const double latency = measurement ? measurement->median_us : kInfinity;
    best.push_back(best.empty() ? latency : std::min(best.back(), latency));
  }
  Run run;
  for (auto& [key, task] : tasks)
    if (!task.best_after.empty()) run.push_back(std::move(task));
  return run;
}

// Total latency over the best known one when `fraction` of the trials are spent; no rule: round robin.
double replay(const Run& run, std::optional<sonar::SchedulerRule> rule, uint64_t seed, double fraction,
              bool fixed_batches) {
  std::vector<sonar::TaskScheduler::Task> tasks;
  std::vector<long> occurrences;
  double trials = 0;
  for (const Recorded& task : run) {
    tasks.push_back({task.key, task.macs});
    occurrences.push_back(task.occurrences);
    trials += static_cast<double>(task.best_after.size());
  }
  sonar::TaskScheduler scheduler(tasks, rule.value_or(sonar::SchedulerRule::paper), seed);
  scheduler.set_occurrences(occurrences);
  std::vector<size_t> spent(run.size(), 1);
  for (size_t i = 0; i < run.size(); ++i) scheduler.tell_default(i, run[i].best_after[0]);

  auto left = static_cast<long>(trials * fraction) - static_cast<long>(run.size());
  size_t turn = 0;
  for (size_t idle = 0; left > 0 && idle < run.size();) {
    const int task = rule ? scheduler.ask() : static_cast<int>(turn++ % run.size());
    if (task < 0) break;
    const auto& curve = run[task].best_after;
    const long wanted = fixed_batches ? std::min(kBeta, left) : sonar::batch_size(left, run.size(), kBeta);
    const long tried = std::min(wanted, static_cast<long>(curve.size() - spent[task]));
    spent[task] += tried;
    left -= tried;
    idle = tried > 0 ? 0 : idle + 1;
    scheduler.tell_batch(task, curve[spent[task] - 1], tried, spent[task] == curve.size());
  }
  double reached = 0, best_known = 0;
  for (size_t i = 0; i < run.size(); ++i) {
    const auto& curve = run[i].best_after;
    if (std::isinf(curve.back())) continue;
    // A network cannot run without this task: the factor only has to be clearly bad.
    const double latency = std::isinf(curve[spent[i] - 1]) ? 20 * curve.back() : curve[spent[i] - 1];
    reached += static_cast<double>(run[i].occurrences) * latency;
    best_known += static_cast<double>(run[i].occurrences) * curve.back();
  }
  return reached / best_known;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: zcat trials.csv.gz | scheduler_replay tasks.csv\n       scheduler_replay RUN...\n");
    return 2;
  }
  std::map<std::string, Run> runs;
  if (std::filesystem::is_directory(argv[1]))
    for (int i = 1; i < argc; ++i) runs[argv[i]] = read_own_run(argv[i]);
  else
    runs = read_runs(argv[1]);
  const std::vector<std::pair<const char*, std::optional<sonar::SchedulerRule>>> rules = {
      {"round robin", std::nullopt},
      {"paper", sonar::SchedulerRule::paper},
      {"gradient", sonar::SchedulerRule::gradient}};
  for (bool fixed_batches : {false, true}) {
    std::printf("%s\n%12s", fixed_batches ? "batches of 64" : "batches by the budget (batch_size)", "trials");
    for (const auto& [name, rule] : rules) std::printf("%14s", name);
    std::printf("\n");
    for (double fraction : {0.05, 0.1, 0.25, 0.5}) {
      std::printf("%11.0f%%", 100 * fraction);
      for (const auto& [name, rule] : rules) {
        double log_sum = 0;
        for (const auto& [run_name, run] : runs)
          for (int seed = 0; seed < kSeeds; ++seed)
            log_sum += std::log(replay(run, rule, seed, fraction, fixed_batches));
        std::printf("%14.3f", std::exp(log_sum / (kSeeds * static_cast<double>(runs.size()))));
      }
      std::printf("\n");
    }
  }
}
