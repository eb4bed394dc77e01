// How an outcome stands in a row: eight columns, the same in the run store and in the record library. Private to
// records/.
#pragma once
#include <optional>
#include <string>

#include "model/measurement.h"
#include "records/database.h"

namespace sonar {

inline constexpr long kLastMeasureError = static_cast<long>(kLastMeasureErrorKind);

/// In the order of the columns; absent is NULL.
struct OutcomeColumns {
  /// Throws InternalError naming `subgraph` when a sample is not finite.
  OutcomeColumns(const Outcome& from, const std::string& subgraph);
  long outcome = 0;  // 0 measured; else the MeasureErrorKind
  std::optional<std::string> message, samples_us;
  std::optional<double> median_us, minimum_us, spread;
  std::optional<long> runs, stopped_early;
};

/// Reads them back, from column `first` on; `table` is named when a value cannot be.
Outcome outcome_at(SQLite::Statement& row, int first, const Database& db, const std::string& table);

}  // namespace sonar
