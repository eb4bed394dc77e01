#include "records/database.h"

#include <sqlite3.h>

#include <cctype>
#include <filesystem>

#include "schema.h"

namespace sonar {
namespace {

constexpr int64_t kApplicationId = 0x534E4152;
constexpr int kBusyTimeoutMs = 10'000;

std::string file_uri(const std::string& path, const std::string& parameters) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string uri = "file:";
  for (unsigned char c : path) {
    if (std::isalnum(c) || c == '/' || c == '.' || c == '-' || c == '_')
      uri += static_cast<char>(c);
    else
      (uri += '%') += {kHex[c >> 4], kHex[c & 15]};
  }
  return uri + "?" + parameters;
}

int64_t pragma(SQLite::Database& connection, const char* sql) { return connection.execAndGet(sql).getInt64(); }

}  // namespace

void rethrow(const SQLite::Exception& error, const std::string& path) {
  const std::string detail = std::string(" (SQLite: ") + error.what() + ")";
  switch (error.getErrorCode() & 0xff) {
    case SQLITE_FULL:
      throw EnvironmentError(path + " cannot grow: the disk is full" + detail +
                             "; free some space and start again, the run continues where it stopped");
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_CANTOPEN:
    case SQLITE_AUTH:
      throw EnvironmentError(path + " cannot be opened or written" + detail +
                             "; check that its folder exists and that you may write in it");
    case SQLITE_IOERR:
      throw EnvironmentError(path + " cannot be read or written" + detail +
                             "; check the disk, its quota and the file system, then start again");
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      throw EnvironmentError(path + " is held by another program" + detail +
                             "; close it (a sqlite3 shell with an open transaction?) and start again");
    case SQLITE_NOTADB:
      throw UserError(path + " is no SONAR run store" + detail + "; move it away or choose another folder");
    case SQLITE_CORRUPT:
      throw EnvironmentError(path + " is damaged" + detail +
                             "; restore it from a copy, or save what can be read with 'sqlite3 run.db .recover'");
    case SQLITE_NOMEM:
      throw EnvironmentError(path + ": out of memory" + detail);
    default:
      throw InternalError(path + detail);
  }
}

void refuse_value(const std::string& path, const std::string& where, const std::string& what) {
  throw EnvironmentError(path + ": " + where + ": " + what +
                         "; the file is damaged or was changed by hand: restore it from a copy");
}

RunDatabase::RunDatabase(const std::string& path, bool read_only) : path_(path) {
  guarded(path_, [&] {
    if (read_only) {
      open_read_only();
      check_schema(true);
      return;
    }
    connection_ =
        std::make_unique<SQLite::Database>(path_, SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE, kBusyTimeoutMs);
    check_schema(false);
    // WAL lets readers look on while the run writes. NORMAL survives kill -9 without a flush per row; docs/formats.md
    // says what a power cut may cost.
    connection_->exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON;");
    if (pragma(*connection_, "PRAGMA user_version") == 0) create_schema();
    const std::string verdict = connection_->execAndGet("PRAGMA quick_check(1)").getString();
    if (verdict != "ok") throw SQLite::Exception(verdict, SQLITE_CORRUPT);
  });
}

void RunDatabase::open_read_only() {
  try {
    connection_ = std::make_unique<SQLite::Database>(path_, SQLite::OPEN_READONLY, kBusyTimeoutMs);
    pragma(*connection_, "PRAGMA user_version");
    return;
  } catch (const SQLite::Exception& error) {
    // A WAL file needs a shared-memory file beside it, which a read-only folder does not allow. With no log to take
    // into account the database file alone is the whole truth.
    const int code = error.getErrorCode() & 0xff;
    std::error_code ignored;
    const auto log_size = std::filesystem::file_size(path_ + "-wal", ignored);
    if ((code != SQLITE_CANTOPEN && code != SQLITE_READONLY) || (!ignored && log_size > 0)) throw;
  }
  connection_ = std::make_unique<SQLite::Database>(file_uri(path_, "immutable=1"),
                                                   SQLite::OPEN_READONLY | SQLite::OPEN_URI, kBusyTimeoutMs);
}

void RunDatabase::create_schema() {
  SQLite::Transaction transaction(*connection_, SQLite::TransactionBehavior::IMMEDIATE);
  connection_->exec(kSchemaSql);
  transaction.commit();
  // Into the main file at once: whatever happens to the log, the store stays a store.
  connection_->exec("PRAGMA wal_checkpoint(TRUNCATE)");
}

void RunDatabase::check_schema(bool read_only) {
  const int64_t version = pragma(*connection_, "PRAGMA user_version");
  const bool empty = pragma(*connection_, "SELECT count(*) FROM sqlite_master") == 0;
  if (version == 0 && empty) {
    if (read_only) throw UserError(path_ + " holds no run yet");
    return;
  }
  if (pragma(*connection_, "PRAGMA application_id") != kApplicationId)
    throw UserError(path_ + " is an SQLite database, but no SONAR run store; move it away or choose another folder");
  if (version != kSchemaVersion)
    throw UserError(path_ + " has store schema " + std::to_string(version) + ", this SONAR reads and writes schema " +
                    std::to_string(kSchemaVersion) +
                    "; use the SONAR that wrote it, or start a new run in another folder");
}

SQLite::Statement& RunDatabase::statement(const char* sql) {
  auto& slot = statements_[sql];
  if (!slot) slot = std::make_unique<SQLite::Statement>(*connection_, sql);
  return *slot;
}

}  // namespace sonar
