// Records of other runs: what a run takes from the library when it begins, and what it gives to it as it goes. The
// run's own store stays the truth: what was taken is copied into it, what is given is read from it, so that neither a
// kill nor trouble with the library changes what the run decides.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "model/error.h"
#include "search/search_run.h"

namespace sonar {
namespace {

/// Taken of each subgraph of the run: its fastest programs, and a sample of the others, which tell a cost model as
/// much.
constexpr size_t kBest = 64, kOthers = 64;
/// Taken of other subgraphs of the same kinds, for the cost model: so many programs in all, and no fewer of each than
/// it takes to compare them.
constexpr size_t kForeign = 4096, kForeignEach = 64, kForeignLeast = 8;
constexpr double kShareEvery = 2, kRetryEvery = 60;  // seconds
constexpr size_t kShareAtOnce = 500;                 // programs in one transaction
/// The best known program of an answered subgraph is measured once more; when it fails, the next ones and the default.
constexpr size_t kAnswerPrograms = 4;
constexpr double kAnswerSampling = 0.06;

std::string kind_of(const SubgraphKey& key) { return key.substr(0, key.find('-')); }

}  // namespace

void SearchRun::warn(const std::string& stage, const std::string& text) {
  store_->put_event(clock_.now(), "warning", text);
  say(stage, text);
}

void SearchRun::open_library() {
  const std::string& path = config_.search.records;
  if (options_.from_records) {
    if (path.empty())
      throw UserError("--from-records needs a record library: set search.records, like search.records=records.db");
    // Once the answer stands in the store the library is not needed any more.
    if (!store_->has_earlier()) library_ = std::make_unique<RecordLibrary>(path, RecordLibrary::Mode::read_only);
    return;
  }
  if (path.empty() || purpose_ == Purpose::train) return;
  try {
    library_ = std::make_unique<RecordLibrary>(path, RecordLibrary::Mode::create_or_open);
    share_records(true);  // what a process before this one could not give it
  } catch (const UserError&) {
    throw;  // it is no library: nothing that could mend itself
  } catch (const std::exception& error) {
    warn("records", std::string(error.what()) + "; the run goes on, and its programs are not added to the library");
    library_failed_ = true;
    try {
      library_ = std::make_unique<RecordLibrary>(path, RecordLibrary::Mode::read_only);
    } catch (const std::exception&) {  // there is nothing to start from either
    }
  }
}

void SearchRun::adopt_earlier(const RecordIdentity& identity) {
  if (library_ && !store_->has_earlier() && store_->measure_jobs().empty()) choose_earlier(identity);
  std::map<SubgraphKey, Subgraph> subgraphs;
  std::map<SubgraphKey, std::vector<EarlierRow>> rows;
  std::vector<EarlierProgram> programs;
  for (EarlierRow& row : store_->earlier()) {
    auto [place, added] = subgraphs.try_emplace(row.subgraph);
    if (added) place->second = parse_subgraph(row.subgraph);
    Outcome outcome = MeasureError{row.failure, "in an earlier run"};
    if (row.latency_us) outcome = Measurement{{*row.latency_us}, *row.latency_us, *row.latency_us, 0, 1, false};
    programs.push_back({place->second, row.knobs, std::move(outcome)});
    rows[row.subgraph].push_back(std::move(row));
  }
  tuning_->add_earlier(programs);
  long answered = 0, tried = 0;
  for (const EarlierSubgraphRow& row : store_->earlier_subgraphs()) {
    tried += row.programs;
    if (!row.answered) continue;
    const size_t i = tuning_->index(row.subgraph);
    Answer answer;
    answer.programs = answer_of(i, rows[row.subgraph]);
    if (answer.programs.empty()) throw InternalError("the answer for " + row.subgraph + " is no program any more");
    answer.best = answer.programs.front();
    const std::string text = tuning_->space(i)->to_text(answer.best);
    for (const EarlierRow& earlier : rows[row.subgraph])
      if (earlier.knobs == text) answer.latency_us = *earlier.latency_us;
    answers_[i] = std::move(answer);
    policy_->tell_answered(i);
    ++answered;
  }
  if (!answers_.empty()) {
    std::map<long, const MeasureJobRow*> again;
    const std::vector<MeasureJobRow> jobs = store_->measure_jobs();
    for (const MeasureJobRow& job : jobs)
      if (job.purpose == MeasurePurpose::remeasure) again[job.id] = &job;
    for (const ProgramRow& row : store_->programs())
      if (const auto job = again.find(row.job); job != again.end()) note_answer(*job->second, row.knobs, row.outcome);
  }
  if (programs.empty()) return;
  std::string text =
      fmt::format("{} earlier programs known, {} tried before of the run's subgraphs", programs.size(), tried);
  if (purpose_ == Purpose::tune)
    text += fmt::format("; {} of {} subgraphs are answered from records", answered, tuning_->count());
  say("records", text);
}

/// Copies what is of use from the library into the store, once.
void SearchRun::choose_earlier(const RecordIdentity& identity) {
  std::vector<EarlierSubgraphRow> subgraphs;
  std::vector<EarlierRow> programs;
  std::string missing;
  size_t answered = 0;
  try {
    if (const std::string why = why_unused(*library_, identity); !why.empty())
      warn("records", library_->path() + ": " + why);
    std::set<std::string> kinds;
    std::set<SubgraphKey> own;
    for (size_t i = 0; i < tuning_->count(); ++i) {
      const SubgraphKey& key = tuning_->key(i);
      own.insert(key);
      kinds.insert(kind_of(key));
      const KnownSubgraph known = library_->known(identity, key);
      const std::vector<EarlierRow> rows = library_->select(
          identity, key, kBest, kOthers, tuning_->space(i)->to_text(tuning_->space(i)->default_program()));
      const double enough = programs_per_subgraph() * (1 - 1e-9);
      const bool answers =
          purpose_ == Purpose::tune && !answer_of(i, rows).empty() &&
          (options_.from_records || std::max(static_cast<double>(known.programs), known.tuned_programs) >= enough);
      answered += answers;
      if (!answers && missing.empty()) missing = key;
      if (known.programs > 0) subgraphs.push_back({key, known.programs, answers});
      programs.insert(programs.end(), rows.begin(), rows.end());
    }
    std::vector<SubgraphKey> foreign = library_->keys(identity);
    std::erase_if(foreign, [&](const SubgraphKey& key) { return own.count(key) || !kinds.count(kind_of(key)); });
    const size_t taken = std::min(foreign.size(), kForeign / kForeignLeast);
    for (size_t j = 0; j < taken; ++j) {
      const SubgraphKey& key = foreign[j * foreign.size() / taken];
      try {
        parse_subgraph(key);
      } catch (const UserError&) {  // of a later SONAR
        continue;
      }
      const size_t each = std::min(kForeignEach, kForeign / taken);
      const std::vector<EarlierRow> rows = library_->select(identity, key, each / 2, each - each / 2);
      programs.insert(programs.end(), rows.begin(), rows.end());
    }
  } catch (const std::exception& error) {
    if (options_.from_records) throw;
    warn("records", std::string(error.what()) + "; the run begins without earlier records");
    subgraphs.clear();
    programs.clear();
  }
  if (options_.from_records && answered < tuning_->count())
    throw UserError(
        fmt::format("--from-records: {} holds no valid program of {} of {} subgraphs, like {}; leave "
                    "--from-records out to tune them",
                    library_->path(), tuning_->count() - answered, tuning_->count(), missing));
  store_->put_earlier(subgraphs, programs);
  store_->put_value("earlier_library", library_->path());
}

/// The programs that an answer may be, best first; empty when no valid one is known. What the program space does not
/// know or forbids is passed over, wherever it came from.
std::vector<Knobs> SearchRun::answer_of(size_t subgraph, const std::vector<EarlierRow>& rows) const {
  const ProgramSpace& space = *tuning_->space(subgraph);
  std::vector<Knobs> result;
  for (const EarlierRow& row : rows) {
    if (!row.latency_us || result.size() + 1 >= kAnswerPrograms) break;  // fastest first
    try {
      Knobs knobs = space.from_text(row.knobs);
      if (space.why_illegal(knobs).empty()) result.push_back(std::move(knobs));
    } catch (const UserError&) {  // another space's
    }
  }
  const Knobs fallback = space.default_program();
  if (!result.empty() && std::find(result.begin(), result.end(), fallback) == result.end()) result.push_back(fallback);
  return result;
}

/// Gives the library what the store has and it has not. Trouble with it costs a warning.
void SearchRun::share_records(bool at_end) {
  if (!library_ || options_.from_records) return;
  if (!at_end && clock_.now() < next_share_s_) return;
  if (!store_->identity()) return;
  next_share_s_ = clock_.now() + kShareEvery;
  // At the end the last program goes out again, with what the run has become meanwhile.
  const std::vector<LibraryRecord> records = store_->records(at_end ? std::max(0L, shared_ - 1) : shared_);
  try {
    for (size_t i = 0; i < records.size(); i += kShareAtOnce) {
      const auto begin = records.begin() + static_cast<long>(i);
      const auto end = records.begin() + static_cast<long>(std::min(records.size(), i + kShareAtOnce));
      library_->append({begin, end});
      shared_ = std::prev(end)->program.arrival;
    }
    if (library_failed_ && !records.empty()) say("records", library_->path() + " is written again");
    if (!records.empty()) library_failed_ = false;
  } catch (const std::exception& error) {
    next_share_s_ = clock_.now() + kRetryEvery;
    if (!library_failed_)
      warn("records",
           std::string(error.what()) + "; the run goes on, its programs are added when the library can be written");
    library_failed_ = true;
  }
}

void SearchRun::note_answer(const MeasureJobRow& job, const Knobs& knobs, const Outcome& outcome) {
  const auto found = answers_.find(tuning_->index(job.subgraph));
  if (found == answers_.end()) return;
  Answer& answer = found->second;
  ++answer.tried;
  const auto* measurement = std::get_if<Measurement>(&outcome);
  if (measurement) {
    answer.best = knobs;
    answer.confirmed = true;
  }
  answer.latency_us = measurement ? measurement->median_us : std::numeric_limits<double>::infinity();
}

/// Measures the best known program of each answered subgraph once more: the fastest of many noisy readings is too fast.
void SearchRun::confirm_answers() {
  for (bool first = true;; first = false) {
    std::vector<MeasureJobRow> jobs;
    for (const auto& [subgraph, answer] : answers_) {
      if (answer.confirmed || answer.tried >= answer.programs.size()) continue;
      MeasureJobRow job;
      job.round = round_.round;
      job.subgraph = tuning_->key(subgraph);
      job.purpose = MeasurePurpose::remeasure;
      job.programs = {answer.programs[answer.tried]};
      job.requested = 1;
      jobs.push_back(std::move(job));
    }
    if (jobs.empty()) return;
    if (first) say("finish", fmt::format("measuring the best known programs of {} subgraphs once more", jobs.size()));
    submit_jobs(std::move(jobs), kAnswerSampling);
    while (measuring()) pump();
  }
}

/// Of `tune`: the budget of each subgraph, on average.
double SearchRun::programs_per_subgraph() const {
  return config_.search.programs > 0 ? config_.search.programs / static_cast<double>(tuning_->count())
                                     : static_cast<double>(config_.search.full_programs);
}

double SearchRun::subgraph_latency_us(size_t subgraph) const {
  const auto answer = answers_.find(subgraph);
  return answer != answers_.end() ? answer->second.latency_us : tuning_->tuner(subgraph).best_latency_us();
}

const Knobs& SearchRun::subgraph_best(size_t subgraph) const {
  const auto answer = answers_.find(subgraph);
  return answer != answers_.end() ? answer->second.best : tuning_->tuner(subgraph).best();
}

}  // namespace sonar
