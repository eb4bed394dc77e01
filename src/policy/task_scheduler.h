// Which subgraph is tuned next (paper section 3.2 "Optimizing subtasks"; design 5.5; gradient: Ansor section 6).
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "model/subgraph.h"

namespace sonar {

enum class SchedulerRule { paper = 1, gradient = 2 };

/// Ask/tell over subgraphs. State survives rounds; ties are broken uniformly at random by a stream that the number of
/// batches told selects, so the choice is a function of (seed, what was told, what is pending): replaying the tells
/// restores the state exactly, in whatever order they come.
///
/// Both rules take subgraphs without a batch first, then the highest priority. Let w be the occurrences, g the best
/// latency, and t the programs tried, the default program included.
///
///   paper      w x (decrease of g in the last batch).
///   gradient   w x (expected decrease of g per program). While g falls like t^-e, one more program gains e g / t:
///                  e x (g - floor) / t,   e = 0.2 x recent + 0.8 x 0.5
///              recent: -d log g / d log t over the last 3 batches;
///              floor:  half the time that g would be at the best throughput (macs / g) of a subgraph of the same kind
///                      (the key's first word): what is left to gain near the device's limits is less than all of g.
///
/// Ansor's own formula (a linear slope, and twice the similar throughput as the next value to expect) was measured on
/// the same logs and lost to this one; docs/algorithm.md has the numbers.
///
/// A subgraph without any valid program makes every network that holds it worthless, but may be hopeless: it comes
/// first while it has had no more than the mean number of batches of the live subgraphs (the share that round robin
/// would give it), and last otherwise. The batch that finds its first valid program counts as one that halved the
/// latency.
class TaskScheduler {
 public:
  struct Task {
    SubgraphKey key;
    double macs = 0;  // for the gradient rule's similarity of throughput
  };
  TaskScheduler(std::vector<Task> tasks, SchedulerRule rule, uint64_t seed);

  /// Occurrences over the current candidate set, by task index; tasks with 0 are never asked for.
  void set_occurrences(const std::vector<long>& occurrences);
  /// The default program's latency (microseconds; infinity when it failed, which is also what an untold one counts as).
  void tell_default(size_t task, double latency_us);
  /// Next task, or -1 when every live task is busy or exhausted. The returned task is busy until its batch is told.
  int ask();
  /// A batch of this task is out that was not asked for here (another process did): the task is busy until it is told.
  void expect(size_t task);
  /// A batch has ended: best latency known after it (infinity: still none) and programs tried in it, failures included.
  /// An `exhausted` task (no untried program is left) is never asked for again. A batch that was not asked for is
  /// welcome (a replay may tell without asking).
  void tell_batch(size_t task, double best_latency_us, long programs, bool exhausted);
  /// A batch that was asked for will not be run (the round ended before it began): as if it had not been asked for.
  void cancel(size_t task);

  long batches(size_t task) const { return static_cast<long>(states_[checked(task)].history.size()) - 1; }
  double best_latency_us(size_t task) const { return states_[checked(task)].history.back().best_us; }
  /// Tried, those of a batch that is out not counted, the default program counted.
  long programs(size_t task) const { return static_cast<long>(states_[checked(task)].history.back().programs); }
  bool busy(size_t task) const { return states_[checked(task)].busy; }
  bool exhausted(size_t task) const { return states_[checked(task)].exhausted; }
  /// Tasks that occur in the current candidate set.
  size_t live() const { return live_; }

 private:
  struct Step {
    double best_us;   // best latency after it; infinity while there is none
    double programs;  // tried so far, the default included
  };
  struct State {
    Task task;
    size_t kind = 0;  // equal for similar tasks
    long occurrences = 0;
    bool busy = false, exhausted = false;
    bool invalid = false;       // it is in `invalid_`
    std::vector<Step> history;  // [0] is the default program, then one per batch
    double gain = 0;            // paper: decrease in the last batch, microseconds; gradient: e
    double throughput = 0;      // MACs per microsecond of the best program
  };
  size_t checked(size_t task) const;
  void told(size_t task);
  void note_gain(State& state) const;
  void note_priority(size_t task);
  double priority(const State& state) const;

  std::vector<State> states_;
  std::vector<std::vector<size_t>> of_kind_;
  std::vector<double> best_throughput_;  // by kind
  // What an ask looks through, kept up to date by the tells: the highest priority of each block of tasks, and the tasks
  // of the blocks that have the highest of all.
  static constexpr double kNotReady = -1;
  std::vector<double> priorities_;     // by task; kNotReady: not to be asked for, or without a valid program
  std::vector<double> block_highest_;  // NaN: to be computed anew
  std::vector<uint64_t> key_hashes_;
  std::vector<size_t> invalid_;  // tasks that are ready and have been tried without a valid program
  size_t live_ = 0;
  uint64_t batches_told_ = 0;
  SchedulerRule rule_;
  uint64_t seed_;
};

}  // namespace sonar
