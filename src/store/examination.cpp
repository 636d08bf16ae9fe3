#include "examination.hpp"

#include "pkc/store/sidecar.hpp"

#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace pkc::store {

namespace {

Examined faulty(Fault fault, std::string detail = {}) {
  return {.state = Examined::State::faulty, .fault = fault, .detail = std::move(detail), .size = 0};
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

Examined examine_bytes(const StoredObject& object, const Pace& pace) {
  const auto match = bytes_match_once(object, pace);
  if (!match) {
    return unreadable(match.error());
  }
  const std::optional<bool> verdict = *match;
  if (!verdict) {
    return {.state = Examined::State::stopped, .fault = {}, .detail = {}, .size = 0};
  }
  if (!*verdict) {
    return faulty(Fault::wrong_content, "should be SHA-256 " + object.sidecar->hash.hex());
  }
  return {
      .state = Examined::State::healthy, .fault = {}, .detail = {}, .size = object.identity.size};
}

} // namespace

Examined examine(blob::Backend& backend, const Key& key, VerifyContent verify, const Pace& pace) {
  auto file = backend.open(key.id());
  if (!file) {
    return unreadable(file.error());
  }
  const auto text = backend.read_sidecar(key.id(), kSidecarSizeMax);
  if (!text && text.error().code != Errc::corrupt && text.error().code != Errc::too_large) {
    return unreadable(text.error());
  }
  if (!*file) {
    return examine_without_blob(backend, key, text);
  }
  if (!text) {
    const bool oversize = text.error().code == Errc::too_large;
    return faulty(oversize ? Fault::oversize_sidecar : Fault::torn_sidecar, text.error().message);
  }
  const std::optional<std::string>& stored = *text;
  if (!stored) {
    return faulty(Fault::orphan_blob);
  }
  auto sidecar = parse_sidecar(*stored);
  if (!sidecar) {
    return faulty(Fault::torn_sidecar, sidecar.error().message);
  }
  if (sidecar->key != key.id()) {
    return faulty(Fault::foreign_sidecar, "it is of key " + sidecar->key);
  }
  const FileStat identity = (*file)->opened_stat();
  if (sidecar->size != identity.size) {
    return faulty(Fault::wrong_size,
                  "has " + std::to_string(identity.size) + " bytes, should have " +
                      std::to_string(sidecar->size));
  }
  if (verify == VerifyContent::no) {
    return {.state = Examined::State::healthy, .fault = {}, .detail = {}, .size = identity.size};
  }
  return examine_bytes(StoredObject{.sidecar = std::make_shared<const Sidecar>(*std::move(sidecar)),
                                    .file = *std::move(file),
                                    .verified = false,
                                    .identity = identity},
                       pace);
}

} // namespace pkc::store
