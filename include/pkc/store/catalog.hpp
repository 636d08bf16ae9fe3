// Catalog: keeps the index and the room in step with the files.
#pragma once

#include "pkc/base/bytes.hpp"
#include "pkc/base/guarded.hpp"
#include "pkc/base/result.hpp"
#include "pkc/blob/backend.hpp"
#include "pkc/index/index.hpp"
#include "pkc/locks/key_locks.hpp"
#include "pkc/ops/log.hpp"
#include "pkc/store/room.hpp"

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

namespace pkc::store {

/// What a catalog acts on; all of it outlives it.
struct CatalogParts {
  blob::Backend& backend;
  locks::KeyLocks& key_locks;
  index::Index& index;
  Room& room;
  ops::Log& log;
};

/// How far a comparison is, and what it has found.
struct CompareProgress {
  std::size_t shards = 0; ///< in all
  std::size_t shards_done = 0;
  std::uint64_t objects = 0; ///< seen on the disk
  std::uint64_t added = 0;   ///< to the index
  std::uint64_t removed = 0; ///< from the index
};

/// The books of one space: whoever changes an object says so here, and compare() finds what was
/// changed while nobody kept books (a crash, files moved by hand, a deleted index). Thread-safe.
///
/// The files are the truth. A crash of the machine or the process may leave index and room behind
/// the files; Index::state() tells that.
class Catalog {
 public:
  Catalog(CatalogParts parts, std::string space);

  [[nodiscard]] const std::string& space() const { return space_; }
  [[nodiscard]] Room& room() { return parts_.room; }

  /// Takes over what the index says of the room that is taken. Once, before anybody else calls.
  /// Errors: those of the index.
  Result<void> begin();

  /// Makes the room agree with the index, when no object comes or goes meanwhile: objects that
  /// another process has stored or removed are in the index only. False when it was too busy.
  /// Errors: those of the index.
  Result<bool> settle();

  /// Published, by whoever holds the exclusive lock of the key and has taken `share` for it.
  void stored(std::string_view key, ByteCount size, Room::Share& share);
  /// Removed or taken out of sight, by whoever holds the exclusive lock of the key.
  void removed(std::string_view key, ByteCount size);
  /// Answered for.
  void read(std::string_view key) {
    parts_.index.note_read(space_, key);
    reads_.fetch_add(1, std::memory_order_relaxed);
  }
  /// How often read() was called.
  [[nodiscard]] std::uint64_t reads() const { return reads_.load(std::memory_order_relaxed); }

  using Report = std::function<void(const CompareProgress&)>;

  /// Brings the index in step with the files, of all shards or of those that have changed `since`,
  /// and tells how it goes after each shard. Objects may come and go meanwhile. One call at a time.
  /// True when it got to the end, false when it was stopped. Errors: those of index and backend.
  Result<bool> compare(std::optional<index::Time> since,
                       const std::stop_token& stop,
                       const Report& report);

 private:
  /// Keys that came or went in this process since a comparison began: the books know of them.
  struct Recent {
    bool kept = false;
    std::unordered_set<std::size_t> keys; ///< hashes
  };

  void note_recent(std::string_view key);
  Result<bool> is_pair(std::string_view key);
  [[nodiscard]] bool is_recent(std::string_view key);
  Result<bool> compare_shards(std::optional<index::Time> since,
                              const std::stop_token& stop,
                              const Report& report);
  Result<void> compare_shard(std::string_view shard, CompareProgress& progress);
  Result<void> add_missing(std::string_view key, CompareProgress& progress);
  Result<void> remove_stale(const index::Object& row, CompareProgress& progress);
  Result<void> compare_size(const index::Object& row);
  Result<bool> remove_vanished_shards(const std::vector<std::string>& shards,
                                      const std::stop_token& stop,
                                      CompareProgress& progress);

  CatalogParts parts_;
  const std::string space_;
  Guarded<Recent> recent_;
  std::atomic<std::uint64_t> reads_{0};
};

} // namespace pkc::store
