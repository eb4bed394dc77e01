#include "policy/task_scheduler.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "model/error.h"
#include "model/random.h"

namespace sonar {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kRecentWeight = 0.2;     // Ansor's alpha
constexpr double kUsualElasticity = 0.5;  // results hardly differ between 0.3 and 0.6
constexpr size_t kRecentBatches = 3;
constexpr size_t kBlock = 64;  // tasks

// What a batch gained; the first valid program counts as one that halved the latency.
double decrease(double before_us, double now_us) {
  return std::isinf(before_us) ? now_us : std::max(0.0, before_us - now_us);
}

void check_latency(double latency_us) {
  if (std::isnan(latency_us) || latency_us <= 0)
    throw InternalError(fmt::format("TaskScheduler: a latency of {} us", latency_us));
}

}  // namespace

TaskScheduler::TaskScheduler(std::vector<Task> tasks, SchedulerRule rule, uint64_t seed) : rule_(rule), seed_(seed) {
  std::map<std::string, size_t> kinds;
  for (Task& task : tasks) {
    State state;
    state.kind = kinds.emplace(task.key.substr(0, task.key.find('-')), kinds.size()).first->second;
    key_hashes_.push_back(stable_hash(task.key));
    state.task = std::move(task);
    state.history.push_back({kInfinity, 1});
    of_kind_.resize(kinds.size());
    of_kind_[state.kind].push_back(states_.size());
    states_.push_back(std::move(state));
  }
  best_throughput_.assign(kinds.size(), 0);
  priorities_.assign(states_.size(), kNotReady);
  block_highest_.assign((states_.size() + kBlock - 1) / kBlock, kNotReady);
}

size_t TaskScheduler::checked(size_t task) const {
  if (task >= states_.size())
    throw InternalError(fmt::format("TaskScheduler: task {} of {} tasks", task, states_.size()));
  return task;
}

void TaskScheduler::set_occurrences(const std::vector<long>& occurrences) {
  if (occurrences.size() != states_.size())
    throw InternalError(fmt::format("TaskScheduler: {} occurrences for {} tasks", occurrences.size(), states_.size()));
  live_ = 0;
  for (size_t i = 0; i < states_.size(); ++i) {
    states_[i].occurrences = occurrences[i];
    live_ += occurrences[i] > 0;
    note_priority(i);
  }
}

void TaskScheduler::tell_default(size_t task, double latency_us) {
  check_latency(latency_us);
  states_[checked(task)].history[0].best_us = latency_us;
  told(task);
}

void TaskScheduler::tell_batch(size_t task, double best_latency_us, long programs, bool exhausted) {
  check_latency(best_latency_us);
  State& state = states_[checked(task)];
  state.history.push_back({best_latency_us, state.history.back().programs + static_cast<double>(programs)});
  state.busy = false;
  state.exhausted = exhausted;
  ++batches_told_;
  told(task);
}

void TaskScheduler::expect(size_t task) {
  states_[checked(task)].busy = true;
  note_priority(task);
}

void TaskScheduler::cancel(size_t task) {
  states_[checked(task)].busy = false;
  note_priority(task);
}

/// After a change of a task's history: its own figures, and where it is the best of its kind, those of the kind.
void TaskScheduler::told(size_t task) {
  State& state = states_[task];
  note_gain(state);
  const double before = state.throughput;
  state.throughput = state.task.macs / state.history.back().best_us;
  double& best = best_throughput_[state.kind];
  const double best_before = best;
  if (state.throughput >= best) {
    best = state.throughput;
  } else if (before == best) {
    best = 0;
    for (size_t other : of_kind_[state.kind]) best = std::max(best, states_[other].throughput);
  }
  if (best == best_before)
    note_priority(task);
  else
    for (size_t other : of_kind_[state.kind]) note_priority(other);
}

int TaskScheduler::ask() {
  double highest = kNotReady;
  for (size_t b = 0; b < block_highest_.size(); ++b) {
    if (std::isnan(block_highest_[b])) {
      const auto begin = priorities_.begin() + static_cast<long>(b * kBlock);
      const auto end = priorities_.begin() + static_cast<long>(std::min((b + 1) * kBlock, priorities_.size()));
      block_highest_[b] = *std::max_element(begin, end);
    }
    highest = std::max(highest, block_highest_[b]);
  }
  std::vector<size_t> first, last;  // tasks without a valid program that come before and after all others
  if (!invalid_.empty()) {
    double live = 0, live_batches = 0;
    for (const State& state : states_) {  // their mean number of batches decides
      if (state.occurrences <= 0 || state.exhausted) continue;
      ++live;
      live_batches += static_cast<double>(state.history.size() - 1);
    }
    for (size_t i : invalid_) (static_cast<double>(batches(i)) <= live_batches / live ? first : last).push_back(i);
    if (!first.empty()) highest = kInfinity;
  }

  // Batches told: the same after a replay of the tells, in any order, and after a cancelled ask.
  const uint64_t draw_seed = Random(Random(seed_)() + batches_told_)();
  int chosen = -1;
  uint64_t highest_draw = 0;
  const auto consider = [&](size_t i) {
    const uint64_t draw = Random(draw_seed ^ key_hashes_[i])();  // derive_seed of the key
    if (chosen >= 0 && (draw < highest_draw || (draw == highest_draw && static_cast<int>(i) > chosen))) return;
    chosen = static_cast<int>(i);
    highest_draw = draw;
  };
  for (size_t i : highest == kNotReady ? last : first) consider(i);
  for (size_t b = 0; highest > kNotReady && b < block_highest_.size(); ++b) {
    if (block_highest_[b] != highest) continue;
    for (size_t i = b * kBlock; i < std::min((b + 1) * kBlock, priorities_.size()); ++i)
      if (priorities_[i] == highest) consider(i);
  }
  if (chosen >= 0) expect(static_cast<size_t>(chosen));
  return chosen;
}

void TaskScheduler::note_priority(size_t task) {
  State& state = states_[task];
  double now = kNotReady;
  bool invalid = false;
  if (state.occurrences > 0 && !state.busy && !state.exhausted) {
    if (state.history.size() == 1)
      now = kInfinity;
    else if (std::isinf(state.history.back().best_us))
      invalid = true;
    else
      now = priority(state);
  }
  if (invalid && !state.invalid)
    invalid_.push_back(task);
  else if (!invalid && state.invalid)
    invalid_.erase(std::find(invalid_.begin(), invalid_.end(), task));
  state.invalid = invalid;
  double& highest = block_highest_[task / kBlock];
  if (now >= highest)
    highest = now;
  else if (priorities_[task] == highest)
    highest = std::numeric_limits<double>::quiet_NaN();  // computed anew when it is asked for
  priorities_[task] = now;
}

double TaskScheduler::priority(const State& state) const {
  double per_run = state.gain;
  if (rule_ == SchedulerRule::gradient) {
    const double throughput = best_throughput_[state.kind];
    const double floor = throughput > 0 ? state.task.macs / throughput / 2 : 0;
    per_run = state.gain * (state.history.back().best_us - floor) / state.history.back().programs;
  }
  return static_cast<double>(state.occurrences) * per_run;
}

void TaskScheduler::note_gain(State& state) const {
  const std::vector<Step>& history = state.history;
  const Step& now = history.back();
  if (history.size() < 2 || std::isinf(now.best_us)) return;
  if (rule_ == SchedulerRule::paper) {
    state.gain = decrease(history[history.size() - 2].best_us, now.best_us);
    return;
  }
  const Step& before = history[history.size() - 1 - std::min(kRecentBatches, history.size() - 1)];
  double recent = 0;
  if (now.programs > before.programs)
    recent = std::log1p(decrease(before.best_us, now.best_us) / now.best_us) / std::log(now.programs / before.programs);
  state.gain = kRecentWeight * recent + (1 - kRecentWeight) * kUsualElasticity;
}

}  // namespace sonar
