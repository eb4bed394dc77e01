#include "evaluate/trace.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <unordered_map>

#include "evaluate/csv.h"
#include "model/error.h"

namespace sonar {
namespace {

namespace fs = std::filesystem;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// A map that is asked with views of a line.
struct Hash {
  using is_transparent = void;
  size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
};
using Index = std::unordered_map<std::string, size_t, Hash, std::equal_to<>>;

std::string table(const std::string& folder, const std::string& name) {
  for (const char* ending : {".csv", ".csv.gz"})
    if (fs::exists(folder + "/" + name + ending)) return folder + "/" + name + ending;
  throw UserError(
      fmt::format("{}: holds no {}.csv; a trace is a folder with networks.csv, training.csv and tuning.csv "
                  "(docs/formats.md)",
                  folder, name));
}

void read_subgraphs(const CsvReader& csv, int column, Trace& trace, Trace::Network& network, Index& index) {
  std::string_view text = csv.field(column);
  while (!text.empty()) {
    const size_t semicolon = text.find(';');
    std::string_view part = text.substr(0, semicolon);
    text = semicolon == std::string_view::npos ? std::string_view() : text.substr(semicolon + 1);
    if (part.empty()) continue;
    const size_t colon = part.rfind(':');
    double count = 0;
    if (colon == std::string_view::npos || colon == 0 || !parse_number(part.substr(colon + 1), count) || count < 1 ||
        count > 1e6 || count != std::floor(count))
      csv.refuse(fmt::format("'{}' is no subgraph with its count; write key:count;key:count", part));
    std::string_view key = part.substr(0, colon);
    auto found = index.find(key);
    if (found == index.end()) {
      found = index.emplace(std::string(key), trace.subgraphs.size()).first;
      Trace::Subgraph& subgraph = trace.subgraphs.emplace_back();
      subgraph.key = std::string(key);
      try {
        subgraph.macs = parse_subgraph(subgraph.key).macs();
      } catch (const UserError&) {  // a key of somebody else: only its name counts
      }
    }
    const size_t place = found->second;
    const auto same = std::find_if(network.subgraphs.begin(), network.subgraphs.end(),
                                   [&](const auto& entry) { return entry.first == place; });
    if (same == network.subgraphs.end())
      network.subgraphs.emplace_back(place, static_cast<int>(count));
    else
      same->second += static_cast<int>(count);
  }
  if (network.subgraphs.empty()) csv.refuse(network.name + " has no subgraph; write key:count;key:count");
}

void read_networks(const std::string& folder, Trace& trace, Index& networks, Index& subgraphs) {
  CsvReader csv(table(folder, "networks"));
  const int name = csv.needed_column("network"), uses = csv.needed_column("subgraphs");
  const int test = csv.column("test_accuracy"), chance = csv.column("chance");
  std::vector<int> features;
  for (size_t c = 0; c < csv.header().size(); ++c) {
    const int column = static_cast<int>(c);
    if (column == name || column == uses || column == test || column == chance) continue;
    features.push_back(column);
    trace.feature_names.push_back(csv.header()[c]);
  }
  while (csv.next()) {
    Trace::Network network;
    network.name = std::string(csv.field(name));
    if (network.name.empty()) csv.refuse("the network has no name");
    if (!networks.emplace(network.name, trace.networks.size()).second)
      csv.refuse("network " + network.name + " stands there twice");
    const auto fraction = [&](int column) {
      const double value = csv.number(column);
      if (value < 0 || value > 1)
        csv.refuse(
            fmt::format("{} is {}; accuracies are fractions 0..1", csv.header()[static_cast<size_t>(column)], value));
      return value;
    };
    if (test >= 0 && !csv.field(test).empty()) network.test_accuracy = fraction(test);
    if (chance >= 0 && !csv.field(chance).empty()) network.chance = fraction(chance);
    for (int column : features)
      network.features.push_back(csv.field(column).empty() ? std::numeric_limits<double>::quiet_NaN()
                                                           : csv.number(column));
    read_subgraphs(csv, uses, trace, network, subgraphs);
    network.training.rows.push_back({0, network.chance, 0});
    trace.networks.push_back(std::move(network));
  }
  if (trace.networks.empty()) throw UserError(folder + "/networks.csv: lists no network");
}

/// The place of a name, looked up anew only where it differs from the row before.
class Lookup {
 public:
  Lookup(const Index& index, const char* what, const char* file) : index_(index), what_(what), file_(file) {}
  size_t operator()(const CsvReader& csv, int column) {
    const std::string_view name = csv.field(column);
    if (last_ != index_.end() && last_->first == name) return last_->second;
    last_ = index_.find(name);
    if (last_ == index_.end())
      csv.refuse(fmt::format("{} {} is not in {}; add it there or remove the row", what_, name, file_));
    return last_->second;
  }

 private:
  const Index& index_;
  const char *what_, *file_;
  Index::const_iterator last_ = index_.end();
};

void read_training(const std::string& folder, Trace& trace, const Index& networks) {
  CsvReader csv(table(folder, "training"));
  const int name = csv.needed_column("network"), epoch = csv.needed_column("epoch");
  const int accuracy = csv.needed_column("val_accuracy"), seconds = csv.needed_column("seconds");
  Lookup lookup(networks, "network", "networks.csv");
  while (csv.next()) {
    auto& rows = trace.networks[lookup(csv, name)].training.rows;
    const TrainingCurve::Row row{csv.number(epoch), csv.number(accuracy), csv.number(seconds)};
    if (row.accuracy < 0 || row.accuracy > 1)
      csv.refuse(fmt::format("val_accuracy is {}; accuracies are fractions 0..1", row.accuracy));
    if (row.seconds < 0 || row.epoch < 0) csv.refuse("epoch and seconds must not be negative");
    if (row.epoch == 0 && rows.size() == 1) {  // of the untrained network
      rows[0] = {0, row.accuracy, 0};
      continue;
    }
    if (row.epoch <= rows.back().epoch)
      csv.refuse(fmt::format("epoch {} of {} comes after epoch {}; sort the rows of each network by epoch", row.epoch,
                             csv.field(name), rows.back().epoch));
    if (row.seconds < rows.back().seconds)
      csv.refuse(fmt::format("seconds fall from {} to {}; they are cumulative", rows.back().seconds, row.seconds));
    rows.push_back(row);
  }
  for (const Trace::Network& network : trace.networks) {
    if (network.training.rows.size() < 2)
      throw UserError(
          fmt::format("{}/training.csv: has no row of network {}; give its curve, or remove it from "
                      "networks.csv",
                      folder, network.name));
    if (network.training.full_seconds() <= 0)
      throw UserError(fmt::format("{}/training.csv: the training of {} takes 0 seconds in all; give what it cost",
                                  folder, network.name));
  }
}

void read_tuning(const std::string& folder, Trace& trace, const Index& subgraphs) {
  CsvReader csv(table(folder, "tuning"));
  const int key = csv.needed_column("subgraph"), programs = csv.needed_column("programs");
  const int latency = csv.needed_column("latency_us"), seconds = csv.needed_column("seconds");
  Lookup lookup(subgraphs, "subgraph", "networks.csv");
  while (csv.next()) {
    auto& rows = trace.subgraphs[lookup(csv, key)].tuning.rows;
    TuningCurve::Row row{csv.number(programs), kInfinity, csv.number(seconds)};
    if (!csv.field(latency).empty()) {
      row.latency_us = csv.number(latency);
      if (row.latency_us <= 0)
        csv.refuse(fmt::format("latency_us is {}; leave it empty while no program is valid", row.latency_us));
    }
    if (row.programs < 1) csv.refuse(fmt::format("programs is {}; the first is number 1", row.programs));
    if (row.seconds < 0) csv.refuse("seconds must not be negative");
    if (!rows.empty()) {
      const TuningCurve::Row& before = rows.back();
      if (row.programs <= before.programs)
        csv.refuse(fmt::format("program {} of {} comes after program {}; sort the rows of each subgraph by programs",
                               row.programs, csv.field(key), before.programs));
      if (row.seconds < before.seconds)
        csv.refuse(fmt::format("seconds fall from {} to {}; they are cumulative", before.seconds, row.seconds));
      if (row.latency_us > before.latency_us)
        csv.refuse(fmt::format("the best latency rises from {} us; give the best so far, which never rises",
                               before.latency_us));
    }
    rows.push_back(row);
  }
  for (const Trace::Subgraph& subgraph : trace.subgraphs) {
    if (subgraph.tuning.rows.empty())
      throw UserError(fmt::format("{}/tuning.csv: has no row of subgraph {}; give its curve, or remove its networks",
                                  folder, subgraph.key));
    if (subgraph.tuning.full_seconds() <= 0)
      throw UserError(fmt::format("{}/tuning.csv: the tuning of {} takes 0 seconds in all; give what it cost", folder,
                                  subgraph.key));
  }
}

void sum_up(Trace& trace) {
  trace.brute_force_train_s = trace.brute_force_tune_s = trace.unshared_tune_s = 0;
  for (const Trace::Subgraph& subgraph : trace.subgraphs) trace.brute_force_tune_s += subgraph.tuning.full_seconds();
  for (Trace::Network& network : trace.networks) {
    network.final_latency_us = 0;
    network.final_accuracy = network.training.final_accuracy();
    trace.brute_force_train_s += network.training.full_seconds();
    for (auto [subgraph, count] : network.subgraphs) {
      network.final_latency_us += count * trace.subgraphs[subgraph].tuning.final_latency_us();
      trace.unshared_tune_s += trace.subgraphs[subgraph].tuning.full_seconds();
    }
  }
}

}  // namespace

TrainingCurve::Row TrainingCurve::at(double epoch) const {
  if (epoch >= rows.back().epoch) return {epoch, rows.back().accuracy, rows.back().seconds};
  const auto after =
      std::upper_bound(rows.begin(), rows.end(), epoch, [](double e, const Row& row) { return e < row.epoch; });
  if (after == rows.begin()) return rows.front();
  const Row &a = after[-1], &b = *after;
  const double t = (epoch - a.epoch) / (b.epoch - a.epoch);
  return {epoch, a.accuracy + t * (b.accuracy - a.accuracy), a.seconds + t * (b.seconds - a.seconds)};
}

double TrainingCurve::final_accuracy() const {
  double best = 0;
  for (size_t i = 1; i < rows.size(); ++i) best = std::max(best, rows[i].accuracy);
  return best;
}

TuningCurve::Row TuningCurve::at(double programs) const {
  const Row &first = rows.front(), &last = rows.back();
  if (programs >= last.programs) return {programs, last.latency_us, last.seconds};
  if (programs <= first.programs) return {programs, first.latency_us, first.seconds * programs / first.programs};
  const auto after =
      std::upper_bound(rows.begin(), rows.end(), programs, [](double p, const Row& row) { return p < row.programs; });
  const Row &a = after[-1], &b = *after;
  const double t = (programs - a.programs) / (b.programs - a.programs);
  const double latency = std::isinf(a.latency_us) ? a.latency_us : a.latency_us + t * (b.latency_us - a.latency_us);
  return {programs, latency, a.seconds + t * (b.seconds - a.seconds)};
}

Trace with_counted_costs(Trace trace, double steps_per_epoch) {
  for (Trace::Network& network : trace.networks)
    for (TrainingCurve::Row& row : network.training.rows) row.seconds = row.epoch * steps_per_epoch;
  for (Trace::Subgraph& subgraph : trace.subgraphs)
    for (TuningCurve::Row& row : subgraph.tuning.rows) row.seconds = row.programs;
  sum_up(trace);
  return trace;
}

Trace read_trace(const std::string& folder) {
  if (!fs::is_directory(folder))
    throw UserError(folder + ": is no folder; a trace is one with networks.csv, training.csv and tuning.csv");
  Trace trace;
  trace.folder = folder;
  Index networks, subgraphs;
  read_networks(folder, trace, networks, subgraphs);
  read_training(folder, trace, networks);
  read_tuning(folder, trace, subgraphs);
  sum_up(trace);
  return trace;
}

}  // namespace sonar
