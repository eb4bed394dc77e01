#include "search/tuning.h"

#include <algorithm>
#include <limits>

#include "model/error.h"

namespace sonar {

Tuning::Tuning(const std::vector<Subgraph>& subgraphs, const Target& target, SchedulerRule rule, uint64_t seed)
    : programs_(subgraphs.size()),
      occurrences_(subgraphs.size()),
      exhausted_(subgraphs.size()),
      remeasured_(subgraphs.size()) {
  std::vector<TaskScheduler::Task> tasks;
  for (const Subgraph& subgraph : subgraphs) {
    const SubgraphKey key = subgraph.key();
    index_[key] = keys_.size();
    keys_.push_back(key);
    spaces_.push_back(make_program_space(subgraph, target));
    tuners_.push_back(std::make_unique<SubgraphTuner>(spaces_.back(), derive_seed(seed, "tune " + key)));
    tasks.push_back({key, subgraph.macs()});
  }
  scheduler_ = std::make_unique<TaskScheduler>(std::move(tasks), rule, derive_seed(seed, "scheduler"));
}

size_t Tuning::add_earlier(const std::vector<EarlierProgram>& programs) {
  size_t taken = 0;
  for (const EarlierProgram& program : programs) {
    const auto found = index_.find(program.subgraph.key());
    if (found == index_.end()) continue;
    const ProgramSpace& space = *spaces_[found->second];
    try {
      const Knobs knobs = space.from_text(program.knobs_text);
      // The default program stays untold: the first ask is for it.
      if (!space.why_illegal(knobs).empty() || knobs == space.default_program()) continue;
      tuners_[found->second]->tell(knobs, program.outcome);
      ++taken;
    } catch (const UserError&) {  // no program of this space
    }
  }
  return taken;
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

std::optional<MeasureJobRow> Tuning::next_batch(int round, long n) {
  const int task = scheduler_->ask();
  if (task < 0) return std::nullopt;
  return batch_of(static_cast<size_t>(task), round, n);
}

MeasureJobRow Tuning::batch_of(size_t index, int round, long n) {
  MeasureJobRow job;
  job.round = round;
  job.subgraph = keys_[index];
  job.purpose = MeasurePurpose::batch;
  job.requested = static_cast<int>(n);
  job.programs = tuners_[index]->ask(static_cast<size_t>(n));
  exhausted_[index] = exhausted_[index] || job.programs.empty();
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
    remeasured_[i][knobs] = true;
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

void Tuning::replay(const MeasureJobRow& job) {
  if (job.purpose == MeasurePurpose::remeasure) return;
  const size_t i = index(job.subgraph);
  if (tuners_[i]->ask(static_cast<size_t>(job.requested)) != job.programs)
    throw InternalError("the programs of recorded tuning job " + std::to_string(job.id) + " (" + job.subgraph +
                        ") do not follow from the records before it");
  exhausted_[i] = exhausted_[i] || job.programs.empty();
}

}  // namespace sonar
