// Polykit artifacts for tests: byte for byte as the original's client makes them, and every hostile
// variation of that.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pkc::test {

/// A key of the shape that clients send.
inline constexpr std::string_view kArtifactKey =
    "de4d5c60d8d21a4c2ccd99bdfaa0ff92f25fff1cd51dee01ec02c55d53a76c37";

inline constexpr std::string_view kGnuMagic{"ustar  \0", 8};
inline constexpr std::string_view kUstarMagic{"ustar\00000", 8};
inline constexpr std::string_view kOldMagic{"\0\0\0\0\0\0\0\0", 8};

enum class TarChecksum {
  seven_digits, ///< and a NUL: the original's client
  six_digits,   ///< NUL, blank: everybody else
  signed_sum,
  wrong,
  blank
};

// NOLINTBEGIN(readability-redundant-member-init): without the braces g++ warns of every designated
// initializer that leaves the member out.

/// One tar member. The defaults are the dialect of the original's client: GNU magic, mode, uid and
/// gid of NULs, typeflag NUL, seven-digit checksum.
struct TarMember {
  std::string path{};
  std::string content{};
  char type = '\0';
  std::string link{};
  std::string_view magic = kGnuMagic;
  std::string prefix{};
  std::string mode{}; ///< also uid and gid; empty: NULs
  TarChecksum checksum = TarChecksum::seven_digits;
  std::optional<std::string> size_field{}; ///< raw, instead of the size of `content`
};
// NOLINTEND(readability-redundant-member-init)

/// Header, content and padding. The name is cut at 100 bytes, as a careless writer would.
std::string tar_member(const TarMember& member);
/// As tar_member(), for the usual case.
std::string tar_file(std::string path, std::string content);
/// The two blocks of zeros at the end.
std::string tar_end();
/// A 'L' (path) or 'K' (link) record of GNU tar.
std::string gnu_long_name(std::string_view name, char type = 'L');
/// "<length> <key>=<value>\n".
std::string pax_record(std::string_view key, std::string_view value);
/// A local ('x') or global ('g') pax header.
std::string pax_header(std::string records, char type = 'x');

struct ZstdStyle {
  int level = 3;
  int window_log = 0; ///< 0: by level
  bool checksum = false;
  bool content_size = false; ///< write it into the header; the client does not
};

/// One frame.
std::string zstd_frame(std::string_view content, ZstdStyle style = {});
/// One frame of `size` zeros, made without holding them.
std::string zstd_zeros(std::uint64_t size, ZstdStyle style = {});
/// A skippable frame; `variant` 0 to 15.
std::string zstd_skippable(std::string_view payload, unsigned variant = 0);

using NamedFiles = std::vector<std::pair<std::string, std::string>>;

/// Quoted, with the escapes that JSON demands.
std::string json_text(std::string_view text);
std::string metadata_json(std::string_view key);
/// Files in the order given, as listed; total_size as given, or their sum.
std::string manifest_json(const NamedFiles& files, std::optional<std::uint64_t> total_size = {});

// NOLINTBEGIN(readability-redundant-member-init): without the braces g++ warns of every designated
// initializer that leaves the member out.

/// An artifact part by part; what is not set is as the client makes it.
struct ArtifactParts {
  std::string key{kArtifactKey};
  NamedFiles files{{"stderr.txt", ""}, {"stdout.txt", "hello\n"}};
  std::optional<std::string> metadata{}; ///< JSON text
  std::optional<std::string> manifest{}; ///< JSON text
  std::string extra{};                   ///< tar bytes before the end blocks
};
// NOLINTEND(readability-redundant-member-init)

std::string artifact_tar(const ArtifactParts& parts = {});
std::string artifact_body(const ArtifactParts& parts = {}, ZstdStyle style = {});

} // namespace pkc::test
