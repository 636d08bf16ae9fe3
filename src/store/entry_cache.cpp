#include "entry_cache.hpp"

#include <functional>
#include <utility>

namespace pkc::store {

EntryCache::EntryCache(std::size_t entries_max)
    : shard_entries_max_((entries_max + kShards - 1) / kShards) {}

Guarded<EntryCache::Shard>& EntryCache::shard(std::string_view key) {
  return shards_[std::hash<std::string_view>{}(key) % kShards];
}

std::optional<Entry> EntryCache::find(std::string_view key, const FileStat& identity) {
  auto access = shard(key).lock();
  const auto found = access->by_key.find(key);
  if (found == access->by_key.end() || found->second->entry.identity != identity) {
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

void EntryCache::erase(std::string_view key) {
  auto access = shard(key).lock();
  if (const auto found = access->by_key.find(key); found != access->by_key.end()) {
    const auto item = found->second;
    access->by_key.erase(found);
    access->recent.erase(item);
  }
}

} // namespace pkc::store
