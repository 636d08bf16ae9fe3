// Fsck: compares everything in a storage directory with what should be there, and heals it.
#pragma once

#include "pkc/base/bytes.hpp"
#include "pkc/base/clock.hpp"
#include "pkc/base/result.hpp"
#include "pkc/blob/backend.hpp"
#include "pkc/blob/upkeep.hpp"
#include "pkc/index/index.hpp"
#include "pkc/locks/key_locks.hpp"
#include "pkc/store/content_store.hpp"

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

namespace pkc::store {

/// What can be found. Those from `empty_shard` on are no damage.
enum class Fault : std::uint8_t {
  orphan_blob,      ///< no sidecar tells what it should hold
  orphan_sidecar,   ///< its blob is gone
  torn_sidecar,     ///< is no whole sidecar, or the medium cannot give it back
  oversize_sidecar, ///< larger than any of ours
  foreign_sidecar,  ///< names another key, or content that is not that of its space
  wrong_size,       ///< the blob is not as long as its sidecar says
  /// The blob's bytes do not match the digest, or cannot be read; or they decode to something else
  /// than the sidecar says, or to no record of a download of that URL.
  wrong_content,
  wrong_type,     ///< a directory, link, pipe … has the name of a blob or sidecar
  unreadable,     ///< cannot be looked at, so nothing is known of it
  misplaced,      ///< has the name of an object of another directory, where nobody finds it
  stale_upload,   ///< of a process that has ended
  broken_index,   ///< the database of the index is damaged, or its totals are wrong
  not_in_index,   ///< the index does not know the object
  only_in_index,  ///< the index knows an object that is gone
  wrong_in_index, ///< the index knows the object in another size
  empty_shard,
  /// A record of a download whose content is gone. That is a miss, and the next download heals it;
  /// until then the record keeps what was known, so it stays.
  content_gone,
  stranger, ///< nobody of ours put it there
};
inline constexpr std::size_t kFaults = static_cast<std::size_t>(Fault::stranger) + 1;

/// The enumerator's name with blanks: "orphan blob".
std::string_view to_string(Fault fault);
bool is_damage(Fault fault);

/// What heals a fault.
enum class Remedy : std::uint8_t {
  none,       ///< only the operator can tell
  remove,     ///< no reader sees it, or it is nobody's
  quarantine, ///< as a read that notices it would do
  index,      ///< tell the index
};
Remedy remedy_of(Fault fault);

enum class Outcome : std::uint8_t {
  left, ///< because it was not to be repaired, or has no remedy
  repaired,
  failed, ///< to be repaired; `reason` says why
};

struct Finding {
  Fault fault{};
  std::string space;   ///< of the subject; empty: it is of none
  std::string subject; ///< a key, the path of a file, or the four characters of a shard
  std::string detail;  ///< for people; may be empty
  Outcome outcome = Outcome::left;
  std::string reason;
};

struct FsckProgress {
  std::size_t shards_done = 0;
  std::size_t shards = 0;
  std::uint64_t objects = 0;
  ByteCount size = 0; ///< of their blobs
  std::uint64_t damages = 0;
};

/// What was found in one space.
struct FsckSpaceSummary {
  std::string space;
  std::uint64_t objects = 0; ///< healthy ones
  ByteCount size = 0;        ///< of their blobs
  std::uint64_t damages = 0;
};

struct FsckSummary {
  FsckProgress seen;                    ///< `objects` are the healthy ones; of all spaces
  std::vector<FsckSpaceSummary> spaces; ///< as they were given
  std::array<std::uint64_t, kFaults> found{};
  std::array<std::uint64_t, kFaults> repaired{};
  std::uint64_t quarantined = 0; ///< lie in quarantine now
  ByteCount quarantined_size = 0;
  std::uint64_t uploads = 0; ///< in progress, or perhaps so
  bool interrupted = false;  ///< there is more that was not looked at
  /// Why the index was not compared with the files, or not to the end; empty: it was.
  std::string index_skipped;
  bool index_failed = false; ///< it should have been

  /// Damage that is still there.
  [[nodiscard]] std::uint64_t left() const;
};

/// Hears what happens, from one thread at a time.
class FsckObserver {
 public:
  virtual ~FsckObserver() = default;
  virtual void found(const Finding& finding) = 0;
  /// After each shard.
  virtual void progress(const FsckProgress& progress) = 0;
};

/// The objects of one protocol, or of several that share them.
struct FsckSpace {
  std::string_view name;      ///< in the index, and for people
  std::string_view directory; ///< in that of the storage; empty: it is that
  blob::Backend& backend;
  Blobs blobs = Blobs::as_sent;
  /// Where the contents of its objects lie, which are ArchivedSources; null: they are none.
  const FsckSpace* contents = nullptr;
};

/// What is checked; all of it outlives the call.
struct FsckTarget {
  std::span<const FsckSpace> spaces;
  blob::Upkeep& upkeep;
  /// With the file that the directory's server locks keys with.
  locks::KeyLocks& key_locks;
  const Clock& clock;
  index::Index* index = nullptr; ///< null: there is none to compare
  // NOLINTNEXTLINE(readability-redundant-member-init): g++ warns where it is left out otherwise
  std::string_view index_name{}; ///< for people
};

enum class Repair : std::uint8_t {
  no,
  yes,
};

enum class VerifyContent : std::uint8_t {
  no,
  yes,
};

struct FsckOptions {
  Repair repair = Repair::no;
  /// Reads every blob: its bytes against the digest, what it decodes to against what the sidecar
  /// says of the content, and of a record of a download whether its content is there.
  VerifyContent verify_content = VerifyContent::no;
  std::size_t jobs = 1;
  /// Whether there is a process of that number: next to a server, its uploads are left alone.
  std::function<bool(std::int64_t)> process_lives = [](std::int64_t) { return true; };
};

/// Next to a server, an upload is stale only when its file has not changed for so long, whatever
/// process it is of: that may be one of a container, whose number says nothing here. No upload
/// stands still longer (body-timeout).
inline constexpr std::chrono::hours kUploadAgeMin{24};

/// Checks a directory, whether a server uses it or not: the objects of all spaces, one after the
/// other, and what lies around them. Directories of spaces that are not given are nobody's business
/// here. What looks damaged is looked at again under
/// the lock of its key, as an upload may stand between its two renames; what is repaired, under the
/// exclusive one, so that no healthy object is touched whoever else is at work. Removed is only
/// what readers do not see anyway: their next upload would replace it.
///
/// The tidying that needs the lock of the directory (empty shards; uploads of any age) is done when
/// no server holds it, and keeps one from starting for that moment.
///
/// The index is compared with the files that are healthy then, and is told of those that are
/// removed. Where they differ, the files are right: an object that the index does not know is added
/// to it, a row without an object goes, and pins, access times and hits of all others stay. Beside
/// a server, which writes its index seconds later than its files, what differs is looked at again
/// when that server has written; and after a repair the server is told to compare once more, so
/// that what it knows of the room that is taken is right as well. What an index knows that it does
/// not know, after a crash, is no fault of it: the server compares that itself.
///
/// Memory is for one shard per job, and for 100,000 differences between index and files. Errors:
/// io, when the directory cannot be listed; damage is no error. After a crash, or when stopped,
/// everything is as a reader saw it before; the next run goes on.
Result<FsckSummary> check_store(const FsckTarget& target,
                                const FsckOptions& options,
                                FsckObserver& observer,
                                const std::stop_token& stop);

} // namespace pkc::store
