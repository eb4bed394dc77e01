// SQLite as the run store and the record library need it: opening, cached statements, and errors with a remedy. Private
// to records/.
#pragma once
#include <SQLiteCpp/SQLiteCpp.h>

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <unordered_map>

#include "model/error.h"

namespace sonar {

/// One kind of file: what tells it from others, and what to do when it cannot be used.
struct FileFormat {
  const char* name;  // "SONAR run store"
  int64_t application_id;
  int version;          // that is written
  int oldest_readable;  // older versions are refused even for reading
  const char* schema_sql;
  const char* if_foreign;  // what to do with a file of another kind
  const char* if_full;     // and when the disk is full
  int busy_timeout_ms;     // another process writes
  bool check_whole;        // on opening, whether the file is sound; takes time in proportion to its size
};
extern const FileFormat kRunStoreFormat;
extern const FileFormat kRecordLibraryFormat;

/// The format of the SQLite file; nullptr when it is of neither or no SQLite file at all.
const FileFormat* format_of(const std::string& path);

/// Turns what SQLite reports into UserError, EnvironmentError or InternalError, naming the file and the remedy.
[[noreturn]] void rethrow(const SQLite::Exception& error, const std::string& path, const FileFormat& format);

/// A stored value that this version cannot have written.
[[noreturn]] void refuse_value(const std::string& path, const std::string& where, const std::string& what);

class Database {
 public:
  /// Creates the schema in an empty or absent file, unless read_only.
  Database(const std::string& path, bool read_only, const FileFormat& format);

  const std::string& path() const { return path_; }
  const FileFormat& format() const { return format_; }
  /// Schema version of the file: format().version, or an older readable one when it was opened read_only.
  int version() const { return version_; }
  SQLite::Database& connection() { return *connection_; }

  /// Runs one statement. NaN, nullptr and an empty optional are bound as NULL. Returns the number of changed rows.
  template <class... Values>
  int run(const char* sql, const Values&... values) {
    Use use(statement(sql));
    bind(use.statement, values...);
    return use.statement.exec();
  }

  /// Calls visit(statement) for each row.
  template <class Visit, class... Values>
  void each(const char* sql, const Visit& visit, const Values&... values) {
    Use use(statement(sql));
    bind(use.statement, values...);
    while (use.statement.executeStep()) visit(use.statement);
  }

 private:
  /// A statement left in mid-step would keep its transaction open, so it is reset however its use ends.
  struct Use {
    explicit Use(SQLite::Statement& s) : statement(s) {}
    ~Use() { statement.tryReset(); }
    SQLite::Statement& statement;
  };

  template <class... Values>
  static void bind(SQLite::Statement& statement, const Values&... values) {
    int index = 0;
    (bind_one(statement, ++index, values), ...);
  }
  template <class>
  struct is_optional : std::false_type {};
  template <class Value>
  struct is_optional<std::optional<Value>> : std::true_type {};

  template <class Value>
  static void bind_one(SQLite::Statement& statement, int index, const Value& value) {
    if constexpr (is_optional<Value>::value) {
      if (value) return bind_one(statement, index, *value);
      statement.bind(index);
    } else if constexpr (std::is_same_v<Value, std::nullptr_t>)
      statement.bind(index);
    else if constexpr (std::is_integral_v<Value> || std::is_enum_v<Value>)
      statement.bind(index, static_cast<int64_t>(value));
    else
      statement.bind(index, value);
  }

  SQLite::Statement& statement(const char* sql);
  void open_read_only();
  void open_writable();
  void create_schema();
  void check_schema(bool read_only);

  std::string path_;
  const FileFormat& format_;
  int version_ = 0;
  std::unique_ptr<SQLite::Database> connection_;
  std::unordered_map<std::string_view, std::unique_ptr<SQLite::Statement>> statements_;  // keys are string literals
};

/// Runs `body`, with SQLite's exceptions translated.
template <class Body>
auto guarded(const std::string& path, const FileFormat& format, const Body& body) {
  try {
    return body();
  } catch (const SQLite::Exception& error) {
    rethrow(error, path, format);
  }
}

/// The same as one transaction of `db`.
template <class Body>
void in_transaction(Database& db, const Body& body) {
  guarded(db.path(), db.format(), [&] {
    SQLite::Transaction transaction(db.connection(), SQLite::TransactionBehavior::IMMEDIATE);
    body(db);
    transaction.commit();
  });
}

inline double real_at(SQLite::Statement& row, int column) {
  const SQLite::Column value = row.getColumn(column);
  return value.isNull() ? std::numeric_limits<double>::quiet_NaN() : value.getDouble();
}
/// For values whose absence is written as a negative number in memory and as NULL in the store.
inline double real_or_absent(SQLite::Statement& row, int column) {
  const SQLite::Column value = row.getColumn(column);
  return value.isNull() ? -1.0 : value.getDouble();
}
inline long integer_at(SQLite::Statement& row, int column) { return row.getColumn(column).getInt64(); }
inline std::string text_at(SQLite::Statement& row, int column) { return row.getColumn(column).getString(); }

/// An integer column that must lie in [low, high].
inline long checked_at(SQLite::Statement& row, int column, long low, long high, const Database& db, const char* where) {
  const long value = integer_at(row, column);
  if (value < low || value > high)
    refuse_value(db.path(), where,
                 std::to_string(value) + " is not in " + std::to_string(low) + ".." + std::to_string(high));
  return value;
}

}  // namespace sonar
