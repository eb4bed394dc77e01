// The rows that arrive by the thousand: validations, measuring jobs and their programs.
#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <iterator>

#include "records/run_store_state.h"

namespace sonar {
namespace {

// Lists are JSON text and no blobs, so that the sqlite3 shell reads them too (json_each). The shapes are so few that a
// JSON library would only cost time: a store of 20,000 programs holds some 400,000 samples.

template <class Number>
void append_list(std::string& text, const std::vector<Number>& values) {
  text += '[';
  for (size_t i = 0; i < values.size(); ++i)
    fmt::format_to(std::back_inserter(text), "{}{}", i ? "," : "", values[i]);  // shortest text that reads back equal
  text += ']';
}

/// Reads "[1,2,3]" from `at`, leaving `at` behind it; false on anything else.
template <class Number>
bool read_list(const char*& at, const char* end, std::vector<Number>& values) {
  if (at == end || *at++ != '[') return false;
  if (at != end && *at == ']') return ++at, true;
  while (at != end) {
    Number value{};
    const auto [next, error] = std::from_chars(at, end, value);
    if (error != std::errc{} || next == end) return false;
    values.push_back(value);
    at = next + 1;
    if (*next == ']') return true;
    if (*next != ',') return false;
  }
  return false;
}

template <class Number>
std::vector<Number> list_at(SQLite::Statement& row, int column, const RunDatabase& db, const char* where) {
  const std::string text = text_at(row, column);
  std::vector<Number> values;
  const char* at = text.data();
  if (!read_list(at, text.data() + text.size(), values) || at != text.data() + text.size())
    refuse_value(db.path(), where, "'" + text.substr(0, 60) + "' is no list of numbers");
  return values;
}

std::string lists_text(const std::vector<Knobs>& lists) {
  std::string text = "[";
  for (size_t i = 0; i < lists.size(); ++i) {
    if (i) text += ',';
    append_list(text, lists[i]);
  }
  return text + "]";
}

std::vector<Knobs> lists_at(SQLite::Statement& row, int column, const RunDatabase& db, const char* where) {
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

constexpr long kLastError = static_cast<long>(MeasureErrorKind::wrong_answer);

long insert_measure_job(RunDatabase& db, const MeasureJobRow& job) {
  db.run("INSERT INTO measure_job (round, subgraph, purpose, requested, programs, finished) VALUES (?, ?, ?, ?, ?, ?)",
         job.round, job.subgraph, job.purpose, job.requested, lists_text(job.programs), job.finished);
  return db.connection().getLastInsertRowid();
}

}  // namespace

void RunStore::put_train_point(const TrainPoint& point, int round, double elapsed_s) {
  state_->with([&](RunDatabase& db) {
    db.run(
        "INSERT INTO train_point (network, step, val_accuracy, train_loss, seconds, val_images, round, elapsed_s) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (network, step) DO NOTHING",
        point.network, point.step, point.val_accuracy, point.train_loss, point.seconds, point.val_images, round,
        elapsed_s);
  });
}

std::vector<RunStore::TimedTrainPoint> RunStore::train_points() const {
  return state_->with([](RunDatabase& db) {
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
  return state_->with([&](RunDatabase& db) { return insert_measure_job(db, job); });
}

void RunStore::put_measure_jobs(std::vector<MeasureJobRow>& jobs) {
  state_->transaction([&](RunDatabase& db) {
    for (MeasureJobRow& job : jobs) job.id = insert_measure_job(db, job);
  });
}

void RunStore::finish_measure_job(long id) {
  state_->with([&](RunDatabase& db) {
    if (db.run("UPDATE measure_job SET finished = 1 WHERE id = ?", id) != 1)
      throw InternalError("measuring job " + std::to_string(id) + " does not exist in " + db.path());
  });
}

std::vector<MeasureJobRow> RunStore::measure_jobs() const {
  return state_->with([](RunDatabase& db) {
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
  constexpr auto sql =
      "INSERT INTO program (job, position, subgraph, knobs, knobs_text, outcome, message, samples_us, median_us, "
      "minimum_us, spread, runs, stopped_early, compile_s, elapsed_s) "
      "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (job, position) DO NOTHING";
  state_->with([&](RunDatabase& db) {
    if (const auto* failure = std::get_if<MeasureError>(&program.outcome)) {
      db.run(sql, program.job, program.index, program.subgraph, knobs, program.knobs_text, failure->kind,
             failure->message, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, program.compile_s,
             program.elapsed_s);
      return;
    }
    const auto& measured = std::get<Measurement>(program.outcome);
    for (double sample : measured.samples_us)
      if (!std::isfinite(sample))
        throw InternalError("a sample of " + program.subgraph + " is not finite; a failed measurement is no number");
    std::string samples;
    append_list(samples, measured.samples_us);
    db.run(sql, program.job, program.index, program.subgraph, knobs, program.knobs_text, 0, nullptr, samples,
           measured.median_us, measured.minimum_us, measured.spread, measured.runs, measured.stopped_early,
           program.compile_s, program.elapsed_s);
  });
}

std::vector<ProgramRow> RunStore::programs() const {
  return state_->with([](RunDatabase& db) {
    std::vector<ProgramRow> result;
    db.each(
        "SELECT job, position, subgraph, knobs, knobs_text, outcome, message, samples_us, median_us, minimum_us, "
        "spread, runs, stopped_early, compile_s, elapsed_s FROM program ORDER BY arrival",
        [&](SQLite::Statement& row) {
          ProgramRow program;
          program.job = integer_at(row, 0);
          program.index = static_cast<int>(integer_at(row, 1));
          program.subgraph = text_at(row, 2);
          program.knobs = list_at<int>(row, 3, db, "program.knobs");
          program.knobs_text = text_at(row, 4);
          const long outcome = checked_at(row, 5, 0, kLastError, db, "program.outcome");
          if (outcome != 0) {
            program.outcome = MeasureError{static_cast<MeasureErrorKind>(outcome), text_at(row, 6)};
          } else {
            Measurement measured;
            measured.samples_us = list_at<double>(row, 7, db, "program.samples_us");
            measured.median_us = real_at(row, 8);
            measured.minimum_us = real_at(row, 9);
            measured.spread = real_at(row, 10);
            measured.runs = integer_at(row, 11);
            measured.stopped_early = checked_at(row, 12, 0, 1, db, "program.stopped_early") != 0;
            program.outcome = std::move(measured);
          }
          program.compile_s = real_at(row, 13);
          program.elapsed_s = real_at(row, 14);
          result.push_back(std::move(program));
        });
    return result;
  });
}

std::vector<FailureCount> RunStore::failures() const {
  return state_->with([](RunDatabase& db) {
    std::vector<FailureCount> result;
    // SQLite takes the bare columns from the row that min() picks.
    db.each(
        "SELECT outcome, count(*), message, subgraph, min(arrival) FROM program WHERE outcome <> 0 GROUP BY outcome "
        "ORDER BY count(*) DESC, outcome",
        [&](SQLite::Statement& row) {
          const long kind = checked_at(row, 0, 1, kLastError, db, "program.outcome");
          result.push_back({static_cast<MeasureErrorKind>(kind), integer_at(row, 1), text_at(row, 2), text_at(row, 3)});
        });
    return result;
  });
}

}  // namespace sonar
