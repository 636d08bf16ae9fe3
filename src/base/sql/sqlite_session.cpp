// Connections to SQLite. The factory is named, not looked up: SOCI would search its backends among
// the shared libraries of the machine.
#include "soci_session.hpp"

#include <soci/soci.h>
#include <soci/sqlite3/soci-sqlite3.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <exception>
#include <memory>
#include <string>
#include <utility>

namespace pkc::sql {
namespace {

using namespace sqlite_api; // NOLINT(google-build-using-namespace): where SOCI puts sqlite3.h

/// Opens by the C interface: SOCI's own reads the path out of a text of options and stumbles over
/// quotes and spaces in it.
class Factory final : public soci::backend_factory {
 public:
  explicit Factory(std::chrono::milliseconds lock_timeout) : lock_timeout_(lock_timeout) {}

  soci::sqlite3_session_backend* make_session(
      const soci::connection_parameters& parameters) const override {
    // The shared library hides all members of its classes: not even a call that the compiler could
    // make without the virtual table would find its function.
    const soci::backend_factory& theirs = *soci::factory_sqlite3();
    std::unique_ptr<soci::sqlite3_session_backend> backend(
        static_cast<soci::sqlite3_session_backend*>(
            theirs.make_session(soci::connection_parameters(theirs, ":memory:"))));
    sqlite3_close(std::exchange(backend->conn_, nullptr));
    const int opened =
        sqlite3_open_v2(parameters.get_connect_string().c_str(),
                        &backend->conn_,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
                        nullptr);
    if (opened != SQLITE_OK) {
      throw soci::sqlite3_soci_error(sqlite3_errmsg(backend->conn_), opened);
    }
    if (sqlite3_db_readonly(backend->conn_, "main") == 1) { // what it opens when it may not write
      throw soci::sqlite3_soci_error("no permission to write the file", SQLITE_READONLY);
    }
    sqlite3_busy_timeout(backend->conn_, static_cast<int>(lock_timeout_.count()));
    return backend.release();
  }

 private:
  std::chrono::milliseconds lock_timeout_;
};

Errc classify(const std::exception& error) {
  const auto* ours = dynamic_cast<const soci::sqlite3_soci_error*>(&error);
  switch (ours == nullptr ? SQLITE_INTERNAL : ours->result() & 0xff) {
    case SQLITE_ERROR: // the statement and the schema do not fit together
      return Errc::invalid_argument;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL: // a race for the write-ahead log that was lost too often
      return Errc::unavailable;
    case SQLITE_FULL:
      return Errc::no_space;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return Errc::corrupt;
    case SQLITE_CONSTRAINT:
      return Errc::conflict;
    default:
      return Errc::io;
  }
}

/// What has to be set for each connection, but for the journal mode, which the file remembers.
/// Where there can be no WAL, on some network file systems, SQLite stays with its older journal.
/// The log of a big transaction shrinks again; a sort that does not fit goes to memory, as there
/// may be no directory for temporary files that we can write to.
std::array<std::string, 4> settings(const Options& options) {
  return {"PRAGMA journal_mode = WAL",
          "PRAGMA cache_size = -" + std::to_string(options.cache_max / kKiB),
          "PRAGMA journal_size_limit = 16777216",
          "PRAGMA temp_store = MEMORY"};
}

const Query kApplication{"PRAGMA application_id", {}, {Type::integer}};
const Query kTables{"SELECT count(*) FROM sqlite_schema", {}, {Type::integer}};

Result<std::int64_t> read_number(Session& session, const Query& query) {
  std::int64_t number = 0;
  TRY(session.each(query, {}, [&](const Row& row) { number = row.integer(0); }));
  return number;
}

Result<void> check_owner(Session& session, std::int64_t wanted) {
  // In this order: somebody may make an empty database ours meanwhile, and tables come with its
  // owner.
  TRY_ASSIGN(const std::int64_t tables, read_number(session, kTables));
  TRY_ASSIGN(const std::int64_t owner, read_number(session, kApplication));
  if (owner != wanted && (owner != 0 || tables != 0)) {
    return fail(Errc::corrupt, "the database is of another program");
  }
  return {};
}

Result<void> set_up(Session& session, const Options& options) {
  if (options.application != 0) {
    TRY(check_owner(session, options.application));
  }
  for (const std::string& setting : settings(options)) {
    TRY(session.execute(setting));
  }
  return set_sync(session, Sync::later);
}

} // namespace

Result<std::unique_ptr<Session>> connect_sqlite(const Options& options) {
  return guarded(classify, [&]() -> Result<std::unique_ptr<Session>> {
    const Factory factory(options.lock_timeout);
    auto opened = std::make_unique<soci::session>(factory, options.target);
    auto session = std::make_unique<SociSession>(std::move(opened), Engine::sqlite, classify);
    TRY(set_up(*session, options));
    return session;
  });
}

} // namespace pkc::sql
