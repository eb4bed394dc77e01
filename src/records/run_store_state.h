// What run_store.cpp and run_store_programs.cpp share. Private to records/.
#pragma once
#include <limits>
#include <memory>
#include <optional>
#include <string>

#include "records/database.h"
#include "records/run_lock.h"
#include "records/run_store.h"

namespace sonar {

struct RunStore::State {
  std::string folder;
  std::optional<RunLock> lock;  // before the database: released after it is closed
  std::optional<RunDatabase> database;

  /// Runs body(database) with errors translated.
  template <class Body>
  auto with(const Body& body) {
    return guarded(database->path(), [&] { return body(*database); });
  }
  /// The same as one transaction.
  template <class Body>
  void transaction(const Body& body) {
    with([&](RunDatabase& db) {
      SQLite::Transaction transaction(db.connection(), SQLite::TransactionBehavior::IMMEDIATE);
      body(db);
      transaction.commit();
    });
  }
};

inline double real_at(SQLite::Statement& row, int column) {
  const SQLite::Column value = row.getColumn(column);
  return value.isNull() ? std::numeric_limits<double>::quiet_NaN() : value.getDouble();
}
/// For values whose absence is written as a negative number in memory and as NULL in the store.
inline double real_or_absent(SQLite::Statement& row, int column) {
  const SQLite::Column value = row.getColumn(column);
  return value.isNull() ? -1.0 : value.getDouble();
}
inline double absent_to_null(double value) {
  return value < 0 ? std::numeric_limits<double>::quiet_NaN() : value;  // NaN is bound as NULL
}
inline long integer_at(SQLite::Statement& row, int column) { return row.getColumn(column).getInt64(); }
inline std::string text_at(SQLite::Statement& row, int column) { return row.getColumn(column).getString(); }

/// An integer column that must lie in [low, high].
inline long checked_at(SQLite::Statement& row, int column, long low, long high, const RunDatabase& db,
                       const char* where) {
  const long value = integer_at(row, column);
  if (value < low || value > high)
    refuse_value(db.path(), where,
                 std::to_string(value) + " is not in " + std::to_string(low) + ".." + std::to_string(high));
  return value;
}

}  // namespace sonar
