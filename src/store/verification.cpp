#include "verification.hpp"

#include "pkc/base/seekable_zstd.hpp"

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

bool describes(const Sidecar& sidecar, const Key& key, Blobs blobs) {
  const auto& content = sidecar.content;
  switch (blobs) {
    case Blobs::as_sent:
      return sidecar.key == key.id();
    case Blobs::encoded:
      return sidecar.key == key.id() && content;
    case Blobs::addressed:
      return sidecar.key == key.id() && content && Key::of(content->hash) == key;
  }
  std::unreachable();
}

namespace {

Result<std::optional<bool>> decode_to_verdict(const StoredObject& object,
                                              ZstdContextPool& pool,
                                              ByteSink* target,
                                              const Pace& pace) {
  const SidecarContent promised = object.sidecar->content.value_or(SidecarContent{});
  TRY_ASSIGN(const auto file, SeekableZstdFile::open(object.file, object.identity.size));
  if (file.content_size() != promised.size) {
    return false;
  }
  const auto source = file.content(0, promised.size, pool);
  const auto buffer = std::make_unique_for_overwrite<std::byte[]>(kStreamBufferSize);
  Sha256Hasher hasher;
  ByteCount size = 0;
  while (true) {
    TRY_ASSIGN(const std::size_t count, source->read({buffer.get(), kStreamBufferSize}));
    if (count == 0) {
      return size == promised.size && hasher.finish() == promised.hash;
    }
    hasher.update({buffer.get(), count});
    size += count;
    if (target != nullptr) {
      TRY(target->write({buffer.get(), count}));
    }
    if (!pace(count)) {
      return std::nullopt;
    }
  }
}

} // namespace

Result<std::optional<bool>> content_matches_once(const StoredObject& object,
                                                 ZstdContextPool& pool,
                                                 ByteSink* target,
                                                 const Pace& pace) {
  const bool was_cached = object.file->is_cached();
  auto verdict = decode_to_verdict(object, pool, target, pace);
  if (!was_cached) {
    object.file->drop_cached();
  }
  if (!verdict && verdict.error().code == Errc::corrupt) {
    return false;
  }
  return verdict;
}

} // namespace pkc::store
