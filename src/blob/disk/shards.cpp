#include "shards.hpp"

#include "pkc/base/assert.hpp"

#include <algorithm>
#include <map>
#include <utility>

namespace pkc::blob {

namespace {

bool is_plain(std::string_view text) {
  return std::ranges::all_of(text, [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  });
}

/// The directories in `path` that are half of a shard, in order. Nothing is said of others.
Result<std::vector<std::string>> shard_halves(FileSystem& file_system, const std::string& path) {
  TRY_ASSIGN(auto entries, file_system.list(path));
  std::vector<std::string> halves;
  if (entries) {
    for (DirectoryEntry& entry : *entries) {
      if (is_shard_half(entry)) {
        halves.push_back(std::move(entry.name));
      }
    }
  }
  std::ranges::sort(halves);
  return halves;
}

/// Notes a file of ours; false when it is none.
bool note_file(std::map<std::string, ListedName, std::less<>>& names,
               std::string_view shard,
               const DirectoryEntry& entry) {
  const bool is_blob = entry.name.ends_with(kBlobSuffix);
  const bool is_sidecar = entry.name.ends_with(kSidecarSuffix);
  if (entry.is_directory || (!is_blob && !is_sidecar)) {
    return false;
  }
  const std::string_view suffix = is_blob ? kBlobSuffix : kSidecarSuffix;
  const std::string name = entry.name.substr(0, entry.name.size() - suffix.size());
  if (!name.starts_with(shard) || !is_plain(name)) {
    return false;
  }
  ListedName& listed = names[name];
  listed.name = name;
  (is_blob ? listed.has_blob : listed.has_sidecar) = true;
  return true;
}

} // namespace

bool is_shard_half(const DirectoryEntry& entry) {
  return entry.is_directory && entry.name.size() == kShardSize / 2 && is_plain(entry.name);
}

std::string without_slashes(std::string root) {
  while (root.size() > 1 && root.ends_with('/')) {
    root.pop_back();
  }
  return root;
}

ShardPath shard_path(std::string_view root, std::string_view name) {
  PKC_ASSERT(name.size() >= kShardSize);
  PKC_ASSERT(is_plain(name));
  ShardPath result;
  result.outer = root;
  result.outer += '/';
  result.outer += name.substr(0, kShardSize / 2);
  result.inner = result.outer + '/';
  result.inner += name.substr(kShardSize / 2, kShardSize / 2);
  return result;
}

Result<std::vector<std::string>> list_shards(FileSystem& file_system, const std::string& root) {
  std::vector<std::string> shards;
  TRY_ASSIGN(const auto outers, shard_halves(file_system, root));
  for (const std::string& outer : outers) {
    TRY_ASSIGN(const auto inners, shard_halves(file_system, root + '/' + outer));
    for (const std::string& inner : inners) {
      shards.push_back(outer + inner);
    }
  }
  return shards;
}

Result<ShardListing> list_shard(FileSystem& file_system,
                                const std::string& root,
                                std::string_view shard) {
  const std::string path = shard_path(root, shard).inner;
  TRY_ASSIGN(const auto entries, file_system.list(path));
  std::map<std::string, ListedName, std::less<>> names;
  ShardListing listing;
  if (entries) {
    for (const DirectoryEntry& entry : *entries) {
      if (!note_file(names, shard, entry)) {
        listing.strangers.push_back(path + '/' + entry.name);
      }
    }
  }
  std::ranges::sort(listing.strangers);
  for (auto& [name, listed] : names) {
    listing.names.push_back(std::move(listed));
  }
  return listing;
}

} // namespace pkc::blob
