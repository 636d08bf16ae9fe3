// RecordStore: small texts under keys, replaced as often as one likes.
#pragma once

#include "pkc/base/bytes.hpp"
#include "pkc/base/result.hpp"
#include "pkc/base/seekable_zstd.hpp"
#include "pkc/base/zstd.hpp"
#include "pkc/blob/backend.hpp"
#include "pkc/store/content_store.hpp"
#include "pkc/store/key.hpp"

#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

namespace pkc::store {

/// The longest text of a record.
inline constexpr ByteCount kRecordSizeMax = 64 * kKiB;

/// What a record store works with; all of it outlives it.
struct RecordStoreParts {
  ContentStore& objects;  ///< of the space, with Overwrite::yes and Blobs::encoded
  blob::Backend& backend; ///< that of `objects`
  ZstdContextPool& decoders;
  ZstdEncoderPool& encoders;
};

/// The records of one space. Thread-safe.
///
/// On disk a record is an object of a ContentStore: a blob whose content (`zstd -d`) is the text,
/// and a sidecar. put() returned means durable. A crash in the middle of put() leaves the old
/// record, the new one, or none.
class RecordStore {
 public:
  explicit RecordStore(RecordStoreParts parts) : parts_(parts) {}

  /// Nothing when there is none, or a damaged one (it is quarantined). Errors: io.
  Result<std::optional<std::string>> get(const Key& key);
  /// The same for somebody who does not use it: it does not count as read.
  Result<std::optional<std::string>> peek(const Key& key);
  /// Counts as a get(), for somebody who remembers what it gave.
  void note_use(const Key& key) { parts_.objects.note_use(key); }
  /// Stores, in place of what was there. REQUIRES: text is at most kRecordSizeMax. Errors: io,
  /// no_space; then the old record is there, or none.
  Result<void> put(const Key& key, std::string_view text);
  /// False when there was none. Errors: io.
  Result<bool> remove(const Key& key);

  using Each = std::function<void(const Key& key, std::string text)>;
  /// Reads all records, in the order of their keys, to build an index anew; they may come and go
  /// meanwhile. False when it was stopped. Errors: io.
  Result<bool> for_each(const Each& each, const std::stop_token& stop = {});

 private:
  Result<std::optional<std::string>> read(const Key& key, std::unique_ptr<StoredObject> object);

  RecordStoreParts parts_;
};

} // namespace pkc::store
