#include "entry_cache.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <vector>

using pkc::ByteCount;
using pkc::ByteSpan;
using pkc::File;
using pkc::FileStat;
using pkc::MutableByteSpan;
using pkc::Result;
using pkc::store::Entry;
using pkc::store::EntryCache;
using pkc::store::Sidecar;

namespace {

Entry entry_of(std::uint64_t inode) {
  return {.sidecar = std::make_shared<const Sidecar>(),
          .identity = FileStat{.inode = inode},
          .verified = true};
}

std::uint64_t inode_of(const std::optional<Entry>& entry) {
  return entry ? entry->identity.inode : 0;
}

std::shared_ptr<File> file_of(EntryCache& cache, std::string_view key) {
  const auto entry = cache.find(key);
  return entry ? entry->file : nullptr;
}

/// A file of which only the identity counts.
class NamedFile final : public File {
 public:
  explicit NamedFile(std::uint64_t inode, int descriptor = 1)
      : stat_{.inode = inode}, descriptor_(descriptor) {}
  Result<std::size_t> read_at(ByteCount /*offset*/, MutableByteSpan /*buffer*/) override {
    return 0;
  }
  Result<void> write(ByteSpan /*bytes*/) override { return {}; }
  void begin_sync() override {}
  Result<void> sync() override { return {}; }
  [[nodiscard]] FileStat opened_stat() const override { return stat_; }
  [[nodiscard]] int descriptor() const override { return descriptor_; }

 private:
  FileStat stat_;
  int descriptor_;
};

} // namespace

TEST_SUITE("store::EntryCache") {
  TEST_CASE("find: what was put") {
    EntryCache cache(100, 0);
    cache.put("key", entry_of(1));
    CHECK(inode_of(cache.find("key")) == 1);
    CHECK_FALSE(cache.find("other"));
  }

  TEST_CASE("put: replaces what was known of the key") {
    EntryCache cache(100, 0);
    cache.put("key", entry_of(1));
    cache.put("key", entry_of(2));
    CHECK(inode_of(cache.find("key")) == 2);
  }

  TEST_CASE("put: stays within its bound and forgets the least recently used first") {
    EntryCache cache(160, 0);
    cache.put("favourite", entry_of(1));
    std::size_t remembered = 0;
    for (int i = 0; i < 10'000; ++i) {
      cache.put("key" + std::to_string(i), entry_of(2));
      REQUIRE(cache.find("favourite"));
    }
    for (int i = 0; i < 10'000; ++i) {
      remembered += cache.find("key" + std::to_string(i)) ? 1U : 0U;
    }
    CHECK(remembered <= 160);
    CHECK(remembered >= 100);
  }

  TEST_CASE("erase: forgets") {
    EntryCache cache(100, 0);
    cache.put("key", entry_of(1));
    cache.erase("key");
    cache.erase("unknown");
    CHECK_FALSE(cache.find("key"));
  }

  TEST_CASE("keep_open: the file comes with the entry, until the entry is about another") {
    EntryCache cache(100, 100);
    cache.put("key", entry_of(1));
    const auto file = std::make_shared<NamedFile>(1);
    cache.keep_open("key", file);
    CHECK(file_of(cache, "key") == file);

    cache.put("key", entry_of(2));
    CHECK(file_of(cache, "key") == nullptr);
    CHECK(file.use_count() == 1);
  }

  TEST_CASE("keep_open: not a file that the entry is not about") {
    EntryCache cache(100, 100);
    cache.put("key", entry_of(1));
    cache.keep_open("key", std::make_shared<NamedFile>(2));
    cache.keep_open("unknown", std::make_shared<NamedFile>(1));
    CHECK(file_of(cache, "key") == nullptr);
    CHECK_FALSE(cache.find("unknown"));
  }

  TEST_CASE("keep_open: each kind stays within its bound and lets the oldest go") {
    EntryCache cache(10'000, 32);
    std::vector<std::shared_ptr<File>> open;
    std::vector<std::shared_ptr<File>> in_memory;
    for (std::uint64_t i = 0; i < 2'000; ++i) {
      const std::string key = "key" + std::to_string(i);
      cache.put(key, entry_of(i));
      auto& files = i % 2 == 0 ? open : in_memory;
      files.push_back(std::make_shared<NamedFile>(i, i % 2 == 0 ? 1 : -1));
      cache.keep_open(key, files.back());
    }
    const auto is_kept = [](const auto& file) { return file.use_count() > 1; };
    CHECK(std::ranges::count_if(open, is_kept) == 32);
    CHECK(std::ranges::count_if(in_memory, is_kept) == 128);
    CHECK(is_kept(open.back()));
    CHECK(is_kept(in_memory.back()));
  }
}
