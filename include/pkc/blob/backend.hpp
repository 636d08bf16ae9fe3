// Backend: keeps pairs of a blob and its sidecar text under flat names, and publishes each pair as
// one.
#pragma once

#include "pkc/base/bytes.hpp"
#include "pkc/base/file_system.hpp"
#include "pkc/base/result.hpp"
#include "pkc/base/stream.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pkc::blob {

/// Bytes on their way into the store. Invisible to every reader until publish(). Destruction
/// discards what was not published. One thread at a time.
class Upload : public ByteSink {
 public:
  /// Gives what was written so far to `target`, as the disk has it. Errors also: whatever `target`
  /// returns.
  virtual Result<void> replay(ByteSink& target) = 0;
  /// What was written so far, for others to read while more comes: read_at() and descriptor() only.
  /// It stays readable whatever becomes of the upload.
  [[nodiscard]] virtual std::shared_ptr<File> file() const = 0;
  /// Makes the bytes written so far and `sidecar` visible under `name`, replacing what was there,
  /// and returns when both would survive a power loss (as far as the backend's durability setting
  /// asks for). The caller holds the exclusive lock of the name. After an error the name holds what
  /// it held before or, if the machine stopped in between, something that is recognisably not a
  /// whole object.
  virtual Result<void> publish(std::string_view name, std::string_view sidecar) = 0;
};

/// Characters of a name that make its shard.
inline constexpr std::size_t kShardSize = 4;

/// A name that has a blob, a sidecar, or both.
struct ListedName {
  std::string name;
  bool has_blob = false;
  bool has_sidecar = false;
  friend bool operator==(const ListedName&, const ListedName&) = default;
};

struct ShardListing {
  std::vector<ListedName> names;      ///< in ascending order
  std::vector<std::string> strangers; ///< paths of what nobody of ours put there
};

/// Where blobs are kept. Thread-safe; different names never wait for each other. Names are store
/// keys: 4 or more characters of [0-9A-Za-z]; anything else is a programmer error. Errors of all
/// calls: io, no_space.
class Backend {
 public:
  virtual ~Backend() = default;

  virtual Result<std::unique_ptr<Upload>> begin_upload() = 0;
  /// A file without a name, to write to and read back, which goes with its last holder.
  virtual Result<std::shared_ptr<File>> make_scratch() = 0;
  /// A backend for names of their own (DESIGN section 3) on the same storage, with which it shares
  /// uploads, room, quarantine and lock: what concerns all of them may be asked of any, and the
  /// lock is held until the last has gone. One for each space. `space` has 3 to 32 characters of
  /// [0-9a-z_-], begins with a letter, and is neither tmp nor quarantine; anything else is a
  /// programmer error.
  virtual Result<std::unique_ptr<Backend>> make_space(std::string_view space) = 0;
  /// The blob, open for reading; null when its name does not exist. What is open stays readable
  /// whatever happens to the name.
  virtual Result<std::unique_ptr<File>> open(std::string_view name) = 0;
  /// What open() would find now, without opening it; nothing when it would find nothing.
  virtual Result<std::optional<FileStat>> stat(std::string_view name) = 0;
  /// The sidecar text; nothing when there is none. Errors also: too_large above `limit` bytes.
  virtual Result<std::optional<std::string>> read_sidecar(std::string_view name,
                                                          ByteCount limit) = 0;
  /// Takes blob and sidecar out of sight into the quarantine with a note for the operator. The
  /// caller holds the exclusive lock of the name.
  virtual Result<void> quarantine(std::string_view name, std::string_view note) = 0;
  /// Removes blob and sidecar; false when there was neither. The blob goes first, so whatever stops
  /// this in between leaves a miss, and a power loss may bring back the pair or a part of it. The
  /// caller holds the exclusive lock of the name.
  virtual Result<bool> remove(std::string_view name) = 0;

  /// The shards that may hold names, in ascending order. A shard is the first four characters of
  /// all names in it, and there are 65,536 of them when all names are hexadecimal and of one case.
  virtual Result<std::vector<std::string>> list_shards() = 0;
  /// What lies in a shard; nothing, when there is no such shard any more. Names come and go
  /// meanwhile: only who holds the lock of a name can rely on what is said of it.
  virtual Result<ShardListing> list_shard(std::string_view shard) = 0;
  /// What the shard's directory is; its mtime moves with each name that comes or goes. Nothing when
  /// there is none.
  virtual Result<std::optional<FileStat>> stat_shard(std::string_view shard) = 0;
  virtual Result<DiskSpace> space() = 0;

  /// Tells whether uploads of a process may be in progress.
  using Uploads = std::function<bool(std::int64_t process)>;
  /// Removes what interrupted uploads left behind, but for those of processes that are `alive`;
  /// returns how many. At any time.
  virtual Result<std::size_t> sweep_uploads(const Uploads& alive) = 0;

  /// Does on a small scale what an upload does until it is published, and leaves nothing: an error
  /// says that uploads would fail, too. Blocks on the disk.
  virtual Result<void> probe() = 0;

  /// The descriptor that keeps other servers away, for a successor to inherit; -1 when there is
  /// none. Stays owned by the backend.
  [[nodiscard]] virtual int lock_descriptor() const = 0;
};

} // namespace pkc::blob
