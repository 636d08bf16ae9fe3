#include "support/damage.hpp"
#include "support/fault_file_system.hpp"
#include "support/store_fixture.hpp"
#include "support/temp_dir.hpp"

#include "pkc/blob/disk.hpp"
#include "pkc/locks/key_locks.hpp"
#include "pkc/store/fsck.hpp"

#include <doctest/doctest.h>

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

using pkc::Errc;
using pkc::Result;
using pkc::locks::KeyLocks;
using pkc::store::CommitOutcome;
using pkc::store::Fault;
using pkc::store::FsckOptions;
using pkc::store::FsckSummary;
using pkc::store::Key;
using pkc::store::Outcome;
using pkc::store::Repair;
using pkc::store::VerifyContent;
using pkc::test::Damage;
using pkc::test::damages;
using pkc::test::FaultFileSystem;
using pkc::test::FsckNotes;
using pkc::test::make_key;
using pkc::test::StoreFixture;

namespace {

const std::string kRoot = "/cache";
const Key kBad = make_key('a', "01");
/// In the same shard and in others.
const std::vector<Key> kGood = {make_key('a', "02"), make_key('b'), make_key('A', "03")};

std::string content_of(const Key& key) {
  return "content of " + key.id();
}

FsckOptions options(Repair repair, VerifyContent verify = VerifyContent::yes) {
  return {.repair = repair, .verify_content = verify, .jobs = 1};
}

/// A disk with a few whole objects that no server uses.
struct World {
  World() {
    StoreFixture fixture(disk, kRoot);
    REQUIRE(fixture.start());
    put(fixture, kBad);
    for (const Key& key : kGood) {
      put(fixture, key);
    }
  }
  static void put(StoreFixture& fixture, const Key& key) {
    REQUIRE(fixture.put(key, content_of(key)).value() == CommitOutcome::stored);
  }

  FsckSummary check(const FsckOptions& how) {
    notes = {};
    return pkc::test::run_fsck(disk, kRoot, how, notes, key_locks).value();
  }
  /// Of one kind only.
  [[nodiscard]] std::vector<pkc::store::Finding> found(Fault fault) const {
    std::vector<pkc::store::Finding> found = notes.findings;
    std::erase_if(found, [fault](const auto& finding) { return finding.fault != fault; });
    return found;
  }
  void check_good_objects() {
    StoreFixture fixture(disk, kRoot);
    REQUIRE(fixture.start());
    for (const Key& key : kGood) {
      CHECK(fixture.get(key).value() == content_of(key));
    }
  }

  FaultFileSystem disk;
  KeyLocks key_locks;
  FsckNotes notes;
};

std::uint64_t count(const std::array<std::uint64_t, pkc::store::kFaults>& counts, Fault fault) {
  return counts.at(static_cast<std::size_t>(fault));
}

} // namespace

TEST_SUITE("store::fsck") {
  TEST_CASE("a healthy store has no findings, and nothing changes") {
    World world;
    const auto before = world.disk.files(kRoot);

    for (const Repair repair : {Repair::no, Repair::yes}) {
      const FsckSummary summary = world.check(options(repair));

      CHECK(world.notes.findings.empty());
      CHECK(summary.seen.objects == kGood.size() + 1);
      CHECK(summary.seen.size == (kGood.size() + 1) * content_of(kBad).size());
      CHECK(summary.seen.shards == 3);
      CHECK(summary.seen.shards_done == 3);
      CHECK(summary.left() == 0);
      CHECK_FALSE(summary.interrupted);
      CHECK(world.disk.files(kRoot) == before);
    }
  }

  TEST_CASE("each kind of damage: told without repair, healed with it, and all else is untouched") {
    for (const Damage& damage : damages()) {
      CAPTURE(damage.name);
      World world;
      damage.apply(world.disk, kRoot, kBad);
      const auto before = world.disk.files(kRoot);

      const FsckSummary told = world.check(options(Repair::no));

      REQUIRE_FALSE(world.found(damage.fault).empty());
      CHECK(world.found(damage.fault).front().subject.find(kBad.id()) != std::string::npos);
      CHECK(world.found(damage.fault).front().outcome == Outcome::left);
      CHECK(told.left() == world.notes.findings.size());
      CHECK(told.seen.objects == kGood.size());
      CHECK(world.disk.files(kRoot) == before);

      const FsckSummary healed = world.check(options(Repair::yes));

      CHECK(healed.left() == 0);
      CHECK(world.found(damage.fault).front().outcome == Outcome::repaired);
      const auto after = world.disk.files(kRoot);
      for (const auto& [path, bytes] : before) {
        if (path.find(kBad.id()) == std::string::npos) {
          CHECK(after.at(path) == bytes);
        }
      }
      CHECK(world.check(options(Repair::yes)).left() == 0);
      CHECK(world.notes.findings.empty());
      world.check_good_objects();
    }
  }

  TEST_CASE("wrong content: only seen when the bytes are looked at, and kept in quarantine") {
    for (const Damage& damage : damages()) {
      World world;
      damage.apply(world.disk, kRoot, kBad);
      const bool seen = world.check(options(Repair::yes, VerifyContent::no)).seen.damages > 0;
      CAPTURE(damage.name);
      CHECK(seen == (damage.seen_by == VerifyContent::no));
      CHECK(world.disk.files("/cache/quarantine").empty());

      const FsckSummary summary = world.check(options(Repair::yes));
      CHECK(summary.quarantined == (damage.seen_by == VerifyContent::yes ? 1 : 0));
    }
  }

  TEST_CASE("strangers and what lies in a wrong directory: told, and never touched") {
    World world;
    const std::string misplaced = make_key('c').id();
    REQUIRE(world.disk.make_directory("/cache/aa/aa/" + misplaced + ".zst").value());
    for (const std::string& path : {"/cache/aa/aa/" + misplaced + ".json",
                                    std::string("/cache/aa/aa/aaaa-notes.txt"),
                                    std::string("/cache/aa/aa/aaaazz.zst"),
                                    std::string("/cache/notes")}) {
      REQUIRE(world.disk.create(path));
    }
    const auto before = world.disk.files(kRoot);

    const FsckSummary summary = world.check(options(Repair::yes));

    CHECK(count(summary.found, Fault::misplaced) == 2);
    CHECK(count(summary.found, Fault::stranger) == 3);
    CHECK(summary.left() == 2);
    CHECK(world.disk.files(kRoot) == before);
  }

  TEST_CASE("a directory in the place of a blob stays when something lies in it") {
    World world;
    const std::string path = "/cache/aa/aa/" + kBad.id() + ".zst";
    REQUIRE(world.disk.remove(path).value());
    REQUIRE(world.disk.make_directory(path).value());
    REQUIRE(world.disk.create(path + "/precious"));

    const FsckSummary summary = world.check(options(Repair::yes));

    CHECK(world.found(Fault::wrong_type).front().outcome == Outcome::failed);
    CHECK(world.found(Fault::orphan_sidecar).front().outcome == Outcome::failed);
    CHECK(summary.left() == 2);
    CHECK(world.disk.files(kRoot).contains(path + "/precious"));
  }

  TEST_CASE("links and pipes: removed themselves, and what a link leads to stays") {
    const pkc::test::TempDir directory;
    const std::string root = directory / "cache";
    StoreFixture fixture(pkc::posix_file_system(), root);
    REQUIRE(fixture.start());
    for (const Key& key : {kBad, kGood[0], kGood[1]}) {
      World::put(fixture, key);
    }
    std::filesystem::rename(fixture.blob_path(kBad), directory / "elsewhere");
    std::filesystem::create_symlink(directory / "elsewhere", fixture.blob_path(kBad));
    std::filesystem::remove(fixture.sidecar_path(kGood[0]));
    REQUIRE(::mkfifo(fixture.sidecar_path(kGood[0]).c_str(), 0600) == 0);
    KeyLocks key_locks;
    FsckNotes notes;

    const auto summary =
        pkc::test::run_fsck(pkc::posix_file_system(), root, options(Repair::yes), notes, key_locks)
            .value();

    CHECK(count(summary.found, Fault::wrong_type) == 1);
    CHECK(count(summary.found, Fault::orphan_blob) == 1);
    CHECK(summary.left() == 0);
    CHECK(std::filesystem::exists(directory / "elsewhere"));
    CHECK_FALSE(std::filesystem::is_symlink(fixture.blob_path(kBad)));
    CHECK_FALSE(std::filesystem::exists(fixture.sidecar_path(kGood[0])));
    CHECK(fixture.get(kGood[1]).value() == content_of(kGood[1]));
  }

  TEST_CASE("uploads: without a server all are stale") {
    World world;
    REQUIRE(world.disk.create("/cache/tmp/12-0.tmp"));
    REQUIRE(world.disk.create("/cache/tmp/0f8fad5b-d9cb-469f-a165-70867728950e.tmp"));

    CHECK(world.check(options(Repair::no)).left() == 2);
    CHECK(world.disk.files("/cache/tmp").size() == 2);
    CHECK(world.check(options(Repair::yes)).left() == 0);
    CHECK(world.disk.files("/cache/tmp").empty());
  }

  TEST_CASE("uploads: next to a server, only old ones of processes that have ended") {
    // The fake clock is decades ahead of the fake file system, so everything is old here.
    World world;
    StoreFixture server(world.disk, kRoot);
    REQUIRE(server.start());
    for (const std::string_view name : {"1-0.tmp", "2-0.tmp"}) {
      REQUIRE(world.disk.create("/cache/tmp/" + std::string(name)));
    }
    FsckOptions how = options(Repair::yes);
    how.process_lives = [](std::int64_t process) { return process == 1; };

    const FsckSummary summary = world.check(how);

    CHECK(summary.uploads == 1);
    CHECK(count(summary.repaired, Fault::stale_upload) == 1);
    CHECK(world.disk.files("/cache/tmp").contains("/cache/tmp/1-0.tmp"));
    CHECK(world.disk.files("/cache/tmp").size() == 1);
  }

  TEST_CASE("uploads: next to a server, a young one is left alone whoever wrote it") {
    const pkc::test::TempDir directory;
    StoreFixture server(pkc::posix_file_system(), directory.path());
    REQUIRE(server.start());
    for (const std::string name : {"/tmp/1-0.tmp", "/tmp/2-0.tmp"}) {
      std::ofstream(directory.path() + name) << "bytes";
    }
    // The fake clock stands at the beginning of 2026.
    const auto then = std::filesystem::file_time_type::clock::from_sys(
        pkc::test::FakeClock().wall_now() - std::chrono::hours(23));
    std::filesystem::last_write_time(directory / "tmp/1-0.tmp", then);
    std::filesystem::last_write_time(directory / "tmp/2-0.tmp", then - std::chrono::hours(2));
    KeyLocks key_locks;
    FsckNotes notes;
    FsckOptions how = options(Repair::yes);
    how.process_lives = [](std::int64_t) { return false; };

    const auto summary =
        pkc::test::run_fsck(pkc::posix_file_system(), directory.path(), how, notes, key_locks)
            .value();

    CHECK(summary.uploads == 1);
    CHECK(std::filesystem::exists(directory / "tmp/1-0.tmp"));
    CHECK_FALSE(std::filesystem::exists(directory / "tmp/2-0.tmp"));
  }

  TEST_CASE("empty shards: no damage, and removed when no server uses the directory") {
    World world;
    REQUIRE(world.disk.make_directory("/cache/cc").value());
    REQUIRE(world.disk.make_directory("/cache/cc/dd").value());
    {
      StoreFixture server(world.disk, kRoot);
      REQUIRE(server.start());
      const FsckSummary online = world.check(options(Repair::yes));
      CHECK(count(online.found, Fault::empty_shard) == 1);
      CHECK(online.left() == 0);
      CHECK(world.disk.stat("/cache/cc/dd").value());
    }

    CHECK(world.check(options(Repair::no)).left() == 0);
    CHECK(world.disk.stat("/cache/cc/dd").value());
    CHECK(count(world.check(options(Repair::yes)).repaired, Fault::empty_shard) == 1);
    CHECK_FALSE(world.disk.stat("/cache/cc").value());
  }

  TEST_CASE("stopped: what was not looked at is left alone, and the summary says so") {
    World world;
    for (const Damage& damage : damages().first(1)) {
      damage.apply(world.disk, kRoot, kBad);
    }
    const auto before = world.disk.files(kRoot);
    std::stop_source stop;
    stop.request_stop();

    const auto summary =
        pkc::test::run_fsck(
            world.disk, kRoot, options(Repair::yes), world.notes, world.key_locks, stop.get_token())
            .value();

    CHECK(summary.interrupted);
    CHECK(summary.seen.shards_done == 0);
    CHECK(world.disk.files(kRoot) == before);
  }

  TEST_CASE("a directory that is not there cannot be checked, and is not made") {
    FaultFileSystem disk;
    KeyLocks key_locks;
    FsckNotes notes;

    CHECK_FALSE(pkc::test::run_fsck(disk, "/absent", options(Repair::yes), notes, key_locks));
    CHECK_FALSE(disk.stat("/absent").value());
  }
}

namespace {

/// A store on a disk in memory with `size` objects, of which a random half is damaged at random.
struct RandomWorld {
  explicit RandomWorld(std::uint64_t seed, std::size_t size) : random(seed) {
    StoreFixture fixture(disk, kRoot);
    REQUIRE(fixture.start());
    for (std::size_t n = 0; n < size; ++n) {
      std::string id(64, '0');
      std::ranges::generate(id, [this] { return "0123456789abcdefABCDEF"[random() % 22]; });
      id.replace(0, 4, std::string(4, "abc"[random() % 3])); // few shards, many neighbours
      const Key key = Key::parse_hex(id).value();
      World::put(fixture, key);
      (random() % 2 == 0 ? good : bad).push_back(key);
    }
    for (const Key& key : bad) {
      damages()[random() % damages().size()].apply(disk, kRoot, key);
    }
  }

  std::mt19937_64 random;
  FaultFileSystem disk;
  std::vector<Key> good;
  std::vector<Key> bad;
};

} // namespace

TEST_SUITE("store::fsck never deletes a healthy object") {
  TEST_CASE("random damage of every kind among healthy objects") {
    for (std::uint64_t seed = 0; seed < 40; ++seed) {
      CAPTURE(seed);
      RandomWorld world(seed, 60);
      KeyLocks key_locks;
      FsckNotes notes;
      FsckOptions how = options(Repair::yes);
      how.jobs = 1 + seed % 4;

      const auto summary = pkc::test::run_fsck(world.disk, kRoot, how, notes, key_locks).value();

      CHECK(summary.left() == 0);
      CHECK(summary.seen.objects == world.good.size());
      StoreFixture fixture(world.disk, kRoot);
      REQUIRE(fixture.start());
      for (const Key& key : world.good) {
        CHECK(fixture.get(key).value() == content_of(key));
      }
      for (const Key& key : world.bad) {
        CHECK(fixture.get(key).value() == std::nullopt);
        CHECK(fixture.put(key, content_of(key)).value() == CommitOutcome::stored);
      }
    }
  }

  TEST_CASE("while others read and heal the same keys: what is acknowledged stays") {
    for (std::uint64_t seed = 0; seed < 6; ++seed) {
      CAPTURE(seed);
      RandomWorld world(seed, 300);
      KeyLocks key_locks;
      StoreFixture server(world.disk, kRoot, {.key_locks = &key_locks});
      REQUIRE(server.start());
      std::atomic<std::size_t> wrong_reads{0};
      std::atomic<std::size_t> failed_writes{0};
      std::set<std::string> acknowledged;
      std::atomic<bool> seen{false};
      {
        const std::jthread writer([&] {
          seen.wait(false); // or everything would be healed before fsck has begun
          for (const Key& key : world.bad) {
            const auto outcome = server.put(key, content_of(key));
            failed_writes += outcome ? 0 : 1;
            if (outcome) {
              acknowledged.insert(key.id());
            }
          }
        });
        const std::jthread reader([&](const std::stop_token& stop) {
          while (!stop.stop_requested()) {
            for (const Key& key : world.good) {
              wrong_reads += server.get(key).value() == content_of(key) ? 0 : 1;
            }
          }
        });
        for (int pass = 0; pass < 3; ++pass) {
          FsckNotes notes;
          notes.on_found = [&seen] {
            seen = true;
            seen.notify_all();
          };
          FsckOptions how = options(Repair::yes);
          how.jobs = 2;
          REQUIRE(pkc::test::run_fsck(world.disk, kRoot, how, notes, key_locks));
        }
      }

      CHECK(wrong_reads == 0);
      CHECK(failed_writes == 0);
      for (const Key& key : world.good) {
        CHECK(server.get(key).value() == content_of(key));
      }
      for (const Key& key : world.bad) {
        const auto found = server.get(key).value();
        const bool kept = found == content_of(key);
        CHECK((kept || !acknowledged.contains(key.id())));
      }
    }
  }
}
