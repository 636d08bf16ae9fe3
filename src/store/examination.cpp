#include "examination.hpp"

#include "verification.hpp"

#include "pkc/base/stream.hpp"
#include "pkc/blob/backend.hpp"
#include "pkc/store/archive.hpp"
#include "pkc/store/record_store.hpp"
#include "pkc/store/sidecar.hpp"

#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace pkc::store {

namespace {

Examined faulty(Fault fault, std::string detail = {}) {
  Examined seen;
  seen.state = Examined::State::faulty;
  seen.fault = fault;
  seen.detail = std::move(detail);
  return seen;
}

Examined stopped() {
  Examined seen;
  seen.state = Examined::State::stopped;
  return seen;
}

Examined healthy(ByteCount size) {
  Examined seen;
  seen.state = Examined::State::healthy;
  seen.size = size;
  return seen;
}

Examined unreadable(const Error& error) {
  return faulty(Fault::unreadable, error.message);
}

/// Of a key whose blob is no file.
Examined examine_without_blob(blob::Backend& backend,
                              const Key& key,
                              const Result<std::optional<std::string>>& sidecar) {
  const auto found = backend.stat(key.id());
  if (!found) {
    return unreadable(found.error());
  }
  if (*found) {
    return faulty(Fault::wrong_type, "the blob is no regular file");
  }
  const bool has_sidecar = !sidecar || *sidecar;
  return has_sidecar ? faulty(Fault::orphan_sidecar) : Examined{};
}

/// A record, which is small.
class RecordText final : public ByteSink {
 public:
  Result<void> write(ByteSpan bytes) override {
    text_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    return text_.size() <= kRecordSizeMax ? Result<void>() : fail(Errc::corrupt, "is too long");
  }
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  std::string text_;
};

Examined examine_record(const std::string& text, const Key& key, ByteCount size) {
  const auto source = parse_source(text);
  if (!source) {
    return faulty(Fault::wrong_content, source.error().message);
  }
  if (Archive::key_of(source->source_url) != key) {
    return faulty(Fault::wrong_content, "it is the record of another URL");
  }
  Examined seen = healthy(size);
  seen.refers_to = source->content;
  return seen;
}

/// What the bytes decode to. They are what was written once.
Examined examine_content(const FsckSpace& space,
                         const Key& key,
                         const StoredObject& object,
                         ZstdContextPool& decoders,
                         const Pace& pace) {
  RecordText record;
  const bool is_record = space.contents != nullptr;
  const auto match = content_matches_once(object, decoders, is_record ? &record : nullptr, pace);
  if (!match) {
    return unreadable(match.error());
  }
  const std::optional<bool> verdict = *match;
  if (!verdict) {
    return stopped();
  }
  if (!*verdict) {
    const SidecarContent content = object.sidecar->content.value_or(SidecarContent{});
    return faulty(Fault::wrong_content,
                  "should decode to " + std::to_string(content.size) + " bytes of SHA-256 " +
                      content.hash.hex());
  }
  return is_record ? examine_record(record.text(), key, object.identity.size)
                   : healthy(object.identity.size);
}

struct Pair {
  Examined seen;
  StoredObject object; ///< when it is healthy
};

Pair look_at(const FsckSpace& space, const Key& key) {
  auto file = space.backend.open(key.id());
  if (!file) {
    return {unreadable(file.error()), {}};
  }
  const auto text = space.backend.read_sidecar(key.id(), kSidecarSizeMax);
  if (!text && text.error().code != Errc::corrupt && text.error().code != Errc::too_large) {
    return {unreadable(text.error()), {}};
  }
  if (!*file) {
    return {examine_without_blob(space.backend, key, text), {}};
  }
  if (!text) {
    const bool oversize = text.error().code == Errc::too_large;
    return {faulty(oversize ? Fault::oversize_sidecar : Fault::torn_sidecar, text.error().message),
            {}};
  }
  const std::optional<std::string>& stored = *text;
  if (!stored) {
    return {faulty(Fault::orphan_blob), {}};
  }
  auto sidecar = parse_sidecar(*stored);
  if (!sidecar) {
    return {faulty(Fault::torn_sidecar, sidecar.error().message), {}};
  }
  if (!describes(*sidecar, key, space.blobs)) {
    return {faulty(Fault::foreign_sidecar,
                   sidecar->key != key.id() ? "it is of key " + sidecar->key
                   : sidecar->content       ? "its content has another key"
                                            : "it tells no content"),
            {}};
  }
  const FileStat identity = (*file)->opened_stat();
  if (sidecar->size != identity.size) {
    return {faulty(Fault::wrong_size,
                   "has " + std::to_string(identity.size) + " bytes, should have " +
                       std::to_string(sidecar->size)),
            {}};
  }
  return {healthy(identity.size),
          {.sidecar = std::make_shared<const Sidecar>(*std::move(sidecar)),
           .file = *std::move(file),
           .verified = false,
           .identity = identity}};
}

} // namespace

Examined examine_pair(const FsckSpace& space, const Key& key) {
  return look_at(space, key).seen;
}

Examined examine_bytes(const FsckSpace& space,
                       const Key& key,
                       ZstdContextPool& decoders,
                       const Pace& pace) {
  const Pair pair = look_at(space, key);
  if (pair.seen.state != Examined::State::healthy) {
    return pair.seen;
  }
  const auto match = bytes_match_once(pair.object, pace);
  if (!match) {
    return unreadable(match.error());
  }
  const std::optional<bool> verdict = *match;
  if (!verdict) {
    return stopped();
  }
  if (!*verdict) {
    return faulty(Fault::wrong_content, "should be SHA-256 " + pair.object.sidecar->hash.hex());
  }
  return space.blobs == Blobs::as_sent ? pair.seen
                                       : examine_content(space, key, pair.object, decoders, pace);
}

} // namespace pkc::store
