// Upkeep: what lies around the objects of a storage, for whoever tidies it.
#pragma once

#include "pkc/base/bytes.hpp"
#include "pkc/base/file_system.hpp"
#include "pkc/base/result.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pkc::blob {

/// What an upload has written so far, or left behind.
struct PendingUpload {
  std::string name;
  std::optional<std::int64_t> process; ///< nothing: the original server's, which tells none
  FileStat stat;
};

/// An object in quarantine: blob, sidecar and note, or what there is of them.
struct Quarantined {
  std::string stem; ///< <name>.<number> or <space>-<name>.<number>
  ByteCount size = 0;
  std::int64_t since_ns = 0; ///< Unix time
};

/// Looks after a storage directory, next to a server that uses it or without one. Thread-safe.
/// Errors of all calls: io.
class Upkeep {
 public:
  virtual ~Upkeep() = default;

  /// Keeps servers away while it is held; null when one uses the directory.
  virtual Result<std::unique_ptr<File>> try_lock() = 0;
  /// Paths of what nobody of ours put beside the shards of a space, in order; of the root when
  /// `space` is empty. There, directories whose names have three or more characters may be spaces,
  /// and are none.
  virtual Result<std::vector<std::string>> list_strangers(std::string_view space) = 0;

  virtual Result<std::vector<PendingUpload>> list_uploads() = 0;
  /// False when it is gone. Only for one whose process has ended: the other would fail.
  virtual Result<bool> remove_upload(std::string_view name) = 0;

  /// Removes the directory of a shard of a space, or of the root when `space` is empty; false when
  /// it is gone or something lies in it. An upload of that moment would be stored below a name that
  /// is not durable, so only under the lock.
  virtual Result<bool> remove_shard(std::string_view space, std::string_view shard) = 0;

  /// The oldest first.
  virtual Result<std::vector<Quarantined>> list_quarantined() = 0;
};

} // namespace pkc::blob
