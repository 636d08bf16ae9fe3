// ContentAddressedStore: what is stored once under the digest of its content, whoever brings it.
#pragma once

#include "pkc/base/bytes.hpp"
#include "pkc/base/clock.hpp"
#include "pkc/base/digest.hpp"
#include "pkc/base/result.hpp"
#include "pkc/base/seekable_zstd.hpp"
#include "pkc/base/stream.hpp"
#include "pkc/base/zstd.hpp"
#include "pkc/blob/backend.hpp"
#include "pkc/store/catalog.hpp"
#include "pkc/store/content_store.hpp"
#include "pkc/store/growing_content.hpp"
#include "pkc/store/key.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace pkc::store {

/// Facts that come with content. Whoever stores it first decides on them.
struct ContentFacts {
  /// As for a Content-Type header: at most 255 characters, none of them a control character. Empty:
  /// unknown.
  std::string content_type;
  std::uint64_t created_at = 0; ///< Unix seconds, of whoever brings it
};

/// What a commit did.
struct ContentCommit {
  Sha256 digest; ///< of the content; its key
  CommitOutcome outcome{};
};

/// Content being written. Destroyed without commit() it leaves nothing. One thread at a time, but
/// for what growing() gives.
///
/// Takes 200 KiB of memory, and about 4 MiB more while content comes that can be compressed. Of
/// more than 4 MiB the digests are taken by two threads of its own (BackgroundSha256), for another
/// MiB.
class ContentWriter : public ByteSink {
 public:
  /// Of the content. Errors: io, no_space; it may wait for room, also that of the spool. too_large
  /// beyond 1 TiB. unavailable when there is no memory.
  Result<void> write(ByteSpan bytes) override = 0;
  /// Lets readers of growing() have all that was written: without it up to 128 KiB are held back.
  /// For content that comes slowly; when no more has come for a moment, not after each write.
  /// Errors as write().
  virtual Result<void> flush() = 0;
  /// Of the content written so far.
  [[nodiscard]] virtual ByteCount size() const = 0;

  /// The content for those who read it meanwhile. What will be compressed is spooled for them as it
  /// is, beside the upload, which takes room of its own. Without a call nothing is spooled.
  /// REQUIRES: nothing was written before the first call.
  virtual std::shared_ptr<GrowingContent> growing() = 0;

  /// Ends the content and tells its digest, for whoever has to compare it before the commit. After
  /// this only commit() may follow, and all of the content is in growing(). Errors as write().
  virtual Result<Sha256> finish() = 0;
  /// Publishes under the SHA-256 of the content; calls finish() unless somebody has. `exists`: that
  /// content is there already, and ours is discarded. Errors: as write(); invalid_argument for
  /// facts that cannot be kept. Then nothing of ours is visible.
  virtual Result<ContentCommit> commit(const ContentFacts& facts) = 0;
};

/// Stored content, opened for reading. It stays readable whatever happens to the key. One thread at
/// a time. The store outlives it.
class ContentObject {
 public:
  ContentObject(Key key, StoredObject stored, ZstdContextPool& pool)
      : key_(std::move(key)), stored_(std::move(stored)), pool_(pool) {}

  [[nodiscard]] const Key& key() const { return key_; }
  [[nodiscard]] const Sha256& digest() const { return stored_.sidecar->known_content().hash; }
  /// Of the content.
  [[nodiscard]] ByteCount size() const { return stored_.sidecar->known_content().size; }
  /// Empty: unknown.
  [[nodiscard]] const std::string& content_type() const {
    return stored_.sidecar->known_content().type;
  }
  /// When it was committed.
  [[nodiscard]] std::optional<WallTime> stored_at() const { return stored_.sidecar->stored_at; }

  /// The whole zstd file, for a client that takes zstd: stored().sidecar has its size and hash.
  [[nodiscard]] const StoredObject& stored() const { return stored_; }
  /// The bytes are known to be right: any part may leave. Otherwise
  /// ContentAddressedStore::verify(), verified_content() or verified_stored() come first.
  [[nodiscard]] bool verified() const { return stored_.verified; }

  /// Where content from `offset` on lies in the stored file as it is, for sendfile; mostly the rest
  /// of a block of 128 KiB. Nothing when it is compressed there. A small file may have no
  /// descriptor. REQUIRES: verified(), offset < size(). Errors: corrupt, io.
  Result<std::optional<Piece>> raw_piece(ByteCount offset);

  /// Whether all of a part lies in the file as it is: then raw_piece() gives each of its bytes.
  /// REQUIRES: verified(), length > 0, offset + length <= size(). Errors: corrupt, io.
  Result<bool> is_raw(ByteCount offset, ByteCount length);
  /// Where all of the content lies in the file, if it lies there as it is and in no more than
  /// `runs_max` runs. REQUIRES: verified(). Errors: corrupt, io.
  Result<std::optional<std::vector<RawRun>>> raw_runs(std::size_t runs_max);

  /// A part of the content, decoding no more than the frames that it touches. Holds about 1.5 MiB
  /// until it has given its last byte. It may outlive the object. REQUIRES: verified(), and the
  /// part is within size(). Errors, also of its read(): corrupt, io, unavailable.
  Result<std::unique_ptr<ByteSource>> content(ByteCount offset, ByteCount length);

 private:
  friend class ContentAddressedStore;

  Result<void> open_file();

  Key key_;
  StoredObject stored_;
  ZstdContextPool& pool_;
  std::unique_ptr<const SeekableZstdFile> file_; ///< made when it is needed
};

/// What a content-addressed store works with; all of it outlives it.
struct ContentAddressedParts {
  /// Of the space, with Blobs::addressed; nobody else writes to it.
  ContentStore& objects;
  blob::Backend& backend; ///< that of `objects`
  ZstdContextPool& decoders;
  ZstdEncoderPool& encoders;
  Catalog* catalog = nullptr; ///< that of `objects`; null: nobody counts
};

/// The store of a content-addressed space: `cas`. Thread-safe.
///
/// On disk an object is that of a ContentStore whose key is the SHA-256 of the content in
/// lower-case hex: a blob in the seekable zstd format, and a sidecar with digest, size and type of
/// the content besides. Visibility, verification, quarantine and what holds after a crash are as
/// there.
class ContentAddressedStore {
 public:
  explicit ContentAddressedStore(ContentAddressedParts parts) : parts_(parts) {}

  /// The space as a store of blobs: for scrub, eviction and inventory.
  [[nodiscard]] ContentStore& objects() { return parts_.objects; }

  /// Null for a miss. Never fails for a damaged object. Errors: io.
  Result<std::unique_ptr<ContentObject>> open(const Sha256& digest) {
    return open(Key::of(digest));
  }
  /// The same by the key, which is the digest.
  Result<std::unique_ptr<ContentObject>> open(const Key& key);

  /// Verifies an object now, by reading all of it (for ranges). False when it was bad; it is
  /// quarantined then. Errors: io.
  Result<bool> verify(ContentObject& object);
  /// All of the content of an object that is not yet verified; the last piece (up to the size of
  /// the buffer) is given only after the digest was right. A wrong one fails with corrupt, and the
  /// object is quarantined.
  std::unique_ptr<ByteSource> verified_content(const ContentObject& object);
  /// The same of the stored bytes.
  std::unique_ptr<ByteSource> verified_stored(const ContentObject& object);

  /// Begins content whose digest nobody knows yet. When it is expected to be larger than all that
  /// the space may take, it fails at once; otherwise `expected_size`, which is somebody's word,
  /// does nothing. Errors: io, no_space.
  Result<std::unique_ptr<ContentWriter>> put(std::optional<ByteCount> expected_size = std::nullopt);

  /// As ContentStore::remove() and scrub().
  Result<bool> remove(const Sha256& digest);
  Result<Scrubbed> scrub(const Sha256& digest, const Pace& pace);

 private:
  ContentAddressedParts parts_;
};

} // namespace pkc::store
