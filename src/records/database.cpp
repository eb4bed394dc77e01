#include "records/database.h"

#include <sqlite3.h>

#include <cctype>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <thread>

#include "schema.h"

namespace sonar {
namespace {

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

const FileFormat kRunStoreFormat{"SONAR run store",
                                 0x534E4152,
                                 2,
                                 1,
                                 kSchemaSql,
                                 "move it away or choose another folder",
                                 "free some space and start again, the run continues where it stopped",
                                 10'000,
                                 true};
const FileFormat kRecordLibraryFormat{"SONAR record library",
                                      0x534E4C42,
                                      1,
                                      1,
                                      kLibrarySql,
                                      "move it away or choose another path",
                                      "free some space; what is missing is added when the run continues or is imported",
                                      3'000,
                                      false};

const FileFormat* format_of(const std::string& path) {
  // Bytes 68 to 71 of an SQLite file are its application id, most significant first.
  unsigned char header[72];
  std::ifstream file(path, std::ios::binary);
  if (!file.read(reinterpret_cast<char*>(header), sizeof header) ||
      std::string_view(reinterpret_cast<char*>(header), 15) != "SQLite format 3")
    return nullptr;
  const int64_t id = int64_t{header[68]} << 24 | header[69] << 16 | header[70] << 8 | header[71];
  for (const FileFormat* format : {&kRunStoreFormat, &kRecordLibraryFormat})
    if (format->application_id == id) return format;
  return nullptr;
}

void rethrow(const SQLite::Exception& error, const std::string& path, const FileFormat& format) {
  const std::string detail = std::string(" (SQLite: ") + error.what() + ")";
  switch (error.getErrorCode() & 0xff) {
    case SQLITE_FULL:
      throw EnvironmentError(path + " cannot grow: the disk is full" + detail + "; " + format.if_full);
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
      throw UserError(path + " is no " + format.name + detail + "; " + format.if_foreign);
    case SQLITE_CORRUPT:
      throw EnvironmentError(path + " is damaged" + detail +
                             "; restore it from a copy, or save what can be read with the sqlite3 shell's .recover");
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

Database::Database(const std::string& path, bool read_only, const FileFormat& format) : path_(path), format_(format) {
  guarded(path_, format_, [&] {
    if (read_only) {
      open_read_only();
      check_schema(true);
      return;
    }
    // A switch to WAL and the recovery of a log do not wait for other processes as statements do.
    const auto give_up = std::chrono::steady_clock::now() + std::chrono::milliseconds(format_.busy_timeout_ms);
    for (;;) try {
        open_writable();
        break;
      } catch (const SQLite::Exception& error) {
        if ((error.getErrorCode() & 0xff) != SQLITE_BUSY || std::chrono::steady_clock::now() > give_up) throw;
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
      }
    if (!format_.check_whole) return;
    const std::string verdict = connection_->execAndGet("PRAGMA quick_check(1)").getString();
    if (verdict != "ok") throw SQLite::Exception(verdict, SQLITE_CORRUPT);
  });
}

void Database::open_writable() {
  connection_ =
      std::make_unique<SQLite::Database>(path_, SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE, format_.busy_timeout_ms);
  check_schema(false);
  // WAL lets readers look on while another process writes. NORMAL survives kill -9 without a flush per row;
  // docs/formats.md says what a power cut may cost.
  connection_->exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON;");
  if (pragma(*connection_, "PRAGMA user_version") == 0) create_schema();
  version_ = format_.version;
}

void Database::open_read_only() {
  try {
    connection_ = std::make_unique<SQLite::Database>(path_, SQLite::OPEN_READONLY, format_.busy_timeout_ms);
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
                                                   SQLite::OPEN_READONLY | SQLite::OPEN_URI, format_.busy_timeout_ms);
}

void Database::create_schema() {
  SQLite::Transaction transaction(*connection_, SQLite::TransactionBehavior::IMMEDIATE);
  // Another process may have been first.
  if (pragma(*connection_, "PRAGMA user_version") == 0) connection_->exec(format_.schema_sql);
  transaction.commit();
  // Into the main file at once: whatever happens to the log, the file stays what it is.
  connection_->exec("PRAGMA wal_checkpoint(TRUNCATE)");
}

void Database::check_schema(bool read_only) {
  // One snapshot: another process may be making the schema just now.
  SQLite::Transaction transaction(*connection_);
  const int64_t version = pragma(*connection_, "PRAGMA user_version");
  const bool empty = pragma(*connection_, "SELECT count(*) FROM sqlite_master") == 0;
  if (version == 0 && empty) {
    if (read_only) throw UserError(path_ + " is empty, no " + format_.name + " yet");
    return;
  }
  const int64_t id = pragma(*connection_, "PRAGMA application_id");
  if (id != format_.application_id) {
    std::string kind = "an SQLite database";
    for (const FileFormat* other : {&kRunStoreFormat, &kRecordLibraryFormat})
      if (other->application_id == id) kind = std::string("a ") + other->name;
    throw UserError(path_ + " is " + kind + ", but no " + format_.name + "; " + format_.if_foreign);
  }
  version_ = static_cast<int>(version);
  if (version > format_.version || version < (read_only ? format_.oldest_readable : format_.version))
    throw UserError(path_ + " has schema " + std::to_string(version) + " of a " + format_.name +
                    ", this SONAR writes " + std::to_string(format_.version) +
                    (version < format_.version ? " and only reads that one" : "") +
                    "; use the SONAR that wrote it, or " + format_.if_foreign);
}

SQLite::Statement& Database::statement(const char* sql) {
  auto& slot = statements_[sql];
  if (!slot) slot = std::make_unique<SQLite::Statement>(*connection_, sql);
  return *slot;
}

}  // namespace sonar
