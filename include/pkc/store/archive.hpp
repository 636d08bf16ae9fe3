// Archive: what was downloaded from where, kept by the URL it came from.
#pragma once

#include "pkc/base/bytes.hpp"
#include "pkc/base/checksum.hpp"
#include "pkc/base/clock.hpp"
#include "pkc/base/digest.hpp"
#include "pkc/base/result.hpp"
#include "pkc/index/index.hpp"
#include "pkc/ops/log.hpp"
#include "pkc/store/content_addressed_store.hpp"
#include "pkc/store/key.hpp"
#include "pkc/store/record_store.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

namespace pkc::store {

/// What is known of one URL. On disk it is one line of JSON, version 1:
///
///   {"version":1,"source_url":U,"content_hash":H,"file_size":N,"content_type":T,
///    "content_encoding":E,"etag":V,"last_modified":M,"first_cached_at":A,"fetched_at":F,
///    "checked_at":K,"changed_at":X,"checksums":{"md5":…},"previous":[H,…]}
///
/// H is the SHA-256 of the content in lower-case hex and its key in the content-addressed space, N
/// its size. T, E, V and M are header fields of the origin as it sent them, and absent like every
/// other member that is not known. Times are Unix seconds. Unknown members are ignored.
struct ArchivedSource {
  std::string source_url;
  Sha256 content;
  ByteCount size = 0;
  std::string content_type;
  std::string content_encoding;
  std::string etag;
  std::string last_modified;
  WallTime first_cached_at; ///< anything of this URL
  WallTime fetched_at;      ///< this content
  WallTime checked_at;      ///< when the origin last said that it has this content still
  /// Since when the origin has other content; the archived stays.
  std::optional<WallTime> changed_at;
  std::vector<Checksum> checksums;   ///< of this content, as far as somebody asked
  std::vector<std::string> previous; ///< content hashes of earlier downloads, the newest first
};

/// The space of the records of an archive.
inline constexpr std::string_view kArchiveSpace = "fetch";

/// Earlier contents that are remembered of one URL.
inline constexpr std::size_t kPreviousContentsMax = 16;

/// The text; nothing when it is longer than a record may be.
std::optional<std::string> format_source(const ArchivedSource& source);
/// Errors: corrupt for anything that is not a whole record.
Result<ArchivedSource> parse_source(std::string_view text);

/// What an archive works with; all of it outlives it.
struct ArchiveParts {
  RecordStore& records; ///< of kArchiveSpace, which nobody else writes to
  ContentAddressedStore& contents;
  const Clock& clock;
  ops::Log& log;
  /// Null: nobody can ask which URLs there are, and content stays when its records go.
  index::Index* index = nullptr;
  std::string_view content_space = "cas"; ///< that of `contents`, as in the index
};

/// The archive. Thread-safe. A URL is named in one way, that of Url::text().
///
/// A record whose content is gone, or damaged, is a miss; so is a damaged record.
class Archive {
 public:
  explicit Archive(ArchiveParts parts) : parts_(parts) {}

  /// The key of a URL's record: the SHA-256 of its text.
  [[nodiscard]] static Key key_of(std::string_view url) { return Key::of(sha256(as_bytes(url))); }

  struct Found {
    ArchivedSource source;
    std::unique_ptr<ContentObject> content;
  };
  /// Errors: io.
  Result<std::optional<Found>> find(std::string_view url);

  /// Counts the changes that this process makes to records: what find() said may be void after the
  /// next one. Somebody else's changes do not show.
  [[nodiscard]] std::uint64_t changes() const { return changes_.load(std::memory_order_acquire); }
  /// Counts as a find(), for somebody who remembers what it said.
  void note_use(const Key& record) { parts_.records.note_use(record); }

  /// Keeps content that is in the store already as that of its URL, now. What was known of the URL
  /// before goes on in first_cached_at and previous. Errors: io, no_space; unavailable when the
  /// content is gone by now, then it has to be downloaded again.
  Result<void> publish(ArchivedSource source);

  /// Changes what is known of a URL, unless it has other content than `content` by now. Errors: io,
  /// no_space.
  Result<void> amend(std::string_view url,
                     const Sha256& content,
                     const std::function<void(ArchivedSource&)>& change);

  /// Of a record's key, for somebody who does not use the file. Nothing when there is none. Errors:
  /// io.
  Result<std::optional<ArchivedSource>> get(const Key& key);

  /// Removes the record of a URL, then its contents, earlier ones included, but not one that
  /// another URL has now or that is pinned. Content stays as well while nobody can tell whether
  /// another URL has it: the index is not complete, or another process uses the directory. Who
  /// reads the file goes on reading. False when there was no record. Errors: io, with which the
  /// content stays.
  Result<bool> remove(const Key& key);

  /// Tells the index what the records say of which it does not know that. False when it was
  /// stopped. Errors: io; those of the index.
  Result<bool> describe(const std::stop_token& stop = {});

 private:
  Result<std::optional<ArchivedSource>> read(const Key& key,
                                             const std::optional<std::string>& text);
  Result<void> put(const Key& key, const ArchivedSource& source);
  void note(const Key& key, const ArchivedSource& source) const;
  Result<bool> is_unused(const std::string& content_hash) const;
  Result<void> remove_unused(const std::string& content_hash);

  ArchiveParts parts_;
  /// A record is read, changed and written by one at a time. Held over I/O, which is its purpose:
  /// what it protects is on the disk.
  std::mutex records_mutex_;
  std::atomic<std::uint64_t> changes_{0};
};

} // namespace pkc::store
