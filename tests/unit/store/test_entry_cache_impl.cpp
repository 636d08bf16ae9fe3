#include "entry_cache.hpp"

#include <doctest/doctest.h>

#include <memory>
#include <string>

using pkc::FileStat;
using pkc::store::Entry;
using pkc::store::EntryCache;
using pkc::store::Sidecar;

namespace {

Entry entry_of(std::uint64_t inode) {
  return {.sidecar = std::make_shared<const Sidecar>(),
          .identity = FileStat{.inode = inode},
          .verified = true};
}

} // namespace

TEST_SUITE("store::EntryCache") {
  TEST_CASE("find: only for the very same file") {
    EntryCache cache(100);
    cache.put("key", entry_of(1));
    CHECK(cache.find("key", FileStat{.inode = 1}));
    CHECK_FALSE(cache.find("key", FileStat{.inode = 2}));
    CHECK_FALSE(cache.find("key", FileStat{.inode = 1, .ctime_ns = 5}));
    CHECK_FALSE(cache.find("other", FileStat{.inode = 1}));
  }

  TEST_CASE("put: replaces what was known of the key") {
    EntryCache cache(100);
    cache.put("key", entry_of(1));
    cache.put("key", entry_of(2));
    CHECK_FALSE(cache.find("key", FileStat{.inode = 1}));
    CHECK(cache.find("key", FileStat{.inode = 2}));
  }

  TEST_CASE("put: stays within its bound and forgets the least recently used first") {
    EntryCache cache(160);
    cache.put("favourite", entry_of(1));
    std::size_t remembered = 0;
    for (int i = 0; i < 10'000; ++i) {
      cache.put("key" + std::to_string(i), entry_of(2));
      REQUIRE(cache.find("favourite", FileStat{.inode = 1}));
    }
    for (int i = 0; i < 10'000; ++i) {
      remembered += cache.find("key" + std::to_string(i), FileStat{.inode = 2}) ? 1U : 0U;
    }
    CHECK(remembered <= 160);
    CHECK(remembered >= 100);
  }

  TEST_CASE("erase: forgets") {
    EntryCache cache(100);
    cache.put("key", entry_of(1));
    cache.erase("key");
    cache.erase("unknown");
    CHECK_FALSE(cache.find("key", FileStat{.inode = 1}));
  }
}
