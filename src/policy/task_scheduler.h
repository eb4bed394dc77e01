// Which subgraph is tuned next (paper section 3.2 "Optimizing subtasks"; design 5.5; gradient: Ansor section 6).
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "model/subgraph.h"

namespace sonar {

enum class SchedulerRule { paper = 1, gradient = 2 };

/// Ask/tell over subgraphs. State survives rounds; ties are broken uniformly at random by a counter-based stream, so the
/// choice is a function of (seed, what was told): replaying the tells restores the state exactly.
class TaskScheduler {
 public:
  struct Task {
    SubgraphKey key;
    double macs = 0;          // for the gradient rule's similarity of throughput
  };
  TaskScheduler(std::vector<Task> tasks, SchedulerRule rule, uint64_t seed);

  /// Occurrences over the current candidate set, by task index; tasks with 0 are never asked for.
  void set_occurrences(const std::vector<long>& occurrences);
  /// The default program's latency (microseconds; infinity when it failed).
  void tell_default(size_t task, double latency_us);
  /// Next task, or -1 when every live task is busy or exhausted. The returned task is busy until its batch is told.
  int ask();
  /// A batch has ended: best latency known after it (infinity: still none), programs tried, all failures or not.
  /// An `exhausted` task (no untried program is left) is never asked for again.
  void tell_batch(size_t task, double best_latency_us, long programs, bool exhausted);
  /// A batch that was asked for will not be run (the round ended before it began).
  void cancel(size_t task);

  long batches(size_t task) const;
  double best_latency_us(size_t task) const;

 private:
  struct State {
    Task task;
    long occurrences = 0;
    double best_us = 0;              // infinity before the default program
    long batches = 0, programs = 0;
    bool busy = false, exhausted = false;
    std::vector<double> best_after;  // best latency after each batch, [0] the default's
    std::vector<long> programs_after;
  };
  double priority(const State& state) const;
  std::vector<State> states_;
  SchedulerRule rule_;
  uint64_t seed_;
  uint64_t asks_ = 0;
};

}  // namespace sonar
