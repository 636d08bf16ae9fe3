// Shards: where a name lies below the root, and what lies there.
#pragma once

#include "pkc/base/file_system.hpp"
#include "pkc/base/result.hpp"
#include "pkc/blob/backend.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace pkc::blob {

inline constexpr std::string_view kBlobSuffix = ".zst";
inline constexpr std::string_view kSidecarSuffix = ".json";

/// The directories of a shard.
struct ShardPath {
  std::string outer; ///< <root>/aa
  std::string inner; ///< <root>/aa/bb
};

/// Whether an entry of the root, or of a directory in it, is half of a shard. Spaces, tmp and
/// quarantine lie beside the outer ones.
bool is_shard_half(const DirectoryEntry& entry);

/// The root without slashes behind it.
std::string without_slashes(std::string root);

/// Those of a name, or of a shard itself. REQUIRES: four or more characters of [0-9A-Za-z].
ShardPath shard_path(std::string_view root, std::string_view name);

/// As Backend::list_shards().
Result<std::vector<std::string>> list_shards(FileSystem& file_system, const std::string& root);
/// As Backend::list_shard().
Result<ShardListing> list_shard(FileSystem& file_system,
                                const std::string& root,
                                std::string_view shard);

} // namespace pkc::blob
