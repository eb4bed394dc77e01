// The rows that arrive by the thousand: validations, measuring jobs and their programs.
#include <chrono>

#include "records/number_list.h"
#include "records/outcome_columns.h"
#include "records/run_store_state.h"

namespace sonar {
namespace {

std::string lists_text(const std::vector<Knobs>& lists) {
  std::string text = "[";
  for (size_t i = 0; i < lists.size(); ++i) {
    if (i) text += ',';
    append_list(text, lists[i]);
  }
  return text + "]";
}

std::vector<Knobs> lists_at(SQLite::Statement& row, int column, const Database& db, const char* where) {
  const std::string text = text_at(row, column);
  const char* at = text.data();
  const char* const end = at + text.size();
  std::vector<Knobs> lists;
  auto well_formed = [&] {
    if (text == "[]") return true;
    if (at == end || *at++ != '[') return false;
    while (at != end) {
      if (!read_list(at, end, lists.emplace_back()) || at == end) return false;
      const char separator = *at++;
      if (separator == ']') return at == end;
      if (separator != ',') return false;
    }
    return false;
  };
  if (!well_formed()) refuse_value(db.path(), where, "'" + text.substr(0, 60) + "' is no list of lists");
  return lists;
}

long insert_measure_job(Database& db, const MeasureJobRow& job) {
  db.run("INSERT INTO measure_job (round, subgraph, purpose, requested, programs, finished) VALUES (?, ?, ?, ?, ?, ?)",
         job.round, job.subgraph, job.purpose, job.requested, lists_text(job.programs), job.finished);
  return db.connection().getLastInsertRowid();
}

}  // namespace

void RunStore::put_train_point(const TrainPoint& point, int round, double elapsed_s) {
  state_->with([&](Database& db) {
    db.run(
        "INSERT INTO train_point (network, step, val_accuracy, train_loss, seconds, val_images, round, elapsed_s) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (network, step) DO NOTHING",
        point.network, point.step, point.val_accuracy, point.train_loss, point.seconds, point.val_images, round,
        elapsed_s);
  });
}

std::vector<RunStore::TimedTrainPoint> RunStore::train_points() const {
  return state_->with([](Database& db) {
    std::vector<TimedTrainPoint> result;
    db.each(
        "SELECT network, step, val_accuracy, train_loss, seconds, val_images, round, elapsed_s FROM train_point "
        "ORDER BY arrival",
        [&](SQLite::Statement& row) {
          TimedTrainPoint timed;
          timed.point = {text_at(row, 0), integer_at(row, 1), real_at(row, 2),
                         real_at(row, 3), real_at(row, 4),    static_cast<int>(integer_at(row, 5))};
          timed.round = static_cast<int>(integer_at(row, 6));
          timed.elapsed_s = real_at(row, 7);
          result.push_back(std::move(timed));
        });
    return result;
  });
}

long RunStore::put_measure_job(const MeasureJobRow& job) {
  return state_->with([&](Database& db) { return insert_measure_job(db, job); });
}

void RunStore::put_measure_jobs(std::vector<MeasureJobRow>& jobs) {
  state_->transaction([&](Database& db) {
    for (MeasureJobRow& job : jobs) job.id = insert_measure_job(db, job);
  });
}

void RunStore::finish_measure_job(long id) {
  state_->with([&](Database& db) {
    if (db.run("UPDATE measure_job SET finished = 1 WHERE id = ?", id) != 1)
      throw InternalError("measuring job " + std::to_string(id) + " does not exist in " + db.path());
  });
}

std::vector<MeasureJobRow> RunStore::measure_jobs() const {
  return state_->with([](Database& db) {
    std::vector<MeasureJobRow> result;
    db.each("SELECT id, round, subgraph, purpose, requested, programs, finished FROM measure_job ORDER BY id",
            [&](SQLite::Statement& row) {
              MeasureJobRow job;
              job.id = integer_at(row, 0);
              job.round = static_cast<int>(integer_at(row, 1));
              job.subgraph = text_at(row, 2);
              job.purpose = static_cast<MeasurePurpose>(checked_at(row, 3, 1, 3, db, "measure_job.purpose"));
              job.requested = static_cast<int>(integer_at(row, 4));
              job.programs = lists_at(row, 5, db, "measure_job.programs");
              job.finished = checked_at(row, 6, 0, 1, db, "measure_job.finished") != 0;
              result.push_back(std::move(job));
            });
    return result;
  });
}

void RunStore::put_program(const ProgramRow& program) {
  std::string knobs;
  append_list(knobs, program.knobs);
  const OutcomeColumns outcome(program.outcome, program.subgraph);
  const double measured_at =
      program.measured_at > 0
          ? program.measured_at
          : std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  state_->with([&](Database& db) {
    db.run(
        "INSERT INTO program (job, position, subgraph, knobs, knobs_text, outcome, message, samples_us, median_us, "
        "minimum_us, spread, runs, stopped_early, compile_s, elapsed_s, measured_at) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (job, position) DO NOTHING",
        program.job, program.index, program.subgraph, knobs, program.knobs_text, outcome.outcome, outcome.message,
        outcome.samples_us, outcome.median_us, outcome.minimum_us, outcome.spread, outcome.runs, outcome.stopped_early,
        program.compile_s, program.elapsed_s, measured_at);
  });
}

std::vector<ProgramRow> RunStore::programs(long after) const {
  return state_->with([&](Database& db) {
    std::vector<ProgramRow> result;
    const auto visit = [&](SQLite::Statement& row) {
      ProgramRow program;
      program.job = integer_at(row, 0);
      program.index = static_cast<int>(integer_at(row, 1));
      program.subgraph = text_at(row, 2);
      program.knobs = list_at<int>(row, 3, db, "program.knobs");
      program.knobs_text = text_at(row, 4);
      program.outcome = outcome_at(row, 5, db, "program");
      program.compile_s = real_at(row, 13);
      program.elapsed_s = real_at(row, 14);
      program.arrival = integer_at(row, 15);
      program.measured_at = real_or_absent(row, 16);
      result.push_back(std::move(program));
    };
    if (db.version() == 1)
      db.each(
          "SELECT job, position, subgraph, knobs, knobs_text, outcome, message, samples_us, median_us, minimum_us, "
          "spread, runs, stopped_early, compile_s, elapsed_s, arrival, NULL FROM program WHERE arrival > ? "
          "ORDER BY arrival",
          visit, after);
    else
      db.each(
          "SELECT job, position, subgraph, knobs, knobs_text, outcome, message, samples_us, median_us, minimum_us, "
          "spread, runs, stopped_early, compile_s, elapsed_s, arrival, measured_at FROM program WHERE arrival > ? "
          "ORDER BY arrival",
          visit, after);
    return result;
  });
}

std::vector<FailureCount> RunStore::failures() const {
  return state_->with([](Database& db) {
    std::vector<FailureCount> result;
    // SQLite takes the bare columns from the row that min() picks.
    db.each(
        "SELECT outcome, count(*), message, subgraph, min(arrival) FROM program WHERE outcome <> 0 GROUP BY outcome "
        "ORDER BY count(*) DESC, outcome",
        [&](SQLite::Statement& row) {
          const long kind = checked_at(row, 0, 1, kLastMeasureError, db, "program.outcome");
          result.push_back({static_cast<MeasureErrorKind>(kind), integer_at(row, 1), text_at(row, 2), text_at(row, 3)});
        });
    return result;
  });
}

}  // namespace sonar
