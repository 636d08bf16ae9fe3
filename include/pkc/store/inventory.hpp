// Inventory: what an operator asks about all objects, and does to single ones.
#pragma once

#include "pkc/base/bytes.hpp"
#include "pkc/base/clock.hpp"
#include "pkc/base/file_system.hpp"
#include "pkc/base/result.hpp"
#include "pkc/blob/backend.hpp"
#include "pkc/index/index.hpp"
#include "pkc/ops/log.hpp"
#include "pkc/ops/metrics.hpp"
#include "pkc/store/archive.hpp"
#include "pkc/store/catalog.hpp"
#include "pkc/store/content_store.hpp"
#include "pkc/store/evictor.hpp"
#include "pkc/store/key.hpp"
#include "pkc/store/room.hpp"
#include "pkc/store/sidecar.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pkc::store {

using index::ListQuery;
using index::Object;
using index::Page;
using index::Pinned;
using index::SourcePage;
using index::SourceQuery;
using index::SourceRow;

/// What an inventory acts on; all of it outlives it.
struct InventoryParts {
  blob::Backend& backend;
  index::Index& index;
  Room& room;
  const Clock& clock;
  ops::Log& log;
  ops::Metrics& metrics;
};

struct SpaceStats {
  std::string space;
  index::Totals totals;
  ByteCount taken = 0;     ///< of the room, by objects and uploads
  ByteCount size_max = 0;  ///< 0: no limit of its own
  std::uint64_t reads = 0; ///< since the process started
};

struct Stats {
  std::vector<SpaceStats> spaces;     ///< by name
  index::SourceTotals downloads;      ///< of the archive
  ByteCount taken = 0;                ///< of the room, by all spaces
  ByteCount size_max = 0;             ///< 0: no limit
  ByteCount disk_free_min = 0;        ///< 0: no limit
  std::chrono::seconds unused_max{0}; ///< 0: no limit
  std::optional<DiskSpace> disk;      ///< nothing when the disk does not tell
  index::State index;
};

/// Whether objects of a space make room for others.
enum class Evictable : std::uint8_t {
  no, ///< only when somebody names the space
  yes
};

/// A space of an inventory; all of it outlives that.
struct InventorySpace {
  Catalog& catalog;
  ContentStore& store;
  blob::Backend& backend; ///< of the store
  Evictable evictable = Evictable::yes;
  /// Removes an object and what hangs on it, as ContentStore::remove(); empty: it is that.
  // NOLINTNEXTLINE(readability-redundant-member-init): g++ warns where it is left out otherwise
  std::function<Result<bool>(const Key&)> remove{};
};

/// What is known of one object. Without sidecar when that cannot be read.
struct Facts {
  Object object;
  std::optional<Sidecar> sidecar;
};

/// What should go. With neither size_max nor unused_max: what the limits of the server ask for.
struct CollectOrder {
  // NOLINTBEGIN(readability-redundant-member-init): g++ warns where one is left out otherwise
  std::string space{};                 ///< empty: all whose objects may be evicted
  std::optional<ByteCount> size_max{}; ///< what may stay of the disk
  std::optional<std::chrono::milliseconds> unused_max{};
  // NOLINTEND(readability-redundant-member-init)
  std::chrono::milliseconds time_max{2'000}; ///< a call goes on for about as long
};

struct Collected {
  Evicted evicted;
  bool finished = true; ///< false: the time is over, and there may be more
};

/// The objects of all spaces together, as far as the index knows them. Thread-safe. Owned by app.
/// All calls block on the database and see what came, went or was read before. Errors of all:
/// unavailable, when the index cannot be asked now; io, no_space.
class Inventory {
 public:
  /// `unused_max`: an object that nobody has read for this long goes; 0: none does.
  Inventory(InventoryParts parts, std::chrono::seconds unused_max)
      : parts_(parts), unused_max_(unused_max) {}

  /// Before anybody asks.
  void add_space(InventorySpace space);
  [[nodiscard]] bool has_space(std::string_view space) const { return spaces_.contains(space); }

  /// The one that was added first. REQUIRES: there is one.
  [[nodiscard]] const std::string& default_space() const { return default_space_; }

  /// So that it can be asked for by URL. Outlives the inventory. Before anybody asks.
  void set_archive(Archive& archive) { archive_ = &archive; }
  /// Empty when there is no archive.
  [[nodiscard]] std::string_view archive_space() const {
    return archive_ == nullptr ? std::string_view() : kArchiveSpace;
  }

  Result<Stats> stats();
  /// Errors also: invalid_argument for a limit out of range and for a foreign cursor.
  Result<Page> list(const ListQuery& query);
  /// What the archive has, by URL. Errors as of list().
  Result<SourcePage> list_sources(const SourceQuery& query);
  /// Of a record's key. Nothing when the archive has none.
  Result<std::optional<SourceRow>> find_source(std::string_view key);
  /// Nothing when there is no such object.
  Result<std::optional<Facts>> find(std::string_view space, std::string_view key);
  /// False when there was nothing. Who reads the object goes on reading. Works without the index.
  Result<bool> remove(std::string_view space, std::string_view key);
  /// False when there is no such object. One that is pinned is never evicted.
  Result<bool> set_pinned(std::string_view space, std::string_view key, Pinned pinned);
  /// Lets objects go, least recently used first, pinned ones never. Beside the evictor that runs in
  /// the background.
  Result<Collected> collect(const CollectOrder& order);

 private:
  struct Goal {
    // NOLINTBEGIN(readability-redundant-member-init): g++ warns where one is left out otherwise
    Collection wanted{};
    std::function<ByteCount()> lack{}; ///< empty: bytes do not matter
    // NOLINTEND(readability-redundant-member-init)
  };

  std::vector<Goal> plan(const CollectOrder& order);
  std::optional<Sidecar> sidecar_of(std::string_view space, std::string_view key);

  InventoryParts parts_;
  const std::chrono::seconds unused_max_;
  std::map<std::string, InventorySpace, std::less<>> spaces_;
  std::string default_space_;
  Archive* archive_ = nullptr;
};

} // namespace pkc::store
