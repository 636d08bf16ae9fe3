// Pending: the notes that are not in the database yet.
#pragma once

#include "note.hpp"

#include "pkc/base/guarded.hpp"
#include "pkc/index/index.hpp"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace pkc::index {

/// In the order in which the objects became known, then those that were only read.
using Batch = std::vector<std::pair<Name, Note>>;

/// Collects notes per key, in shards so that threads rarely meet. Thread-safe; never blocks on
/// anything but a shard's lock, which is held for the time of a look-up.
class Pending {
 public:
  /// At most `limit` keys, three quarters of them for reads alone. While a batch is out, as many
  /// again.
  explicit Pending(std::size_t limit) : limit_(limit) {}

  enum class Fill : std::uint8_t {
    other,
    half, ///< it has just become half full: time to write
  };
  /// Takes the note, unless there is no room for a further key.
  Fill add(NameView name, Note note);

  /// All notes, which are then out of here. One thread at a time.
  Batch take();
  /// What could not be written, back under what was noted since. What has no room is dropped.
  void put_back(Batch batch);

  struct Dropped {
    std::uint64_t reads = 0;
    std::uint64_t others = 0;
    std::optional<Time> since; ///< of the first of the others
  };
  /// What was dropped since the last call.
  Dropped take_dropped();

 private:
  using Notes = std::unordered_map<Name, Note, NameHash, NameEqual>;
  static constexpr std::size_t kShards = 64;

  Guarded<Notes>& shard_of(NameView name);
  bool has_room(const Note& note) const;
  void drop(const Note& note);

  const std::size_t limit_;
  std::array<Guarded<Notes>, kShards> shards_;
  std::atomic<std::size_t> count_{0};
  std::atomic<std::uint64_t> order_{0};
  Guarded<Dropped> dropped_; // may be locked while a shard is, never the other way round
};

} // namespace pkc::index
