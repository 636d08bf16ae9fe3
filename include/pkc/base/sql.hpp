// SQL databases behind one small interface: sessions, prepared statements, transactions, and the
// few words in which the dialects differ.
#pragma once

#include "pkc/base/bytes.hpp"
#include "pkc/base/clock.hpp"
#include "pkc/base/result.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace pkc::sql {

enum class Engine : std::uint8_t {
  sqlite,
  postgresql,
  mysql, ///< and MariaDB
};

/// "sqlite", "postgresql", "mysql".
std::string_view to_string(Engine engine);

/// What differs between the engines in what we ask of them, as text. Immutable. The same in all:
/// parameters are written `:name`, each name once in a statement; `LIMIT :n`; and text compares
/// byte by byte.
class Dialect {
 public:
  virtual ~Dialect() = default;

  [[nodiscard]] virtual Engine engine() const = 0;
  /// Type and constraint of a column that numbers the rows in the order in which they came.
  [[nodiscard]] virtual std::string_view row_number() const = 0;
  /// Type of 64-bit integers.
  [[nodiscard]] virtual std::string_view integer() const = 0;
  /// Type of text of up to `bytes` printable ASCII characters, which may be part of an index.
  [[nodiscard]] virtual std::string short_text(unsigned bytes) const = 0;
  /// Type of text of any length.
  [[nodiscard]] virtual std::string_view long_text() const = 0;
  /// Type of bytes of any length.
  [[nodiscard]] virtual std::string_view blob() const = 0;
  /// A SELECT that counts the tables called `:name`.
  [[nodiscard]] virtual std::string_view count_tables() const = 0;
  /// Begins a transaction that will write.
  [[nodiscard]] virtual std::string_view begin() const = 0;
  /// Behind a SELECT: keeps others from changing these rows until the transaction ends.
  [[nodiscard]] virtual std::string_view locking() const = 0;

  struct Index {
    std::string name;
    std::string columns; ///< "a, b"; rows that are equal in these come by their number `id`
  };
  struct Table {
    std::string name;
    std::vector<std::string> columns; ///< with types and constraints
    /// Only of a table with a row number called `id`.
    // NOLINTNEXTLINE(readability-redundant-member-init): as above
    std::vector<Index> indexes{};
  };
  /// Statements that make a table unless it is there, one after the other.
  [[nodiscard]] virtual std::vector<std::string> create(const Table& table) const = 0;

  struct Upsert {
    std::string table;
    std::vector<std::string> keys;
    std::vector<std::string> values;
  };
  /// INSERT of keys and values, which replaces the values where a row has the keys; or, without
  /// values, leaves that row alone. Parameters are named like the columns, in that order.
  [[nodiscard]] virtual std::string upsert(const Upsert& row) const = 0;
};

/// Lives as long as the program.
const Dialect& dialect(Engine engine);

enum class Type : std::uint8_t {
  integer,
  text,
};

/// The text of a statement and the types of its parameters and result columns, in order.
struct Query {
  // NOLINTBEGIN(readability-redundant-member-init): g++ warns where one is left out otherwise
  std::string text;
  std::vector<Type> parameters{};
  std::vector<Type> columns{};
  // NOLINTEND(readability-redundant-member-init)
};

/// A parameter's value. Text is looked at during the call only.
using Value = std::variant<std::int64_t, std::string_view>;
/// The values of all parameters, in order; looked at during the call only.
class Values {
 public:
  // NOLINTNEXTLINE(google-explicit-constructor): so that a call can name its values in braces
  Values(std::initializer_list<Value> values) : values_(values.begin(), values.size()) {}
  // NOLINTNEXTLINE(google-explicit-constructor): or bring them along
  Values(const std::vector<Value>& values) : values_(values) {}
  [[nodiscard]] std::span<const Value> all() const { return values_; }

 private:
  std::span<const Value> values_;
};

/// One row of a result; valid during the call that shows it.
class Row {
 public:
  virtual ~Row() = default;
  /// 0 for NULL. REQUIRES: the column is one of integers.
  [[nodiscard]] virtual std::int64_t integer(std::size_t column) const = 0;
  /// Empty for NULL. REQUIRES: the column is one of text.
  [[nodiscard]] virtual std::string_view text(std::size_t column) const = 0;
};

/// One connection. One thread at a time. Prepares each Query once; queries outlive their sessions
/// and are told apart by their address.
///
/// Errors of all calls: unavailable (locked by others for longer than lock_timeout; connection
/// lost), no_space, corrupt (the database is damaged, or is none), conflict (a constraint),
/// invalid_argument (SQLite: the statement does not fit the schema), io (anything else). Whatever
/// failed has changed nothing, but a transaction may be gone: roll back.
class Session {
 public:
  virtual ~Session() = default;

  /// Runs a statement that returns no rows; returns how many it changed.
  virtual Result<std::uint64_t> run(const Query& query, Values values = {}) = 0;
  using Take = std::function<void(const Row& row)>;
  /// Shows each row of the result. Errors after some were shown are possible.
  virtual Result<void> each(const Query& query, Values values, const Take& take) = 0;
  /// Runs text that is not worth preparing and takes no parameters: schema and settings.
  virtual Result<void> execute(std::string_view text) = 0;
  /// Prepares and forgets: tells whether the database has what the statement names.
  virtual Result<void> prepare(const Query& query) = 0;
  [[nodiscard]] virtual Engine engine() const = 0;
};

/// A transaction that writes; rolls back unless committed. One thread at a time; lives shorter than
/// its session, which has one at a time.
class Txn {
 public:
  /// Waits for other writers, up to the session's lock_timeout.
  static Result<Txn> begin(Session& session);
  /// Errors as of Session; nothing is changed then.
  Result<void> commit();

 private:
  struct RollBack {
    void operator()(Session* session) const;
  };
  explicit Txn(Session& session) : open_(&session) {}
  std::unique_ptr<Session, RollBack> open_;
};

struct Options {
  Engine engine = Engine::sqlite;
  std::string target; ///< SQLite: path of the file, made when absent
  /// SQLite: what the header of the file names as its owner, or 0. A file that has tables and names
  /// another is corrupt to us and left as it is; one without tables becomes ours when somebody says
  /// so with PRAGMA application_id.
  std::int64_t application = 0;
  /// How long a statement waits for locks that others hold.
  std::chrono::milliseconds lock_timeout{2500};
  /// Pages that a session keeps in memory.
  ByteCount cache_max = 4 * kMiB;
};

/// Opens a connection. A SQLite database is switched to WAL and to synchronous=NORMAL: a power loss
/// takes the last transactions, but no part of one, and damages nothing. Errors: as of Session; io
/// also for an engine that this program was built without.
Result<std::unique_ptr<Session>> connect(const Options& options);

/// SQLite: commits of this session are on stable storage when they return, or not (the default).
/// Other engines: theirs always are.
enum class Sync : std::uint8_t {
  later,
  at_commit,
};
Result<void> set_sync(Session& session, Sync sync);

/// Up to `sessions_max` sessions, opened when needed and kept. Thread-safe. Outlives its leases.
class Pool {
 public:
  struct GiveBack {
    Pool* pool;
    void operator()(Session* session) const;
  };
  using Lease = std::unique_ptr<Session, GiveBack>;

  virtual ~Pool() = default;
  /// Waits for a free session until `deadline`. Errors: unavailable then; those of connect().
  virtual Result<Lease> lease(SteadyTime deadline) = 0;
  /// Closes free sessions; those that are leased are closed when they come back.
  virtual void close() = 0;

 private:
  virtual void give_back(std::unique_ptr<Session> session) = 0;
};

/// `clock` is a real one: deadlines are waited for by the machine's.
std::unique_ptr<Pool> make_pool(const Clock& clock, Options options, std::size_t sessions_max);

} // namespace pkc::sql
