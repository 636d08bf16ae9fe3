#include "database.hpp"

#include "migrations.hpp"

#include "pkc/base/file_system.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace pkc::index {
namespace {

/// How long the thread of the index waits at a time: it must end soon when it is told to.
constexpr std::chrono::milliseconds kWriterLockTimeout{1000};
constexpr std::size_t kReaders = 3;
/// Notes hit rows all over the database; the upper pages of its trees should be at hand.
constexpr ByteCount kWriterCache = 16 * kMiB;

// What SQLite keeps beside a database.
constexpr std::string_view kLog = "-wal";
constexpr std::string_view kShared = "-shm";

/// Errors: corrupt when a table or a column that we need is not there.
Result<void> check_tables(sql::Session& session, const Statements& statements) {
  for (const auto& [name, query] : statements.all()) {
    if (auto prepared = session.prepare(*query); !prepared) {
      Error error = std::move(prepared).error();
      error.code = error.code == Errc::invalid_argument ? Errc::corrupt : error.code;
      return std::unexpected(std::move(error).prefixed(name));
    }
  }
  return {};
}

std::uint64_t inode_of(const std::string& path) {
  const auto stat = posix_file_system().stat(path);
  return stat && *stat ? (*stat)->inode : 0;
}

/// A file that somebody else made, mostly root by hand: SQLite opens it, and cannot write.
bool is_unwritable(const std::string& path) {
  for (const std::string_view suffix : {std::string_view(), kLog, kShared}) {
    const std::string file = path + std::string(suffix);
    const int answer = ::faccessat(AT_FDCWD, file.c_str(), R_OK | W_OK, AT_EACCESS);
    if (answer != 0 && errno == EACCES) {
      return true;
    }
  }
  return false;
}

Result<std::unique_ptr<Database>> try_open(const DatabaseOptions& options,
                                           const Statements& statements,
                                           const Clock& clock) {
  auto database = std::make_unique<Database>();
  sql::Options wanted{.target = options.path,
                      .application = kSqliteApplicationId,
                      .lock_timeout = kWriterLockTimeout,
                      .cache_max = kWriterCache};
  TRY_ASSIGN(database->writer, sql::connect(wanted));
  database->inode = inode_of(options.path);
  const std::vector<Step> steps = schema_steps(sql::dialect(sql::Engine::sqlite));
  TRY(migrate(*database->writer, steps, clock));
  TRY(check_tables(*database->writer, statements));
  wanted.lock_timeout = options.lock_timeout;
  wanted.cache_max = 2 * kMiB;
  database->readers = sql::make_pool(system_clock(), wanted, kReaders);
  return database;
}

} // namespace

bool is_in_place(const std::string& path, std::uint64_t inode) {
  return inode_of(path) == inode;
}

Result<void> move_aside(const std::string& path, std::uint64_t inode, ops::Log& log) {
  FileSystem& files = posix_file_system();
  if (!is_in_place(path, inode)) {
    return {};
  }
  std::string aside;
  for (int number = 1;; ++number) {
    aside = path + ".broken-" + std::to_string(number);
    TRY_ASSIGN(const auto taken, files.stat(aside));
    if (!taken) {
      break;
    }
  }
  // The log first: a database that comes after must not find it.
  for (const std::string_view suffix : {kLog, kShared, std::string_view()}) {
    const std::string file = path + std::string(suffix);
    TRY_ASSIGN(const auto there, files.stat(file));
    if (there) {
      TRY(files.rename(file, aside + std::string(suffix)));
    }
  }
  log.error("index moved aside, a new one is begun", {{"from", path}, {"to", aside}});
  return {};
}

Result<std::unique_ptr<Database>> open_database(const DatabaseOptions& options,
                                                const Statements& statements,
                                                const Clock& clock,
                                                ops::Log& log) {
  auto database = try_open(options, statements, clock);
  if (!database && database.error().code == Errc::corrupt) {
    // So SQLite says as well when the disk could not read for once.
    database = try_open(options, statements, clock);
  }
  if (database || options.broken == Broken::kept) {
    return database;
  }
  const bool broken = database.error().code == Errc::corrupt;
  if (!broken && (database.error().code != Errc::io || !is_unwritable(options.path))) {
    return database;
  }
  log.warn("index cannot be used", {{"path", options.path}, {"reason", database.error().message}});
  TRY(move_aside(options.path, inode_of(options.path), log));
  return try_open(options, statements, clock);
}

} // namespace pkc::index
