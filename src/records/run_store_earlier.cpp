// What a run takes from the record library, and what it gives to it.
#include <fmt/format.h>

#include <random>
#include <unordered_map>

#include "records/outcome_columns.h"
#include "records/run_store_state.h"

namespace sonar {
namespace {

constexpr auto kEarlier = "earlier", kRunId = "run_id";

}  // namespace

void RunStore::put_earlier(const std::vector<EarlierSubgraphRow>& subgraphs, const std::vector<EarlierRow>& programs) {
  state_->transaction([&](Database& db) {
    db.run("INSERT INTO value (name, value) VALUES (?, ?)", kEarlier, std::to_string(programs.size()));
    for (const EarlierSubgraphRow& row : subgraphs)
      db.run("INSERT INTO earlier_subgraph (subgraph, programs, answered) VALUES (?, ?, ?)", row.subgraph, row.programs,
             row.answered);
    for (const EarlierRow& row : programs)
      db.run("INSERT INTO earlier (subgraph, knobs_text, latency_us, default_program, outcome) VALUES (?, ?, ?, ?, ?)",
             row.subgraph, row.knobs, row.latency_us, row.default_program,
             row.latency_us ? 0L : static_cast<long>(row.failure));
  });
}

bool RunStore::has_earlier() const { return value(kEarlier).has_value(); }

std::vector<EarlierRow> RunStore::earlier() const {
  return state_->with([](Database& db) {
    std::vector<EarlierRow> result;
    if (db.version() == 1) return result;
    db.each("SELECT subgraph, knobs_text, latency_us, default_program, outcome FROM earlier ORDER BY position",
            [&](SQLite::Statement& row) {
              EarlierRow earlier{text_at(row, 0), text_at(row, 1), std::nullopt, integer_at(row, 3) != 0};
              const long outcome = checked_at(row, 4, 0, kLastMeasureError, db, "earlier.outcome");
              if (outcome == 0)
                earlier.latency_us = real_at(row, 2);
              else
                earlier.failure = static_cast<MeasureErrorKind>(outcome);
              result.push_back(std::move(earlier));
            });
    return result;
  });
}

std::vector<EarlierSubgraphRow> RunStore::earlier_subgraphs() const {
  return state_->with([](Database& db) {
    std::vector<EarlierSubgraphRow> result;
    if (db.version() == 1) return result;
    db.each("SELECT subgraph, programs, answered FROM earlier_subgraph", [&](SQLite::Statement& row) {
      result.push_back({text_at(row, 0), integer_at(row, 1), integer_at(row, 2) != 0});
    });
    return result;
  });
}

std::vector<LibraryRecord> RunStore::records(long after) const {
  const std::optional<RecordIdentity> known = identity();
  if (!known) throw UserError(folder() + " holds no records: it has measured no program yet");
  const std::optional<std::string> run = value(kRunId);
  if (!run)
    throw UserError(folder() + " was written by an older SONAR and does not say when its programs were measured; " +
                    "its records cannot be shared");
  std::vector<ProgramRow> rows = programs(after);
  if (rows.empty()) return {};
  LibraryRecord record;
  record.identity = *known;
  record.origin.run = *run;
  for (const auto& [key, value] : configuration())
    if (key == "verb") record.origin.verb = value.substr(0, value.find(' '));
  if (const auto tuned = value(kTunedPrograms)) record.origin.tuned_programs = std::stod(*tuned);
  std::unordered_map<long, MeasurePurpose> purposes;
  state_->with([&](Database& db) {
    db.each("SELECT id, purpose FROM measure_job", [&](SQLite::Statement& row) {
      purposes.emplace(integer_at(row, 0),
                       static_cast<MeasurePurpose>(checked_at(row, 1, 1, 3, db, "measure_job.purpose")));
    });
  });
  std::vector<LibraryRecord> result;
  for (ProgramRow& program : rows) {
    record.purpose = purposes.at(program.job);
    record.program = std::move(program);
    result.push_back(record);
  }
  return result;
}

void RunStore::choose_id() {
  if (value(kRunId)) return;
  std::random_device device;
  put_value(kRunId, fmt::format("{:08x}{:08x}{:08x}{:08x}", device(), device(), device(), device()));
}

}  // namespace sonar
