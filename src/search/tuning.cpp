#include "search/tuning.h"

#include <algorithm>
#include <limits>

#include "model/error.h"
#include "tune/trial_tuner.h"

namespace sonar {

Tuning::Tuning(const std::vector<Subgraph>& subgraphs, const Target& target, const TuningOptions& options)
    : target_(target), programs_(subgraphs.size()), occurrences_(subgraphs.size()), remeasured_(subgraphs.size()) {
  std::vector<TaskScheduler::Task> tasks;
  for (const Subgraph& subgraph : subgraphs) {
    const SubgraphKey key = subgraph.key();
    index_[key] = keys_.size();
    keys_.push_back(key);
    if (options.outside) {
      spaces_.push_back(make_trial_space(subgraph));
      tuners_.push_back(std::make_unique<TrialTuner>(spaces_.back()));
    } else {
      spaces_.push_back(make_program_space(subgraph, target));
      tuners_.push_back(std::make_unique<SubgraphTuner>(spaces_.back(), derive_seed(options.seed, "tune " + key),
                                                        options.tuner, experience_));
    }
    tasks.push_back({key, subgraph.macs()});
  }
  scheduler_ = std::make_unique<TaskScheduler>(std::move(tasks), options.rule, derive_seed(options.seed, "scheduler"));
}

size_t Tuning::add_earlier(const std::vector<EarlierProgram>& programs) {
  std::map<SubgraphKey, std::unique_ptr<ProgramSpace>> spaces;
  std::set<std::pair<SubgraphKey, Knobs>> taken;
  for (const EarlierProgram& program : programs) {
    const SubgraphKey key = program.subgraph.key();
    auto& space = spaces[key];
    if (!space) space = make_program_space(program.subgraph, target_);
    Knobs knobs;
    try {
      knobs = space->from_text(program.knobs_text);
    } catch (const UserError&) {
      continue;
    }
    if (!space->why_illegal(knobs).empty() || !taken.emplace(key, knobs).second) continue;
    experience_->add(*space, knobs, program.outcome, true);
  }
  return taken.size();
}

size_t Tuning::index(const SubgraphKey& key) const {
  auto found = index_.find(key);
  if (found == index_.end()) throw InternalError("subgraph " + key + " is in no network of this run");
  return found->second;
}

void Tuning::set_occurrences(const std::vector<long>& occurrences) {
  occurrences_ = occurrences;
  scheduler_->set_occurrences(occurrences);
}

size_t Tuning::live() const {
  return static_cast<size_t>(std::count_if(occurrences_.begin(), occurrences_.end(), [](long n) { return n > 0; }));
}

std::vector<MeasureJobRow> Tuning::default_jobs() {
  std::vector<MeasureJobRow> jobs;
  for (size_t i = 0; i < count(); ++i) {
    MeasureJobRow job;
    job.subgraph = keys_[i];
    job.purpose = MeasurePurpose::fallback;
    job.requested = 1;
    job.programs = tuners_[i]->ask(1);
    jobs.push_back(std::move(job));
  }
  return jobs;
}

MeasureJobRow Tuning::batch_of(size_t index, int round, long n) {
  MeasureJobRow job;
  job.round = round;
  job.subgraph = keys_[index];
  job.purpose = MeasurePurpose::batch;
  job.requested = static_cast<int>(n);
  job.programs = tuners_[index]->ask(static_cast<size_t>(n));
  return job;
}

std::vector<MeasureJobRow> Tuning::contender_jobs(int round, size_t n) {
  std::vector<MeasureJobRow> jobs;
  for (size_t i = 0; i < count(); ++i) {
    if (occurrences_[i] == 0) continue;
    if (std::vector<Knobs> best = tuners_[i]->contenders(1); best.empty() || remeasured_[i].count(best.front()))
      continue;
    MeasureJobRow job;
    job.round = round;
    job.subgraph = keys_[i];
    job.purpose = MeasurePurpose::remeasure;
    std::vector<Knobs> candidates = tuners_[i]->contenders(n);
    candidates.push_back(spaces_[i]->default_program());
    for (const Knobs& knobs : candidates)
      if (!remeasured_[i].count(knobs) &&
          std::find(job.programs.begin(), job.programs.end(), knobs) == job.programs.end())
        job.programs.push_back(knobs);
    job.requested = static_cast<int>(job.programs.size());
    jobs.push_back(std::move(job));
  }
  return jobs;
}

void Tuning::tell(const MeasureJobRow& job, const Knobs& knobs, const Outcome& outcome) {
  const size_t i = index(job.subgraph);
  tuners_[i]->tell(knobs, outcome);
  if (job.purpose == MeasurePurpose::remeasure)
    remeasured_[i].insert(knobs);
  else
    ++programs_[i];
}

void Tuning::finish(const MeasureJobRow& job) {
  const size_t i = index(job.subgraph);
  const double best = tuners_[i]->best_latency_us();
  if (job.purpose == MeasurePurpose::fallback) scheduler_->tell_default(i, best);
  if (job.purpose == MeasurePurpose::batch)
    scheduler_->tell_batch(i, best, static_cast<long>(job.programs.size()), job.programs.empty());
}

std::vector<MeasureJobRow> Tuning::restore(const std::vector<MeasureJobRow>& jobs,
                                           const std::vector<ProgramRow>& programs) {
  std::map<long, const MeasureJobRow*> by_id;
  for (const MeasureJobRow& job : jobs) {
    by_id[job.id] = &job;
    if (job.purpose == MeasurePurpose::remeasure) continue;
    const size_t i = index(job.subgraph);
    for (const Knobs& knobs : job.programs)
      if (const std::string why = spaces_[i]->why_illegal(knobs); !why.empty())
        throw InternalError("a program of recorded tuning job " + std::to_string(job.id) + " (" + job.subgraph +
                            ") is none of this program space: " + why);
    tuners_[i]->restore_asked(job.programs);
  }
  // A job ends with its last outcome, since what the scheduler learns from it is the best latency at that time. A job
  // without programs (the space had run out) ended before anything later was asked for.
  auto next = by_id.begin();
  const auto finish_empty = [&](long until) {
    for (; next != by_id.end() && next->first < until; ++next)
      if (next->second->programs.empty()) finish(*next->second);
  };
  std::map<long, size_t> arrived;
  for (const ProgramRow& row : programs) {
    const MeasureJobRow& job = *by_id.at(row.job);
    finish_empty(job.id);
    tell(job, row.knobs, row.outcome);
    if (++arrived[job.id] == job.programs.size()) finish(job);
  }
  finish_empty(std::numeric_limits<long>::max());
  std::vector<MeasureJobRow> unfinished;
  for (const auto& [id, job] : by_id)
    if (arrived[id] < job->programs.size()) unfinished.push_back(*job);
  return unfinished;
}

}  // namespace sonar
