// What SqlIndex does when the database is locked, damaged, somebody else's, full or gone.
#include "support/fake_clock.hpp"
#include "support/temp_dir.hpp"

#include "pkc/base/sql.hpp"
#include "pkc/index/sql_index.hpp"
#include "pkc/ops/log.hpp"
#include "pkc/ops/metrics.hpp"

#include <doctest/doctest.h>

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <utility>

using namespace pkc::index;
namespace sql = pkc::sql;
using pkc::Errc;
using pkc::Result;
using pkc::test::FakeClock;
using pkc::test::TempDir;
using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;

namespace {

/// A directory for a database, and the indexes of several processes on it.
struct World {
  World() = default;

  SqlIndexOptions options(std::int64_t process = 1) {
    return {.path = path,
            .process = process,
            .alive = [this](std::int64_t other) { return living == other; },
            .flush_interval = hours(1),
            .query_timeout = minutes(1)};
  }
  std::unique_ptr<Index> open(const SqlIndexOptions& wanted) {
    return make_sql_index(clock, pkc::ops::null_log(), metrics, wanted).value();
  }
  std::unique_ptr<Index> open() { return open(options()); }
  /// One that believes to know everything.
  std::unique_ptr<Index> open_complete(const SqlIndexOptions& wanted) {
    auto index = open(wanted);
    REQUIRE(index->flush()); // on a slow machine it is still being opened
    REQUIRE(index->mark_complete(index->state()).value());
    return index;
  }
  /// A connection of another program.
  std::unique_ptr<sql::Session> stranger() const { return sql::connect({.target = path}).value(); }
  [[nodiscard]] bool exists(const std::string& suffix) const {
    return std::filesystem::exists(path + suffix);
  }
  std::uint64_t counted(std::string_view name, pkc::ops::Labels labels = {}) {
    return metrics.counter(name, "", labels).value();
  }

  TempDir directory;
  std::string path = directory / "index.db";
  FakeClock clock;
  pkc::ops::Metrics metrics;
  std::int64_t living = 0; ///< the one other process that lives
};

void store(Index& index, const std::string& key) {
  index.note_stored("space", key, 10, 20);
}

bool knows(Index& index, const std::string& key) {
  return index.find("space", key).value().has_value();
}

std::uint64_t count(Index& index) {
  return index.totals("space").value().objects;
}

/// Another program in the middle of writing.
class Lock {
 public:
  explicit Lock(const World& world) : session_(world.stranger()) {
    REQUIRE(session_->execute("BEGIN EXCLUSIVE"));
  }
  void release() { REQUIRE(session_->execute("ROLLBACK")); }

 private:
  std::unique_ptr<sql::Session> session_;
};

/// Acts as somebody who may not write root's files.
class Nobody {
 public:
  Nobody() { REQUIRE(::seteuid(::geteuid() == 0 ? 65534 : ::geteuid()) == 0); }
  Nobody(const Nobody&) = delete;
  Nobody& operator=(const Nobody&) = delete;
  Nobody(Nobody&&) = delete;
  Nobody& operator=(Nobody&&) = delete;
  ~Nobody() { static_cast<void>(::seteuid(::getuid())); }
};

/// No file of ours may grow beyond a size, as on a full disk.
class SmallFiles {
 public:
  explicit SmallFiles(rlim_t size) {
    ::signal(SIGXFSZ, SIG_IGN);
    REQUIRE(::getrlimit(RLIMIT_FSIZE, &before_) == 0);
    rlimit small = before_;
    small.rlim_cur = size;
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &small) == 0);
  }
  SmallFiles(const SmallFiles&) = delete;
  SmallFiles& operator=(const SmallFiles&) = delete;
  SmallFiles(SmallFiles&&) = delete;
  SmallFiles& operator=(SmallFiles&&) = delete;
  ~SmallFiles() { static_cast<void>(::setrlimit(RLIMIT_FSIZE, &before_)); }

 private:
  rlimit before_{};
};

} // namespace

TEST_SUITE("index::SqlIndex, locked") {
  TEST_CASE("notes wait, questions are answered, and nothing is lost") {
    World world;
    const auto index = world.open_complete(world.options());
    store(*index, "before");
    REQUIRE(index->flush());
    Lock lock(world);
    store(*index, "during");
    index->note_read("space", "before");

    CHECK(index->flush().error().code == Errc::unavailable);
    CHECK_FALSE(index->state().available);
    CHECK(count(*index) == 1);
    index->note_removed("space", "before");
    lock.release();

    REQUIRE(index->flush());
    CHECK(index->state().available);
    CHECK(index->state().complete);
    CHECK(knows(*index, "during"));
    CHECK_FALSE(knows(*index, "before"));
  }

  TEST_CASE("at the start: opens when the other is done") {
    World world;
    {
      const auto once = world.open();
    }
    auto stranger = world.stranger();
    REQUIRE(stranger->execute("PRAGMA locking_mode = EXCLUSIVE"));
    REQUIRE(stranger->execute("DELETE FROM facts WHERE name = 'nobody'"));
    const auto index = world.open();
    store(*index, "a");
    CHECK_FALSE(index->state().available);
    CHECK(index->totals("space").error().code == Errc::unavailable);

    stranger.reset();

    REQUIRE(index->flush());
    CHECK(count(*index) == 1);
  }

  TEST_CASE("reads are dropped first, and leave the index complete") {
    World world;
    SqlIndexOptions options = world.options();
    options.pending_max = 8;
    const auto index = world.open_complete(options);
    store(*index, "known");
    REQUIRE(index->flush());
    Lock lock(world);
    for (int i = 0; i < 20; ++i) {
      index->note_read("space", "unknown" + std::to_string(i));
    }
    store(*index, "a");
    CHECK_FALSE(index->flush());
    lock.release();

    REQUIRE(index->flush());
    CHECK(knows(*index, "a"));
    CHECK(index->state().complete);
    CHECK(world.counted("polykit_cache_index_dropped_notes_total", {{"kind", "read"}}) >= 14);
    CHECK(world.counted("polykit_cache_index_dropped_notes_total", {{"kind", "other"}}) == 0);
  }

  TEST_CASE("what else is dropped makes the index incomplete since then, also for a next process") {
    World world;
    SqlIndexOptions options = world.options();
    options.pending_max = 4;
    auto index = world.open_complete(options);
    const State before = index->state();
    // Four find room, or eight when a batch is out that is going to come back.
    const Time start = world.clock.wall_now_ms();
    {
      Lock lock(world);
      for (int i = 0; i < 12; ++i) {
        store(*index, "k" + std::to_string(i));
        world.clock.advance(minutes(1));
      }
      lock.release();
    }
    REQUIRE(index->flush());
    CHECK_FALSE(index->state().complete);
    REQUIRE(index->state().since.has_value());
    CHECK(*index->state().since < start + minutes(9));
    CHECK(*index->state().since >= start + minutes(4) - minutes(10));
    CHECK_FALSE(index->mark_complete(before).value());
    CHECK(world.counted("polykit_cache_index_dropped_notes_total", {{"kind", "other"}}) ==
          12 - count(*index));

    const State state = index->state();
    index.reset();
    index = world.open();
    CHECK_FALSE(index->state().complete);
    CHECK(index->state().since == state.since);
    CHECK(index->mark_complete(index->state()).value());
  }
}

TEST_SUITE("index::SqlIndex, damaged or not ours") {
  TEST_CASE("a file that is no database is moved aside, at every start") {
    World world;
    for (const char* suffix : {".broken-1", ".broken-2"}) {
      std::ofstream(world.path, std::ios::trunc) << std::string(8192, 'x');
      std::filesystem::remove(world.path + "-wal");
      const auto index = world.open();
      CHECK(world.exists(suffix));
      CHECK(index->state().available);
      CHECK_FALSE(index->state().complete);
      CHECK_FALSE(index->state().since.has_value());
      store(*index, "a");
      REQUIRE(index->flush());
      CHECK(count(*index) == 1);
    }
  }

  TEST_CASE("a database of another program is moved aside as it is") {
    World world;
    REQUIRE(world.stranger()->execute("CREATE TABLE theirs (id INTEGER)"));
    const auto index = world.open();
    CHECK(index->state().available);
    const auto theirs = sql::connect({.target = world.path + ".broken-1"}).value();
    CHECK(theirs->execute("SELECT id FROM theirs"));
  }

  TEST_CASE("one of ours that lacks something is moved aside") {
    World world;
    {
      const auto once = world.open();
    }
    REQUIRE(world.stranger()->execute("DROP TABLE facts"));
    const auto index = world.open();
    CHECK(world.exists(".broken-1"));
    CHECK(index->put_fact("a", "b"));
  }

  TEST_CASE("an interrupted beginning is gone on with") {
    World world;
    {
      const auto nothing_in_it = world.stranger();
    }
    const auto index = world.open();
    CHECK_FALSE(world.exists(".broken-1"));
    CHECK(index->state().available);
  }

  TEST_CASE("damage that shows while running: a fresh one takes over, with what was noted since") {
    World world;
    const auto index = world.open_complete(world.options());
    store(*index, "before");
    REQUIRE(index->flush());
    const State state = index->state();
    {
      const auto stranger = world.stranger(); // so that nobody relies on pages in memory
      REQUIRE(stranger->execute("DELETE FROM objects"));
      REQUIRE(stranger->execute("PRAGMA wal_checkpoint(TRUNCATE)"));
      std::fstream file(world.path, std::ios::in | std::ios::out | std::ios::binary);
      file << std::string(std::filesystem::file_size(world.path), 'x');
    }
    store(*index, "after");

    CHECK(index->find("space", "before").error().code == Errc::corrupt);
    static_cast<void>(index->flush()); // may be the one that finds the damage
    REQUIRE(index->flush());

    CHECK(world.exists(".broken-1"));
    CHECK(knows(*index, "after"));
    CHECK_FALSE(index->state().complete);
    CHECK_FALSE(index->state().since.has_value());
    CHECK_FALSE(index->mark_complete(state).value());
    CHECK(world.counted("polykit_cache_index_replaced_total") == 1);
  }

  TEST_CASE("a file that was removed while running is begun anew") {
    World world;
    const auto index = world.open_complete(world.options());
    store(*index, "before");
    REQUIRE(index->flush());
    for (const char* suffix : {"", "-wal", "-shm"}) {
      std::filesystem::remove(world.path + suffix);
    }
    store(*index, "after");
    REQUIRE(index->flush());
    CHECK(world.exists(""));
    CHECK(knows(*index, "after"));
    CHECK_FALSE(knows(*index, "before"));
    CHECK_FALSE(index->state().complete);
  }

  TEST_CASE("a newer schema is refused, and the file left alone") {
    World world;
    {
      const auto once = world.open_complete(world.options());
    }
    REQUIRE(world.stranger()->execute("INSERT INTO schema_steps VALUES (999, 0)"));
    const auto index =
        make_sql_index(world.clock, pkc::ops::null_log(), world.metrics, world.options());
    CHECK(index.error().code == Errc::conflict);
    CHECK_FALSE(world.exists(".broken-1"));
  }

  TEST_CASE("a successor that takes the schema further: we write no more, and it will know") {
    World world;
    auto index = world.open_complete(world.options(1));
    store(*index, "a");
    REQUIRE(index->flush());
    const auto stranger = world.stranger();
    REQUIRE(stranger->execute("INSERT INTO schema_steps VALUES (999, 0)"));
    store(*index, "b");
    CHECK(index->flush().error().code == Errc::conflict);
    index.reset();
    REQUIRE(stranger->execute("DELETE FROM schema_steps WHERE version = 999"));

    const auto successor = world.open(world.options(2));
    CHECK_FALSE(successor->state().complete);
    CHECK(count(*successor) == 1);
  }

  TEST_CASE("a file that we may not write is moved aside where that is possible") {
    World world;
    {
      const auto once = world.open();
    }
    REQUIRE(::chmod(world.path.c_str(), 0444) == 0);
    REQUIRE(::chmod(world.directory.path().c_str(), 0777) == 0);
    {
      const Nobody nobody;
      const auto made =
          make_sql_index(world.clock, pkc::ops::null_log(), world.metrics, world.options());
      REQUIRE_MESSAGE(made, made.error().message);
      const auto& index = *made;
      CHECK(world.exists(".broken-1"));
      store(*index, "a");
      CHECK(index->flush());
    }
    REQUIRE(::chmod(world.path.c_str(), 0444) == 0);
    REQUIRE(::chmod(world.directory.path().c_str(), 0555) == 0);
    {
      const Nobody nobody;
      const auto refused =
          make_sql_index(world.clock, pkc::ops::null_log(), world.metrics, world.options());
      CHECK(refused.error().code == Errc::io);
    }
    REQUIRE(::chmod(world.directory.path().c_str(), 0700) == 0);
  }

  TEST_CASE("a directory that is not there is an error") {
    World world;
    SqlIndexOptions options = world.options();
    options.path = world.directory / "absent/index.db";
    CHECK(make_sql_index(world.clock, pkc::ops::null_log(), world.metrics, options).error().code ==
          Errc::io);
  }
}

TEST_SUITE("index::SqlIndex, full disk") {
  TEST_CASE("notes wait for room, and the database stays whole") {
    World world;
    const auto index = world.open_complete(world.options());
    store(*index, "before");
    REQUIRE(index->flush());
    for (int i = 0; i < 5000; ++i) {
      store(*index, std::string(200, 'k') + std::to_string(i));
    }
    Result<void> written;
    {
      const SmallFiles full(64 * 1024);
      written = index->flush();
    }
    CHECK_FALSE(written);

    REQUIRE(index->flush());
    CHECK(count(*index) == 5001);
    CHECK(index->state().complete);
    CHECK(index->check().value().empty());
  }
}

TEST_SUITE("index::SqlIndex, two processes") {
  TEST_CASE("hand-over: both write, and a clean end leaves the other complete") {
    World world;
    auto old = world.open_complete(world.options(1));
    world.living = 1;
    const auto successor = world.open(world.options(2));
    CHECK(successor->state().complete);
    store(*old, "a");
    store(*successor, "b");
    world.living = 2; // as the old one sees it
    REQUIRE(old->flush());
    old.reset();
    world.living = 0;
    REQUIRE(successor->flush());
    CHECK(successor->state().complete);
    CHECK(count(*successor) == 2);
  }

  TEST_CASE("hand-over: an end that was not clean is noticed by the one that lives") {
    World world;
    world.living = 1;
    const auto old = world.open_complete(world.options(1));
    const auto successor = world.open(world.options(2));
    REQUIRE(successor->flush());
    CHECK(successor->state().complete);
    world.living = 0;
    REQUIRE(successor->flush()); // has nothing to write, and looks all the same
    CHECK_FALSE(successor->state().complete);
    CHECK(successor->state().since.has_value());
  }

  TEST_CASE("hand-over: a note that is written late does not undo what happened after it") {
    World world;
    const auto old = world.open(world.options(1));
    world.living = 1;
    const auto successor = world.open(world.options(2));
    store(*old, "a");
    REQUIRE(old->flush());
    old->note_removed("space", "a");
    world.clock.advance(milliseconds(1));
    successor->note_stored("space", "a", 77, 78);
    REQUIRE(successor->flush());

    world.living = 2;
    REQUIRE(old->flush());

    CHECK(successor->totals("space").value().size == 77);
    CHECK(successor->check().value().empty());
  }

  TEST_CASE("our own number, used again: what is left of it is of a dead process") {
    World world;
    const auto killed = world.open_complete(world.options(1)); // as if it never came to its end
    world.living = 1;
    const auto again = world.open(world.options(1));
    CHECK_FALSE(again->state().complete);
    CHECK(again->state().since.has_value());
  }
}
