#include "pkc/store/catalog.hpp"

#include "pkc/store/sidecar.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

namespace pkc::store {

namespace {

using index::Object;
using locks::KeyLocks;

std::size_t hash_of(std::string_view key) {
  return std::hash<std::string_view>{}(key);
}

index::Time time_of(std::int64_t mtime_ns) {
  return index::Time(
      std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::nanoseconds(mtime_ns)));
}

/// Whether a directory has not changed since then.
bool is_older(const FileStat& directory, std::optional<index::Time> since) {
  return since && time_of(directory.mtime_ns) < *since;
}

} // namespace

Catalog::Catalog(CatalogParts parts, std::string space) : parts_(parts), space_(std::move(space)) {}

Result<void> Catalog::begin() {
  TRY_ASSIGN(const index::Totals totals, parts_.index.totals(space_));
  parts_.room.add(space_, totals.disk_size);
  return {};
}

Result<bool> Catalog::settle() {
  const std::uint64_t changes = parts_.room.changes();
  TRY(parts_.index.flush());
  TRY_ASSIGN(const index::Totals totals, parts_.index.totals(space_));
  return parts_.room.correct(space_, totals.disk_size, changes);
}

void Catalog::stored(std::string_view key, ByteCount size, Room::Share& share) {
  share.keep(disk_size_of(size));
  parts_.index.note_stored(space_, key, size, disk_size_of(size));
  note_recent(key);
}

void Catalog::removed(std::string_view key, ByteCount size) {
  parts_.room.release(space_, disk_size_of(size));
  parts_.index.note_removed(space_, key);
  note_recent(key);
}

void Catalog::note_recent(std::string_view key) {
  auto recent = recent_.lock();
  if (recent->kept) {
    recent->keys.insert(hash_of(key));
  }
}

bool Catalog::is_recent(std::string_view key) {
  return recent_.lock()->keys.contains(hash_of(key));
}

Result<bool> Catalog::compare(std::optional<index::Time> since,
                              const std::stop_token& stop,
                              const Report& report) {
  recent_.lock()->kept = true;
  auto compared = compare_shards(since, stop, report);
  *recent_.lock() = Recent{};
  return compared;
}

Result<bool> Catalog::compare_shards(std::optional<index::Time> since,
                                     const std::stop_token& stop,
                                     const Report& report) {
  // What was noted before is in the rows from here on; what is noted later is recent.
  TRY(parts_.index.flush());
  TRY_ASSIGN(const auto shards, parts_.backend.list_shards());
  CompareProgress progress{.shards = shards.size()};
  for (const std::string& shard : shards) {
    if (stop.stop_requested()) {
      return false;
    }
    TRY_ASSIGN(const auto directory, parts_.backend.stat_shard(shard));
    if (directory && !is_older(*directory, since)) {
      TRY(compare_shard(shard, progress));
    }
    ++progress.shards_done;
    report(progress);
  }
  TRY_ASSIGN(const bool whole, remove_vanished_shards(shards, stop, progress));
  TRY(parts_.index.flush());
  report(progress);
  return whole;
}

/// Rows are asked for after the names: what comes and goes in between is recent.
Result<void> Catalog::compare_shard(std::string_view shard, CompareProgress& progress) {
  TRY_ASSIGN(const blob::ShardListing listing, parts_.backend.list_shard(shard));
  TRY_ASSIGN(const auto rows, parts_.index.with_prefix(space_, shard));
  auto row = rows.begin();
  for (const blob::ListedName& listed : listing.names) {
    if (!listed.has_blob || !listed.has_sidecar) {
      continue; // invisible, as fsck will tell
    }
    ++progress.objects;
    for (; row != rows.end() && row->key < listed.name; ++row) {
      TRY(remove_stale(*row, progress));
    }
    if (row != rows.end() && row->key == listed.name) {
      TRY(compare_size(*row));
      ++row;
    } else {
      TRY(add_missing(listed.name, progress));
    }
  }
  for (; row != rows.end(); ++row) {
    TRY(remove_stale(*row, progress));
  }
  return {};
}

Result<void> Catalog::add_missing(std::string_view key, CompareProgress& progress) {
  TRY_ASSIGN(const auto held, parts_.key_locks.acquire(key, KeyLocks::Mode::exclusive));
  TRY_ASSIGN(const auto blob, parts_.backend.stat(key));
  if (!blob || is_recent(key)) {
    return {};
  }
  parts_.room.add(space_, disk_size_of(blob->size));
  parts_.index.note_found({.space = space_,
                           .key = key,
                           .size = blob->size,
                           .disk_size = disk_size_of(blob->size),
                           .stored_at = time_of(blob->mtime_ns)});
  if (++progress.added % index::Index::kFoundBatch == 0) {
    TRY(parts_.index.flush());
  }
  return {};
}

Result<bool> Catalog::is_pair(std::string_view key) {
  TRY_ASSIGN(const auto blob, parts_.backend.stat(key));
  if (!blob) {
    return false;
  }
  const auto sidecar = parts_.backend.read_sidecar(key, kSidecarSizeMax);
  return !sidecar || sidecar->has_value(); // one that cannot be read is there
}

/// Half a pair is as good as none: nobody can read it.
Result<void> Catalog::remove_stale(const Object& row, CompareProgress& progress) {
  TRY_ASSIGN(const auto held, parts_.key_locks.acquire(row.key, KeyLocks::Mode::exclusive));
  TRY_ASSIGN(const bool whole, is_pair(row.key));
  if (whole || is_recent(row.key)) {
    return {};
  }
  parts_.room.release(space_, row.disk_size);
  parts_.index.note_removed(space_, row.key);
  if (++progress.removed % index::Index::kFoundBatch == 0) {
    TRY(parts_.index.flush());
  }
  return {};
}

/// Somebody may have put another pair of the same name there by hand.
Result<void> Catalog::compare_size(const Object& row) {
  TRY_ASSIGN(const auto seen, parts_.backend.stat(row.key));
  if (!seen || (seen->size == row.size && row.disk_size == disk_size_of(row.size))) {
    return {};
  }
  TRY_ASSIGN(const auto held, parts_.key_locks.acquire(row.key, KeyLocks::Mode::exclusive));
  TRY_ASSIGN(const auto blob, parts_.backend.stat(row.key));
  if (!blob || is_recent(row.key)) {
    return {};
  }
  parts_.room.release(space_, row.disk_size);
  parts_.room.add(space_, disk_size_of(blob->size));
  parts_.index.note_found({.space = space_,
                           .key = row.key,
                           .size = blob->size,
                           .disk_size = disk_size_of(blob->size),
                           .stored_at = time_of(blob->mtime_ns)});
  return {};
}

/// Rows whose whole directory is gone.
Result<bool> Catalog::remove_vanished_shards(const std::vector<std::string>& shards,
                                             const std::stop_token& stop,
                                             CompareProgress& progress) {
  std::string from;
  while (!stop.stop_requested()) {
    TRY_ASSIGN(const auto key, parts_.index.first_key(space_, from));
    if (!key) {
      return true;
    }
    const std::string shard = key->substr(0, blob::kShardSize);
    if (!std::ranges::binary_search(shards, shard)) {
      TRY_ASSIGN(const auto rows, parts_.index.with_prefix(space_, shard));
      for (const Object& row : rows) {
        TRY(remove_stale(row, progress));
      }
    }
    from = shard + '\x7f'; // behind all keys of the shard
  }
  return false;
}

} // namespace pkc::store
