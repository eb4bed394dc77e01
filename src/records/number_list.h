// Lists of numbers as JSON text. Private to records/.
#pragma once
#include <fmt/format.h>

#include <charconv>
#include <iterator>
#include <string>
#include <vector>

#include "records/database.h"

namespace sonar {

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
std::vector<Number> list_at(SQLite::Statement& row, int column, const Database& db, const char* where) {
  const std::string text = text_at(row, column);
  std::vector<Number> values;
  const char* at = text.data();
  if (!read_list(at, text.data() + text.size(), values) || at != text.data() + text.size())
    refuse_value(db.path(), where, "'" + text.substr(0, 60) + "' is no list of numbers");
  return values;
}

}  // namespace sonar
