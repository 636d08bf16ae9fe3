// Fuzz target: a manifest of any format. The first byte chooses the format.
#include "pkc/config/manifest.hpp"

#include "fuzz.hpp"

#include "pkc/base/url.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <string_view>

namespace {

using pkc::config::Manifest;
using pkc::config::ManifestFile;
using pkc::config::ManifestFormat;
using pkc::fuzz::require;

constexpr std::array kFormats = {ManifestFormat::text, ManifestFormat::json, ManifestFormat::yaml};

/// What was read, as text.
std::string written(const Manifest& manifest) {
  std::string text;
  for (const ManifestFile& file : manifest.files) {
    text += file.url;
    for (const pkc::Checksum& checksum : file.checksums) {
      text.append(" ").append(to_string(checksum.algorithm)).append(":").append(checksum.hex);
    }
    text += '\n';
  }
  return text;
}

void check_manifest(const Manifest& manifest) {
  require(!manifest.files.empty() &&
          manifest.files.size() + manifest.repeated <= pkc::config::kManifestEntriesMax);
  std::set<std::string_view> urls;
  for (const ManifestFile& file : manifest.files) {
    const auto url = pkc::parse_url(file.url);
    require(url && url->text() == file.url && urls.insert(file.url).second);
    require(file.checksums.size() <= pkc::kChecksumAlgorithms.size());
    for (const pkc::Checksum& checksum : file.checksums) {
      require(pkc::parse_checksum(checksum.algorithm, checksum.hex) == checksum);
    }
  }
  // Whatever the format was, its text says the same.
  const auto again =
      pkc::config::parse_manifest({.path = "m", .text = written(manifest)}, ManifestFormat::text);
  require(again && again->files == manifest.files);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view input = pkc::fuzz::text_of(data, size);
  const ManifestFormat format = kFormats.at(pkc::fuzz::take_byte(input) % kFormats.size());

  const auto manifest =
      pkc::config::parse_manifest({.path = "m", .text = std::string(input)}, format);

  if (manifest) {
    check_manifest(*manifest);
    return 0;
  }
  // Problems are for a terminal: present, bounded in number and length, without control bytes.
  require(!manifest.error().empty() && manifest.error().size() <= 101);
  for (const std::string& problem : manifest.error()) {
    require(problem.size() <= 500 && std::ranges::none_of(problem, [](char c) {
              return (c >= 0 && c < ' ') || c == '\x7f';
            }));
  }
  return 0;
}
