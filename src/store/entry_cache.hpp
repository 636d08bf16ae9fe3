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
  /// About `entries_max` objects in all, `files_max` of them open; 0 remembers nothing.
  EntryCache(std::size_t entries_max, std::size_t files_max);

  [[nodiscard]] std::optional<Entry> find(std::string_view key);
  void put(const std::string& key, Entry entry);
  /// Keeps `file` open for as long as the entry of `key` is about exactly this file and no more
  /// than files_max others came after it.
  void keep_open(const std::string& key, std::shared_ptr<File> file);
  void erase(std::string_view key);

 private:
  struct Item {
    std::string key;
    Entry entry;
  };
  struct Shard {
    std::list<Item> recent;                                                 // front: used last
    std::unordered_map<std::string_view, std::list<Item>::iterator> by_key; // views into recent
    std::vector<std::string> open; // keys whose entries may hold a file, a ring
    std::size_t oldest_open = 0;
  };
  static constexpr std::size_t kShards = 16;

  [[nodiscard]] Guarded<Shard>& shard(std::string_view key);

  std::size_t shard_entries_max_;
  std::size_t shard_files_max_;
  std::array<Guarded<Shard>, kShards> shards_;
};

} // namespace pkc::store
