#include "records/outcome_columns.h"

#include <cmath>

#include "records/number_list.h"

namespace sonar {

OutcomeColumns::OutcomeColumns(const Outcome& from, const std::string& subgraph) {
  if (const auto* failure = std::get_if<MeasureError>(&from)) {
    outcome = static_cast<long>(failure->kind);
    message = failure->message;
    return;
  }
  const auto& measured = std::get<Measurement>(from);
  for (double sample : measured.samples_us)
    if (!std::isfinite(sample))
      throw InternalError("a sample of " + subgraph + " is not finite; a failed measurement is no number");
  append_list(samples_us.emplace(), measured.samples_us);
  median_us = measured.median_us;
  minimum_us = measured.minimum_us;
  spread = measured.spread;
  runs = measured.runs;
  stopped_early = measured.stopped_early;
}

Outcome outcome_at(SQLite::Statement& row, int first, const Database& db, const std::string& table) {
  const long outcome = checked_at(row, first, 0, kLastMeasureError, db, (table + ".outcome").c_str());
  if (outcome != 0) return MeasureError{static_cast<MeasureErrorKind>(outcome), text_at(row, first + 1)};
  Measurement measured;
  measured.samples_us = list_at<double>(row, first + 2, db, (table + ".samples_us").c_str());
  measured.median_us = real_at(row, first + 3);
  measured.minimum_us = real_at(row, first + 4);
  measured.spread = real_at(row, first + 5);
  measured.runs = integer_at(row, first + 6);
  measured.stopped_early = checked_at(row, first + 7, 0, 1, db, (table + ".stopped_early").c_str()) != 0;
  return measured;
}

}  // namespace sonar
