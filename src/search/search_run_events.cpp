// Work goes out, events come in: everything that arrives is written to the store before anything is decided on it.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "model/error.h"
#include "search/search_run.h"

namespace sonar {
namespace fs = std::filesystem;
namespace {

constexpr double kShowEvery = 0.25, kRememberEvery = 1, kCheckDiskEvery = 5;  // seconds

}  // namespace

void SearchRun::pump() {
  if (options_.stop && options_.stop->load()) throw Stopped();
  busy_.release();
  std::optional<Event> event = events_.wait(0.1);
  if (measuring_) busy_ = measuring_->claims().for_work(own_cores_);
  if (event) std::visit([this](auto& e) { handle(e); }, *event);
  const double now = clock_.now();
  if (now - last_remembered_s_ > kRememberEvery) remember_time();
  if (now - last_disk_check_s_ > kCheckDiskEvery) {
    last_disk_check_s_ = now;
    check_disk(false);
  }
  if (now - last_shown_s_ > kShowEvery) show_progress();
  share_records(false);
}

void SearchRun::remember_time() {
  last_remembered_s_ = clock_.now();
  store_->put_value("elapsed_s", fmt::format("{:.3f}", last_remembered_s_));
}

void SearchRun::show_progress() {
  last_shown_s_ = clock_.now();
  if (!options_.progress) return;
  Progress progress;
  progress.elapsed_s = last_shown_s_;
  if (timed()) progress.budget_s = parse_duration(config_.search.time);
  progress.round = round_open_ ? round_.round + 1 : static_cast<int>(past_rounds_.size());
  progress.rounds = policy_ ? policy_->rounds() : 0;
  progress.networks = policy_ ? static_cast<int>(alive().size()) : 0;
  for (const auto& [worker, text] : training_now_) progress.train += (progress.train.empty() ? "" : " | ") + text;
  if (train_pending_ > 0) progress.train += fmt::format(" ({} to go)", train_pending_);
  if (tuning_) progress.tune = fmt::format("{} programs, {}", measured_programs_, tuning_now_);
  options_.progress(progress);
}

void SearchRun::say(const std::string& stage, const std::string& text) {
  std::ofstream log(options_.folder + "/log.jsonl", std::ios::app);
  log << nlohmann::json{{"elapsed_s", std::round(clock_.now() * 1000) / 1000}, {"stage", stage}, {"text", text}}.dump(
             -1, ' ', false, nlohmann::json::error_handler_t::replace)
      << "\n";
  if (options_.message) options_.message(fmt::format("{:>7.1f} s  {:<10} {}", clock_.now(), stage, text));
}

// ---- out

std::string SearchRun::checkpoint_folder(const Network& network) const {
  return options_.folder + "/checkpoints/" + network.row.name;
}

/// Whose weights a network starts from that has none of its own yet.
std::optional<size_t> SearchRun::origin_of(size_t network) const {
  if (parents_.empty() || !parents_[network]) return std::nullopt;
  const NetworkState& parent = state(*parents_[network]);
  return parent.alive && parent.failure.empty() && parent.steps > 0 ? parents_[network] : std::nullopt;
}

void SearchRun::submit_training(const TrainingToDo& training) {
  const Network& n = networks_[training.network];
  TrainTask task;
  task.request.job = {n.row.name, state(training.network).steps, training.to_step, training.val_images};
  task.request.graph_json = n.graph_json;
  task.request.folder = checkpoint_folder(n);
  task.request.full_steps = config_.train.schedule == "slice" ? training.to_step : full_steps_;
  // A brute force is the truth that replays read: its curves begin where a search's first slice may end.
  if (exhaustive()) task.request.first_validation = config_.search.minimum_slice_steps;
  if (const auto origin = origin_of(training.network)) {
    const Network& other = networks_[*origin];
    task.request.origin = {other.graph_json, checkpoint_folder(other), state(*origin).steps};
  }
  training_->submit(std::move(task));
}

void SearchRun::submit_jobs(std::vector<MeasureJobRow> jobs, double sampling_s) {
  store_->put_measure_jobs(jobs);
  submit_remaining(jobs, sampling_s, {});
}

void SearchRun::submit_remaining(const std::vector<MeasureJobRow>& jobs, double sampling_s,
                                 const std::set<std::pair<long, int>>& measured) {
  for (const MeasureJobRow& job : jobs) {
    const size_t subgraph = tuning_->index(job.subgraph);
    const double best = tuning_->tuner(subgraph).best_latency_us();
    MeasureTask task;
    task.job = job;
    for (size_t p = 0; p < job.programs.size(); ++p) {
      if (measured.count({job.id, static_cast<int>(p)})) continue;
      ProgramToMeasure program{tuning_->space(subgraph), job.programs[p], 0, sampling_s, contexts_.at(job.subgraph)};
      if (job.purpose == MeasurePurpose::batch && std::isfinite(best)) program.best_us = best;
      task.programs.push_back(std::move(program));
      task.places.push_back(static_cast<int>(p));
    }
    if (task.programs.empty()) continue;
    jobs_out_[job.id] = {job.subgraph, task.programs.size()};
    programs_out_ += static_cast<long>(task.programs.size());
    measuring_->submit(std::move(task));
  }
}

void SearchRun::submit_network_measurement(size_t network) {
  const Network& n = networks_[network];
  NetworkTask task;
  task.network = n.row.name;
  task.uses = n.candidate.uses;
  for (const SubgraphUse& use : task.uses) {
    const size_t subgraph = tuning_->index(use.subgraph.key());
    task.spaces.push_back(tuning_->space(subgraph));
    task.knobs.push_back(subgraph_best(subgraph));
  }
  measuring_->submit(std::move(task));
  ++networks_out_;
}

// ---- in

void SearchRun::handle(TrainProgress& event) {
  const NetworkState& network = state(network_index_.at(event.network));
  training_now_[event.worker] =
      fmt::format("{} step {}/{}, accuracy {:.1f} %", event.network, event.step, full_steps_, 100 * network.accuracy);
}

void SearchRun::handle(TrainPointArrived& event) {
  const TrainPoint& point = event.point;
  store_->put_train_point(point, round_.round, clock_.now());
  const size_t network = network_index_.at(point.network);
  if (point.step > state(network).steps) train_work_s_ += point.seconds - state(network).cost;
  policy_->tell_training(network, point.step, point.val_images > 0 ? std::optional(point.val_accuracy) : std::nullopt,
                         point.seconds, point.val_images);
}

void SearchRun::handle(TunerNote& event) { say("tuner", event.text); }

void SearchRun::handle(ProcessRestarted& event) {
  store_->put_event(clock_.now(), "warning", event.why + "; started anew");
  say("warning", event.why + "; started anew");
}

void SearchRun::handle(TrainFinished& event) {
  --train_pending_;
  const size_t index = network_index_.at(event.task.request.job.network);
  Network& network = networks_[index];
  if (event.error) {
    // What breaks one network's training costs that network; what breaks all of them ends the run.
    try {
      std::rethrow_exception(event.error);
    } catch (const TrainerGone& error) {
      policy_->tell_failure(index, error.what());
    } catch (const InternalError& error) {
      policy_->tell_failure(index, error.what());
    }
    store_->put_event(clock_.now(), "failure", network.row.name + ": " + state(index).failure);
    say("failure", network.row.name + ": " + state(index).failure);
    release_heirs(index);
    return;
  }
  const char* what = "training ";
  switch (event.task.kind) {
    case TrainTask::Kind::time:
      policy_->tell_timed_step(index, event.value);
      store_->put_value("seconds_per_step:" + network.row.name, fmt::format("{:.6g}", event.value));
      what = "timing ";
      break;
    case TrainTask::Kind::test:
      network.test_accuracy = event.value;
      what = "testing ";
      break;
    case TrainTask::Kind::train: {
      train_wall_s_ += event.ended_s - event.started_s;
      store_->put_value("train_wall_s", fmt::format("{:.6f}", train_wall_s_));
      store_->put_value("train_work_s", fmt::format("{:.6f}", train_work_s_));
      // Older checkpoints served in case of a kill.
      std::error_code ignored;
      const std::string keep = std::to_string(event.task.request.job.to_step) + ".pt";
      for (const auto& entry : fs::directory_iterator(event.task.request.folder, ignored))
        if (entry.path().extension() == ".pt" && entry.path().filename() != keep) fs::remove(entry.path(), ignored);
      break;
    }
  }
  store_->put_usage(
      {Side::train, training_->core(event.worker), event.started_s, event.ended_s, what + network.row.name});
  if (event.task.kind == TrainTask::Kind::train) release_heirs(index);
}

/// Hands out the training that waited for this network's weights.
void SearchRun::release_heirs(size_t network) {
  const auto heirs = waiting_.extract(network);
  if (heirs)
    for (const TrainingToDo& heir : heirs.mapped()) submit_training(heir);
}

void SearchRun::handle(ProgramArrived& event) {
  const MeasureJobRow& job = event.task->job;
  const size_t subgraph = tuning_->index(job.subgraph);
  ProgramRow row;
  row.job = job.id;
  row.index = event.index;
  row.subgraph = job.subgraph;
  row.knobs = job.programs[static_cast<size_t>(event.index)];
  row.knobs_text = tuning_->space(subgraph)->to_text(row.knobs);
  row.outcome = event.outcome;
  row.compile_s = event.compile_s;
  row.elapsed_s = event.elapsed_s;
  store_->put_program(row);
  tuning_->tell(job, row.knobs, row.outcome);
  note_answer(job, row.knobs, row.outcome);
  note_outcome(job, row.outcome);
  ++measured_programs_;
  --programs_out_;
  if (--jobs_out_.at(job.id).programs == 0) {
    jobs_out_.erase(job.id);
    store_->finish_measure_job(job.id);
    tuning_->finish(job);
  }
  const double best = tuning_->tuner(subgraph).best_latency_us();
  tuning_now_ = fmt::format("{}: {:.2f} us", job.subgraph, best);
}

/// Tells the policy of a default program or a batch when its last outcome is in, be it from the device or the store.
void SearchRun::note_outcome(const MeasureJobRow& job, const Outcome& outcome) {
  if (job.purpose == MeasurePurpose::remeasure) return;
  const size_t subgraph = tuning_->index(job.subgraph);
  double& best = best_of_batches_.try_emplace(subgraph, std::numeric_limits<double>::infinity()).first->second;
  if (const auto* measurement = std::get_if<Measurement>(&outcome)) best = std::min(best, measurement->median_us);
  if (++told_of_job_[job.id] < job.programs.size()) return;
  told_of_job_.erase(job.id);
  if (job.purpose == MeasurePurpose::fallback)
    policy_->tell_default(subgraph, best);
  else
    policy_->tell_batch(subgraph, static_cast<long>(job.programs.size()), best);
}

void SearchRun::handle(DeviceUsed& event) {
  measure_wall_s_ += event.ended_s - event.started_s;
  store_->put_value("measure_wall_s", fmt::format("{:.6f}", measure_wall_s_));
  store_->put_usage(
      {Side::tune, static_cast<int>(config_.device.cores.front()), event.started_s, event.ended_s, event.what});
}

void SearchRun::handle(NetworkArrived& event) {
  --networks_out_;
  networks_[network_index_.at(event.network)].end_to_end = std::move(event.outcome);
}

void SearchRun::handle(MeasuringFailed& event) { std::rethrow_exception(event.error); }

}  // namespace sonar
