#include "verification.hpp"

#include <algorithm>
#include <memory>
#include <utility>

namespace pkc::store {

VerifyingSource::VerifyingSource(StoredObject object, Verdict verdict)
    : object_(std::move(object)), verdict_(std::move(verdict)) {}

Result<std::size_t> VerifyingSource::read(MutableByteSpan buffer) {
  const ByteCount remaining = object_.sidecar->size - offset_;
  if (remaining == 0) {
    return 0;
  }
  const auto wanted = static_cast<std::size_t>(std::min<ByteCount>(buffer.size(), remaining));
  auto count = object_.file->read_at(offset_, buffer.first(wanted));
  if (!count) {
    if (count.error().code == Errc::corrupt) {
      verdict_(false);
    }
    return count;
  }
  hasher_.update(buffer.first(*count));
  offset_ += *count;
  const bool at_end = offset_ == object_.sidecar->size;
  if (*count < wanted || (at_end && hasher_.finish() != object_.sidecar->hash)) {
    verdict_(false);
    return fail(Errc::corrupt, "stored bytes do not match their digest");
  }
  if (at_end) {
    verdict_(true);
  }
  return count;
}

namespace {

Result<std::optional<bool>> read_to_verdict(const StoredObject& object, const Pace& pace) {
  bool good = object.sidecar->size == 0 && object.sidecar->hash == sha256({});
  VerifyingSource source(object, [&good](bool verdict) { good = verdict; });
  const auto buffer = std::make_unique_for_overwrite<std::byte[]>(kStreamBufferSize);
  while (true) {
    auto count = source.read({buffer.get(), kStreamBufferSize});
    if (!count && count.error().code != Errc::corrupt) {
      return std::unexpected(std::move(count).error());
    }
    if (!count || *count == 0) {
      return good;
    }
    if (!pace(*count)) {
      return std::nullopt;
    }
  }
}

} // namespace

Result<bool> bytes_match(const StoredObject& object) {
  TRY_ASSIGN(const auto good, read_to_verdict(object, [](std::size_t) { return true; }));
  return *good;
}

Result<std::optional<bool>> bytes_match_once(const StoredObject& object, const Pace& pace) {
  const bool was_cached = object.file->is_cached();
  auto verdict = read_to_verdict(object, pace);
  if (!was_cached) {
    object.file->drop_cached();
  }
  return verdict;
}

} // namespace pkc::store
