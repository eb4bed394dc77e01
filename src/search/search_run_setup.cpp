// The stages before the first round: folder, data, candidates, device, and what an earlier process left.
#include <fmt/format.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "model/error.h"
#include "policy/architecture_features.h"
#include "report/report.h"
#include "search/inheritance.h"
#include "search/search_run.h"
#include "search/session_executor.h"
#include "search/start_device.h"

namespace sonar {
namespace fs = std::filesystem;
namespace {

/// Keys that change how fast a run goes, not what it decides: they may differ when it continues.
const std::set<std::string> kUnbound = {"train.cores",
                                        "compile.cores",
                                        "device.cores",
                                        "compile.time_limit_s",
                                        "compile.memory_limit_mb",
                                        "train.checkpoint_seconds",
                                        "train.keep_checkpoints",
                                        "search.records",
                                        "search.tuner_time_limit_s",
                                        "search.proxy_time_limit_s"};
/// A run needs this much free for its store, runners and reports, checkpoints not counted.
constexpr double kDiskBase = 256e6;

double free_bytes(const std::string& folder) {
  struct statvfs info;
  if (statvfs(folder.c_str(), &info) != 0) return std::numeric_limits<double>::infinity();
  return double(info.f_bavail) * info.f_frsize;
}

}  // namespace

SearchRun::SearchRun(const Config& config, const RunOptions& options, Purpose purpose, const std::string& only,
                     std::optional<ImportedNetwork> imported)
    : config_(config), options_(options), purpose_(purpose), only_(only), imported_(std::move(imported)) {
  if (purpose_ == Purpose::search) {
    const bool counted = config_.search.epochs > 0 || config_.search.programs > 0;
    if (!exhaustive() && config_.search.time.empty() && !(config_.search.epochs > 0 && config_.search.programs > 0))
      throw UserError(counted
                          ? "counted budgets need both search.epochs and search.programs; set the one that is missing"
                          : "no budget: set search.time (\"20m\"), or search.epochs and search.programs");
  }
  if (config_.data.path.empty() && purpose_ != Purpose::tune)
    throw UserError("data.path is not set: name an archive or a folder of labelled images");
  if (config_.search.algorithm.rfind("proxy-", 0) == 0 && timed())
    throw UserError("search.algorithm = \"" + config_.search.algorithm +
                    "\" trains first and tunes afterwards, which a time budget side by side does not divide; set "
                    "search.epochs and search.programs instead of search.time");
  refuse_missing_cores(config_);
}

SearchRun::~SearchRun() = default;

void SearchRun::open_store() {
  std::error_code error;
  fs::create_directories(options_.folder, error);
  if (error)
    throw EnvironmentError(options_.folder + ": cannot be made (" + error.message() +
                           "); choose another folder with --out");
  store_ = std::make_unique<RunStore>(options_.folder, RunStore::Mode::create_or_open);
  std::vector<std::pair<std::string, std::string>> bound;
  for (auto& entry : flatten(config_))
    if (!kUnbound.count(entry.first)) bound.push_back(entry);
  const char* verb = purpose_ == Purpose::search ? "search" : purpose_ == Purpose::tune ? "tune" : "train";
  bound.emplace_back("verb",
                     (only_.empty() ? verb : verb + (" " + only_)) + (options_.from_records ? " from records" : ""));
  if (imported_) bound.emplace_back("onnx file", fmt::format("{:016x}", imported_->file_hash));
  store_->bind_configuration(bound, flatten(Config()));
  std::ofstream file(options_.folder + "/config.toml");
  file << "# As resolved; the run is bound to it.\n" << to_toml(config_);
  file.close();
  if (!file)
    throw EnvironmentError(options_.folder +
                           "/config.toml: cannot be written; is the disk full or the folder read-only?");
  double elapsed = 0;
  if (auto text = store_->value("elapsed_s")) elapsed = std::stod(*text);
  clock_ = ActiveClock(elapsed);
  if (elapsed > 0 && !already_finished()) store_->put_event(elapsed, "resume", "continued by another process");
  store_->put_value("algorithm", purpose_ == Purpose::search ? config_.search.algorithm : verb);
  store_->put_value("threshold_us", fmt::format("{}", config_.search.threshold_ms * 1000));
  if (purpose_ == Purpose::search && exhaustive() && !config_.search.time.empty())
    say("start", "brute-force trains and tunes everything in full; its budget is not used");
  check_disk(true);
  open_library();
}

bool SearchRun::already_finished() const { return store_->value("finished") == "1"; }

void SearchRun::open_data() {
  if (imported_) {
    for (const std::string& note : imported_->notes) say("data", note);
    return;
  }
  if (purpose_ == Purpose::tune) {
    classes_ = classes_of(config_);
    return;
  }
  say("data", "reading " + config_.data.path);
  training_ = std::make_unique<TrainExecutor>(config_, clock_, events_);
  const DataSummary& data = training_->data();
  classes_ = static_cast<int>(data.classes.size());
  if (config_.data.classes && config_.data.classes != classes_)
    throw UserError(
        fmt::format("data.classes is {}, but {} holds {}", config_.data.classes, config_.data.path, classes_));
  steps_per_epoch_ = data.steps_per_epoch;
  full_steps_ = config_.train.epochs * steps_per_epoch_;
  val_images_available_ = static_cast<int>(data.val_images);
  say("data", fmt::format("{} classes; {} images to train on, {} to validate, {} to test; {} steps an epoch", classes_,
                          data.train_images, data.val_images, data.test_images, steps_per_epoch_));
  for (const std::string& note : data.notes) {
    say("data", note);
    store_->put_event(clock_.now(), "warning", note);
  }
  if (!data.corrupt.empty()) {
    std::string names;
    for (const std::string& name : data.corrupt) names += (names.empty() ? "" : ", ") + name;
    say("data", fmt::format("{} corrupt images left out, {} the first", data.corrupt.size(), data.corrupt.front()));
    store_->put_event(clock_.now(), "warning",
                      fmt::format("{} corrupt images left out: {}", data.corrupt.size(), names));
  }
  store_->put_value("classes", std::to_string(classes_));
  store_->put_value("train_images", std::to_string(data.train_images));
  store_->put_value("full_steps", std::to_string(full_steps_));
}

void SearchRun::choose_candidates() {
  if (!imported_) space_ = make_space(config_);
  std::vector<Architecture> architectures;
  const std::vector<NetworkRow> recorded = store_->networks();
  if (imported_) {
    architectures.push_back({only_});
  } else if (!recorded.empty()) {
    for (const NetworkRow& row : recorded) architectures.push_back({row.name});
  } else if (!only_.empty()) {
    space_->check({only_});
    architectures.push_back({only_});
  } else {
    architectures = choose_architectures(config_, *space_);
    // A counted budget is known to be too small before anything is timed; a time budget after a first look (below).
    double total = config_.search.epochs * steps_per_epoch_, cost = 1;
    if (timed()) {
      total = parse_duration(config_.search.time) * training_->workers();
      if (config_.search.schedule == "sequential") total *= config_.search.train_fraction;
      // Smallest, middle and largest by MACs stand for all.
      std::vector<std::pair<double, size_t>> macs;
      for (size_t i = 0; i < architectures.size(); ++i)
        macs.emplace_back(count_macs(space_->lower(architectures[i], classes_)), i);
      std::sort(macs.begin(), macs.end());
      double sum = 0;
      const std::set<size_t> picks = {0, macs.size() / 2, macs.size() - 1};
      for (size_t pick : picks) {
        TrainTask task;
        task.kind = TrainTask::Kind::time;
        const Architecture& architecture = architectures[macs[pick].second];
        task.request.job.network = architecture.name;
        task.request.graph_json = graph_to_json(space_->lower(architecture, classes_));
        training_->submit(task);
      }
      for (size_t done = 0; done < picks.size();) {
        if (options_.stop && options_.stop->load()) throw Stopped();
        auto event = events_.wait(0.2);
        if (!event) continue;
        if (auto* finished = std::get_if<TrainFinished>(&*event)) {
          if (finished->error) std::rethrow_exception(finished->error);
          sum += finished->value;
          ++done;
        }
      }
      cost = sum / static_cast<double>(picks.size());
    }
    if (!exhaustive()) {
      const PolicyOptions options = policy_options();
      const std::unique_ptr<Algorithm> algorithm = make_algorithm(options);
      const size_t affordable = algorithm->affordable(architectures.size(), total, cost, options);
      if (affordable == 0) {
        const long least = algorithm->least_training(options);
        const bool full = least >= full_steps_;
        throw UserError(fmt::format(
            "the training budget pays for no network: one {} costs {:.4g} {}, the budget is {:.4g}; "
            "raise it, or lower {}",
            full ? "full training" : "slice of search.minimum_slice_steps", cost * static_cast<double>(least),
            timed() ? "s" : "steps", total, full ? "train.epochs" : "search.minimum_slice_steps"));
      }
      if (affordable < architectures.size()) {
        const std::string text =
            fmt::format("the training budget pays for {} of {} candidates; these were sampled (seed {})", affordable,
                        architectures.size(), config_.search.seed);
        say("candidates", text);
        store_->put_event(clock_.now(), "warning", text);
        std::vector<Architecture> chosen;
        for (size_t i : sample_candidates(architectures.size(), affordable, options.seed, "affordable"))
          chosen.push_back(architectures[i]);
        architectures = std::move(chosen);
      }
    }
  }
  std::vector<NetworkRow> rows;
  double lowest_bound = std::numeric_limits<double>::infinity(), checkpoint_bytes = 0;
  for (const Architecture& architecture : architectures) {
    Network network;
    const int batch = static_cast<int>(config_.device.batch);
    const DepthwiseFusion fusion = depthwise_fusion(config_);
    network.candidate = imported_ ? make_candidate(only_, imported_->graph, batch, fusion)
                                  : lower(*space_, architecture, classes_, batch, fusion);
    network.row = network_row(network.candidate);
    network.graph_json = graph_to_json(network.candidate.graph);
    rows.push_back(network.row);
    lowest_bound = std::min(lowest_bound, lower_bound_us(network.row));
    checkpoint_bytes += 2 * 12 * network.row.parameters;  // two checkpoints of weights, momentum and average
    network_index_[architecture.name] = networks_.size();
    networks_.push_back(std::move(network));
  }
  if (config_.search.algorithm == "threshold" && purpose_ == Purpose::search &&
      config_.search.threshold_ms * 1000 < lowest_bound)
    throw UserError(
        fmt::format("search.threshold_ms = {} is below what any candidate could reach: the least is {:.4g} ms "
                    "(its multiply-accumulates at peak throughput); raise it or add smaller networks to [space]",
                    config_.search.threshold_ms, lowest_bound / 1000));
  if (purpose_ != Purpose::tune && free_bytes(options_.folder) < kDiskBase + checkpoint_bytes)
    throw EnvironmentError(fmt::format(
        "{}: {:.0f} MB free, but checkpoints of {} networks and the store may take {:.0f} MB; "
        "free some or choose another folder with --out",
        options_.folder, free_bytes(options_.folder) / 1e6, networks_.size(), (kDiskBase + checkpoint_bytes) / 1e6));
  store_->put_networks(rows);
  store_->put_value("full_programs", std::to_string(config_.search.full_programs));
}

PolicyOptions SearchRun::policy_options() const {
  PolicyOptions options;
  // One network is trained or tuned in full, by the scheduler's choice.
  options.algorithm = purpose_ == Purpose::search || exhaustive() ? config_.search.algorithm : "random";
  if (options.algorithm == config_.search.algorithm)
    options.settings = algorithm_settings(config_.search.settings, "search.settings");
  options.threshold_us = config_.search.threshold_ms * 1000;
  options.survivors = survivor_rule(config_.search.survivors, "search.survivors");
  options.peak_macs_per_us = config_.device.peak_gflops * static_cast<double>(config_.device.threads) * 1e3 / 2;
  options.share = config_.search.share == "seconds" ? Share::seconds : Share::steps;
  options.full_steps = full_steps_;
  options.minimum_slice = std::min<long>(config_.search.minimum_slice_steps, std::max(1L, full_steps_));
  options.batch_programs = config_.search.batch_programs;
  options.full_programs = config_.search.full_programs;
  options.count_steps = !timed() && config_.search.share == "steps";
  options.seed = static_cast<uint64_t>(config_.search.seed);
  return options;
}

void SearchRun::start_device() {
  std::vector<Subgraph> subgraphs;
  std::map<SubgraphKey, size_t> index;
  for (Network& network : networks_)
    for (const auto& [key, count] : network.candidate.counts) {
      auto [place, added] = index.try_emplace(key, subgraphs.size());
      if (added) subgraphs.push_back(parse_subgraph(key));
      network.subgraphs.emplace_back(place->second, count);
    }
  std::vector<const std::vector<SubgraphUse>*> all;
  for (const Network& network : networks_) all.push_back(&network.candidate.uses);
  contexts_ = call_contexts(all, device_target(config_), config_.device.threads);
  std::vector<NetworkState> states;
  std::vector<std::string> features = {"macs", "parameters", "peak_activation_bytes"}, names;
  for (const Network& network : networks_) names.push_back(network.row.name);
  const FeatureTable table = feature_table(names);
  if (config_.train.inherit && purpose_ == Purpose::search) parents_ = weight_parents(names);
  features.insert(features.end(), table.names.begin(), table.names.end());
  for (size_t i = 0; i < networks_.size(); ++i) {
    const NetworkRow& row = networks_[i].row;
    NetworkState& state = states.emplace_back();
    state.name = row.name;
    state.features = {row.macs, row.parameters, row.peak_activation_bytes};
    state.features.insert(state.features.end(), table.rows[i].begin(), table.rows[i].end());
    if (purpose_ != Purpose::train) state.subgraphs = networks_[i].subgraphs;
  }
  std::vector<SubgraphState> tuned;
  if (purpose_ != Purpose::train)
    for (const Subgraph& subgraph : subgraphs) {
      SubgraphState& state = tuned.emplace_back();
      state.key = subgraph.key();
      state.macs = subgraph.macs();
    }
  policy_ = std::make_unique<SearchPolicy>(policy_options(), std::move(states), std::move(tuned), std::move(features));
  const std::string scheduler = config_.search.scheduler;
  const Target target = device_target(config_);
  if (purpose_ == Purpose::train) return;
  TuningOptions tuning;
  tuning.rule = scheduler == "paper" ? SchedulerRule::paper : SchedulerRule::gradient;
  tuning.seed = static_cast<uint64_t>(config_.search.seed);
  tuning.tuner.cost_model = config_.search.cost_model;
  tuning.tuner.transfer = config_.search.transfer;
  tuning.outside = has_outside_tuner(config_);
  tuning_ = std::make_unique<Tuning>(subgraphs, target, tuning);
  const size_t unique = subgraphs.size();
  say("candidates",
      fmt::format("{} networks, {} unique subgraphs, {} rounds", networks_.size(), unique, policy_->rounds()));
  const bool counted = config_.search.programs > 0 && !exhaustive();
  if (counted && config_.search.programs < static_cast<double>(unique))
    throw UserError(
        fmt::format("search.programs = {} cannot pay for the default programs of {} unique subgraphs; "
                    "set it to at least {}",
                    config_.search.programs, unique, unique));
  const MeasuringCores cores = measuring_cores(config_);
  RecordIdentity identity;
  if (tuning.outside) {
    auto session =
        std::make_unique<SessionExecutor>(tuner_session_options(config_, options_.folder + "/work"), clock_, events_);
    identity = outside_identity(config_, session->identity());
    store_->bind_identity(identity);
    measuring_ = std::move(session);
  } else {
    DeviceParts parts = start_local_device(config_, options_.folder + "/work");
    identity = parts.identity;
    store_->bind_identity(identity);
    measuring_ =
        std::make_unique<ProgramExecutor>(std::move(parts.compiler), std::move(parts.device), cores, clock_, events_);
  }
  own_cores_ = keep_off(cores.timing);
  say("device", identity.device + "; " + identity.compiler + ", " + identity.target);
  adopt_earlier(identity);
}

void SearchRun::restore() {
  std::map<int, std::vector<size_t>> dropped;  // by round
  for (const DecisionRow& decision : store_->decisions())
    if (!decision.kept) dropped[decision.round].push_back(network_index_.at(decision.network));
  for (const RoundRow& row : store_->rounds()) {
    RoundPlan plan;
    for (const std::string& name : row.networks) plan.members.push_back(network_index_.at(name));
    plan.to_steps = row.to_steps;
    plan.train_share = row.train_share;
    plan.tune_share = row.tune_share;
    if (row.ended_s >= 0) {
      past_rounds_.push_back(row);
      policy_->restore_round(plan, dropped[row.round]);
    } else {
      round_ = row;
      round_open_ = true;
      policy_->restore_round(plan, std::nullopt);
    }
  }
  for (const auto& timed : store_->train_points())
    policy_->tell_training(network_index_.at(timed.point.network), timed.point.step,
                           timed.point.val_images > 0 ? std::optional(timed.point.val_accuracy) : std::nullopt,
                           timed.point.seconds, timed.point.val_images);
  for (size_t i = 0; i < networks_.size(); ++i)
    if (auto text = store_->value("seconds_per_step:" + networks_[i].row.name))
      policy_->tell_timed_step(i, std::stod(*text));
  if (auto text = store_->value("measure_wall_s")) measure_wall_s_ = std::stod(*text);
  if (auto text = store_->value("train_wall_s")) train_wall_s_ = std::stod(*text);
  if (auto text = store_->value("train_work_s")) train_work_s_ = std::stod(*text);
  if (!tuning_) return;

  // The tuning side is a function of what was asked for and of the outcomes in the order of their arrival.
  const std::vector<MeasureJobRow> jobs = store_->measure_jobs();
  const std::vector<ProgramRow> programs = store_->programs();
  unfinished_ = tuning_->restore(jobs, programs);
  measured_programs_ = static_cast<long>(programs.size());
  std::map<long, const MeasureJobRow*> by_id;
  for (const MeasureJobRow& job : jobs) by_id[job.id] = &job;
  for (const ProgramRow& row : programs) {
    measured_.insert({row.job, row.index});
    note_outcome(*by_id.at(row.job), row.outcome);
  }
  std::set<long> open;
  for (const MeasureJobRow& job : unfinished_) open.insert(job.id);
  for (const MeasureJobRow& job : jobs) {
    if (round_open_ && job.purpose == MeasurePurpose::batch && job.round == round_.round)
      round_programs_issued_ += static_cast<long>(job.programs.size());
    if (!job.finished && !open.count(job.id)) store_->finish_measure_job(job.id);
  }
  count_occurrences();
  if (!past_rounds_.empty() || round_open_ || !measured_.empty())
    say("resume", fmt::format("{:.0f} s into the run: {} rounds ended, {} programs measured", clock_.now(),
                              past_rounds_.size(), measured_.size()));
}

void SearchRun::check_disk(bool at_start) {
  const double free = free_bytes(options_.folder);
  const double needed = at_start ? kDiskBase : kDiskBase / 4;
  if (free < needed)
    throw EnvironmentError(
        fmt::format("{}: the disk is nearly full ({:.0f} MB free, {:.0f} MB wanted); free some, then run "
                    "the same command to continue; nothing measured is lost",
                    options_.folder, free / 1e6, needed / 1e6));
}

}  // namespace sonar
