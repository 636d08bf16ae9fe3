// ArtifactCheck: when an upload is checked, so that any number of them fits into bounded memory.
#pragma once

#include "artifact_verifier.hpp"

#include "pkc/base/bytes.hpp"
#include "pkc/base/result.hpp"
#include "pkc/base/stream.hpp"
#include "pkc/base/zstd.hpp"
#include "pkc/store/content_store.hpp"

#include <cstddef>
#include <optional>
#include <semaphore>
#include <string>
#include <string_view>

namespace pkc::protocols::polykit {

/// What all checks share. Thread-safe. Outlives its checks.
class CheckRoom {
 public:
  /// `windows_max`: what the zstd windows of uploads that are checked while they come in may take
  /// together. `late_max`: how many uploads are checked afterwards at once.
  CheckRoom(ByteCount windows_max, std::size_t late_max);

 private:
  friend class ArtifactCheck;
  ZstdContextPool arriving_;
  ZstdContextPool late_;
  std::counting_semaphore<> late_places_;
};

/// Checks one upload: while it comes in, if its windows fit into the room beside those of others;
/// otherwise from what was stored, after its last byte. The second costs reading it again, but a
/// place is then held only as long as a processor needs it, never for a slow client. So no upload
/// is turned away for want of memory. One thread at a time.
class ArtifactCheck {
 public:
  ArtifactCheck(CheckRoom& room, std::string_view key, ArtifactLimits limits);

  /// The next bytes of the body. Errors: those of ArtifactVerifier, but unavailable.
  Result<void> write(ByteSpan bytes);
  /// Call once, when all bytes have been written here and to `stored`. May wait for other checks,
  /// and for no client. Errors: those of ArtifactVerifier and of ObjectWriter::replay();
  /// unavailable when the machine has no memory.
  Result<ArtifactFacts> finish(store::ObjectWriter& stored);

 private:
  CheckRoom& room_;
  std::string key_;
  ArtifactLimits limits_;
  std::optional<ArtifactVerifier> arriving_; ///< nothing once it is to be checked afterwards
};

} // namespace pkc::protocols::polykit
