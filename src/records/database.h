// SQLite as the run store needs it: opening, cached statements, and errors with a remedy. Private to records/.
#pragma once
#include <SQLiteCpp/SQLiteCpp.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <unordered_map>

#include "model/error.h"

namespace sonar {

inline constexpr int kSchemaVersion = 1;

/// Turns what SQLite reports into UserError, EnvironmentError or InternalError, naming the file and the remedy.
[[noreturn]] void rethrow(const SQLite::Exception& error, const std::string& path);

/// A stored value that this version cannot have written.
[[noreturn]] void refuse_value(const std::string& path, const std::string& where, const std::string& what);

class RunDatabase {
 public:
  /// Creates the schema in an empty or absent file, unless read_only.
  RunDatabase(const std::string& path, bool read_only);

  const std::string& path() const { return path_; }
  SQLite::Database& connection() { return *connection_; }

  /// Runs one statement. NaN and nullptr are bound as NULL. Returns the number of changed rows.
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
  template <class Value>
  static void bind_one(SQLite::Statement& statement, int index, const Value& value) {
    if constexpr (std::is_same_v<Value, std::nullptr_t>)
      statement.bind(index);
    else if constexpr (std::is_integral_v<Value> || std::is_enum_v<Value>)
      statement.bind(index, static_cast<int64_t>(value));
    else
      statement.bind(index, value);
  }

  SQLite::Statement& statement(const char* sql);
  void open_read_only();
  void create_schema();
  void check_schema(bool read_only);

  std::string path_;
  std::unique_ptr<SQLite::Database> connection_;
  std::unordered_map<std::string_view, std::unique_ptr<SQLite::Statement>> statements_;  // keys are string literals
};

/// Runs `body`, with SQLite's exceptions translated.
template <class Body>
auto guarded(const std::string& path, const Body& body) {
  try {
    return body();
  } catch (const SQLite::Exception& error) {
    rethrow(error, path);
  }
}

}  // namespace sonar
