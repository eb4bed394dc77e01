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
  std::optional<Database> database;

  /// Runs body(database) with errors translated.
  template <class Body>
  auto with(const Body& body) {
    return guarded(database->path(), database->format(), [&] { return body(*database); });
  }
  /// The same as one transaction.
  template <class Body>
  void transaction(const Body& body) {
    in_transaction(*database, body);
  }
};

inline double absent_to_null(double value) {
  return value < 0 ? std::numeric_limits<double>::quiet_NaN() : value;  // NaN is bound as NULL
}
}  // namespace sonar
