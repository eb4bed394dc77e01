#include "records/record_library.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "records/database.h"
#include "records/outcome_columns.h"

namespace sonar {
namespace {

constexpr long kUnreachable = static_cast<long>(MeasureErrorKind::device_unreachable);

/// The latest outcome of each program: SQLite takes the bare columns from the row that max() picks.
constexpr auto kLatest =
    "SELECT knobs_text, outcome, median_us, max(measured_at), count(*) FROM record WHERE identity = ? AND subgraph = ? "
    "AND outcome <> ? GROUP BY knobs_text";

}  // namespace

RecordFile record_file_kind(const std::string& path) {
  const FileFormat* format = format_of(path);
  return format == &kRecordLibraryFormat ? RecordFile::library
         : format == &kRunStoreFormat    ? RecordFile::run_store
                                         : RecordFile::other;
}

struct RecordLibrary::State {
  Database database;

  State(const std::string& path, bool read_only) : database(path, read_only, kRecordLibraryFormat) {}

  template <class Body>
  auto with(const Body& body) {
    return guarded(database.path(), database.format(), [&] { return body(database); });
  }

  static long identity_of(Database& db, const RecordIdentity& identity) {
    long id = -1;
    db.each(
        "SELECT id FROM identity WHERE target = ? AND device = ? AND compiler = ? AND program_space = ? AND protocol = "
        "? AND threads = ?",
        [&](SQLite::Statement& row) { id = integer_at(row, 0); }, identity.target, identity.device, identity.compiler,
        identity.program_space, identity.protocol, identity.threads);
    return id;
  }

  static long put_identity(Database& db, const RecordIdentity& identity) {
    db.run(
        "INSERT INTO identity (target, device, compiler, program_space, protocol, threads) VALUES (?, ?, ?, ?, ?, ?) "
        "ON CONFLICT DO NOTHING",
        identity.target, identity.device, identity.compiler, identity.program_space, identity.protocol,
        identity.threads);
    return identity_of(db, identity);
  }

  static long put_run(Database& db, const RecordOrigin& origin) {
    const std::optional<double> tuned =
        origin.tuned_programs >= 0 ? std::optional(origin.tuned_programs) : std::nullopt;
    db.run(
        "INSERT INTO run (name, verb, tuned_programs) VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE SET tuned_programs "
        "= coalesce(max(tuned_programs, excluded.tuned_programs), tuned_programs, excluded.tuned_programs)",
        origin.run, origin.verb, tuned);
    long id = -1;
    db.each(
        "SELECT id FROM run WHERE name = ?", [&](SQLite::Statement& row) { id = integer_at(row, 0); }, origin.run);
    return id;
  }
};

RecordLibrary::RecordLibrary(const std::string& path, Mode mode) {
  std::error_code error;
  if (mode == Mode::read_only) {
    if (!std::filesystem::exists(path, error))
      throw UserError(path +
                      ": there is no such file; 'search.records' of a configuration names a record library, "
                      "which the first run makes");
  } else if (const auto folder = std::filesystem::path(path).parent_path(); !folder.empty()) {
    std::filesystem::create_directories(folder, error);
    if (error)
      throw EnvironmentError(folder.string() + " cannot be made (" + error.message() +
                             "); choose a path that you may write");
  }
  if (std::filesystem::is_directory(path, error))
    throw UserError(path + " is a folder, but no " + kRecordLibraryFormat.name + "; name a file");
  if (record_file_kind(path) == RecordFile::run_store)
    throw UserError(path + " is a " + kRunStoreFormat.name + ", but no " + kRecordLibraryFormat.name +
                    "; choose another path; 'sonar records import LIBRARY RUN' copies a run's records into a library");
  state_ = std::make_unique<State>(path, mode == Mode::read_only);
}

RecordLibrary::~RecordLibrary() = default;
RecordLibrary::RecordLibrary(RecordLibrary&&) noexcept = default;

const std::string& RecordLibrary::path() const { return state_->database.path(); }

long RecordLibrary::append(const std::vector<LibraryRecord>& records) {
  if (records.empty()) return 0;
  long added = 0;
  in_transaction(state_->database, [&](Database& db) {
    const LibraryRecord* last = nullptr;
    long identity = -1, run = -1;
    for (const LibraryRecord& record : records) {
      if (!last || !(last->identity == record.identity)) identity = State::put_identity(db, record.identity);
      if (!last || !(last->origin == record.origin)) run = State::put_run(db, record.origin);
      last = &record;
      const ProgramRow& program = record.program;
      const OutcomeColumns outcome(program.outcome, program.subgraph);
      added += db.run(
          "INSERT INTO record (identity, run, run_arrival, measured_at, purpose, subgraph, knobs_text, outcome, "
          "message, samples_us, median_us, minimum_us, spread, runs, stopped_early, compile_s) "
          "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
          identity, run, program.arrival, program.measured_at, record.purpose, program.subgraph, program.knobs_text,
          outcome.outcome, outcome.message, outcome.samples_us, outcome.median_us, outcome.minimum_us, outcome.spread,
          outcome.runs, outcome.stopped_early, program.compile_s);
    }
  });
  return added;
}

void RecordLibrary::each(const std::function<void(const LibraryRecord&)>& visit) const {
  state_->with([&](Database& db) {
    db.each(
        "SELECT target, device, compiler, program_space, protocol, threads, name, verb, tuned_programs, purpose, "
        "run_arrival, measured_at, subgraph, knobs_text, outcome, message, samples_us, median_us, minimum_us, spread, "
        "runs, stopped_early, compile_s FROM record JOIN identity ON identity.id = identity JOIN run ON run.id = run "
        "ORDER BY arrival",
        [&](SQLite::Statement& row) {
          LibraryRecord record;
          record.identity = {text_at(row, 0),
                             text_at(row, 1),
                             text_at(row, 2),
                             static_cast<int>(integer_at(row, 3)),
                             static_cast<int>(integer_at(row, 4)),
                             static_cast<int>(integer_at(row, 5))};
          record.origin = {text_at(row, 6), text_at(row, 7), real_or_absent(row, 8)};
          record.purpose = static_cast<MeasurePurpose>(checked_at(row, 9, 1, 3, db, "record.purpose"));
          record.program.arrival = integer_at(row, 10);
          record.program.measured_at = real_at(row, 11);
          record.program.subgraph = text_at(row, 12);
          record.program.knobs_text = text_at(row, 13);
          record.program.outcome = outcome_at(row, 14, db, "record");
          record.program.compile_s = real_at(row, 22);
          visit(record);
        });
  });
}

std::vector<RecordLibrary::IdentityCount> RecordLibrary::identities() const {
  return state_->with([](Database& db) {
    std::vector<IdentityCount> result;
    db.each(
        "SELECT target, device, compiler, program_space, protocol, threads, count(*), count(DISTINCT run) FROM record "
        "JOIN identity ON identity.id = identity GROUP BY identity ORDER BY count(*) DESC, identity",
        [&](SQLite::Statement& row) {
          result.push_back({{text_at(row, 0), text_at(row, 1), text_at(row, 2), static_cast<int>(integer_at(row, 3)),
                             static_cast<int>(integer_at(row, 4)), static_cast<int>(integer_at(row, 5))},
                            integer_at(row, 6),
                            integer_at(row, 7)});
        });
    return result;
  });
}

long RecordLibrary::records(const RecordIdentity& identity) const {
  return state_->with([&](Database& db) {
    long count = 0;
    db.each(
        "SELECT count(*) FROM record WHERE identity = ?", [&](SQLite::Statement& row) { count = integer_at(row, 0); },
        State::identity_of(db, identity));
    return count;
  });
}

std::vector<SubgraphKey> RecordLibrary::keys(const RecordIdentity& identity) const {
  return state_->with([&](Database& db) {
    std::vector<SubgraphKey> result;
    db.each(
        "SELECT DISTINCT subgraph FROM record WHERE identity = ? ORDER BY subgraph",
        [&](SQLite::Statement& row) { result.push_back(text_at(row, 0)); }, State::identity_of(db, identity));
    return result;
  });
}

std::vector<KnownSubgraph> RecordLibrary::subgraphs(const RecordIdentity& identity) const {
  std::vector<KnownSubgraph> result;
  for (const SubgraphKey& key : keys(identity)) result.push_back(known(identity, key));
  return result;
}

KnownSubgraph RecordLibrary::known(const RecordIdentity& identity, const SubgraphKey& subgraph) const {
  return state_->with([&](Database& db) {
    KnownSubgraph known;
    known.subgraph = subgraph;
    const long id = State::identity_of(db, identity);
    db.each(
        kLatest,
        [&](SQLite::Statement& row) {
          ++known.programs;
          known.records += integer_at(row, 4);
          if (integer_at(row, 1) != 0) {
            ++known.failed;
          } else if (const double us = real_at(row, 2); us > 0 && (known.best_us < 0 || us < known.best_us)) {
            known.best_us = us;
            known.best = text_at(row, 0);
          }
        },
        id, subgraph, kUnreachable);
    db.each(
        "SELECT max(tuned_programs) FROM run WHERE id IN (SELECT run FROM record WHERE identity = ? AND subgraph = ? "
        "AND purpose <> ?)",
        [&](SQLite::Statement& row) { known.tuned_programs = std::max(0.0, real_or_absent(row, 0)); }, id, subgraph,
        MeasurePurpose::remeasure);
    return known;
  });
}

std::vector<EarlierRow> RecordLibrary::select(const RecordIdentity& identity, const SubgraphKey& subgraph, size_t best,
                                              size_t others, const std::string& default_program) const {
  return state_->with([&](Database& db) {
    std::vector<EarlierRow> all;
    db.each(
        kLatest,
        [&](SQLite::Statement& row) {
          EarlierRow earlier{subgraph, text_at(row, 0), std::nullopt, false};
          earlier.default_program = earlier.knobs == default_program;
          const long outcome = checked_at(row, 1, 0, kLastMeasureError, db, "record.outcome");
          if (outcome != 0)
            earlier.failure = static_cast<MeasureErrorKind>(outcome);
          else if (const double us = real_at(row, 2); us > 0)
            earlier.latency_us = us;
          else
            return;  // a latency that is none
          all.push_back(std::move(earlier));
        },
        State::identity_of(db, identity), subgraph, kUnreachable);
    std::sort(all.begin(), all.end(), [](const EarlierRow& a, const EarlierRow& b) {
      if (a.latency_us.has_value() != b.latency_us.has_value()) return a.latency_us.has_value();
      return a.latency_us != b.latency_us ? a.latency_us < b.latency_us : a.knobs < b.knobs;
    });
    if (all.size() <= best + others) return all;
    std::vector<EarlierRow> result(all.begin(), all.begin() + static_cast<long>(best));
    size_t taken = 0;  // of the others
    for (size_t i = best; i < all.size(); ++i) {
      // The j-th of the others is at rank j x rest / others.
      const bool its_turn = taken < others && (i - best) * others >= taken * (all.size() - best);
      taken += its_turn;
      if (its_turn || all[i].default_program) result.push_back(all[i]);
    }
    return result;
  });
}

std::vector<FailureCount> RecordLibrary::failures(const RecordIdentity& identity) const {
  return state_->with([&](Database& db) {
    std::vector<FailureCount> result;
    db.each(
        "SELECT outcome, count(*), message, subgraph, min(arrival) FROM record WHERE identity = ? AND outcome <> 0 "
        "GROUP BY outcome ORDER BY count(*) DESC, outcome",
        [&](SQLite::Statement& row) {
          const long kind = checked_at(row, 0, 1, kLastMeasureError, db, "record.outcome");
          result.push_back({static_cast<MeasureErrorKind>(kind), integer_at(row, 1), text_at(row, 2), text_at(row, 3)});
        },
        State::identity_of(db, identity));
    return result;
  });
}

std::string why_unused(const RecordLibrary& library, const RecordIdentity& wanted) {
  std::vector<IdentityDifference> least;
  for (const RecordLibrary::IdentityCount& there : library.identities()) {
    std::vector<IdentityDifference> now = differences(there.identity, wanted);
    if (now.empty()) return "";
    if (least.empty() || now.size() < least.size()) least = std::move(now);
  }
  std::string text;
  for (const auto& [what, theirs, ours] : least) {
    // A compiler names itself; a bare number does not.
    const std::string name = what == "compiler" ? "" : what + " ";
    text += fmt::format("{}records of {}{} are not used by {}{}", text.empty() ? "" : "; ", name, theirs, name, ours);
  }
  return text;
}

}  // namespace sonar
