// fsck and the index: drift of every kind is told, and healed in the index; the files stay.
#include "support/damage.hpp"
#include "support/fake_clock.hpp"
#include "support/fault_file_system.hpp"
#include "support/store_fixture.hpp"
#include "support/temp_dir.hpp"

#include "pkc/index/memory_index.hpp"
#include "pkc/index/sql_index.hpp"
#include "pkc/locks/key_locks.hpp"
#include "pkc/ops/log.hpp"
#include "pkc/ops/metrics.hpp"
#include "pkc/store/fsck.hpp"
#include "pkc/store/room.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using pkc::Errc;
using pkc::index::Index;
using pkc::index::Object;
using pkc::index::Pinned;
using pkc::locks::KeyLocks;
using pkc::store::disk_size_of;
using pkc::store::Fault;
using pkc::store::FsckOptions;
using pkc::store::FsckSummary;
using pkc::store::Key;
using pkc::store::Outcome;
using pkc::store::Repair;
using pkc::store::VerifyContent;
using pkc::test::FakeClock;
using pkc::test::FaultFileSystem;
using pkc::test::FsckNotes;
using pkc::test::kFsckSpace;
using pkc::test::make_key;
using pkc::test::StoreFixture;
using pkc::test::TempDir;

namespace {

const std::string kRoot = "/cache";
using Rows = std::map<std::string, Object>;

std::string content_of(const Key& key) {
  return "content of " + key.id();
}

Rows rows_of(Index& index) {
  REQUIRE(index.flush());
  const auto listed = index.with_prefix(kFsckSpace, "").value();
  Rows rows;
  for (const Object& row : listed) {
    rows.emplace(row.key, row);
  }
  return rows;
}

void note(Index& index, const Key& key) {
  const std::size_t size = content_of(key).size();
  index.note_stored(kFsckSpace, key.id(), size, disk_size_of(size));
}

std::map<std::string, Fault> by_name(const FsckNotes& notes) {
  std::map<std::string, Fault> faults;
  for (const auto& finding : notes.findings) {
    CHECK_MESSAGE(faults.emplace(finding.subject, finding.fault).second, finding.subject);
  }
  return faults;
}

/// Objects that a complete index knows, each with its own history.
struct World {
  explicit World(std::uint64_t seed = 0, std::size_t size = 0) : random(seed) {
    REQUIRE(index->mark_complete(index->state()).value());
    StoreFixture server(disk, kRoot);
    REQUIRE(server.start());
    for (std::size_t n = 0; n < size; ++n) {
      std::string id(64, '0');
      std::ranges::generate(id, [this] { return "0123456789abcdefABCDEF"[random() % 22]; });
      id.replace(0, 4, std::string(4, "abc"[random() % 3])); // few shards, many neighbours
      put(server, Key::parse_hex(id).value());
    }
  }

  void put(StoreFixture& server, const Key& key) {
    REQUIRE(server.put(key, content_of(key)));
    clock.advance(std::chrono::milliseconds(1));
    note(*index, key);
    for (std::size_t reads = random() % 3; reads > 0; --reads) {
      clock.advance(std::chrono::milliseconds(1));
      index->note_read(kFsckSpace, key.id());
    }
    if (random() % 4 == 0) {
      REQUIRE(index->set_pinned(kFsckSpace, key.id(), Pinned::yes).value());
    }
    keys.push_back(key);
  }

  FsckSummary check(Repair repair, std::size_t jobs = 1) {
    notes = {};
    return pkc::test::run_fsck(
               disk,
               kRoot,
               {.repair = repair, .verify_content = VerifyContent::yes, .jobs = jobs},
               notes,
               key_locks,
               {},
               index.get())
        .value();
  }

  std::mt19937_64 random;
  FaultFileSystem disk;
  StoreFixture fixture{disk, kRoot}; ///< a server that does not run yet
  FakeClock clock;
  std::unique_ptr<Index> index = pkc::index::make_memory_index(clock);
  KeyLocks key_locks;
  FsckNotes notes;
  std::vector<Key> keys;
};

/// What can be wrong with an index: its row of `key` is spoilt.
struct Spoiling {
  const char* name;
  Fault fault;
  void (*apply)(Index& index, const Key& key);
};

void note_wrong(Index& index, const Key& key, std::size_t size, std::size_t disk_size) {
  const auto row = index.find(kFsckSpace, key.id()).value();
  REQUIRE(row);
  index.note_found({.space = kFsckSpace,
                    .key = key.id(),
                    .size = size,
                    .disk_size = disk_size,
                    .stored_at = row->stored_at});
}

constexpr std::array kSpoilings = {
    Spoiling{
        .name = "no row",
        .fault = Fault::not_in_index,
        .apply = [](Index& index, const Key& key) { index.note_removed(kFsckSpace, key.id()); }},
    Spoiling{
        .name = "another size",
        .fault = Fault::wrong_in_index,
        .apply = [](Index& index, const Key& key) { note_wrong(index, key, 5, disk_size_of(5)); }},
    Spoiling{.name = "another size on the disk",
             .fault = Fault::wrong_in_index,
             .apply = [](Index& index,
                         const Key& key) { note_wrong(index, key, content_of(key).size(), 1); }},
};

} // namespace

TEST_SUITE("store::fsck of an index") {
  TEST_CASE("an index that knows every object has no findings, and stays as it is") {
    World world(1, 30);
    const Rows before = rows_of(*world.index);

    for (const Repair repair : {Repair::no, Repair::yes}) {
      const FsckSummary summary = world.check(repair);

      CHECK(world.notes.findings.empty());
      CHECK(summary.index_skipped.empty());
      CHECK(rows_of(*world.index) == before);
      CHECK(world.index->state().complete);
    }
  }

  TEST_CASE("random drift of every kind, among damaged files: told, then healed, and pins stay") {
    for (std::uint64_t seed = 0; seed < 40; ++seed) {
      CAPTURE(seed);
      World world(seed, 60);
      Rows right = rows_of(*world.index);
      std::map<std::string, Fault> expected;
      for (const Key& key : world.keys) {
        const std::size_t choice = world.random() % 8;
        if (choice < kSpoilings.size()) {
          kSpoilings[choice].apply(*world.index, key);
          expected.emplace(key.id(), kSpoilings[choice].fault);
          if (kSpoilings[choice].fault == Fault::not_in_index) {
            right.erase(key.id()); // what it knew of the past cannot come back
          }
        } else if (choice == kSpoilings.size()) {
          world.disk.overwrite(world.fixture.sidecar_path(key), "torn");
          expected.emplace(key.id(), Fault::torn_sidecar);
          right.erase(key.id());
        }
      }
      for (const Key& ghost : {make_key('a', "77"), make_key('f', "77"), make_key('0', "78")}) {
        note(*world.index, ghost); // in a shard with objects, and in two without a directory
        expected.emplace(ghost.id(), Fault::only_in_index);
      }
      world.index->note_stored(kFsckSpace, "no key", 1, 1);
      expected.emplace("no key", Fault::only_in_index);
      const Rows spoilt = rows_of(*world.index);
      const auto files = world.disk.files(kRoot);

      const FsckSummary told = world.check(Repair::no, 1 + seed % 4);

      CHECK(by_name(world.notes) == expected);
      CHECK(told.left() == expected.size());
      CHECK(rows_of(*world.index) == spoilt);
      CHECK(world.disk.files(kRoot) == files);

      const FsckSummary healed = world.check(Repair::yes, 1 + seed % 4);

      CHECK(by_name(world.notes) == expected);
      CHECK(healed.left() == 0);
      CHECK(world.check(Repair::no).seen.damages == 0);
      const Rows after = rows_of(*world.index);
      std::set<std::string> healthy;
      REQUIRE(world.fixture.start());
      for (const Key& key : world.keys) {
        if (expected.contains(key.id()) && expected[key.id()] == Fault::torn_sidecar) {
          CHECK_FALSE(after.contains(key.id()));
          continue;
        }
        healthy.insert(key.id());
        CHECK(world.fixture.get(key).value() == content_of(key));
        REQUIRE(after.contains(key.id()));
        CHECK(after.at(key.id()).size == content_of(key).size());
        CHECK(after.at(key.id()).disk_size == disk_size_of(content_of(key).size()));
      }
      CHECK(after.size() == healthy.size());
      for (const auto& [name, row] : right) {
        CHECK(after.at(name).hits == row.hits);
        CHECK(after.at(name).pinned == row.pinned);
        CHECK(after.at(name).accessed_at == row.accessed_at);
      }
    }
  }

  TEST_CASE("beside a server: it is told to compare once more, and only when something changed") {
    World world(3, 10);
    REQUIRE(world.fixture.start());
    const auto damages = world.index->state().damages;
    world.check(Repair::yes);
    CHECK(world.index->state().damages == damages);
    const Key& key = world.keys.front();
    REQUIRE(world.disk.remove(world.fixture.sidecar_path(key)).value());

    CHECK(world.check(Repair::yes).left() == 0);

    CHECK_FALSE(rows_of(*world.index).contains(key.id()));
    CHECK_FALSE(world.index->state().complete);
    CHECK(world.index->state().since.has_value());
  }

  TEST_CASE("an index that knows that it knows nothing yet is left to the server") {
    World world(4, 5);
    world.index = pkc::index::make_memory_index(world.clock);

    const FsckSummary summary = world.check(Repair::yes);

    CHECK(world.notes.findings.empty());
    CHECK_FALSE(summary.index_skipped.empty());
    CHECK_FALSE(summary.index_failed);
    CHECK(rows_of(*world.index).empty());
  }

  TEST_CASE("an index that is behind since a crash: that is no drift, but what is older is") {
    World world(5, 10);
    const Key& key = world.keys.front();
    world.index->note_removed(kFsckSpace, key.id());
    // All files are of 1970 here.
    REQUIRE(world.index->mark_incomplete(pkc::index::Time(std::chrono::milliseconds(0))));
    CHECK(world.check(Repair::no).seen.damages == 0);
    CHECK(world.check(Repair::yes).seen.damages == 1);

    world.index->note_removed(kFsckSpace, key.id());
    REQUIRE(world.index->mark_complete(world.index->state()).value());
    REQUIRE(world.index->mark_incomplete(world.clock.wall_now_ms()));
    CHECK(world.check(Repair::no).seen.damages == 1);
  }

  TEST_CASE("stopped: nothing is told to the index that was not looked at") {
    World world(6, 10);
    world.index->note_stored(kFsckSpace, make_key('f').id(), 1, 1);
    const Rows before = rows_of(*world.index);
    std::stop_source stop;
    stop.request_stop();

    const auto summary = pkc::test::run_fsck(world.disk,
                                             kRoot,
                                             {.repair = Repair::yes, .jobs = 1},
                                             world.notes,
                                             world.key_locks,
                                             stop.get_token(),
                                             world.index.get())
                             .value();

    CHECK(summary.interrupted);
    CHECK(rows_of(*world.index) == before);
  }
}

namespace {

/// An index in a database that two processes use: a server's, and that of fsck beside it.
struct TwoProcesses {
  TwoProcesses() {
    REQUIRE(server->flush()); // on a slow machine it is still being opened
    REQUIRE(server->mark_complete(server->state()).value());
    REQUIRE(fixture.start());
  }

  [[nodiscard]] pkc::index::SqlIndexOptions options(std::int64_t process) const {
    return {.path = directory / "index.db",
            .process = process,
            .alive = [](std::int64_t) { return true; },
            .flush_interval = std::chrono::milliseconds(50),
            .broken = process == 1 ? pkc::index::Broken::replaced : pkc::index::Broken::kept};
  }
  std::unique_ptr<Index> open(std::int64_t process) {
    return pkc::index::make_sql_index(
               pkc::system_clock(), pkc::ops::null_log(), metrics, options(process))
        .value();
  }
  void put(const Key& key) {
    REQUIRE(fixture.put(key, content_of(key)));
    note(*server, key);
  }
  FsckSummary check(Index& index, Repair repair) {
    notes = {};
    return pkc::test::run_fsck(
               disk, kRoot, {.repair = repair, .jobs = 2}, notes, key_locks, {}, &index)
        .value();
  }

  TempDir directory;
  pkc::ops::Metrics metrics;
  std::unique_ptr<Index> server = open(1);
  FaultFileSystem disk;
  StoreFixture fixture{disk, kRoot};
  KeyLocks key_locks;
  FsckNotes notes;
};

} // namespace

TEST_SUITE("store::fsck of an index that a server uses") {
  TEST_CASE("what the server has not written yet is no drift, and what it did not note is") {
    TwoProcesses world;
    const auto beside = world.open(2);
    for (int round = 0; round < 5; ++round) {
      world.put(make_key('a', std::to_string(10 + round)));
      world.server->note_removed(kFsckSpace, make_key('c', std::to_string(10 + round)).id());
      CHECK(world.check(*beside, Repair::no).left() == 0);
    }
    REQUIRE(world.fixture.put(make_key('b'), "nobody noted that"));

    CHECK(world.check(*beside, Repair::yes).left() == 0);

    REQUIRE(world.notes.findings.size() == 1);
    CHECK(world.notes.findings.front().fault == Fault::not_in_index);
    CHECK(world.server->find(kFsckSpace, make_key('b').id()).value());
    REQUIRE(world.server->flush());
    CHECK_FALSE(world.server->state().complete);
  }

  TEST_CASE("what the server has just stored, and fsck removes, leaves no row behind") {
    TwoProcesses world;
    const auto beside = world.open(2);
    const Key key = make_key('a');
    for (int round = 0; round < 5; ++round) {
      world.put(key);
      REQUIRE(world.disk.remove(world.fixture.sidecar_path(key)).value());

      CHECK(world.check(*beside, Repair::yes).left() == 0);

      REQUIRE(world.notes.findings.size() == 1);
      CHECK(world.notes.findings.front().fault == Fault::orphan_blob);
      REQUIRE(world.server->flush());
      CHECK_FALSE(world.server->find(kFsckSpace, key.id()).value());
    }
  }

  TEST_CASE("a server that is not in the index cannot be waited for: nothing is said of drift") {
    TwoProcesses world;
    world.put(make_key('a'));
    world.server.reset();
    REQUIRE(world.fixture.put(make_key('b'), "not noted yet"));
    const auto beside = world.open(2);

    const FsckSummary summary = world.check(*beside, Repair::yes);

    CHECK(world.notes.findings.empty());
    CHECK(summary.index_failed);
    CHECK(summary.index_skipped.find("server") != std::string::npos);
  }

  TEST_CASE(
      "a damaged database is told, and replaced only by a repair; the server goes on with it") {
    TwoProcesses world;
    world.put(make_key('a'));
    world.server.reset();
    const std::string path = world.directory / "index.db";
    std::ofstream(path, std::ios::trunc) << std::string(8192, 'x');
    const auto beside = world.open(2);

    const FsckSummary told = world.check(*beside, Repair::no);
    CHECK(told.left() == 1);
    REQUIRE(world.notes.findings.size() == 1);
    CHECK(world.notes.findings.front().fault == Fault::broken_index);
    CHECK_FALSE(told.index_skipped.empty());
    CHECK_FALSE(std::filesystem::exists(path + ".broken-1"));

    const FsckSummary healed = world.check(*beside, Repair::yes);
    CHECK(healed.left() == 0);
    CHECK(std::filesystem::exists(path + ".broken-1"));
    world.server = world.open(1);
    CHECK(world.server->state().available);
    CHECK_FALSE(world.server->state().complete);
    CHECK(world.fixture.get(make_key('a')).value() == content_of(make_key('a')));
  }
}
