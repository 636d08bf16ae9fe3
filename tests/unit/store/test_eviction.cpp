// Catalog, Room and Evictor together, on a disk in memory.
#include "support/counting_file_system.hpp"
#include "support/fake_clock.hpp"
#include "support/fault_file_system.hpp"
#include "support/store_fixture.hpp"

#include "pkc/blob/disk.hpp"
#include "pkc/index/memory_index.hpp"
#include "pkc/store/catalog.hpp"
#include "pkc/store/evictor.hpp"
#include "pkc/store/room.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <list>
#include <memory>
#include <optional>
#include <random>
#include <stop_token>
#include <string>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

using namespace std::chrono_literals;
using pkc::as_bytes;
using pkc::ByteCount;
using pkc::Errc;
using pkc::kKiB;
using pkc::store::CommitOutcome;
using pkc::store::disk_size_of;
using pkc::store::Key;
using pkc::store::RoomLimits;
using pkc::test::CountingFileSystem;
using pkc::test::FakeClock;
using pkc::test::FaultFileSystem;

namespace {

const std::string kSpace = "polykit";

Key key_of(std::size_t number) {
  // Spread over the shards, as digests are.
  std::string text = std::to_string((number * 7919) % 65521) + 'a' + std::to_string(number);
  text.resize(40, 'f');
  return Key::parse_hex(text).value();
}

/// A store with its books, and its evictor when it is asked for.
struct World {
  explicit World(RoomLimits limits = {}, pkc::store::EvictorOptions options = {})
      : backend(pkc::blob::make_disk_backend(counted, {.root = "/cache"}).value()),
        room(std::move(limits)),
        index(pkc::index::make_memory_index(clock)),
        catalog({.backend = *backend,
                 .key_locks = locks,
                 .index = *index,
                 .room = room,
                 .log = pkc::ops::null_log()},
                kSpace),
        store(pkc::store::make_content_store(
            *backend, clock, pkc::ops::null_log(), metrics, store_options())),
        evictor({.backend = *backend,
                 .index = *index,
                 .room = room,
                 .clock = clock,
                 .log = pkc::ops::null_log(),
                 .metrics = metrics},
                options) {
    evictor.add_space(kSpace, *store);
  }

  pkc::store::StoreOptions store_options() {
    pkc::store::StoreOptions options;
    options.key_locks = &locks;
    options.catalog = &catalog;
    return options;
  }

  /// Stores `size` bytes, a millisecond after whatever was before.
  pkc::Result<CommitOutcome> put(const Key& key, ByteCount size = 100) {
    clock.advance(1ms);
    const auto writer = store->put(key);
    if (!writer) {
      return std::unexpected(writer.error());
    }
    const std::string content(size, key.id().back());
    if (auto written = (*writer)->write(as_bytes(content)); !written) {
      return std::unexpected(written.error());
    }
    return (*writer)->commit({});
  }

  bool get(const Key& key) {
    clock.advance(1ms);
    return store->open(key).value() != nullptr;
  }

  [[nodiscard]] bool there(const Key& key) { return backend->stat(key.id()).value().has_value(); }

  pkc::store::Evicted evict(ByteCount bytes) {
    return evictor.evict({.space = "", .bytes = bytes}, std::stop_token()).value();
  }

  FaultFileSystem disk;
  CountingFileSystem counted{disk};
  FakeClock clock;
  pkc::ops::Metrics metrics;
  pkc::locks::KeyLocks locks;
  std::unique_ptr<pkc::blob::Backend> backend;
  pkc::store::Room room;
  std::unique_ptr<pkc::index::Index> index;
  pkc::store::Catalog catalog;
  std::unique_ptr<pkc::store::ContentStore> store;
  pkc::store::Evictor evictor;
};

/// How often the most used of `count` things is asked for, and the others by their rank.
class Zipf {
 public:
  explicit Zipf(std::size_t count) {
    double sum = 0;
    for (std::size_t rank = 1; rank <= count; ++rank) {
      sum += 1.0 / std::pow(static_cast<double>(rank), 0.9);
      sums_.push_back(sum);
    }
  }
  std::size_t operator()(std::mt19937& random) const {
    std::uniform_real_distribution<double> below(0, sums_.back());
    return static_cast<std::size_t>(
        std::distance(sums_.begin(), std::ranges::lower_bound(sums_, below(random))));
  }

 private:
  std::vector<double> sums_;
};

/// A cache of exactly so many bytes that lets go whatever was used longest ago.
class ExactLru {
 public:
  explicit ExactLru(ByteCount max) : max_(max) {}
  /// True for a hit; a miss is stored.
  bool use(std::size_t thing, ByteCount size) {
    if (const auto found = by_thing_.find(thing); found != by_thing_.end()) {
      recent_.splice(recent_.begin(), recent_, found->second);
      return true;
    }
    while (taken_ + size > max_) {
      taken_ -= recent_.back().second;
      by_thing_.erase(recent_.back().first);
      recent_.pop_back();
    }
    recent_.emplace_front(thing, size);
    by_thing_[thing] = recent_.begin();
    taken_ += size;
    return false;
  }

 private:
  ByteCount max_;
  ByteCount taken_ = 0;
  std::list<std::pair<std::size_t, ByteCount>> recent_;
  std::unordered_map<std::size_t, std::list<std::pair<std::size_t, ByteCount>>::iterator> by_thing_;
};

} // namespace

TEST_SUITE("store::Evictor") {
  TEST_CASE("evict: by the order of the last use, and no more than is asked for") {
    World world;
    for (std::size_t n = 0; n < 4; ++n) {
      REQUIRE(world.put(key_of(n)));
    }
    REQUIRE(world.get(key_of(0)));

    const auto evicted = world.evict(disk_size_of(100) + 1);

    CHECK(evicted.objects == 2);
    CHECK(evicted.bytes == 2 * disk_size_of(100));
    CHECK(world.there(key_of(0)));
    CHECK_FALSE(world.there(key_of(1)));
    CHECK_FALSE(world.there(key_of(2)));
    CHECK(world.there(key_of(3)));
    CHECK(world.room.taken(kSpace) == 2 * disk_size_of(100));
    CHECK(world.counted.now() == 2 * disk_size_of(100));
  }

  TEST_CASE("evict: what is pinned stays, and then less goes than is asked for") {
    World world;
    for (std::size_t n = 0; n < 3; ++n) {
      REQUIRE(world.put(key_of(n)));
    }
    REQUIRE(world.index->set_pinned(kSpace, key_of(0).id(), pkc::index::Pinned::yes).value());

    CHECK(world.evict(1000 * kKiB).objects == 2);

    CHECK(world.there(key_of(0)));
    CHECK(world.evict(1).objects == 0);
  }

  TEST_CASE("evict: a read in progress goes on, and the next one is a miss") {
    World world;
    REQUIRE(world.put(key_of(0)));
    const auto object = world.store->open(key_of(0)).value();
    REQUIRE(object);

    CHECK(world.evict(1).objects == 1);

    std::string content(100, ' ');
    CHECK(object->file->read_at(0, std::as_writable_bytes(std::span(content))).value() == 100);
    CHECK(content == std::string(100, key_of(0).id().back()));
    CHECK_FALSE(world.get(key_of(0)));
    CHECK(world.put(key_of(0)).value() == CommitOutcome::stored);
  }

  TEST_CASE("evict: an object that cannot be removed does not keep others") {
    World world;
    for (std::size_t n = 0; n < 3; ++n) {
      REQUIRE(world.put(key_of(n)));
    }
    world.disk.fail_call(1); // the removal of the first blob, behind the look at it

    const auto evicted = world.evict(2 * disk_size_of(100));

    CHECK(evicted.objects == 2);
    CHECK(world.there(key_of(0)));
    world.disk.fail_call(std::nullopt);
    CHECK(world.evict(1).objects == 1);
  }

  TEST_CASE("evict: a row without files goes, and counts for nothing") {
    World world;
    REQUIRE(world.put(key_of(0)));
    REQUIRE(world.put(key_of(1)));
    REQUIRE(world.backend->remove(key_of(0).id()).value());

    const auto evicted = world.evict(1);

    CHECK(evicted.objects == 1);
    CHECK_FALSE(world.there(key_of(1)));
    CHECK_FALSE(world.index->find(kSpace, key_of(0).id()).value());
  }

  TEST_CASE("unused: what nobody has read for long goes, and nothing else") {
    World world;
    REQUIRE(world.put(key_of(0)));
    REQUIRE(world.put(key_of(1)));
    world.clock.advance(1h);
    REQUIRE(world.get(key_of(0)));
    REQUIRE(world.put(key_of(2)));

    const auto evicted =
        world.evictor.evict_unused(world.clock.wall_now_ms() - 30min, std::stop_token()).value();

    CHECK(evicted.objects == 1);
    CHECK(world.there(key_of(0)));
    CHECK_FALSE(world.there(key_of(1)));
    CHECK(world.there(key_of(2)));
  }

  TEST_CASE("run: uploads wait for the room that is made for them") {
    World world({.size_max = 10 * disk_size_of(100), .evict_above = 100, .evict_to = 100});
    std::jthread evictor([&](const std::stop_token& stop) { world.evictor.run(stop); });

    for (std::size_t n = 0; n < 100; ++n) {
      CHECK(world.put(key_of(n)).value() == CommitOutcome::stored);
    }

    CHECK(world.there(key_of(99)));
    CHECK_FALSE(world.there(key_of(0)));
    CHECK(world.counted.most() <= 10 * disk_size_of(100));
  }

  TEST_CASE("run: an upload that nothing can make room for fails with no_space") {
    World world({.size_max = 4 * disk_size_of(100), .evict_above = 100, .evict_to = 100});
    for (std::size_t n = 0; n < 3; ++n) {
      REQUIRE(world.put(key_of(n)));
      REQUIRE(world.index->set_pinned(kSpace, key_of(n).id(), pkc::index::Pinned::yes).value());
    }
    std::jthread evictor([&](const std::stop_token& stop) { world.evictor.run(stop); });

    const auto refused = world.put(key_of(9), 20 * kKiB);

    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == Errc::no_space);
    CHECK(world.room.taken() == 3 * disk_size_of(100));
    CHECK(world.put(key_of(9)));
  }

  TEST_CASE(
      "ten times over-subscribed: the limit holds at every moment, the hits are those of LRU") {
    constexpr std::size_t kThings = 2'000;
    constexpr std::size_t kUses = 20'000;
    constexpr ByteCount kBlock = 4 * kKiB;
    const auto size_of = [](std::size_t thing) { return 1 + thing * 97 % (4 * kBlock); };
    ByteCount all = 0;
    for (std::size_t thing = 0; thing < kThings; ++thing) {
      all += disk_size_of(size_of(thing));
    }
    const ByteCount limit = all / 10;
    World world({.size_max = limit});
    std::jthread evictor([&](const std::stop_token& stop) { world.evictor.run(stop); });
    ExactLru exact(limit);
    const Zipf zipf(kThings);
    std::mt19937 random(4711); // NOLINT(cert-msc51-cpp): the same workload every time
    std::size_t hits = 0;
    std::size_t exact_hits = 0;

    for (std::size_t use = 0; use < kUses; ++use) {
      const std::size_t thing = zipf(random);
      exact_hits += exact.use(thing, disk_size_of(size_of(thing))) ? 1U : 0U;
      if (world.get(key_of(thing))) {
        ++hits;
      } else {
        REQUIRE(world.put(key_of(thing), size_of(thing)).value() == CommitOutcome::stored);
      }
    }

    evictor.request_stop();
    CHECK(world.counted.most() <= limit);
    CHECK(world.counted.most() > limit / 10 * 9);
    const double rate = 100.0 * static_cast<double>(hits) / kUses;
    const double exact_rate = 100.0 * static_cast<double>(exact_hits) / kUses;
    MESSAGE("hits: " << rate << " %, exact LRU: " << exact_rate << " %");
    CHECK(rate > exact_rate - 2.0);
  }

  TEST_CASE("many threads: the limit holds at every moment, and the books are right in the end") {
    const ByteCount limit = 50 * disk_size_of(4 * kKiB);
    World world({.size_max = limit});
    {
      std::jthread evictor([&](const std::stop_token& stop) { world.evictor.run(stop); });
      std::vector<std::jthread> threads;
      for (std::size_t thread = 0; thread < 4; ++thread) {
        threads.emplace_back([&, thread] {
          for (std::size_t n = 0; n < 400; ++n) {
            const std::size_t number = (n * 13 + thread * 7) % 300;
            if (!world.get(key_of(number))) {
              const auto put = world.put(key_of(number), 1 + number * 41 % (8 * kKiB));
              CHECK((put.has_value() || put.error().code == Errc::no_space));
            }
          }
        });
      }
      threads.clear();
    }
    CHECK(world.counted.most() <= limit);
    CHECK(world.room.taken() == world.counted.now());
    REQUIRE(world.index->flush());
    CHECK(world.index->totals(kSpace).value().disk_size == world.counted.now());
  }
}

TEST_SUITE("store::Catalog") {
  TEST_CASE("books: what is stored, read, removed and quarantined is known") {
    World world;
    REQUIRE(world.put(key_of(0)));
    REQUIRE(world.put(key_of(1)));
    REQUIRE(world.put(key_of(2)));
    REQUIRE(world.get(key_of(0)));
    REQUIRE(world.store->remove(key_of(1)).value());
    for (const auto& [path, content] : world.disk.files("/cache")) {
      if (path.ends_with(key_of(2).id() + ".zst")) {
        world.disk.overwrite(path, std::string(100, '!'));
      }
    }
    CHECK_FALSE(world.get(key_of(2)));
    REQUIRE(world.index->flush());

    const auto totals = world.index->totals(kSpace).value();
    CHECK(totals.objects == 1);
    CHECK(totals.size == 100);
    CHECK(totals.disk_size == world.room.taken());
    CHECK(world.index->find(kSpace, key_of(0).id()).value()->hits == 1);
  }

  TEST_CASE("compare: finds what came and went while nobody kept books") {
    World before;
    REQUIRE(before.put(key_of(0)));
    REQUIRE(before.put(key_of(1), 5000));
    REQUIRE(before.put(key_of(2)));
    // A fresh index on the same files, but for a row whose file is gone.
    const auto index = pkc::index::make_memory_index(before.clock);
    index->note_stored(kSpace, key_of(7).id(), 100, disk_size_of(100));
    index->note_stored(kSpace, key_of(2).id(), 9, disk_size_of(9));
    pkc::store::Room room(RoomLimits{});
    pkc::store::Catalog catalog({.backend = *before.backend,
                                 .key_locks = before.locks,
                                 .index = *index,
                                 .room = room,
                                 .log = pkc::ops::null_log()},
                                kSpace);
    REQUIRE(index->flush());
    REQUIRE(catalog.begin());

    pkc::store::CompareProgress progress;
    const auto whole = catalog.compare(
        std::nullopt, std::stop_token(), [&](const pkc::store::CompareProgress& now) {
          progress = now;
        });

    REQUIRE(whole);
    CHECK(*whole);
    CHECK(progress.objects == 3);
    CHECK(progress.added == 2);
    CHECK(progress.removed == 1);
    CHECK(progress.shards_done == progress.shards);
    const auto totals = index->totals(kSpace).value();
    CHECK(totals.objects == 3);
    CHECK(totals.size == 5200);
    CHECK(room.taken(kSpace) == totals.disk_size);
    CHECK_FALSE(index->find(kSpace, key_of(7).id()).value());
  }

  TEST_CASE("settle: what another process has stored or removed counts as well") {
    World world;
    REQUIRE(world.put(key_of(0)));
    world.index->note_stored(kSpace, key_of(1).id(), 100, disk_size_of(100));

    CHECK(world.catalog.settle().value());

    CHECK(world.room.taken(kSpace) == 2 * disk_size_of(100));
    CHECK(world.room.taken() == 2 * disk_size_of(100));
  }

  TEST_CASE("compare: half a pair is no object") {
    World world;
    REQUIRE(world.put(key_of(0)));
    REQUIRE(world.index->flush());
    for (const auto& [path, content] : world.disk.files("/cache")) {
      if (path.ends_with(".json")) {
        REQUIRE(world.disk.remove(path).value());
      }
    }

    REQUIRE(world.catalog.compare(std::nullopt, std::stop_token(), [](const auto&) {}).value());

    CHECK(world.index->totals(kSpace).value().objects == 0);
    CHECK(world.room.taken() == 0);
  }

  TEST_CASE("compare: nothing counts twice that comes and goes meanwhile") {
    World world;
    for (std::size_t n = 0; n < 50; ++n) {
      REQUIRE(world.put(key_of(n)));
    }
    {
      std::jthread comparer([&](const std::stop_token& stop) {
        while (!stop.stop_requested()) {
          CHECK(world.catalog.compare(std::nullopt, stop, [](const auto&) {}));
        }
      });
      for (std::size_t n = 0; n < 600; ++n) {
        REQUIRE(world.put(key_of(50 + n)));
        REQUIRE(world.store->remove(key_of(n)).value());
      }
    }
    REQUIRE(world.index->flush());
    const auto totals = world.index->totals(kSpace).value();
    CHECK(totals.objects == 50);
    CHECK(totals.disk_size == 50 * disk_size_of(100));
    CHECK(world.room.taken() == totals.disk_size);
  }
}
