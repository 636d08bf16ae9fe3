#include "fetch/content_type.hpp"

#include "pkc/base/http_text.hpp"

#include <algorithm>
#include <array>
#include <iterator>

namespace pkc::protocols::fetch {

namespace {

struct Row {
  std::string_view extension;
  std::string_view type;
};

/// What is downloaded for builds, and what a browser shows. From
/// https://www.iana.org/assignments/media-types, and for what is not registered there as Debian's
/// /etc/mime.types has it.
constexpr std::array kRows = {
    Row{"7z", "application/x-7z-compressed"},
    Row{"apk", "application/vnd.android.package-archive"},
    Row{"asc", "application/pgp-signature"},
    Row{"bz2", "application/x-bzip2"},
    Row{"crate", "application/gzip"},
    Row{"css", "text/css"},
    Row{"csv", "text/csv"},
    Row{"deb", "application/vnd.debian.binary-package"},
    Row{"gif", "image/gif"},
    Row{"gz", "application/gzip"},
    Row{"htm", "text/html"},
    Row{"html", "text/html"},
    Row{"iso", "application/x-iso9660-image"},
    Row{"jar", "application/java-archive"},
    Row{"jpeg", "image/jpeg"},
    Row{"jpg", "image/jpeg"},
    Row{"js", "text/javascript"},
    Row{"json", "application/json"},
    Row{"md", "text/markdown"},
    Row{"mjs", "text/javascript"},
    Row{"mp4", "video/mp4"},
    Row{"pdf", "application/pdf"},
    Row{"png", "image/png"},
    Row{"rpm", "application/x-redhat-package-manager"},
    Row{"sig", "application/pgp-signature"},
    Row{"svg", "image/svg+xml"},
    Row{"tar", "application/x-tar"},
    Row{"tgz", "application/gzip"},
    Row{"txt", "text/plain"},
    Row{"wasm", "application/wasm"},
    Row{"webp", "image/webp"},
    Row{"whl", "application/zip"},
    Row{"xml", "application/xml"},
    Row{"xz", "application/x-xz"},
    Row{"yaml", "application/yaml"},
    Row{"yml", "application/yaml"},
    Row{"zip", "application/zip"},
    Row{"zst", "application/zstd"},
};

} // namespace

std::string_view guess_content_type(std::string_view url) {
  const std::string_view path = url.substr(0, url.find('?'));
  const std::string_view name = path.substr(path.rfind('/') + 1);
  const std::size_t dot = name.rfind('.');
  const std::string_view extension =
      dot == std::string_view::npos ? std::string_view() : name.substr(dot + 1);
  const auto* const row = std::ranges::find_if(kRows, [&](const Row& candidate) {
    return equals_ignoring_case(candidate.extension, extension);
  });
  return row == kRows.end() ? "application/octet-stream" : row->type;
}

} // namespace pkc::protocols::fetch
