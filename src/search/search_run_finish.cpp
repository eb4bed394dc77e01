// The end of a run: the survivors measured once more, tested, and written down.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "model/error.h"
#include "report/report.h"
#include "search/search_run.h"

namespace sonar {
namespace {

/// The fastest programs of each subgraph that are timed again, and for how long each (seconds of samples).
constexpr size_t kContenders = 2;
constexpr double kContenderSampling = 0.06;
/// The fastest of many noisy readings is too fast; after re-measurement another may lead, which is then re-measured
/// too.
constexpr int kContenderPasses = 4;

}  // namespace

/// False when the best program of every live subgraph has been confirmed, or is given up on.
bool SearchRun::issue_contenders() {
  if (contender_passes_ >= kContenderPasses || !measuring_->measures_again()) return false;
  std::vector<MeasureJobRow> jobs = tuning_->contender_jobs(round_.round, kContenders);
  if (jobs.empty()) return false;
  if (contender_passes_++ == 0)
    say("finish", fmt::format("measuring the fastest programs of {} subgraphs once more", jobs.size()));
  submit_jobs(std::move(jobs), kContenderSampling);
  return true;
}

void SearchRun::measure_contenders() {
  while (measuring()) pump();
  std::vector<MeasureJobRow> pending;
  for (const MeasureJobRow& job : unfinished_)
    if (job.purpose == MeasurePurpose::remeasure) pending.push_back(job);
  unfinished_.clear();
  submit_remaining(pending, kContenderSampling, measured_);
  do {
    while (measuring()) pump();
  } while (issue_contenders());
}

void SearchRun::finish() {
  round_.round = policy_->rounds();
  const std::vector<size_t> survivors = policy_->result();
  if (survivors.empty()) throw EnvironmentError("no network is left: " + first_failure());
  count_occurrences();
  if (purpose_ != Purpose::tune) {
    for (size_t i : survivors) {
      TrainTask task;
      task.kind = TrainTask::Kind::test;
      task.request.job.network = networks_[i].row.name;
      task.request.job.to_step = state(i).steps;
      task.request.graph_json = networks_[i].graph_json;
      task.request.folder = checkpoint_folder(networks_[i]);
      training_->submit(std::move(task));
      ++train_pending_;
    }
  }
  if (tuning_ && !options_.from_records) {
    measure_contenders();  // nothing is left to do unless the time ran out before the last round
    confirm_answers();
    if (measuring_->measures_networks())
      for (size_t i : survivors) submit_network_measurement(i);
    else
      say("finish", "the programs of an outside tuner are not put together: no network is measured as a whole");
  }
  while (measuring() || train_pending_ > 0) pump();

  std::vector<ResultRow> results;
  std::vector<Objectives> objectives;
  for (size_t i : survivors) {
    const Network& network = networks_[i];
    ResultRow row;
    row.network = network.row.name;
    row.objectives = {state(i).accuracy, tuning_ ? latency_us(i) : 0};
    row.test_accuracy = network.test_accuracy;
    if (network.end_to_end) {
      if (const auto* measurement = std::get_if<Measurement>(&*network.end_to_end)) {
        row.end_to_end_us = measurement->median_us;
        row.end_to_end_spread = measurement->spread;
      } else {
        const auto& error = std::get<MeasureError>(*network.end_to_end);
        const std::string text = network.row.name + " as a whole: " + to_text(error.kind) + ": " + error.message;
        store_->put_event(clock_.now(), "failure", text);
        say("failure", text);
      }
    }
    objectives.push_back(row.objectives);
    results.push_back(row);
  }
  const std::vector<bool> answers = policy_->algorithm().answers(objectives, policy_->state().options);
  for (size_t n = 0; n < results.size(); ++n) results[n].on_front = answers[n];
  put_costs();
  remember_time();
  if (purpose_ == Purpose::tune && !options_.from_records)
    store_->put_value(RunStore::kTunedPrograms, fmt::format("{}", programs_per_subgraph()));
  store_->put_results(results);
  store_->put_value("wall_seconds", fmt::format("{:.3f}", clock_.now()));
  store_->put_value("finished", "1");
  share_records(true);
}

/// What was spent, and what brute force would have cost by the recorded cost of a step and of a program.
void SearchRun::put_costs() {
  double train_spent = 0, train_full = 0, tune_spent = 0;
  bool all_known = purpose_ != Purpose::tune;
  for (const NetworkState& network : policy_->state().networks) {
    train_spent += network.cost;
    const double cost = network.step_cost();
    all_known &= cost > 0;
    train_full += cost * static_cast<double>(full_steps_);
  }
  store_->put_value("train_seconds", fmt::format("{:.3f}", train_spent));
  if (all_known) store_->put_value("brute_force_train_seconds", fmt::format("{:.3f}", train_full));
  if (!tuning_) return;
  for (size_t i = 0; i < tuning_->count(); ++i)
    tune_spent += static_cast<double>(tuning_->programs(i)) * mean_program_s();
  store_->put_value("tune_seconds", fmt::format("{:.3f}", tune_spent));
  store_->put_value(
      "brute_force_tune_seconds",
      fmt::format("{:.3f}", double(tuning_->count()) * double(config_.search.full_programs) * mean_program_s()));
}

void SearchRun::note_stop() {
  remember_time();
  store_->put_event(clock_.now(), "stop", "stopped by the user");
  share_records(true);
  say("stop", "stopped; the same command continues");
  write_report(options_.folder);
}

void SearchRun::write_outcome() { say("report", write_report(options_.folder)); }

}  // namespace sonar
