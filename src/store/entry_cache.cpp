#include "entry_cache.hpp"

#include <functional>
#include <utility>

namespace pkc::store {

EntryCache::EntryCache(std::size_t entries_max, std::size_t files_max)
    : shard_entries_max_((entries_max + kShards - 1) / kShards),
      shard_files_max_((files_max + kShards - 1) / kShards) {}

Guarded<EntryCache::Shard>& EntryCache::shard(std::string_view key) {
  return shards_[std::hash<std::string_view>{}(key) % kShards];
}

std::optional<Entry> EntryCache::find(std::string_view key) {
  auto access = shard(key).lock();
  const auto found = access->by_key.find(key);
  if (found == access->by_key.end()) {
    return std::nullopt;
  }
  access->recent.splice(access->recent.begin(), access->recent, found->second);
  return found->second->entry;
}

void EntryCache::put(const std::string& key, Entry entry) {
  if (shard_entries_max_ == 0) {
    return;
  }
  auto access = shard(key).lock();
  if (const auto found = access->by_key.find(key); found != access->by_key.end()) {
    found->second->entry = std::move(entry);
    access->recent.splice(access->recent.begin(), access->recent, found->second);
    return;
  }
  if (access->recent.size() >= shard_entries_max_) {
    access->by_key.erase(access->recent.back().key);
    access->recent.pop_back();
  }
  access->recent.push_front({key, std::move(entry)});
  access->by_key.emplace(access->recent.front().key, access->recent.begin());
}

void EntryCache::keep_open(const std::string& key, std::shared_ptr<File> file) {
  if (shard_files_max_ == 0) {
    return;
  }
  std::shared_ptr<File> closed; // after the lock is gone
  auto access = shard(key).lock();
  const auto found = access->by_key.find(key);
  if (found == access->by_key.end() || found->second->entry.file ||
      found->second->entry.identity != file->opened_stat()) {
    return;
  }
  closed = file->descriptor() >= 0
               ? add_holder(*access, access->open, shard_files_max_, key)
               : add_holder(*access, access->in_memory, kPerOpenFile * shard_files_max_, key);
  found->second->entry.file = std::move(file);
}

/// Returns the file of the one that had to go.
std::shared_ptr<File> EntryCache::add_holder(Shard& shard,
                                             Holders& holders,
                                             std::size_t holders_max,
                                             const std::string& key) {
  if (holders.keys.size() < holders_max) {
    holders.keys.push_back(key);
    return nullptr;
  }
  // The oldest goes, used or not: if it is in use, its next reader brings it back.
  std::string& slot = holders.keys[holders.oldest];
  holders.oldest = (holders.oldest + 1) % holders.keys.size();
  const auto old = shard.by_key.find(slot);
  slot = key;
  return old == shard.by_key.end() ? nullptr : std::move(old->second->entry.file);
}

void EntryCache::erase(std::string_view key) {
  auto access = shard(key).lock();
  if (const auto found = access->by_key.find(key); found != access->by_key.end()) {
    const auto item = found->second;
    access->by_key.erase(found);
    access->recent.erase(item);
  }
}

} // namespace pkc::store
