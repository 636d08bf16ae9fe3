// EntryCache: remembers what is known of recently used objects, in bounded memory.
#pragma once

#include "pkc/base/file_system.hpp"
#include "pkc/base/guarded.hpp"
#include "pkc/store/sidecar.hpp"

#include <array>
#include <cstddef>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace pkc::store {

/// What a sidecar said, and whether the bytes were hashed since: true of the file with exactly this
/// identity.
struct Entry {
  std::shared_ptr<const Sidecar> sidecar;
  FileStat identity;
  bool verified = false;
  std::shared_ptr<File> file = nullptr; ///< that file, kept open; mostly null
};

/// Least recently used objects leave first. Thread-safe; sharded, so that readers of different keys
/// rarely meet. An entry is only a memory of one file: whoever asks compares its identity with that
/// of the file that is there now.
class EntryCache {
 public:
  /// About `entries_max` objects in all; of those `files_max` with an open file, and kPerOpenFile
  /// times as many with one that takes no descriptor. 0 remembers nothing.
  EntryCache(std::size_t entries_max, std::size_t files_max);

  static constexpr std::size_t kPerOpenFile = 4;

  [[nodiscard]] std::optional<Entry> find(std::string_view key);
  void put(const std::string& key, Entry entry);
  /// Keeps `file` for as long as the entry of `key` is about exactly this file and no more others
  /// of its kind came after it than there may be.
  void keep_open(const std::string& key, std::shared_ptr<File> file);
  void erase(std::string_view key);

 private:
  struct Item {
    std::string key;
    Entry entry;
  };
  /// The keys whose entries may hold a file of one kind, a ring.
  struct Holders {
    std::vector<std::string> keys;
    std::size_t oldest = 0;
  };
  struct Shard {
    std::list<Item> recent;                                                 // front: used last
    std::unordered_map<std::string_view, std::list<Item>::iterator> by_key; // views into recent
    Holders open;                                                           // with a descriptor
    Holders in_memory;                                                      // without
  };
  static constexpr std::size_t kShards = 16;

  [[nodiscard]] Guarded<Shard>& shard(std::string_view key);
  static std::shared_ptr<File> add_holder(Shard& shard,
                                          Holders& holders,
                                          std::size_t holders_max,
                                          const std::string& key);

  std::size_t shard_entries_max_;
  std::size_t shard_files_max_;
  std::array<Guarded<Shard>, kShards> shards_;
};

} // namespace pkc::store
