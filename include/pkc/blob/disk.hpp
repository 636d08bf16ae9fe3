// The backend on a local directory.
#pragma once

#include "pkc/base/file_system.hpp"
#include "pkc/base/result.hpp"
#include "pkc/blob/backend.hpp"

#include <memory>
#include <string>

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
};

/// Directory layout, version 1 (the original server's, plus quarantine and lock):
///
///   <root>/aa/bb/<name>.zst    blob; aa and bb are the first four characters of the name
///   <root>/aa/bb/<name>.json   sidecar
///   <root>/tmp/<unique>.tmp    uploads in progress
///   <root>/quarantine/         <name>.<unique>.zst, .json and .txt (why) of objects that failed a
///   check <root>/lock                held by the one process that uses the directory
///
/// Publish order, under the caller's exclusive lock: blob temp, sidecar temp, sync both, rename
/// sidecar, rename blob, sync the directory (and, once, each directory made on the way). So a
/// visible blob always has the sidecar of the same upload beside it, and a crash leaves at worst a
/// sidecar without blob (a miss) or the new sidecar beside the old blob.
///
/// Makes the directory ready and takes its lock. Errors: unavailable when another process holds the
/// lock; io. `file_system` outlives the backend.
Result<std::unique_ptr<Backend>> make_disk_backend(FileSystem& file_system, DiskOptions options);

} // namespace pkc::blob
