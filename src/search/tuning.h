// The tuning side of a run: every unique subgraph with its tuner, and the scheduler that shares programs among them.
// No thread and no clock: what is measured next is a function of the seed, of the jobs asked for, and of the outcomes
// in the order in which they arrived, so that telling it the records again restores it (design 5.11).
#pragma once
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "policy/task_scheduler.h"
#include "records/run_store.h"
#include "tune/subgraph_tuner.h"

namespace sonar {

struct TuningOptions {
  SchedulerRule rule = SchedulerRule::gradient;
  uint64_t seed = 1;
  TunerOptions tuner;
  bool outside = false;  // programs are the trials of an outside tuner; `tuner` has no meaning then
};

/// A program that was measured before this run, on the same target by the same protocol.
struct EarlierProgram {
  Subgraph subgraph;
  std::string knobs_text;  // "vector=16 tile_width=4 ..."
  Outcome outcome;
};

class Tuning {
 public:
  Tuning(const std::vector<Subgraph>& subgraphs, const Target& target, const TuningOptions& options);

  /// Before anything is asked for; a run that continues must be given the same programs in the same order. They teach
  /// the cost models and are starting points: of their own subgraph to be measured again first, of others projected.
  /// They count as no programs of this run. Those that the present program space does not have are passed over; returns
  /// how many were taken.
  size_t add_earlier(const std::vector<EarlierProgram>& programs);

  size_t count() const { return tuners_.size(); }
  size_t index(const SubgraphKey& key) const;
  const Tuner& tuner(size_t index) const { return *tuners_[index]; }
  const std::shared_ptr<const ProgramSpace>& space(size_t index) const { return spaces_[index]; }
  const SubgraphKey& key(size_t index) const { return keys_[index]; }
  /// Programs told of this subgraph, failures included, re-measurements not.
  long programs(size_t index) const { return programs_[index]; }

  /// Occurrences over the networks that are still in the search; 0: dropped.
  void set_occurrences(const std::vector<long>& occurrences);
  /// What it is told of batches; who decides asks it.
  TaskScheduler& scheduler() { return *scheduler_; }
  long occurrences(size_t index) const { return occurrences_[index]; }
  size_t live() const;

  /// The default programs of all subgraphs, one job each.
  std::vector<MeasureJobRow> default_jobs();
  /// The next batch of one subgraph, at most n programs. Empty when its space has run out: such a job is recorded too,
  /// and finished at once. Several may be out.
  MeasureJobRow batch_of(size_t index, int round, long n);
  /// The fastest `n` programs of each live subgraph and its default program, to be measured once more; those that were
  /// re-measured already are left out. Empty when the best of each has been.
  std::vector<MeasureJobRow> contender_jobs(int round, size_t n);

  void tell(const MeasureJobRow& job, const Knobs& knobs, const Outcome& outcome);
  void finish(const MeasureJobRow& job);
  /// Tells the records of a process before this one: its jobs in order of id, and what was measured in order of
  /// arrival. Nothing is asked for again. Returns the jobs of which outcomes are missing. Throws InternalError on
  /// programs that cannot have been asked for: the store is not of this program space.
  std::vector<MeasureJobRow> restore(const std::vector<MeasureJobRow>& jobs, const std::vector<ProgramRow>& programs);
  /// A batch that an earlier process asked for is still out.
  void expect(const MeasureJobRow& job) { scheduler_->expect(index(job.subgraph)); }

 private:
  Target target_;
  std::shared_ptr<Experience> experience_ = std::make_shared<Experience>();
  std::vector<SubgraphKey> keys_;
  std::map<SubgraphKey, size_t> index_;
  std::vector<std::shared_ptr<const ProgramSpace>> spaces_;
  std::vector<std::unique_ptr<Tuner>> tuners_;
  std::vector<long> programs_, occurrences_;
  std::vector<std::set<Knobs>> remeasured_;
  std::unique_ptr<TaskScheduler> scheduler_;
};

}  // namespace sonar
