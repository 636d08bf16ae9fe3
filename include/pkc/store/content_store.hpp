// ContentStore: what every protocol talks to. Keys, verification, first-writer-wins.
#pragma once

#include "pkc/base/bytes.hpp"
#include "pkc/base/clock.hpp"
#include "pkc/base/digest.hpp"
#include "pkc/base/result.hpp"
#include "pkc/base/stream.hpp"
#include "pkc/blob/backend.hpp"
#include "pkc/locks/key_locks.hpp"
#include "pkc/ops/log.hpp"
#include "pkc/ops/metrics.hpp"
#include "pkc/store/catalog.hpp"
#include "pkc/store/key.hpp"
#include "pkc/store/sidecar.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace pkc::store {

/// When stored bytes are hashed again on their way out. `first`: the first time each object is read
/// after start, and whenever its file has changed since.
enum class VerifyReads {
  first,
  always,
  never
};

/// Whether an object may take the place of another one.
enum class Overwrite : std::uint8_t {
  no,
  yes
};

/// What the blobs of a store are.
enum class Blobs : std::uint8_t {
  as_sent,  ///< by clients
  encoded,  ///< by the user of the store, whose sidecars tell the content; others are not visible
  addressed ///< the same, and the key is the digest of the content
};

struct StoreOptions {
  VerifyReads verify_reads = VerifyReads::first;
  /// Objects up to this size are verified before they are answered for, so that a bad one is a
  /// plain miss; larger ones while they stream.
  ByteCount verify_ahead_max = 4 * kMiB;
  Overwrite overwrite = Overwrite::no;
  Blobs blobs = Blobs::as_sent;
  /// How many objects' facts are remembered; about 200 bytes each.
  std::size_t entry_cache_max = 100'000;
  /// How many small verified files are kept open between reads. Of those up to 4 KiB the bytes are
  /// kept instead, of four times as many.
  std::size_t open_files_max = 512;
  /// Shared with everybody else who uses the backend; outlives the store. Null: nobody does.
  locks::KeyLocks* key_locks = nullptr;
  /// Told of everything that comes, goes and is read; outlives the store. Null: nobody asks.
  Catalog* catalog = nullptr;
};

/// An object opened for reading. Its bytes stay readable whatever happens to the key meanwhile.
struct StoredObject {
  std::shared_ptr<const Sidecar> sidecar;
  std::shared_ptr<File> file; ///< other readers may hold it too: read_at() and descriptor() only
  /// The bytes are known to match the digest: any part of `file` may be sent as it is. Otherwise
  /// only verified_body() may leave the server.
  bool verified = false;
  FileStat identity; ///< of `file` when it was opened
};

/// What commit() did.
enum class CommitOutcome {
  stored,
  exists
};

/// Facts that the protocol gives with an object.
struct ObjectFacts {
  std::uint64_t created_at = 0; ///< the client's own time, Unix seconds
  /// What the stored bytes decode to, where the store's user encodes them.
  // NOLINTNEXTLINE(readability-redundant-member-init): g++ warns where it is left out otherwise
  std::optional<SidecarContent> content{};
};

/// One object being written. Destroyed without commit() it leaves nothing. One thread at a time.
class ObjectWriter : public ByteSink {
 public:
  [[nodiscard]] virtual ByteCount size() const = 0;
  /// Gives what was written so far to `target`, as the disk has it. Before commit() only. Errors:
  /// io, corrupt, and whatever `target` returns.
  virtual Result<void> replay(ByteSink& target) = 0;
  /// What was written so far, for others to read meanwhile: read_at() and descriptor() only. It
  /// stays readable whatever becomes of the object, and the room is taken for as long. Before
  /// commit() only.
  [[nodiscard]] virtual std::shared_ptr<File> file() const = 0;
  /// Publishes. `exists`: somebody else's object is visible under the key and stays; ours is
  /// discarded; not in a store with Overwrite::yes. Errors: io, no_space; then nothing of ours is
  /// visible. REQUIRES: begun with a key.
  virtual Result<CommitOutcome> commit(const ObjectFacts& facts) = 0;
  /// The same under this key.
  virtual Result<CommitOutcome> commit_as(const Key& key, const ObjectFacts& facts) = 0;
};

/// Told how much was read; may block, and stops the reading by false.
using Pace = std::function<bool(std::size_t size)>;

/// What scrub() found.
enum class Scrubbed : std::uint8_t {
  missing, ///< the key is not visible
  good,
  bad,     ///< it was; it is quarantined
  stopped, ///< by the pace
};

/// The store of one space. Thread-safe.
///
/// An object is *visible* when its blob exists, its sidecar parses, names the key and agrees on the
/// size, and (up to verify_ahead_max) the bytes match the digest. Anything else is a miss, and the
/// next writer replaces it. An object whose bytes are wrong goes to the quarantine and is counted
/// (`polykit_cache_corrupt_objects_total`).
///
/// After a crash every key holds its old object, the new one, or is a miss; commit() returned means
/// the new one. Readers see one of both while an object is replaced, never a mixed pair.
class ContentStore {
 public:
  virtual ~ContentStore() = default;

  /// Null when the key is not visible. Never fails for a damaged object (that is a miss). Errors:
  /// io, when the disk itself cannot be read.
  virtual Result<std::unique_ptr<StoredObject>> open(const Key& key) = 0;
  /// As open(), by somebody who looks at everything: it does not count as a use of the object.
  virtual Result<std::unique_ptr<StoredObject>> peek(const Key& key) = 0;

  /// Counts as an open(), for somebody who remembers what it gave. Never fails, does no I/O.
  virtual void note_use(const Key& key) = 0;

  /// The whole of an object that is not yet verified, hashed while it is read; the last piece (up
  /// to 64 KiB) is given only after the digest was right. A wrong one fails with corrupt, and the
  /// object is quarantined.
  virtual std::unique_ptr<ByteSource> verified_body(const Key& key, const StoredObject& object) = 0;

  /// Verifies an object now, by reading it (for range requests). False when it was bad; it is
  /// quarantined then.
  virtual Result<bool> verify(const Key& key, StoredObject& object) = 0;

  /// Reads an object from the disk and compares its digest, whatever is remembered of it, and
  /// remembers nothing: neither the store nor the kernel's cache gives up anything for it. Errors:
  /// io.
  virtual Result<Scrubbed> scrub(const Key& key, const Pace& pace) = 0;

  /// Begins an object. Errors: io, no_space; its writes may wait for room.
  virtual Result<std::unique_ptr<ObjectWriter>> put(const Key& key) = 0;
  /// Begins an object whose key is known only at its end, for commit_as().
  virtual Result<std::unique_ptr<ObjectWriter>> put_unnamed() = 0;

  /// Removes what lies under the key, visible or not; false when there was nothing. Who reads it
  /// goes on reading. A crash may leave it, or a part of it, which is a miss. Errors: io.
  virtual Result<bool> remove(const Key& key) = 0;
};

/// All references outlive the store.
std::unique_ptr<ContentStore> make_content_store(blob::Backend& backend,
                                                 const Clock& clock,
                                                 ops::Log& log,
                                                 ops::Metrics& metrics,
                                                 StoreOptions options);

} // namespace pkc::store
