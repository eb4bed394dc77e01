// `sonar trace`: the curves of a run as a trace (docs/formats.md).
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <map>
#include <set>

#include "evaluate/csv.h"
#include "evaluate/recorded_cost.h"
#include "policy/architecture_features.h"
#include "records/run_store.h"
#include "sonar/error.h"
#include "sonar/evaluate.h"

namespace sonar {
namespace {

namespace fs = std::filesystem;

/// Why the curves of a run depend on its course: on the order of its subgraphs, its rounds, its other networks; empty:
/// they do not.
std::string order_dependence(const std::map<std::string, std::string>& configuration, const RunStore& store) {
  std::string why;
  const auto on = [&](const char* key) {
    const auto found = configuration.find(key);
    return found == configuration.end() || found->second == "true";
  };
  const auto add = [&](const std::string& text) { why += (why.empty() ? "" : ", ") + text; };
  const auto tuner = configuration.find("search.tuner");
  if (tuner != configuration.end() && tuner->second != "'halide'" && tuner->second != "\"halide\"") {
    add("an outside tuner chose the programs and may learn from one subgraph for another (search.tuner)");
  } else {
    if (on("search.transfer")) add("programs passed from one subgraph to another (search.transfer)");
    if (on("search.cost_model")) add("one cost model learned from all subgraphs (search.cost_model)");
  }
  const auto inherit = configuration.find("train.inherit"), schedule = configuration.find("train.schedule");
  if (inherit != configuration.end() && inherit->second == "true")
    add("networks started from weights of others (train.inherit)");
  if (schedule != configuration.end() && schedule->second.find("slice") != std::string::npos)
    add("the learning rate followed the rounds (train.schedule)");
  if (!store.earlier().empty()) add("it began with earlier records (search.records)");
  return why;
}

/// One program as tried, in order.
struct Tried {
  double latency_us = 0;  // infinity: failed
  double seconds = 0;
};

struct Curves {
  std::map<SubgraphKey, std::vector<Tried>> tuning;
  std::set<SubgraphKey> complete;  // tuned in full, or until their space ran out
};

Curves tuning_curves(const RunStore& store, double full_programs) {
  Curves curves;
  std::map<long, MeasurePurpose> purposes;
  for (const MeasureJobRow& job : store.measure_jobs()) {
    purposes[job.id] = job.purpose;
    if (job.purpose == MeasurePurpose::batch && job.programs.size() < static_cast<size_t>(job.requested) &&
        job.finished)
      curves.complete.insert(job.subgraph);
  }
  const std::vector<ProgramRow> programs = store.programs();
  const std::vector<double> costs = recorded_costs(programs, store);
  for (size_t i = 0; i < programs.size(); ++i) {
    // Readings of contenders once more are no programs; they are part of the time, though.
    if (purposes.at(programs[i].job) == MeasurePurpose::remeasure) continue;
    const auto* measurement = std::get_if<Measurement>(&programs[i].outcome);
    curves.tuning[programs[i].subgraph].push_back(
        {measurement ? measurement->median_us : std::numeric_limits<double>::infinity(), costs[i]});
  }
  for (const auto& [key, list] : curves.tuning)
    if (static_cast<double>(list.size()) >= full_programs) curves.complete.insert(key);
  return curves;
}

class Table {
 public:
  Table(const std::string& folder, const std::string& name) : path_(folder + "/" + name), file_(path_ + ".part") {}
  template <class... Arguments>
  void line(fmt::format_string<Arguments...> format, Arguments&&... arguments) {
    file_ << fmt::format(format, std::forward<Arguments>(arguments)...) << '\n';
  }
  /// Under its own name only when it is whole.
  void finish() {
    file_.close();
    if (!file_)
      throw EnvironmentError(path_ + ": cannot be written to its end; is the disk full or the folder read-only?");
    fs::rename(path_ + ".part", path_);
  }

 private:
  std::string path_;
  std::ofstream file_;
};

}  // namespace

std::string record_trace(const std::string& run, const std::string& folder, bool force) {
  if (!fs::exists(run + "/run.db"))
    throw UserError(run + ": holds no run (no run.db); name the folder that sonar search was given with --out");
  const RunStore store(run, RunStore::Mode::read_only);
  std::map<std::string, std::string> configuration;
  for (const auto& [key, value] : store.configuration()) configuration[key] = value;
  const auto number = [&](const char* name) {
    const auto text = store.value(name);
    return text ? std::stod(*text) : 0.0;
  };
  const double full_steps = number("full_steps"), full_programs = number("full_programs");
  if (full_steps <= 0 || !configuration.count("train.epochs") || store.programs().empty())
    throw UserError(run + ": holds no curves of both kinds; a trace is made of a search that has trained and tuned");
  std::vector<std::string> notes;
  if (const std::string why = order_dependence(configuration, store); !why.empty()) {
    const std::string text = run + ": its curves depend on the course of this run: " + why;
    if (!force)
      throw UserError(
          text +
          "; record traces with search.transfer=false search.cost_model=false, without search.records and with the "
          "defaults of train.inherit and train.schedule, "
          "or give --force to write it all the same");
    notes.push_back(text);
  }

  const double epochs = std::stod(configuration.at("train.epochs")), per_epoch = full_steps / epochs;
  const Curves curves = tuning_curves(store, full_programs);
  std::map<std::string, std::vector<TrainPoint>> training;
  for (const auto& timed : store.train_points())
    if (timed.point.val_images > 0) training[timed.point.network].push_back(timed.point);
  std::map<std::string, double> test;
  for (const ResultRow& row : store.results())
    if (row.test_accuracy >= 0) test[row.network] = row.test_accuracy;

  // A brute force that is under way gives what it has completed; another search what it has.
  const bool partial = store.value("algorithm") == "brute-force" && store.value("finished") != "1";
  size_t left_out = 0, cut = 0;
  std::vector<NetworkRow> networks;
  for (NetworkRow& row : store.networks()) {
    const auto curve = training.find(row.name);
    bool whole = curve != training.end() && !curve->second.empty();
    const bool full = whole && static_cast<double>(curve->second.back().step) >= full_steps;
    if (partial) whole = full;
    bool tuned_in_full = true;
    for (const auto& [key, count] : row.subgraphs) {
      whole = whole && curves.tuning.count(key) && (!partial || curves.complete.count(key));
      tuned_in_full = tuned_in_full && curves.complete.count(key);
    }
    if (!whole) {
      ++left_out;
      continue;
    }
    cut += !full || !tuned_in_full;
    networks.push_back(std::move(row));
  }
  if (networks.empty()) throw UserError(run + ": no network has a training curve and tuning curves yet");
  if (left_out > 0)
    notes.push_back(fmt::format("{} networks left out, whose curves {}", left_out,
                                partial ? "are not complete yet" : "do not exist"));
  if (cut > 0)
    notes.push_back(
        fmt::format("{} of {} networks were not trained and tuned in full: their curves stay where this "
                    "search stopped; a trace to judge searches on is made with algorithm brute-force",
                    cut, networks.size()));

  std::error_code error;
  fs::create_directories(folder, error);
  if (error) throw EnvironmentError(folder + ": cannot be made (" + error.message() + "); choose another with --out");
  const double classes = number("classes");
  std::vector<std::string> names;
  for (const NetworkRow& row : networks) names.push_back(row.name);
  const FeatureTable table = feature_table(names);
  Table networks_table(folder, "networks.csv"), training_table(folder, "training.csv"),
      tuning_table(folder, "tuning.csv");
  std::string head = "network,subgraphs,test_accuracy,chance,macs,parameters,peak_activation_bytes";
  for (const std::string& name : table.names) head += "," + csv_field(name);
  const std::map<std::string, double> proxies = store.proxies();
  if (!proxies.empty()) head += ",proxy_ms";
  networks_table.line("{}", head);
  training_table.line("network,epoch,val_accuracy,seconds");
  tuning_table.line("subgraph,programs,latency_us,seconds");
  std::set<SubgraphKey> used;
  for (size_t i = 0; i < networks.size(); ++i) {
    const NetworkRow& row = networks[i];
    std::string subgraphs;
    for (const auto& [key, count] : row.subgraphs) {
      subgraphs += fmt::format("{}{}:{}", subgraphs.empty() ? "" : ";", key, count);
      used.insert(key);
    }
    std::string features;
    for (double value : table.rows[i]) features += std::isnan(value) ? "," : fmt::format(",{}", value);
    if (!proxies.empty()) features += proxies.count(row.name) ? fmt::format(",{}", proxies.at(row.name)) : ",";
    networks_table.line("{},{},{},{},{:.0f},{:.0f},{:.0f}{}", csv_field(row.name), csv_field(subgraphs),
                        test.count(row.name) ? fmt::format("{}", test.at(row.name)) : "",
                        classes > 0 ? fmt::format("{:.6g}", 1 / classes) : "", row.macs, row.parameters,
                        row.peak_activation_bytes, features);
    long before = 0;
    for (const TrainPoint& point : training.at(row.name)) {
      if (point.step <= before) continue;
      before = point.step;
      training_table.line("{},{:.10g},{},{:.6f}", csv_field(row.name), static_cast<double>(point.step) / per_epoch,
                          point.val_accuracy, point.seconds);
    }
  }
  for (const SubgraphKey& key : used) {
    double best = std::numeric_limits<double>::infinity(), seconds = 0;
    long programs = 0;
    for (const Tried& tried : curves.tuning.at(key)) {
      best = std::min(best, tried.latency_us);
      seconds += tried.seconds;
      tuning_table.line("{},{},{},{:.6f}", csv_field(key), ++programs,
                        std::isfinite(best) ? fmt::format("{}", best) : "", seconds);
    }
  }
  networks_table.finish();
  training_table.finish();
  tuning_table.finish();
  std::string text = fmt::format("{}: {} networks, {} unique subgraphs", folder, networks.size(), used.size());
  for (const std::string& note : notes) text += "\nnote: " + note;
  return text;
}

}  // namespace sonar
