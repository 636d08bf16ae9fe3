#include "sql_index.hpp"

#include "cursor.hpp"
#include "fact.hpp"
#include "migrations.hpp"
#include "source_tables.hpp"
#include "tables.hpp"

#include "pkc/base/assert.hpp"

#include <pthread.h>

#include <chrono>
#include <tuple>
#include <utility>

namespace pkc::index {
namespace {

/// As much of a start as may be spent on a database that does not open at once.
constexpr std::chrono::milliseconds kStartWait{300};
constexpr std::size_t kNameMax = 255;
/// How soon what another process has written is noticed by who waits for it.
constexpr std::chrono::milliseconds kOthersInterval{50};
/// How often the end is tried while others keep the database locked, for a second each.
constexpr int kEndTries = 3;

const sql::Query kCheckStructure{"PRAGMA integrity_check", {}, {sql::Type::text}};

} // namespace

SqlIndex::SqlIndex(const Clock& clock,
                   ops::Log& log,
                   ops::Metrics& metrics,
                   SqlIndexOptions options)
    : clock_(clock),
      log_(log),
      options_(std::move(options)),
      statements_(sql::dialect(sql::Engine::sqlite)),
      flushed_(metrics.counter(
          "polykit_cache_index_writes_total", "Transactions of the index.", {{"outcome", "ok"}})),
      failed_(metrics.counter("polykit_cache_index_writes_total",
                              "Transactions of the index.",
                              {{"outcome", "failed"}})),
      dropped_reads_(metrics.counter("polykit_cache_index_dropped_notes_total",
                                     "Notes that found no room while the index could not write.",
                                     {{"kind", "read"}})),
      dropped_others_(metrics.counter("polykit_cache_index_dropped_notes_total",
                                      "Notes that found no room while the index could not write.",
                                      {{"kind", "other"}})),
      replaced_(metrics.counter("polykit_cache_index_replaced_total",
                                "Index databases begun anew while running.")),
      pending_(options_.pending_max),
      started_(clock.wall_now_ms()) {
  shared_.lock()->when_broken = options_.broken;
}

SqlIndex::~SqlIndex() {
  thread_.request_stop();
  if (thread_.joinable()) {
    thread_.join();
  }
}

Result<void> SqlIndex::start() {
  thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
  auto shared = shared_.lock();
  shared->runs_wanted = 1;
  changed_.wait_for(shared.lock(), kStartWait, [&shared] { return shared->runs_done > 0; });
  const auto is_curable = [this](Errc code) {
    return code == Errc::unavailable || (code == Errc::corrupt && options_.broken == Broken::kept);
  };
  const std::optional<Error>& problem = shared->problem;
  if (problem && !shared->available && !is_curable(problem->code)) {
    return std::unexpected(*problem);
  }
  return {};
}

// --- notes --------------------------------------------------------------------------------------

void SqlIndex::note_stored(std::string_view space,
                           std::string_view key,
                           ByteCount size,
                           ByteCount disk_size) {
  const Time now = clock_.wall_now_ms();
  add({space, key},
      {.kind = Note::Kind::stored,
       .size = size,
       .disk_size = disk_size,
       .stored_at = now,
       .used_first = now,
       .noted_at = now});
}

void SqlIndex::note_read(std::string_view space, std::string_view key) {
  add({space, key}, {.kind = Note::Kind::read, .hits = 1, .accessed_at = clock_.wall_now_ms()});
}

void SqlIndex::note_removed(std::string_view space, std::string_view key) {
  add({space, key}, {.kind = Note::Kind::removed, .noted_at = clock_.wall_now_ms()});
}

void SqlIndex::note_found(const Found& found) {
  add({found.space, found.key},
      {.kind = Note::Kind::found,
       .size = found.size,
       .disk_size = found.disk_size,
       .stored_at = found.stored_at,
       .used_first = found.stored_at,
       .noted_at = clock_.wall_now_ms()});
}

void SqlIndex::add(NameView name, const Note& note) {
  PKC_ASSERT(!name.space.empty() && name.space.size() <= kNameMax);
  PKC_ASSERT(!name.key.empty() && name.key.size() <= kNameMax);
  if (pending_.add(name, note) == Pending::Fill::half) {
    wake();
  }
}

void SqlIndex::wake() {
  shared_.lock()->awake = true;
  changed_.notify_all();
}

Result<void> SqlIndex::flush() {
  auto shared = shared_.lock();
  const std::uint64_t run = ++shared->runs_wanted;
  changed_.notify_all();
  if (!changed_.wait_for(shared.lock(), options_.query_timeout, [&shared, run] {
        return shared->runs_done >= run;
      })) {
    return fail(Errc::unavailable, "the index did not write in time");
  }
  if (shared->problem) {
    return std::unexpected(*shared->problem);
  }
  return {};
}

// --- questions ----------------------------------------------------------------------------------

Result<Totals> SqlIndex::totals(std::string_view space) {
  return ask([&](sql::Session& session) { return read_totals(session, statements_, space); });
}

Result<std::vector<SpaceTotals>> SqlIndex::spaces() {
  return ask([&](sql::Session& session) { return read_spaces(session, statements_); });
}

Result<std::optional<Object>> SqlIndex::find(std::string_view space, std::string_view key) {
  return ask([&](sql::Session& session) -> Result<std::optional<Object>> {
    TRY_ASSIGN(std::vector<Object> found,
               read_objects(session, statements_.find, space, {space, key}));
    return found.empty() ? std::nullopt : std::optional(std::move(found.front()));
  });
}

Result<std::vector<Object>> SqlIndex::oldest(std::string_view space, std::size_t limit) {
  return ask([&](sql::Session& session) {
    return read_objects(
        session, statements_.oldest, space, {space, static_cast<std::int64_t>(limit)});
  });
}

Result<std::vector<Object>> SqlIndex::stored_before(std::string_view space,
                                                    Time time,
                                                    std::size_t limit) {
  return ask([&](sql::Session& session) {
    return read_objects(
        session,
        statements_.stored_before,
        space,
        {space, std::int64_t{time.time_since_epoch().count()}, static_cast<std::int64_t>(limit)});
  });
}

Result<std::vector<Object>> SqlIndex::with_prefix(std::string_view space, std::string_view prefix) {
  const std::string high = behind_prefix(prefix);
  return ask([&](sql::Session& session) {
    return read_objects(session, statements_.shard, space, {space, prefix, high});
  });
}

Result<std::optional<std::string>> SqlIndex::first_key(std::string_view space,
                                                       std::string_view from) {
  return ask([&](sql::Session& session) {
    return read_text(session, statements_.first_key, {space, from});
  });
}

Result<Page> SqlIndex::list(const ListQuery& query) {
  return ask([&](sql::Session& session) { return read_page(session, statements_, query); });
}

Result<bool> SqlIndex::set_pinned(std::string_view space, std::string_view key, Pinned pinned) {
  TRY(flush());
  return ask([&](sql::Session& session) -> Result<bool> {
    TRY_ASSIGN(sql::Txn txn, sql::Txn::begin(session));
    TRY_ASSIGN(const bool there, write_pin(session, statements_, {space, key}, pinned));
    TRY(txn.commit());
    return there;
  });
}

Result<std::optional<std::string>> SqlIndex::get_fact(std::string_view name) {
  TRY(check_fact(name, {}));
  return ask(
      [&](sql::Session& session) { return read_text(session, statements_.get_fact, {name}); });
}

Result<void> SqlIndex::put_fact(std::string_view name, std::string_view value) {
  TRY(check_fact(name, value));
  return ask([&](sql::Session& session) -> Result<void> {
    TRY_ASSIGN(sql::Txn txn, sql::Txn::begin(session));
    TRY(session.run(statements_.put_fact, {name, value}));
    return txn.commit();
  });
}

State SqlIndex::state() const {
  const auto shared = shared_.lock();
  return state_of(shared->belief, shared->available);
}

Result<bool> SqlIndex::mark_complete(const State& seen) {
  TRY(flush());
  return ask([&](sql::Session& session) -> Result<bool> {
    TRY_ASSIGN(sql::Txn txn, sql::Txn::begin(session));
    TRY_ASSIGN(Belief belief, read_belief(session, statements_));
    if (belief.damages == seen.damages && !belief.complete) {
      belief = {.complete = true, .since = std::nullopt, .damages = seen.damages};
      TRY(write_belief(session, statements_, belief));
    }
    TRY(txn.commit());
    believe(belief);
    return belief.damages == seen.damages;
  });
}

Result<std::vector<std::string>> SqlIndex::check() {
  return ask([&](sql::Session& session) -> Result<std::vector<std::string>> {
    std::vector<std::string> problems;
    TRY(session.each(kCheckStructure, {}, [&](const sql::Row& row) {
      if (row.text(0) != "ok") {
        problems.emplace_back(row.text(0));
      }
    }));
    TRY_ASSIGN(const auto wrong, compare_sums(session, statements_));
    for (const WrongSums& sums : wrong) {
      problems.push_back("the totals of " + sums.space + " are not the sums over its objects");
    }
    TRY_ASSIGN(const auto wrong_sources, compare_source_sums(session, statements_));
    for (const WrongSourceSums& sums : wrong_sources) {
      problems.push_back("the totals of the downloads in " + sums.space +
                         " are not the sums over them");
    }
    return problems;
  });
}

Result<void> SqlIndex::repair() {
  const auto whole = [this]() -> Result<bool> {
    TRY_ASSIGN(const auto problems, check());
    return problems.empty();
  };
  Result<void> corrected = flush();
  if (corrected) {
    corrected = ask([&](sql::Session& session) -> Result<void> {
      TRY_ASSIGN(sql::Txn txn, sql::Txn::begin(session));
      TRY(correct_sums(session, statements_));
      TRY(correct_source_sums(session, statements_));
      return txn.commit();
    });
  }
  const Result<bool> healed = corrected ? whole() : std::unexpected(corrected.error());
  if (healed ? *healed : healed.error().code != Errc::corrupt) {
    return corrected;
  }
  for (int tries = 0; tries < kEndTries; ++tries) { // it may just have been opened again
    {
      auto shared = shared_.lock();
      shared->when_broken = Broken::replaced;
      shared->broken = true;
    }
    [[maybe_unused]] const auto finds_it_broken = flush();
    const Result<void> reopened = flush();
    const Result<bool> good = reopened ? whole() : std::unexpected(reopened.error());
    if (good && *good) {
      return {};
    }
    if (!good && good.error().code != Errc::corrupt) {
      return std::unexpected(good.error());
    }
  }
  return fail(Errc::corrupt, "the index is damaged, and cannot be replaced");
}

Result<void> SqlIndex::mark_incomplete(Time since) {
  TRY(flush());
  return ask([&](sql::Session& session) -> Result<void> {
    TRY_ASSIGN(sql::Txn txn, sql::Txn::begin(session));
    TRY_ASSIGN(const Belief before, read_belief(session, statements_));
    const Belief belief = damaged(before, since, clock_.wall_now_ms());
    TRY(write_belief(session, statements_, belief));
    TRY(txn.commit());
    believe(belief);
    return {};
  });
}

/// Those that may know what the database does not, of all `others`.
Result<std::vector<std::int64_t>> SqlIndex::others_behind(Time time, std::size_t& others) {
  return ask([&](sql::Session& session) -> Result<std::vector<std::int64_t>> {
    std::vector<std::int64_t> behind;
    others = 0;
    TRY(session.each(statements_.writers, {}, [&](const sql::Row& row) {
      const bool other = row.integer(0) != options_.process;
      others += other ? 1 : 0;
      if (other && row.integer(1) <= time.time_since_epoch().count()) {
        behind.push_back(row.integer(0));
      }
    }));
    return behind;
  });
}

Result<std::size_t> SqlIndex::await_others() {
  TRY(flush()); // also takes out who has died
  const Time now = clock_.wall_now_ms();
  const SteadyTime deadline =
      system_clock().steady_now() + 2 * options_.flush_interval + options_.query_timeout;
  for (std::size_t others = 0;;) {
    TRY_ASSIGN(const auto behind, others_behind(now, others));
    if (behind.empty()) {
      return others;
    }
    if (system_clock().steady_now() >= deadline) {
      return fail(Errc::unavailable,
                  "process " + std::to_string(behind.front()) +
                      " has the index open and does not write what it knows");
    }
    auto shared = shared_.lock(); // nobody can wake us: it is another process that writes
    changed_.wait_for(shared.lock(), kOthersInterval, [] { return false; });
  }
}

/// The thread and mark_complete() may learn of two states of the database in one order and come
/// here in the other. The later one has more damages, or as many and is complete.
void SqlIndex::believe(const Belief& belief) {
  auto shared = shared_.lock();
  const auto rank = [](const Belief& of) { return std::tuple(of.damages, of.complete); };
  if (rank(belief) >= rank(shared->belief)) {
    shared->belief = belief;
  }
}

// --- the thread ---------------------------------------------------------------------------------

void SqlIndex::run(const std::stop_token& stop) {
  static_cast<void>(::pthread_setname_np(::pthread_self(), "index")); // for humans only
  while (!stop.stop_requested()) {
    report(work());
    auto shared = shared_.lock();
    changed_.wait_for(shared.lock(), stop, options_.flush_interval, [&shared] {
      return shared->awake || shared->runs_done < shared->runs_wanted;
    });
  }
  for (int tries = 0; tries < kEndTries; ++tries) {
    Result<void> outcome = work();
    if (outcome) {
      outcome = leave();
    }
    const bool busy = !outcome && outcome.error().code == Errc::unavailable;
    report(outcome);
    if (!busy) {
      return;
    }
  }
}

/// Opens the database unless it is open, and writes what is noted.
Result<void> SqlIndex::work() {
  bool broken = false;
  std::uint64_t wanted = 0;
  {
    auto shared = shared_.lock();
    broken = std::exchange(shared->broken, false);
    shared->awake = false;
    wanted = shared->runs_wanted;
  }
  Result<void> outcome;
  if (database_ && !is_in_place(options_.path, database_->inode)) {
    give_up({Errc::io, "the file has been taken away"});
  }
  if (broken && database_) {
    outcome = fail(Errc::corrupt, "a query found the database damaged");
  } else if (!database_) {
    outcome = open();
  }
  if (outcome) {
    outcome = write();
  }
  if (!outcome) {
    give_up(outcome.error());
  }
  auto shared = shared_.lock();
  shared->available = outcome.has_value();
  shared->problem = outcome ? std::nullopt : std::optional(outcome.error());
  shared->runs_done = wanted;
  changed_.notify_all();
  return outcome;
}

Result<void> SqlIndex::open() {
  TRY_ASSIGN(std::shared_ptr<Database> database,
             open_database({.path = options_.path,
                            .lock_timeout = options_.query_timeout / 2,
                            .broken = shared_.lock()->when_broken},
                           statements_,
                           clock_,
                           log_));
  // This must not be lost when the machine stops, or a database that says that all is known in it
  // would come back beside files that were stored since.
  TRY(set_sync(*database->writer, sql::Sync::at_commit));
  TRY(enter(*database->writer));
  TRY(set_sync(*database->writer, sql::Sync::later));
  database_ = database;
  entered_ = true;
  auto shared = shared_.lock();
  shared->database = std::move(database);
  return {};
}

Result<void> SqlIndex::enter(sql::Session& session) {
  TRY_ASSIGN(sql::Txn txn, sql::Txn::begin(session));
  TRY_ASSIGN(Belief belief, read_belief(session, statements_));
  const Self self = entered_ ? Self::running : Self::starting;
  TRY_ASSIGN(const Peers peers,
             bury_dead(session, statements_, options_.process, self, options_.alive));
  const Time now = clock_.wall_now_ms();
  // A fresh database has no belief; one that we were in and that does not know us is another.
  if (belief.damages == 0 || (entered_ && !peers.ourselves)) {
    const std::uint64_t before = std::max(belief.damages, shared_.lock()->belief.damages);
    belief = damaged({.complete = true, .since = {}, .damages = before}, std::nullopt, now);
    TRY(write_belief(session, statements_, belief));
  } else if (peers.lost_since) {
    belief = damaged(belief, peers.lost_since, now);
    TRY(write_belief(session, statements_, belief));
  }
  if (!peers.ourselves) {
    TRY(session.run(statements_.put_writer,
                    {options_.process, std::int64_t{started_.time_since_epoch().count()}}));
  }
  TRY(txn.commit());
  has_others_ = peers.others > 0;
  believe(belief);
  return {};
}

Result<void> SqlIndex::write() {
  const Time now = clock_.wall_now_ms(); // all that was noted before is in the batch
  Batch batch = pending_.take();
  count_dropped();
  if (batch.empty() && !lost_since_ && !has_others_) {
    TRY_ASSIGN(const bool news, has_news());
    if (!news) {
      return {};
    }
  }
  const Result<void> written = write_notes(*database_->writer, batch, now);
  (written ? flushed_ : failed_).add();
  if (!written) {
    pending_.put_back(std::move(batch));
    count_dropped();
  }
  return written;
}

/// Whether another process has come, or has changed what is believed. Only reads.
Result<bool> SqlIndex::has_news() {
  bool news = false;
  TRY(database_->writer->each(statements_.writers, {}, [&](const sql::Row& row) {
    news = news || row.integer(0) != options_.process;
  }));
  TRY_ASSIGN(const Belief belief, read_belief(*database_->writer, statements_));
  return news || belief.damages > shared_.lock()->belief.damages;
}

Result<void> SqlIndex::write_notes(sql::Session& session, const Batch& batch, Time now) {
  TRY_ASSIGN(sql::Txn txn, sql::Txn::begin(session));
  TRY(check_version(session, schema_steps(sql::dialect(session.engine())).size()));
  TRY(write_batch(session, statements_, batch, now));
  TRY_ASSIGN(const Peers peers,
             bury_dead(session, statements_, options_.process, Self::running, options_.alive));
  TRY_ASSIGN(Belief belief, read_belief(session, statements_));
  std::optional<Time> lost = lost_since_;
  if (peers.lost_since) {
    lost = std::min(lost.value_or(*peers.lost_since), *peers.lost_since);
  }
  if (lost) {
    belief = damaged(belief, lost, now);
    TRY(write_belief(session, statements_, belief));
  }
  TRY(session.run(statements_.put_writer,
                  {options_.process, std::int64_t{now.time_since_epoch().count()}}));
  TRY(txn.commit());
  lost_since_.reset();
  has_others_ = peers.others > 0;
  believe(belief);
  return {};
}

/// The clean end.
Result<void> SqlIndex::leave() {
  TRY_ASSIGN(sql::Txn txn, sql::Txn::begin(*database_->writer));
  TRY(database_->writer->run(statements_.remove_writer, {options_.process}));
  return txn.commit();
}

/// Closes a database that no further try would help.
void SqlIndex::give_up(const Error& error) {
  if (!database_ || error.code == Errc::unavailable || error.code == Errc::no_space) {
    return;
  }
  const std::uint64_t inode = database_->inode;
  bool replaced = false;
  {
    auto shared = shared_.lock();
    shared->database.reset();
    replaced = error.code == Errc::corrupt && shared->when_broken == Broken::replaced;
    shared->awake = replaced; // the next one at once
  }
  database_.reset();
  if (replaced) {
    replaced_.add();
    if (const auto moved = move_aside(options_.path, inode, log_); !moved) {
      report(moved);
    }
  }
}

/// One line for each new trouble, and one for its end.
void SqlIndex::report(const Result<void>& outcome) {
  if (outcome) {
    if (!std::exchange(told_, {}).empty()) {
      log_.info("index works again", {{"path", options_.path}});
    }
    return;
  }
  if (told_ != outcome.error().message) {
    told_ = outcome.error().message;
    log_.warn("index does not work; serving goes on without it",
              {{"path", options_.path}, {"reason", told_}});
  }
}

void SqlIndex::count_dropped() {
  const Pending::Dropped dropped = pending_.take_dropped();
  dropped_reads_.add(dropped.reads);
  dropped_others_.add(dropped.others);
  if (dropped.since) {
    lost_since_ = std::min(lost_since_.value_or(*dropped.since), *dropped.since);
  }
}

Result<std::unique_ptr<Index>> make_sql_index(const Clock& clock,
                                              ops::Log& log,
                                              ops::Metrics& metrics,
                                              SqlIndexOptions options) {
  auto index = std::make_unique<SqlIndex>(clock, log, metrics, std::move(options));
  TRY(index->start());
  return index;
}

} // namespace pkc::index
