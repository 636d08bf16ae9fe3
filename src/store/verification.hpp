// Hashing stored bytes against the digest their sidecar records.
#pragma once

#include "pkc/base/digest.hpp"
#include "pkc/base/result.hpp"
#include "pkc/base/stream.hpp"
#include "pkc/store/content_store.hpp"

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
