// Every system call of a store's life fails once, or is the last before the process dies or the
// power goes. Afterwards the store is opened again and the promises of ContentStore are checked: no
// wrong byte, no lost byte, no poisoned key.
#include "support/fault_file_system.hpp"
#include "support/store_fixture.hpp"

#include <doctest/doctest.h>

#include <map>
#include <optional>
#include <string>

using pkc::Errc;
using pkc::store::CommitOutcome;
using pkc::store::Key;
using pkc::test::FaultFileSystem;
using pkc::test::make_key;
using pkc::test::StoreFixture;

namespace {

constexpr std::uint64_t kPowerLossSeeds = 12;

const std::string kRoot = "/cache";
const std::string kOldContent(50, 'o');
const std::string kNewContent(30, 'n');
const Key kOld = make_key('a');
const Key kNew = make_key('a', "b"); // in the shard of kOld
const Key kFresh = make_key('c');    // in a shard of its own

/// What the world was told while calls failed.
struct Promises {
  std::map<std::string, std::string> stored; // key -> content acknowledged
};

void put_and_note(StoreFixture& fixture,
                  const Key& key,
                  const std::string& content,
                  Promises& promises) {
  const auto outcome = fixture.put(key, content);
  if (outcome && *outcome == CommitOutcome::stored) {
    promises.stored[key.id()] = content;
  }
  if (!outcome) {
    const auto found = fixture.get(key);
    CHECK((!found || !*found || key == kOld));
  }
}

/// A server's life: start, a hit, two uploads, a duplicate, a hit. Any of it may fail; nothing of
/// it may lie.
void live(FaultFileSystem& disk, Promises& promises) {
  StoreFixture fixture(disk, kRoot);
  if (!fixture.start()) {
    return;
  }
  const auto check_hit = [&](const Key& key, const std::string& content) {
    const auto got = fixture.get(key);
    if (got && *got) {
      CHECK(**got == content);
    }
  };
  check_hit(kOld, kOldContent);
  put_and_note(fixture, kNew, kNewContent, promises);
  put_and_note(fixture, kFresh, kNewContent, promises);
  put_and_note(fixture, kOld, kNewContent, promises);
  check_hit(kNew, kNewContent);
  check_hit(kOld, kOldContent);
}

/// The promises, seen by a server that starts on what is left.
void check_after(FaultFileSystem& disk, const Promises& promises) {
  StoreFixture fixture(disk, kRoot);
  REQUIRE(fixture.start());
  CHECK(disk.files(kRoot + "/tmp").empty());
  CHECK(!promises.stored.contains(kOld.id()));
  CHECK(fixture.get(kOld).value() == kOldContent);
  for (const Key& key : {kNew, kFresh}) {
    const auto found = fixture.get(key).value();
    if (promises.stored.contains(key.id())) {
      CHECK(found == kNewContent);
    } else if (found) {
      CHECK(*found == kNewContent);
    }
    const auto outcome = fixture.put(key, kNewContent).value();
    CHECK(outcome == (found ? CommitOutcome::exists : CommitOutcome::stored));
    CHECK(fixture.get(key).value() == kNewContent);
  }
  CHECK(fixture.corrupt_objects() == 0);
  CHECK(disk.files(kRoot + "/tmp").empty());
}

/// A disk with kOld on it, written in peace.
void prepare(FaultFileSystem& disk) {
  StoreFixture fixture(disk, kRoot);
  REQUIRE(fixture.start());
  REQUIRE(fixture.put(kOld, kOldContent).value() == CommitOutcome::stored);
}

/// The number of calls of an undisturbed life.
std::uint64_t calls_of_a_life() {
  FaultFileSystem disk;
  prepare(disk);
  disk.restart_process();
  Promises promises;
  live(disk, promises);
  REQUIRE(promises.stored.size() == 2);
  return disk.calls();
}

} // namespace

TEST_SUITE("store::ContentStore under faults") {
  TEST_CASE("one failing call: every promise holds, before and after a restart") {
    const std::uint64_t calls = calls_of_a_life();
    REQUIRE(calls > 30);
    for (const Errc code : {Errc::io, Errc::no_space}) {
      for (std::uint64_t n = 0; n < calls; ++n) {
        CAPTURE(n);
        FaultFileSystem disk;
        prepare(disk);
        disk.restart_process();
        disk.fail_call(n, code);
        Promises promises;
        live(disk, promises);
        disk.restart_process();
        check_after(disk, promises);
      }
    }
  }

  TEST_CASE("kill -9 at every call: every promise holds after the restart") {
    const std::uint64_t calls = calls_of_a_life();
    for (std::uint64_t n = 0; n < calls; ++n) {
      CAPTURE(n);
      FaultFileSystem disk;
      prepare(disk);
      disk.restart_process();
      disk.stop_at_call(n);
      Promises promises;
      live(disk, promises);
      disk.restart_process();
      check_after(disk, promises);
    }
  }

  TEST_CASE("power loss at every call: every promise holds, whatever the disk kept") {
    const std::uint64_t calls = calls_of_a_life();
    for (std::uint64_t n = 0; n <= calls; ++n) {
      for (std::uint64_t seed = 0; seed < kPowerLossSeeds; ++seed) {
        CAPTURE(n);
        CAPTURE(seed);
        FaultFileSystem disk;
        prepare(disk);
        disk.restart_process();
        disk.stop_at_call(n);
        Promises promises;
        live(disk, promises);
        disk.lose_power(seed);
        check_after(disk, promises);
      }
    }
  }

  TEST_CASE("power loss without durability: what is lost is a miss, never a wrong byte") {
    for (std::uint64_t seed = 0; seed < 200; ++seed) {
      CAPTURE(seed);
      FaultFileSystem disk;
      const auto backend = pkc::blob::make_disk_backend(
          disk, {.root = kRoot, .durability = pkc::blob::Durability::none});
      REQUIRE(backend);
      const auto upload = (*backend)->begin_upload();
      REQUIRE((*upload)->write(pkc::as_bytes(kNewContent)));
      const pkc::store::Sidecar sidecar{.hash = pkc::sha256(pkc::as_bytes(kNewContent)),
                                        .size = kNewContent.size(),
                                        .created_at = 1,
                                        .key = kNew.id(),
                                        .stored_at = std::nullopt};
      REQUIRE((*upload)->publish(kNew.id(), pkc::store::format_sidecar(sidecar)));
      disk.lose_power(seed);
      StoreFixture fixture(disk, kRoot);
      REQUIRE(fixture.start());
      const auto found = fixture.get(kNew).value();
      if (found) {
        CHECK(*found == kNewContent);
      }
      CHECK(fixture.put(kNew, kNewContent));
      CHECK(fixture.get(kNew).value() == kNewContent);
    }
  }
}

namespace {

/// The ways a key can be poisoned by a crash of the original server or by a broken disk.
struct Poison {
  std::string_view name;
  void (*apply)(FaultFileSystem& disk, const StoreFixture& fixture);
};

constexpr Poison kPoisons[] = {
    {"blob without sidecar",
     [](FaultFileSystem& disk, const StoreFixture& fixture) {
       REQUIRE(disk.remove(fixture.sidecar_path(kOld)).value());
     }},
    {"sidecar without blob",
     [](FaultFileSystem& disk, const StoreFixture& fixture) {
       REQUIRE(disk.remove(fixture.blob_path(kOld)).value());
     }},
    {"torn sidecar",
     [](FaultFileSystem& disk, const StoreFixture& fixture) {
       disk.overwrite(fixture.sidecar_path(kOld), R"({"hash":"abc)");
     }},
    {"empty sidecar",
     [](FaultFileSystem& disk, const StoreFixture& fixture) {
       disk.overwrite(fixture.sidecar_path(kOld), "");
     }},
    {"blob of another size",
     [](FaultFileSystem& disk, const StoreFixture& fixture) {
       disk.overwrite(fixture.blob_path(kOld), kOldContent + "x");
     }},
    {"one flipped byte",
     [](FaultFileSystem& disk, const StoreFixture& fixture) {
       std::string bytes = kOldContent;
       bytes[12] = 'x';
       disk.overwrite(fixture.blob_path(kOld), bytes);
     }},
};

} // namespace

TEST_SUITE("store::ContentStore healing") {
  TEST_CASE("a poisoned key is a miss, and the next writer heals it, whatever call fails") {
    for (const Poison& poison : kPoisons) {
      CAPTURE(poison.name);
      for (std::uint64_t n = 0; n < 60; ++n) {
        for (const bool power : {false, true}) {
          CAPTURE(n);
          CAPTURE(power);
          FaultFileSystem disk;
          prepare(disk);
          poison.apply(disk, StoreFixture(disk, kRoot));
          REQUIRE(disk.sync_directory("/cache/aa/aa"));
          disk.restart_process();
          disk.stop_at_call(n);
          bool acknowledged = false;
          {
            StoreFixture fixture(disk, kRoot);
            if (fixture.start()) {
              const auto found = fixture.get(kOld);
              CHECK((!found || !*found));
              const auto outcome = fixture.put(kOld, kNewContent);
              acknowledged = outcome.has_value();
            }
          }
          if (power) {
            disk.lose_power(n);
          } else {
            disk.restart_process();
          }
          StoreFixture fixture(disk, kRoot);
          REQUIRE(fixture.start());
          const auto found = fixture.get(kOld).value();
          CHECK((found == kNewContent || (!found && !acknowledged)));
          CHECK(fixture.put(kOld, kNewContent));
          CHECK(fixture.get(kOld).value() == kNewContent);
        }
      }
    }
  }
}
