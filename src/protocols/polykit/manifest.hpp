// The two JSON members of an artifact: metadata.json and manifest.json.
#pragma once

#include "pkc/base/bytes.hpp"
#include "pkc/base/digest.hpp"
#include "pkc/base/result.hpp"

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace pkc::protocols::polykit {

/// Neither member may be larger.
constexpr ByteCount kDocumentSizeMax = 1 * kMiB;
/// Nor nested deeper; both are flat, so this bounds only members that we ignore.
constexpr int kDocumentDepthMax = 64;

/// metadata.json. All six members are required and of these types (reference: serde_json); unknown
/// ones are ignored. Not taken over from the original: that a JSON array of the six values in order
/// is accepted as well, an accident of its parser that no client uses.
struct Metadata {
  std::string package_name;
  std::string task_name;
  std::string command;
  std::string cache_key_hash;
  std::uint64_t created_at = 0; ///< the client's clock, Unix seconds
  std::uint32_t version = 0;    ///< not compared with anything, as in the original
};

/// Errors: invalid_argument for anything else than one such object (also for a member given twice),
/// with a message that names the member; too_large beyond kDocumentSizeMax.
Result<Metadata> parse_metadata(std::string_view text);

/// The members of manifest.json except the files.
struct ManifestTotals {
  std::uint64_t total_size = 0; ///< of all files, in bytes
};

/// Receives each file as it is read: a relative path and the SHA-256 of its content.
using ManifestFileSink = std::function<Result<void>(std::string path, const Sha256& digest)>;

/// Parses manifest.json: `files`, an object from path to 64 lower-case hex characters, and
/// `total_size`; unknown members are ignored. The sink must refuse a path that it was given before.
/// Errors: as parse_metadata, and what the sink returns.
Result<ManifestTotals> parse_manifest(std::string_view text, const ManifestFileSink& sink);

/// A client's own text for a message to that client: printable ASCII, other bytes as \xNN, cut at
/// about 200 bytes.
std::string quoted_for_message(std::string_view text);

} // namespace pkc::protocols::polykit
