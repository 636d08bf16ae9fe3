// Hashing stored bytes against the digest their sidecar records.
#pragma once

#include "pkc/base/digest.hpp"
#include "pkc/base/result.hpp"
#include "pkc/base/stream.hpp"
#include "pkc/base/zstd.hpp"
#include "pkc/store/content_store.hpp"
#include "pkc/store/key.hpp"
#include "pkc/store/sidecar.hpp"

#include <cstddef>
#include <functional>
#include <optional>

namespace pkc::store {

/// Reads the whole object; true when its bytes match. False also when the medium cannot give them
/// back. Errors: io.
Result<bool> bytes_match(const StoredObject& object);

/// As bytes_match(), but at somebody's pace, and leaving in memory only what was there before: for
/// those who look at everything, once. Nothing: stopped.
Result<std::optional<bool>> bytes_match_once(const StoredObject& object, const Pace& pace);

/// Whether a sidecar is one of `key` in a store of such blobs.
bool describes(const Sidecar& sidecar, const Key& key, Blobs blobs);

/// Decodes the whole object into `target`, which may be null, for somebody who looks at everything,
/// once; true when it gives what its sidecar tells of the content. Nothing: stopped. REQUIRES: the
/// sidecar tells the content. Errors: io; unavailable when there is no memory; those of `target`.
Result<std::optional<bool>> content_matches_once(const StoredObject& object,
                                                 ZstdContextPool& pool,
                                                 ByteSink* target,
                                                 const Pace& pace);

/// Reads a whole object from its start and gives the last piece only after the digest was right;
/// then, or as soon as it is known to be wrong, tells `verdict` once. Errors of read(): corrupt,
/// io.
class VerifyingSource final : public ByteSource {
 public:
  using Verdict = std::function<void(bool good)>;

  VerifyingSource(StoredObject object, Verdict verdict);
  Result<std::size_t> read(MutableByteSpan buffer) override;

 private:
  StoredObject object_;
  Verdict verdict_;
  Sha256Hasher hasher_;
  ByteCount offset_ = 0;
};

} // namespace pkc::store
