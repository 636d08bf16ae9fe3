// The backend on a local directory.
#pragma once

#include "pkc/base/bytes.hpp"
#include "pkc/base/file_system.hpp"
#include "pkc/base/result.hpp"
#include "pkc/base/unique_handle.hpp"
#include "pkc/blob/backend.hpp"
#include "pkc/blob/upkeep.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace pkc::blob {

/// How much a successful publish promises: `full` survives power loss; `file` syncs the contents
/// but not the names; `none` leaves it all to the kernel.
enum class Durability {
  full,
  file,
  none
};

struct DiskOptions {
  std::string root; ///< created when absent, with the directories above it
  Durability durability = Durability::full;
  /// Whose uploads these are; no other living process with the same directory has the number.
  std::int64_t process = 0;
  /// What the quarantine may take of the disk; the oldest objects go for the newest.
  ByteCount quarantine_size_max = 1 * kGiB;
  std::size_t quarantine_objects_max = 1000;
  /// The lock of the directory, inherited from a process that goes on using it for a while.
  // NOLINTNEXTLINE(readability-redundant-member-init): g++ warns where it is left out otherwise
  UniqueFd inherited_lock{};
};

/// What the process that uses the directory locks, in the root.
inline constexpr std::string_view kLockFile = "lock";
/// Where the scrub keeps how far it is, in the root.
inline constexpr std::string_view kScrubFile = "scrub.json";
/// Where the server keeps what tokens have used of their daily quotas, in the root.
inline constexpr std::string_view kTokenUsageFile = "token-usage";
/// What LockFile locks keys with, in the root: kept apart from `lock`, as on network file systems
/// both kinds of locks are one.
inline constexpr std::string_view kKeyLockFile = "keys.lock";

/// Directory layout, version 1 (the original server's, plus quarantine and lock):
///
///   <root>/aa/bb/<name>.zst    blob; aa and bb are the first four characters of the name
///   <root>/aa/bb/<name>.json   sidecar
///   <root>/<space>/aa/bb/…     the same of other spaces
///   <root>/tmp/<process>-<number>.tmp   uploads in progress
///   <root>/quarantine/         <name>.<unique>.zst, .json and .txt (why) of objects that failed a
///   check; <space>-<name>… of those of a space
///   <root>/lock                held by the one process that uses the directory, or by two while
///   one hands over to the other
///   <root>/scrub.json          how far the background verification is; made anew when it is gone
///   <root>/token-usage         bytes written today, by token; counting begins anew when it is gone
///   <root>/keys.lock           its byte KeyLocks::slot_of(name) is locked over each commit
///                              and its last byte while token-usage is brought up to date
///
/// Publish order, under the caller's exclusive lock: blob temp, sidecar temp, sync both, rename
/// sidecar, rename blob, sync the directory (and, once, each directory made on the way). So a
/// visible blob always has the sidecar of the same upload beside it, and a crash leaves at worst a
/// sidecar without blob (a miss) or the new sidecar beside the old blob.
///
/// Makes the directory ready and takes its lock, or joins the holders of an inherited one. Errors:
/// unavailable when another process holds the lock; io. `file_system` outlives the backend.
Result<std::unique_ptr<Backend>> make_disk_backend(FileSystem& file_system, DiskOptions options);

/// The backend for a tool that works beside a server, or without one: it takes no lock of the
/// directory, so it may do only what the lock of a key is enough for. Creates nothing. Errors: io,
/// also when there is no such directory.
Result<std::unique_ptr<Backend>> open_disk_backend(FileSystem& file_system, DiskOptions options);

/// Of the same directory. `file_system` outlives it.
std::unique_ptr<Upkeep> make_disk_upkeep(FileSystem& file_system, std::string root);

} // namespace pkc::blob
