// Every system call of a life with eviction fails once, or is the last before the process dies or
// the power goes. Afterwards every object is whole or a miss, and the books can be brought in step.
#include "support/fake_clock.hpp"
#include "support/fault_file_system.hpp"
#include "support/store_fixture.hpp"

#include "pkc/blob/disk.hpp"
#include "pkc/index/memory_index.hpp"
#include "pkc/store/catalog.hpp"
#include "pkc/store/evictor.hpp"
#include "pkc/store/room.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

using pkc::ByteCount;
using pkc::Errc;
using pkc::store::disk_size_of;
using pkc::store::Key;
using pkc::test::FaultFileSystem;
using pkc::test::make_key;
using pkc::test::StoreFixture;

namespace {

constexpr std::uint64_t kPowerLossSeeds = 6;
const std::string kRoot = "/cache";
const std::string kSpace = "polykit";

/// Two in one shard, two in shards of their own.
const std::vector<Key> kKeys = {make_key('a'), make_key('a', "b"), make_key('c'), make_key('d')};

std::string content_of(const Key& key) {
  return std::string(50, key.id().back());
}

/// One process with its books.
struct Process {
  explicit Process(FaultFileSystem& disk)
      : backend(pkc::blob::make_disk_backend(disk, {.root = kRoot})),
        room({}),
        index(pkc::index::make_memory_index(clock)) {
    if (!backend) {
      return;
    }
    catalog =
        std::make_unique<pkc::store::Catalog>(pkc::store::CatalogParts{.backend = **backend,
                                                                       .key_locks = locks,
                                                                       .index = *index,
                                                                       .room = room,
                                                                       .log = pkc::ops::null_log()},
                                              kSpace);
    pkc::store::StoreOptions options;
    options.key_locks = &locks;
    options.catalog = catalog.get();
    store =
        pkc::store::make_content_store(**backend, clock, pkc::ops::null_log(), metrics, options);
  }

  void put(const Key& key) {
    clock.advance(std::chrono::milliseconds(1));
    const auto writer = store->put(key);
    if (writer && (*writer)->write(pkc::as_bytes(content_of(key)))) {
      [[maybe_unused]] const auto outcome = (*writer)->commit({}); // any, when calls fail
    }
  }

  void evict(ByteCount bytes) {
    pkc::store::Evictor evictor({.backend = **backend,
                                 .index = *index,
                                 .room = room,
                                 .clock = clock,
                                 .log = pkc::ops::null_log(),
                                 .metrics = metrics},
                                {});
    evictor.add_space(kSpace, *store);
    [[maybe_unused]] const auto evicted =
        evictor.evict({.space = "", .bytes = bytes}, std::stop_token());
  }

  [[nodiscard]] bool compare() {
    const auto whole =
        catalog->compare(std::nullopt, std::stop_token(), [](const auto& /*progress*/) {});
    return whole && *whole;
  }

  pkc::test::FakeClock clock;
  pkc::ops::Metrics metrics;
  pkc::locks::KeyLocks locks;
  pkc::Result<std::unique_ptr<pkc::blob::Backend>> backend;
  pkc::store::Room room;
  std::unique_ptr<pkc::index::Index> index;
  std::unique_ptr<pkc::store::Catalog> catalog;
  std::unique_ptr<pkc::store::ContentStore> store;
};

/// Stores, lets half of it go, and stores again what went.
void live(FaultFileSystem& disk) {
  Process process(disk);
  if (!process.backend) {
    return;
  }
  for (const Key& key : kKeys) {
    process.put(key);
  }
  process.evict(2 * disk_size_of(50));
  process.put(kKeys[0]);
  process.evict(disk_size_of(50));
}

void check_after(FaultFileSystem& disk) {
  ByteCount there = 0;
  {
    StoreFixture fixture(disk, kRoot);
    REQUIRE(fixture.start());
    for (const Key& key : kKeys) {
      const auto found = fixture.get(key).value();
      if (found) {
        CHECK(*found == content_of(key));
        there += disk_size_of(found->size());
      }
    }
    CHECK(fixture.corrupt_objects() == 0);
  }
  Process process(disk);
  REQUIRE(process.backend);
  REQUIRE(process.compare());
  CHECK(process.room.taken() == there);
  CHECK(process.index->totals(kSpace).value().disk_size == there);
  process.evict(1'000'000);
  for (const Key& key : kKeys) {
    CHECK(process.store->open(key).value() == nullptr);
    process.put(key);
    CHECK(process.store->open(key).value() != nullptr);
  }
  CHECK(process.room.taken() == kKeys.size() * disk_size_of(50));
}

std::uint64_t calls_of_a_life() {
  FaultFileSystem disk;
  disk.fail_call(std::nullopt);
  live(disk);
  return disk.calls();
}

} // namespace

TEST_SUITE("store::Evictor under faults") {
  TEST_CASE("one failing call: nothing is half there, and the books can be brought in step") {
    const std::uint64_t calls = calls_of_a_life();
    REQUIRE(calls > 50);
    for (std::uint64_t n = 0; n < calls; ++n) {
      CAPTURE(n);
      FaultFileSystem disk;
      disk.fail_call(n, Errc::io);
      live(disk);
      disk.restart_process();
      check_after(disk);
    }
  }

  TEST_CASE("kill -9 at every call: the same") {
    const std::uint64_t calls = calls_of_a_life();
    for (std::uint64_t n = 0; n < calls; ++n) {
      CAPTURE(n);
      FaultFileSystem disk;
      disk.stop_at_call(n);
      live(disk);
      disk.restart_process();
      check_after(disk);
    }
  }

  TEST_CASE("power loss at every call: the same, whatever the disk kept") {
    const std::uint64_t calls = calls_of_a_life();
    for (std::uint64_t n = 0; n <= calls; ++n) {
      for (std::uint64_t seed = 0; seed < kPowerLossSeeds; ++seed) {
        CAPTURE(n);
        CAPTURE(seed);
        FaultFileSystem disk;
        disk.stop_at_call(n);
        live(disk);
        disk.lose_power(seed);
        check_after(disk);
      }
    }
  }
}
