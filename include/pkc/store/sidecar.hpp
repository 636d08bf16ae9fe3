// Sidecar: the facts about one stored object, and their JSON.
#pragma once

#include "pkc/base/bytes.hpp"
#include "pkc/base/clock.hpp"
#include "pkc/base/digest.hpp"
#include "pkc/base/result.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace pkc::store {

/// A sidecar larger than this is not read (and never written).
constexpr ByteCount kSidecarSizeMax = 1 * kMiB;

/// The longest content type that is kept.
constexpr std::size_t kContentTypeMax = 255;

/// What the stored bytes decode to.
struct SidecarContent {
  Sha256 hash;
  ByteCount size = 0;
  std::string type; ///< empty: unknown
};

/// Whether a content type can be kept: short enough, printable ASCII.
bool is_content_type(std::string_view text);

/// What is known of one object. On disk it is one line of JSON, version 1:
///
///   {"hash":H,"size":N,"created_at":T,"cache_key_hash":K,"version":1,"stored_at":S,
///    "encoding":"zstd-seekable","content_hash":C,"content_size":M,"content_type":Y}
///
/// The first four are those of the original server (0.2.0), in its order: H the SHA-256 of the
/// stored bytes in lower-case hex, N their number, T the client's own Unix time, K the key. A
/// sidecar of the original has only those. S is our clock at commit (Unix seconds). The second
/// line is there where we encode content ourselves: C and M are SHA-256 and size of the content, Y
/// its type if that is known. Unknown members are ignored, so later versions stay readable.
struct Sidecar {
  Sha256 hash;
  ByteCount size = 0;
  std::uint64_t created_at = 0;
  std::string key;
  std::optional<WallTime> stored_at;
  // NOLINTNEXTLINE(readability-redundant-member-init): g++ warns where it is left out otherwise
  std::optional<SidecarContent> content{};

  /// REQUIRES: there is some.
  [[nodiscard]] const SidecarContent& known_content() const;
};

/// The JSON text, without a newline.
std::string format_sidecar(const Sidecar& sidecar);

/// Errors: corrupt for anything that is not a whole sidecar (torn, oversize, missing or mistyped
/// member).
Result<Sidecar> parse_sidecar(std::string_view text);

} // namespace pkc::store
