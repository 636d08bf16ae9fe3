// The manifest: URLs to be downloaded ahead of time, with the checksums that are known.
//
//     # As text: one file a line, a URL and any number of checksums behind it.
//     https://example.org/a.tar.gz
//     https://example.org/b.tar.gz  sha256:<64 hexadecimal digits>  # or sha512:, sha1:, md5:
//     https://example.org/c.tar.gz  <32, 40, 64 or 128 hexadecimal digits: md5 to sha512>
//
//     # As YAML, and in the same way as JSON: a list of such lines or of groups.
//     - https://example.org/a.tar.gz
//     - url: https://example.org/b.tar.gz
//       sha256: <64 hexadecimal digits>          # or sha512, sha1, md5; several as well
//     - url: https://example.org/c.tar.gz
//       checksum: "sha512:<128 hexadecimal digits>"
//
//     # The list may also stand under one key: files, artifacts or urls.
#pragma once

#include "pkc/base/bytes.hpp"
#include "pkc/base/checksum.hpp"
#include "pkc/config/settings.hpp"

#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pkc::config {

constexpr ByteCount kManifestSizeMax = 32 * kMiB;
constexpr std::size_t kManifestEntriesMax = 100'000;
/// A URL of the longest kind with all its checksums has room; in bytes.
constexpr std::size_t kManifestLineSizeMax = 10'000;

enum class ManifestFormat : std::uint8_t {
  text,
  json,
  yaml
};

/// "txt", "json", "yaml"; nothing for another name. Pure.
std::optional<ManifestFormat> parse_manifest_format(std::string_view name);

/// By the extension: .json, .yaml or .yml; every other file is text. Pure.
ManifestFormat manifest_format_of(std::string_view path);

struct ManifestFile {
  std::string url;                 ///< as Url::text() writes it
  std::vector<Checksum> checksums; ///< at most one of each algorithm
  friend bool operator==(const ManifestFile&, const ManifestFile&) = default;
};

struct Manifest {
  std::vector<ManifestFile> files; ///< each URL once, in the order of the manifest
  std::size_t repeated = 0;        ///< entries that named a URL again
  friend bool operator==(const Manifest&, const Manifest&) = default;
};

/// Pure. A URL that is there twice is one file with the checksums of both. Problems are what
/// parse_url() refuses, checksums that are none or contradict each other, unknown and repeated
/// keys, more than the limits above, no entry at all, and a file that is not of the format: all of
/// them with their lines, up to a hundred. URLs are not quoted in them, as they may hold secrets.
std::expected<Manifest, Problems> parse_manifest(const ConfigFile& file, ManifestFormat format);

} // namespace pkc::config
