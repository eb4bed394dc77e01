// The rounds: what is planned, carried out and decided in each (paper, Algorithm 1; design 5).
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <numeric>
#include <set>

#include "model/error.h"
#include "search/search_run.h"
#include "search/start_device.h"

namespace sonar {
namespace fs = std::filesystem;
namespace {

/// Wall time of a training job over its pure training time (validation, checkpoints, start), before any is known.
constexpr double kFirstTrainOverhead = 1.3;
/// Kept of a time budget for testing the survivors and measuring each as a whole; no more than a part of the budget.
constexpr double kFinishNetworkS = 2, kFinishMost = 0.2;
/// Measuring the contenders of a subgraph once more takes as long as so many programs of a batch, at most: 0.54 was
/// measured where their objects were kept, 2.3 where they were compiled anew, as in a run that was continued.
constexpr double kContenderPrograms = 1.5, kContenderProgramsAnew = 3.5;
/// A training plan aims a little short: what is left flows on, what runs over holds up the round.
constexpr double kPlanMargin = 0.97;
/// Validation may cost a fifth of a slice; one image costs about a third of a training image (forward of forward +
/// backward).
constexpr double kValidationShare = 0.2, kForwardShare = 1.0 / 3;
/// Less than this part of a round's training is not worth another slice.
constexpr double kLeastExtension = 0.05;
constexpr int kTimedSteps = 3;
constexpr double kSampling = 0.03;  // seconds spent on timing one program of a batch

}  // namespace

/// One of the reasons why no network is left.
std::string SearchRun::first_failure() const {
  for (const NetworkState& network : policy_->state().networks)
    if (!network.failure.empty()) return network.name + ": " + network.failure;
  for (const DecisionRow& decision : store_->decisions())
    if (!decision.kept) return decision.network + ": " + decision.reason;
  return "none could be trained";
}

void SearchRun::count_occurrences() {
  if (tuning_) tuning_->set_occurrences(policy_->occurrences());
}

double SearchRun::remaining_s() const {
  const double total = parse_duration(config_.search.time);
  double finish = kFinishNetworkS * double(alive().size());
  if (tuning_ && !side_by_side()) finish += contenders_s();
  const double reserve = std::min(finish, kFinishMost * total);
  return std::max(0.0, total - reserve - clock_.now());
}

double SearchRun::contenders_s() const {
  if (!measuring_->measures_again()) return 0;
  const bool anew = !measured_.empty() || has_outside_tuner(config_);
  return (anew ? kContenderProgramsAnew : kContenderPrograms) * double(tuning_->live()) * mean_program_s();
}

double SearchRun::mean_program_s() const {
  return measured_programs_ > 0 ? measure_wall_s_ / static_cast<double>(measured_programs_) : 0.1;
}

double SearchRun::best_latency_us(const Network& network) const {
  double sum = 0;
  for (auto [subgraph, count] : network.subgraphs) sum += count * subgraph_latency_us(subgraph);
  return sum;
}

double SearchRun::latency_us(size_t index) const {
  const Network& network = networks_[index];
  if (config_.search.latency == "end-to-end" && network.end_to_end) {
    if (const auto* measurement = std::get_if<Measurement>(&*network.end_to_end)) return measurement->median_us;
    return std::numeric_limits<double>::infinity();
  }
  return best_latency_us(network);
}

double SearchRun::lower_bound_us(const NetworkRow& row) const {
  // A core that does two vector FMAs a cycle at 6 GHz is beyond any device of this kind: the bound must never be wrong.
  const double peak_gflops =
      config_.device.peak_gflops > 0 ? config_.device.peak_gflops : 6.0 * 2 * 2 * host_target().vector_floats;
  return 2 * row.macs * static_cast<double>(config_.device.batch) /
         (peak_gflops * static_cast<double>(config_.device.threads) * 1e3);
}

int SearchRun::validation_images(long slice_steps) const {
  const long validations = 1 + slice_steps / std::max(1L, steps_per_epoch_);
  const double images = kValidationShare / kForwardShare * static_cast<double>(slice_steps * config_.train.batch) /
                        static_cast<double>(validations);
  return static_cast<int>(
      std::clamp(images, std::min(64.0, double(val_images_available_)), double(val_images_available_)));
}

// ---- before the rounds

void SearchRun::measure_defaults() {
  if (timed()) time_networks();
  if (!tuning_) return;
  std::vector<MeasureJobRow> jobs;
  const bool first = store_->measure_jobs().empty();
  if (first) {
    jobs = tuning_->default_jobs();
    std::erase_if(jobs, [&](const MeasureJobRow& job) { return answers_.count(tuning_->index(job.subgraph)) > 0; });
    store_->put_measure_jobs(jobs);
  } else {
    for (const MeasureJobRow& job : unfinished_)
      if (job.purpose == MeasurePurpose::fallback) jobs.push_back(job);
  }
  if (!jobs.empty()) {
    say("defaults", fmt::format("measuring the default programs of {} subgraphs", jobs.size()));
    // The first few make runner and runtime ready; a handful after them tells what all will cost.
    const auto begin = jobs.begin(), ready = begin + std::min<long>(2, std::ssize(jobs)),
               looked = begin + std::min<long>(18, std::ssize(jobs));
    submit_remaining({begin, ready}, kSampling, measured_);
    while (measuring()) pump();
    const double began = clock_.now();
    submit_remaining({ready, looked}, kSampling, measured_);
    while (measuring()) pump();
    const double each = (clock_.now() - began) / static_cast<double>(std::max<long>(1, looked - ready));
    const double all = each * static_cast<double>(jobs.end() - looked);
    if (timed() && first && all > remaining_s())
      throw UserError(
          fmt::format("search.time = \"{}\" cannot pay for the default programs of {} unique subgraphs, which take "
                      "about {:.0f} s; set it to at least {:.0f}s, in another folder (--out)",
                      config_.search.time, tuning_->count(), all + clock_.now(), std::ceil(3 * (all + clock_.now()))));
    submit_remaining({looked, jobs.end()}, kSampling, measured_);
    // Training need not wait: the first round begins with the time set aside that the rest of the defaults takes.
    defaults_until_s_ = clock_.now() + all;
  }
  while (train_pending_ > 0) pump();
  if (!side_by_side()) finish_defaults();
  put_costs();
}

/// Waits for the default programs that are still out; then every latency is known.
void SearchRun::finish_defaults() {
  while (measuring()) pump();
  defaults_until_s_ = 0;
  for (size_t i = 0; i < tuning_->count(); ++i)
    if (std::isfinite(subgraph_latency_us(i))) return;
  const auto failures = store_->failures();
  throw EnvironmentError(fmt::format("no subgraph has a valid program: {} failures, the first a {}: {}",
                                     measured_programs_, failures.empty() ? "" : to_text(failures.front().kind),
                                     failures.empty() ? "" : failures.front().first_message));
}

void SearchRun::time_networks() {
  bool any = false;
  for (Network& network : networks_) {
    if (state(network_index_.at(network.row.name)).timed_step_cost > 0) continue;
    TrainTask task;
    task.kind = TrainTask::Kind::time;
    task.steps = kTimedSteps;
    task.request.job.network = network.row.name;
    task.request.graph_json = network.graph_json;
    training_->submit(std::move(task));
    ++train_pending_;
    any = true;
  }
  if (any) say("defaults", fmt::format("timing {} training steps of each network", kTimedSteps));
}

// ---- one round

bool SearchRun::begin_round() {
  if (round_open_) {
    say("round",
        fmt::format("{} of {} goes on with {} networks", round_.round + 1, policy_->rounds(), round_.networks.size()));
    return true;
  }
  const int k = static_cast<int>(past_rounds_.size());
  if (k >= policy_->rounds()) return false;
  if (timed() && k > 0 && remaining_s() <= 0) return false;
  if (alive().empty()) throw EnvironmentError("no network is left: " + first_failure());
  const double now = clock_.now();
  if (!policy_->begin_round(remaining())) return false;
  round_ = RoundRow{};
  round_.round = k;
  round_.started_s = now;
  round_programs_issued_ = 0;
  take_plan();
  count_occurrences();
  store_->put_round(round_);
  round_open_ = true;
  long least = full_steps_, most = 0;
  for (size_t n = 0; n < round_.networks.size(); ++n) {
    const long further = round_.to_steps[n] - state(network_index_.at(round_.networks[n])).steps;
    least = std::min(least, further);
    most = std::max(most, further);
  }
  if (purpose_ == Purpose::tune && answers_.size() == tuning_->count()) {
    say("round", "every subgraph is answered from records: nothing is left to try");
    return true;
  }
  std::string text = fmt::format("{} of {}: {} networks", k + 1, policy_->rounds(), round_.networks.size());
  if (purpose_ != Purpose::tune)
    text += fmt::format(", {} further steps each",
                        least == most ? std::to_string(most) : fmt::format("{} to {}", least, most));
  if (tuning_) text += fmt::format(", {} unique subgraphs", tuning_->live());
  if (timed())
    text += fmt::format(", {:.0f} s", round_.tune_share);
  else if (tuning_ && !exhaustive())
    text += fmt::format(", {:.0f} programs", round_.programs);
  say("round", text);
  return true;
}

/// What the budgets have left for this round and the rounds after it, in the units of the ledgers: steps and programs,
/// or seconds of work.
Remaining SearchRun::remaining() const {
  if (purpose_ != Purpose::search || exhaustive()) return {};
  if (timed()) {
    // Both ledgers are the same wall time, side by side; in turns, each gets its part. Default programs that are still
    // out are set aside where rounds follow.
    const double defaults = policy_->rounds() > 1 ? std::max(0.0, defaults_until_s_ - clock_.now()) : 0;
    const double left = Ledger{remaining_s(), defaults}.remaining();
    const double part = config_.search.schedule == "sequential" ? config_.search.train_fraction : 1.0;
    const double overhead = train_work_s_ > 0 ? train_wall_s_ / train_work_s_ : kFirstTrainOverhead;
    return {left * part * static_cast<double>(training_->workers()) / overhead * kPlanMargin, left};
  }
  Ledger train{config_.search.epochs * static_cast<double>(steps_per_epoch_)};
  for (const NetworkState& network : policy_->state().networks) train.spent += static_cast<double>(network.steps);
  Ledger tune{config_.search.programs};
  for (size_t i = 0; i < tuning_->count(); ++i) tune.spent += static_cast<double>(tuning_->programs(i));
  return {train.remaining(), tune.remaining()};
}

/// The policy's plan as the run carries it out and the store keeps it.
void SearchRun::take_plan() {
  const RoundPlan& plan = policy_->round();
  for (size_t i : plan.members) round_.networks.push_back(networks_[i].row.name);
  round_.train_share = plan.train_share;
  round_.tune_share = plan.tune_share;
  round_.to_steps = plan.to_steps;
  if (purpose_ == Purpose::tune) {
    round_.to_steps.assign(round_.networks.size(), 0);
    policy_->set_targets(round_.to_steps);
    const double subgraphs = double(tuning_->count() - answers_.size());
    round_.programs = std::floor(std::max(0.0, (programs_per_subgraph() - 1) * subgraphs) + 1e-6);
  } else if (tuning_ && !timed() && !exhaustive()) {
    round_.programs = std::floor(round_.tune_share + 1e-9);
  }
}

void SearchRun::train_to_targets() {
  if (purpose_ == Purpose::tune) return;
  struct Job {
    double cost;
    size_t network;
    long to_step;
  };
  std::vector<Job> jobs;
  long slice = full_steps_;
  for (size_t n = 0; n < round_.networks.size(); ++n) {
    const size_t i = network_index_.at(round_.networks[n]);
    if (!state(i).failure.empty() || round_.to_steps[n] <= state(i).steps) continue;
    const long further = round_.to_steps[n] - state(i).steps;
    slice = std::min(slice, further);
    jobs.push_back({policy_->state().step_cost(i) * static_cast<double>(further), i, round_.to_steps[n]});
  }
  // A run that was killed within its slices judges the rest of them by as many images as the unbroken one would have.
  const std::string plan =
      fmt::format("{}:{}:", round_.round, std::accumulate(round_.to_steps.begin(), round_.to_steps.end(), 0L));
  int val_images = validation_images(slice);
  if (const auto planned = store_->value("val_images"); planned && planned->rfind(plan, 0) == 0)
    val_images = std::stoi(planned->substr(plan.size()));
  else if (!jobs.empty())
    store_->put_value("val_images", plan + std::to_string(val_images));
  // Longest first, so that the cores end together.
  std::stable_sort(jobs.begin(), jobs.end(), [](const Job& a, const Job& b) { return a.cost > b.cost; });
  std::set<size_t> training;
  for (const Job& job : jobs) training.insert(job.network);
  for (const Job& job : jobs) {
    const TrainingToDo to_do{job.network, job.to_step, val_images};
    ++train_pending_;
    const std::optional<size_t> parent = parents_.empty() ? std::nullopt : parents_[job.network];
    if (parent && training.count(*parent) && state(job.network).steps == 0)
      waiting_[*parent].push_back(to_do);
    else
      submit_training(to_do);
  }
}

/// Hands the device batches of different subgraphs until so many programs are out that compiling, linking and timing
/// all have work. When it does is a function of the outcomes recorded, as what it asks for is. False when nothing is
/// left to try.
bool SearchRun::issue_batches() {
  if (!tuning_) return false;
  std::vector<MeasureJobRow> jobs;
  long pooled = 0;
  while (programs_out_ + pooled < measuring_->busy_programs()) {
    double left = round_.programs - static_cast<double>(round_programs_issued_);
    if (timed())
      left = std::max(4.0, (round_.started_s + round_.tune_share - clock_.now()) / mean_program_s() -
                               static_cast<double>(programs_out_ + pooled));
    const std::optional<BatchPlan> batch = policy_->next_batch(tuning_->scheduler(), static_cast<long>(left));
    if (!batch) break;
    MeasureJobRow job = tuning_->batch_of(batch->subgraph, round_.round, batch->programs);
    if (job.programs.empty()) {
      job.id = store_->put_measure_job(job);
      store_->finish_measure_job(job.id);
      tuning_->finish(job);
      continue;
    }
    round_programs_issued_ += static_cast<long>(job.programs.size());
    pooled += static_cast<long>(job.programs.size());
    jobs.push_back(std::move(job));
  }
  // Where nothing can be asked for now, because every subgraph has a batch out, more can when these have ended.
  if (jobs.empty()) return programs_out_ > 0;
  submit_jobs(std::move(jobs), kSampling);
  return true;
}

/// In the last round: what training has left of the time goes to further steps of every network, if it pays for them.
void SearchRun::extend_training() {
  const RoundPlan plan = policy_->plan_again(remaining());
  double cost = 0;
  for (size_t m = 0; m < plan.members.size(); ++m) {
    const size_t i = plan.members[m];
    cost += policy_->state().step_cost(i) * static_cast<double>(std::max(0L, plan.to_steps[m] - state(i).steps));
  }
  if (cost <= 0 || cost > plan.train_share || plan.train_share <= kLeastExtension * round_.train_share) return;
  for (size_t m = 0; m < plan.members.size(); ++m) {
    const auto place = std::find(round_.networks.begin(), round_.networks.end(), state(plan.members[m]).name);
    if (place != round_.networks.end()) round_.to_steps[place - round_.networks.begin()] = plan.to_steps[m];
  }
  policy_->set_targets(round_.to_steps);
  store_->put_round(round_);
  train_to_targets();
}

void SearchRun::execute_round() {
  const double ends = round_.started_s + round_.tune_share;
  const bool last = policy_->last_round();
  const bool in_turns = timed() && !side_by_side();
  train_to_targets();
  const bool trains = train_pending_ > 0;
  if (defaults_until_s_ > 0) finish_defaults();
  std::vector<MeasureJobRow> pending;
  for (const MeasureJobRow& job : unfinished_)
    if (job.purpose == MeasurePurpose::batch) pending.push_back(job);
  for (const MeasureJobRow& job : pending) tuning_->expect(job);
  submit_remaining(pending, kSampling, measured_);
  std::erase_if(unfinished_, [](const MeasureJobRow& job) { return job.purpose == MeasurePurpose::batch; });
  bool tuning_exhausted = !tuning_;
  for (;;) {
    const double now = clock_.now();
    bool tune_wanted = !tuning_exhausted;
    if (timed()) {
      if (in_turns)
        tune_wanted = tune_wanted && train_pending_ == 0 && now < ends;
      else
        tune_wanted = tune_wanted && (train_pending_ > 0 || now < ends);
      if (train_pending_ == 0 && trains && !in_turns) {
        // Training is what a round waits for; what it leaves of the share flows on, except from the last round.
        if (!last || now >= ends) break;
        extend_training();
      }
      if (train_pending_ == 0 && now >= ends) break;
    }
    if (tune_wanted) {
      // The last of the time goes to the contenders, so that the last decision stands on latencies that were confirmed.
      const bool confirm = timed() && last && !in_turns && now >= ends - contenders_s();
      if (!confirm)
        tuning_exhausted = !issue_batches();
      else if (!measuring())
        tuning_exhausted = !issue_contenders();
    }
    if (train_pending_ == 0 && !measuring() && tuning_exhausted) break;
    pump();
  }
  // With counted budgets every job of the round has ended here. With a time budget a batch may still be out: it goes on
  // into the next round, and its outcomes count from when they arrive.
  if (last && tuning_) measure_contenders();
}

void SearchRun::eliminate() {
  if (tuning_ && config_.search.latency == "end-to-end") {
    for (const std::string& name : round_.networks)
      if (const size_t i = network_index_.at(name); state(i).failure.empty()) submit_network_measurement(i);
    while (measuring()) pump();
    for (const std::string& name : round_.networks)
      if (const size_t i = network_index_.at(name); networks_[i].end_to_end)
        policy_->tell_network_latency(i, latency_us(i));
  }
  if (tuning_)
    for (size_t i = 0; i < tuning_->count(); ++i) policy_->tell_latency(i, subgraph_latency_us(i));
  std::vector<DecisionRow> decisions;
  size_t kept = 0;
  for (const Decision& decision : policy_->end_round()) {
    DecisionRow& row = decisions.emplace_back();
    row.round = round_.round;
    row.network = state(decision.network).name;
    row.objectives = decision.objectives;
    row.rank = decision.verdict.rank;
    row.kept = decision.verdict.kept;
    row.reason = decision.verdict.reason;
    kept += row.kept;
  }
  put_costs();
  round_.ended_s = clock_.now();
  store_->put_decisions(decisions, round_.ended_s);
  past_rounds_.push_back(round_);
  round_open_ = false;
  if (!config_.train.keep_checkpoints && purpose_ == Purpose::search) {
    std::error_code ignored;
    for (const DecisionRow& row : decisions)
      if (!row.kept) fs::remove_all(checkpoint_folder(networks_[network_index_.at(row.network)]), ignored);
  }
  say("round", fmt::format("{} of {} ended after {:.0f} s: {} of {} networks live on", round_.round + 1,
                           policy_->rounds(), round_.ended_s - round_.started_s, kept, round_.networks.size()));
}

}  // namespace sonar
