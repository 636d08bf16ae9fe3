// What fsck asks of a SqlIndex: to repair itself, and to reckon with other processes.
#include "support/fake_clock.hpp"
#include "support/temp_dir.hpp"

#include "pkc/base/sql.hpp"
#include "pkc/index/sql_index.hpp"
#include "pkc/ops/log.hpp"
#include "pkc/ops/metrics.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <memory>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>

using namespace pkc::index;
namespace sql = pkc::sql;
using pkc::ByteCount;
using pkc::Errc;
using pkc::test::FakeClock;
using pkc::test::TempDir;
using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;

namespace {

/// A directory for a database, and the indexes of several processes on it.
struct World {
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

  TempDir directory;
  std::string path = directory / "index.db";
  FakeClock clock;
  pkc::ops::Metrics metrics;
  std::int64_t living = 0; ///< the one other process that lives
};

void store(Index& index, const std::string& key) {
  index.note_stored("space", key, 10, 20);
}

} // namespace

TEST_SUITE("index::SqlIndex, repair") {
  TEST_CASE("totals that are wrong are summed up anew, and pins stay") {
    World world;
    const auto index = world.open_complete(world.options());
    for (const char* key : {"a", "b", "c"}) {
      store(*index, key);
    }
    REQUIRE(index->set_pinned("space", "b", Pinned::yes).value());
    const Totals right = index->totals("space").value();
    REQUIRE(
        world.stranger()->execute("UPDATE spaces SET objects = 7, size = 1, disk_size = 0, "
                                  "pinned_objects = 0, pinned_disk_size = 999999"));
    REQUIRE(index->check().value().size() == 1);

    REQUIRE(index->repair());

    CHECK(index->check().value().empty());
    CHECK(index->totals("space").value() == right);
    CHECK(index->find("space", "b").value()->pinned);
    CHECK(index->state().complete);
    CHECK_FALSE(world.exists(".broken-1"));
  }

  TEST_CASE("totals of downloads that are wrong, or not there, are summed up anew as well") {
    for (const char* damage : {"UPDATE source_totals SET sources = 9, file_size = 0, accesses = 1",
                               "UPDATE source_totals SET accesses = accesses + 1",
                               "DELETE FROM source_totals",
                               "DELETE FROM sources WHERE file_size = 7"}) {
      CAPTURE(damage);
      World world;
      const auto index = world.open_complete(world.options());
      for (const ByteCount size : {5U, 7U}) {
        const std::string key = std::to_string(size);
        store(*index, key);
        index->note_source("space",
                           key,
                           {.source_url = "http://a.example/" + key,
                            .content_hash = "aa",
                            .storage_path = "path",
                            .file_size = size,
                            .content_type = ""});
        index->note_read("space", key);
      }
      REQUIRE(index->flush());
      const SourceTotals right{.sources = 2, .file_size = 12, .accesses = 2};
      REQUIRE(index->source_totals("space").value() == right);
      REQUIRE(world.stranger()->execute(damage));
      REQUIRE(index->check().value().size() == 1);

      REQUIRE(index->repair());

      CHECK(index->check().value().empty());
      const bool taken = index->find_source("space", "7").value() == std::nullopt;
      CHECK(index->source_totals("space").value() ==
            (taken ? SourceTotals{.sources = 1, .file_size = 5, .accesses = 1} : right));
      CHECK(index->state().complete);
      CHECK_FALSE(world.exists(".broken-1"));
    }
  }

  TEST_CASE("a file to be kept: it is left alone until repair() replaces it") {
    for (const bool ours : {false, true}) {
      CAPTURE(ours);
      World world;
      if (ours) {
        {
          const auto once = world.open_complete(world.options());
        }
        REQUIRE(world.stranger()->execute("DROP TABLE facts"));
      } else {
        std::ofstream(world.path) << std::string(8192, 'x');
      }
      SqlIndexOptions options = world.options(2);
      options.broken = Broken::kept;
      const auto index = world.open(options);
      CHECK(index->flush().error().code == Errc::corrupt);
      CHECK_FALSE(index->check());
      CHECK_FALSE(world.exists(".broken-1"));

      REQUIRE(index->repair());

      CHECK(world.exists(".broken-1"));
      CHECK(index->check().value().empty());
      CHECK_FALSE(index->state().complete);
      CHECK_FALSE(index->state().since.has_value());
    }
  }

  TEST_CASE("pages that were overwritten: found by check() or a query, replaced by repair()") {
    World world;
    SqlIndexOptions options = world.options();
    options.broken = Broken::kept;
    {
      const auto index = world.open_complete(options);
      for (int i = 0; i < 2000; ++i) {
        store(*index, "key" + std::to_string(i));
      }
    }
    {
      const auto size = std::filesystem::file_size(world.path);
      std::fstream file(world.path, std::ios::in | std::ios::out | std::ios::binary);
      file.seekp(static_cast<std::streamoff>(size / 2));
      file << std::string(16'384, 'x');
    }
    const auto index = world.open(options);
    const auto problems = index->check();
    REQUIRE((!problems || !problems->empty()));
    CHECK_FALSE(world.exists(".broken-1"));

    REQUIRE(index->repair());

    CHECK(world.exists(".broken-1"));
    CHECK(index->check().value().empty());
    CHECK(index->totals("space").value().objects == 0);
  }
}

TEST_SUITE("index::SqlIndex, beside others") {
  TEST_CASE("await_others: what the other has noted is there afterwards") {
    World world;
    const auto everybody_lives = [](std::int64_t /*process*/) { return true; };
    SqlIndexOptions quick = world.options(1);
    quick.flush_interval = milliseconds(20);
    quick.alive = everybody_lives;
    const auto server = world.open_complete(quick);
    SqlIndexOptions patient = world.options(2);
    patient.alive = everybody_lives;
    const auto beside = world.open(patient);
    store(*server, "a");
    const std::jthread time(
        [&](const std::stop_token& stop) { // passes, as it does outside of tests
          while (!stop.stop_requested()) {
            world.clock.advance(milliseconds(1));
            std::this_thread::yield();
          }
        });

    CHECK(beside->await_others().value() == 1);

    CHECK(beside->find("space", "a").value());
  }

  TEST_CASE("await_others: alone there is nobody to wait for, and one who does not write is told") {
    World world;
    SqlIndexOptions impatient = world.options(2);
    impatient.flush_interval = milliseconds(1);
    impatient.query_timeout = milliseconds(100);
    {
      const auto alone = world.open(impatient);
      CHECK(alone->await_others().value() == 0);
    }
    world.living = 1;
    const auto silent = world.open(world.options(1));
    const auto beside = world.open(impatient);
    CHECK(beside->await_others().error().code == Errc::unavailable);
  }

  TEST_CASE("mark_incomplete: an idle process of the same database notices, and when it was") {
    World world;
    world.living = 1;
    const auto server = world.open_complete(world.options(1));
    const Time then = world.clock.wall_now_ms();
    world.clock.advance(minutes(30));
    {
      const auto beside = world.open(world.options(2));
      REQUIRE(beside->mark_incomplete(then));
    }
    world.living = 0;

    REQUIRE(server->flush());

    CHECK_FALSE(server->state().complete);
    REQUIRE(server->state().since.has_value());
    CHECK(*server->state().since <= then);
    CHECK(*server->state().since > then - hours(1));
  }
}
