// SqlIndex: the index in an SQL database.
#pragma once

#include "belief.hpp"
#include "database.hpp"
#include "pending.hpp"
#include "statements.hpp"

#include "pkc/base/clock.hpp"
#include "pkc/base/guarded.hpp"
#include "pkc/index/index.hpp"
#include "pkc/index/sql_index.hpp"
#include "pkc/ops/log.hpp"
#include "pkc/ops/metrics.hpp"

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace pkc::index {

class SqlIndex final : public Index {
 public:
  SqlIndex(const Clock& clock, ops::Log& log, ops::Metrics& metrics, SqlIndexOptions options);
  SqlIndex(const SqlIndex&) = delete;
  SqlIndex& operator=(const SqlIndex&) = delete;
  SqlIndex(SqlIndex&&) = delete;
  SqlIndex& operator=(SqlIndex&&) = delete;
  ~SqlIndex() override;

  /// Begins the thread and waits a little for its first attempt to open the database. Errors: what
  /// another attempt would not cure.
  Result<void> start();

  void note_stored(std::string_view space,
                   std::string_view key,
                   ByteCount size,
                   ByteCount disk_size) override;
  void note_read(std::string_view space, std::string_view key) override;
  void note_removed(std::string_view space, std::string_view key) override;
  void note_found(const Found& found) override;
  Result<void> flush() override;

  Result<Totals> totals(std::string_view space) override;
  Result<std::vector<SpaceTotals>> spaces() override;
  Result<std::optional<Object>> find(std::string_view space, std::string_view key) override;
  Result<std::vector<Object>> oldest(std::string_view space, std::size_t limit) override;
  Result<std::vector<Object>> stored_before(std::string_view space,
                                            Time time,
                                            std::size_t limit) override;
  Result<std::vector<Object>> with_prefix(std::string_view space, std::string_view prefix) override;
  Result<std::optional<std::string>> first_key(std::string_view space,
                                               std::string_view from) override;
  Result<Page> list(const ListQuery& query) override;
  Result<bool> set_pinned(std::string_view space, std::string_view key, Pinned pinned) override;
  Result<std::optional<std::string>> get_fact(std::string_view name) override;
  Result<void> put_fact(std::string_view name, std::string_view value) override;
  void note_source(std::string_view space, std::string_view key, const Source& source) override;
  Result<SourcePage> list_sources(const SourceQuery& query) override;
  Result<std::optional<SourceRow>> find_source(std::string_view space,
                                               std::string_view key) override;
  Result<std::vector<SourceRow>> sources_of(std::string_view space,
                                            std::string_view content_hash,
                                            std::size_t limit) override;
  Result<SourceTotals> source_totals(std::string_view space) override;
  Result<std::vector<std::string>> without_source(std::string_view space,
                                                  std::string_view from,
                                                  std::size_t limit) override;
  [[nodiscard]] State state() const override;
  Result<bool> mark_complete(const State& seen) override;
  Result<void> mark_incomplete(Time since) override;
  Result<std::size_t> await_others() override;
  Result<std::vector<std::string>> check() override;
  Result<void> repair() override;

 private:
  /// What the thread and the callers share.
  struct Shared {
    std::shared_ptr<Database> database; ///< null while there is none
    Belief belief;
    bool available = false;
    bool broken = false; ///< a query found the database damaged
    bool awake = false;  ///< there is work before the interval is over
    Broken when_broken{};
    std::uint64_t runs_wanted = 0;
    std::uint64_t runs_done = 0;
    std::optional<Error> problem; ///< of the last run
  };

  void add(NameView name, const Note& note);
  void wake();
  template <typename Ask>
  auto ask(const Ask& ask) -> decltype(ask(std::declval<sql::Session&>()));
  void believe(const Belief& belief);
  Result<std::vector<std::int64_t>> others_behind(Time time, std::size_t& others);

  // Of the thread alone:
  void run(const std::stop_token& stop);
  Result<void> work();
  Result<void> open();
  Result<void> enter(sql::Session& session);
  Result<void> write();
  Result<bool> has_news();
  Result<void> write_notes(sql::Session& session, const Batch& batch, Time now);
  Result<void> leave();
  void give_up(const Error& error);
  void report(const Result<void>& outcome);
  void count_dropped();

  const Clock& clock_;
  ops::Log& log_;
  const SqlIndexOptions options_;
  const Statements statements_;
  ops::Counter& flushed_;
  ops::Counter& failed_;
  ops::Counter& dropped_reads_;
  ops::Counter& dropped_others_;
  ops::Counter& replaced_;
  Pending pending_;
  mutable Guarded<Shared> shared_;
  std::condition_variable_any changed_;

  // Of the thread alone:
  const Time started_;
  std::shared_ptr<Database> database_;
  bool entered_ = false;           ///< we were in this or an earlier database already
  bool has_others_ = false;        ///< as far as we know
  std::optional<Time> lost_since_; ///< dropped notes that the database does not know of yet
  std::string told_;               ///< the problem that the log has

  std::jthread thread_; // last, so that it is gone before what it uses
};

template <typename Ask>
auto SqlIndex::ask(const Ask& ask) -> decltype(ask(std::declval<sql::Session&>())) {
  const std::shared_ptr<Database> database = shared_.lock()->database;
  if (!database) {
    return fail(Errc::unavailable, "the index is not open");
  }
  const auto deadline = system_clock().steady_now() + options_.query_timeout / 2;
  TRY_ASSIGN(const sql::Pool::Lease session, database->readers->lease(deadline));
  auto answer = ask(*session);
  if (!answer && answer.error().code == Errc::corrupt) {
    auto shared = shared_.lock();
    if (shared->database == database) {
      shared->broken = true;
      shared->awake = true;
      changed_.notify_all();
    }
  }
  return answer;
}

} // namespace pkc::index
