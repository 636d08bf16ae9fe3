// fsck --repair and the scrub on a disk whose n-th call fails, or where the process is killed
// there: no healthy object is ever lost, and the next run brings the store in order.
#include "support/damage.hpp"
#include "support/fake_clock.hpp"
#include "support/fault_file_system.hpp"
#include "support/spaces_fixture.hpp"
#include "support/store_fixture.hpp"

#include "pkc/base/clock.hpp"
#include "pkc/base/digest.hpp"
#include "pkc/blob/disk.hpp"
#include "pkc/index/memory_index.hpp"
#include "pkc/locks/key_locks.hpp"
#include "pkc/store/archive.hpp"
#include "pkc/store/fsck.hpp"
#include "pkc/store/room.hpp"
#include "pkc/store/scrub.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

using pkc::Errc;
using pkc::locks::KeyLocks;
using pkc::store::Key;
using pkc::store::Repair;
using pkc::store::VerifyContent;
using pkc::test::Damage;
using pkc::test::damages;
using pkc::test::FaultFileSystem;
using pkc::test::FsckNotes;
using pkc::test::kFsckSpace;
using pkc::test::make_key;
using pkc::test::StoreFixture;

namespace {

const std::string kRoot = "/cache";
const std::vector<Key> kGood = {make_key('a', "02"), make_key('b')};

std::string content_of(const Key& key) {
  return "content of " + key.id();
}

const std::string kUrl = "https://example.org/a";

/// In the other spaces: a download with its content, whole, and damaged ones of each.
void prepare_spaces(FaultFileSystem& disk) {
  pkc::test::SpacesFixture fixture(disk, kRoot);
  REQUIRE(fixture.start());
  pkc::store::Archive archive({.records = fixture.records(),
                               .contents = fixture.cas(),
                               .clock = pkc::system_clock(),
                               .log = pkc::ops::null_log()});
  for (const std::string text : {"good", "bad"}) {
    REQUIRE(fixture.put(text));
    pkc::store::ArchivedSource source;
    source.source_url = kUrl + text;
    source.content = pkc::sha256(pkc::as_bytes(text));
    source.size = text.size();
    REQUIRE(archive.publish(std::move(source)));
  }
  const Key record = pkc::store::Archive::key_of(kUrl + "bad");
  for (const auto& path :
       {fixture.blob_path(pkc::sha256(pkc::as_bytes("bad"))), fixture.record_path(record)}) {
    disk.overwrite(path, std::string(disk.files(kRoot).at(path).size(), 'x'));
    REQUIRE(disk.sync_directory(path.substr(0, path.rfind('/'))));
  }
}

void check_good_download(FaultFileSystem& disk) {
  pkc::test::SpacesFixture fixture(disk, kRoot);
  REQUIRE(fixture.start());
  CHECK(fixture.get(pkc::sha256(pkc::as_bytes("good"))).value() == "good");
  CHECK(fixture.records().get(pkc::store::Archive::key_of(kUrl + "good")).value());
}

/// Healthy objects, one object with each kind of damage beside them, an abandoned upload and an
/// empty shard.
std::vector<Key> prepare(FaultFileSystem& disk) {
  std::vector<Key> bad;
  {
    StoreFixture fixture(disk, kRoot);
    REQUIRE(fixture.start());
    for (const Key& key : kGood) {
      REQUIRE(fixture.put(key, content_of(key)));
    }
    for (const Damage& damage : damages()) {
      bad.push_back(make_key('a', "0f" + std::to_string(10 + bad.size())));
      REQUIRE(fixture.put(bad.back(), content_of(bad.back())));
      damage.apply(disk, kRoot, bad.back());
    }
  }
  prepare_spaces(disk);
  REQUIRE(disk.create("/cache/tmp/12-0.tmp"));
  REQUIRE(disk.make_directory("/cache/dd").value());
  REQUIRE(disk.make_directory("/cache/dd/dd").value());
  for (const std::string path :
       {"/", kRoot.c_str(), "/cache/aa/aa", "/cache/bb/bb", "/cache/tmp"}) {
    REQUIRE(disk.sync_directory(path));
  }
  disk.restart_process();
  return bad;
}

/// An index that knows the bad objects, and of the others: one in a wrong size and with a pin, one
/// not at all, and two that never were.
struct DriftedIndex {
  explicit DriftedIndex(const std::vector<Key>& bad) {
    REQUIRE(index->mark_complete(index->state()).value());
    for (const Key& key : bad) {
      index->note_stored(kFsckSpace, key.id(), content_of(key).size(), 8192);
    }
    index->note_stored(kFsckSpace, kGood[1].id(), 1, 1);
    REQUIRE(index->set_pinned(kFsckSpace, kGood[1].id(), pkc::index::Pinned::yes).value());
    for (const Key& ghost : {make_key('a', "99"), make_key('9')}) {
      index->note_stored(kFsckSpace, ghost.id(), 1, 1);
    }
  }

  std::unique_ptr<pkc::test::FakeClock> clock = std::make_unique<pkc::test::FakeClock>();
  std::unique_ptr<pkc::index::Index> index = pkc::index::make_memory_index(*clock);
};

pkc::Result<pkc::store::FsckSummary> repair(FaultFileSystem& disk, DriftedIndex& drifted) {
  FsckNotes notes;
  KeyLocks key_locks;
  return pkc::test::run_fsck(
      disk,
      kRoot,
      {.repair = Repair::yes, .verify_content = VerifyContent::yes, .jobs = 1},
      notes,
      key_locks,
      {},
      drifted.index.get());
}

void check_index(pkc::index::Index& index) {
  const auto rows = index.with_prefix(kFsckSpace, "").value();
  REQUIRE(rows.size() == kGood.size());
  for (const Key& key : kGood) {
    const auto row = index.find(kFsckSpace, key.id()).value();
    REQUIRE(row);
    CHECK(row->size == content_of(key).size());
    CHECK(row->disk_size == pkc::store::disk_size_of(row->size));
    CHECK(row->pinned == (key == kGood[1]));
  }
}

void check_good_objects(FaultFileSystem& disk) {
  StoreFixture fixture(disk, kRoot);
  REQUIRE(fixture.start());
  for (const Key& key : kGood) {
    CHECK(fixture.get(key).value() == content_of(key));
  }
}

/// What was damaged is a miss, and can be stored anew.
void check_healed(FaultFileSystem& disk, const std::vector<Key>& bad) {
  StoreFixture fixture(disk, kRoot);
  REQUIRE(fixture.start());
  for (const Key& key : bad) {
    CHECK(fixture.get(key).value() == std::nullopt);
    CHECK(fixture.put(key, content_of(key)));
    CHECK(fixture.get(key).value() == content_of(key));
  }
}

std::uint64_t calls_of_repair() {
  FaultFileSystem disk;
  DriftedIndex index(prepare(disk));
  disk.fail_call(std::nullopt);
  REQUIRE(repair(disk, index));
  return disk.calls();
}

enum class End : std::uint8_t {
  failure,   // of one call
  kill,      // of the process
  power_loss // of the machine
};

} // namespace

TEST_SUITE("store::fsck crashes") {
  TEST_CASE("repair: whatever call fails, healthy objects stay, and the next run heals the rest") {
    const std::uint64_t calls = calls_of_repair();
    REQUIRE(calls > 50);
    for (std::uint64_t n = 0; n < calls; ++n) {
      for (const End end : {End::failure, End::kill, End::power_loss}) {
        CAPTURE(n);
        CAPTURE(static_cast<int>(end));
        FaultFileSystem disk;
        const std::vector<Key> bad = prepare(disk);
        DriftedIndex index(bad);
        if (end == End::failure) {
          disk.fail_call(n);
        } else {
          disk.stop_at_call(n);
        }

        [[maybe_unused]] const auto cut_short = repair(disk, index);

        if (end != End::failure && n % 2 == 0) { // what it noted was not written, or it was
          index = DriftedIndex(bad);
        }
        if (end == End::power_loss) {
          disk.lose_power(n);
        } else {
          disk.restart_process();
        }
        const auto second = repair(disk, index);
        REQUIRE(second);
        CHECK(second->left() == 0);
        CHECK(second->index_skipped.empty());
        const auto third = repair(disk, index);
        REQUIRE(third);
        CHECK(third->seen.damages == 0);
        CHECK(third->seen.objects == kGood.size() + 2);
        check_good_download(disk);
        check_index(*index.index);
        check_good_objects(disk);
        if (n % 10 == 0) {
          check_healed(disk, bad);
        }
      }
    }
  }

  TEST_CASE("check: whatever call fails, nothing is changed") {
    const std::uint64_t calls = calls_of_repair();
    for (std::uint64_t n = 0; n < calls; ++n) {
      CAPTURE(n);
      FaultFileSystem disk;
      prepare(disk);
      const auto before = disk.files(kRoot);
      disk.fail_call(n, n % 2 == 0 ? Errc::io : Errc::corrupt);
      FsckNotes notes;
      KeyLocks key_locks;

      [[maybe_unused]] const auto checked = pkc::test::run_fsck(
          disk, kRoot, {.verify_content = VerifyContent::yes, .jobs = 1}, notes, key_locks);

      auto after = disk.files(kRoot);
      after.erase("/cache/lock"); // taken for a moment
      auto expected = before;
      expected.erase("/cache/lock");
      CHECK(after == expected);
    }
  }
}

namespace {

struct ScrubWorld {
  explicit ScrubWorld(FaultFileSystem& file_system) : disk(file_system), fixture(disk, kRoot) {}

  /// Scrubs until a round has ended, or for as many steps as there can be.
  void scrub() {
    if (!fixture.start()) {
      return;
    }
    pkc::store::Scrub scrub({.file_system = disk,
                             .spaces = {{"polykit", fixture.backend(), fixture.store()}},
                             .clock = clock,
                             .log = pkc::ops::null_log(),
                             .metrics = metrics},
                            {.state_file = kRoot + "/scrub.json",
                             .temp_stem = kRoot + "/tmp/1-scrub",
                             .interval = std::chrono::seconds(1)});
    const std::int64_t before = scrub.state().completed_at;
    for (int step = 0; step < 40 && scrub.state().completed_at == before; ++step) {
      scrub.step([](std::size_t) { return true; });
      clock.advance(std::chrono::seconds(1));
    }
    scrub.save();
    completed = scrub.state().completed_at > before;
  }

  FaultFileSystem& disk;
  StoreFixture fixture;
  pkc::test::FakeClock clock;
  pkc::ops::Metrics metrics;
  bool completed = false;
};

} // namespace

TEST_SUITE("store::Scrub crashes") {
  TEST_CASE("whatever call fails or ends the process: healthy objects stay, bad ones are found") {
    const auto prepare_flipped = [](FaultFileSystem& disk) {
      const Key bad = make_key('a', "0f");
      {
        StoreFixture fixture(disk, kRoot);
        REQUIRE(fixture.start());
        for (const Key& key : {kGood[0], kGood[1], bad}) {
          REQUIRE(fixture.put(key, content_of(key)));
        }
        disk.overwrite(fixture.blob_path(bad), std::string(content_of(bad).size(), 'x'));
      }
      disk.restart_process();
      return bad;
    };
    std::uint64_t calls = 0;
    {
      FaultFileSystem disk;
      prepare_flipped(disk);
      disk.fail_call(std::nullopt);
      ScrubWorld(disk).scrub();
      calls = disk.calls();
    }
    REQUIRE(calls > 20);
    for (std::uint64_t n = 0; n < calls; ++n) {
      for (const End end : {End::failure, End::kill, End::power_loss}) {
        CAPTURE(n);
        CAPTURE(static_cast<int>(end));
        FaultFileSystem disk;
        const Key bad = prepare_flipped(disk);
        if (end == End::failure) {
          disk.fail_call(n);
        } else {
          disk.stop_at_call(n);
        }

        ScrubWorld(disk).scrub();

        if (end == End::power_loss) {
          disk.lose_power(n);
        } else {
          disk.restart_process();
        }
        // The one that was cut short may end behind the bad object; the next one reads it again.
        for (int round = 0; round < 2; ++round) {
          ScrubWorld world(disk);
          world.scrub();
          CHECK(world.completed);
        }
        // A power loss may bring back one of the two files from quarantine.
        const auto files = disk.files(kRoot);
        CHECK_FALSE((files.contains("/cache/aa/aa/" + bad.id() + ".zst") &&
                     files.contains("/cache/aa/aa/" + bad.id() + ".json")));
        check_good_objects(disk);
        CHECK(disk.files("/cache/tmp").empty());
      }
    }
  }
}
