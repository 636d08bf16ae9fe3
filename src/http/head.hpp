// The head of a request: request line and header fields, checked strictly before anything else sees
// them.
#pragma once

#include "pkc/base/bytes.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace pkc::http {

struct HeadLimits {
  std::size_t head_size_max = 32 * kKiB;  ///< with the blank line
  std::size_t target_size_max = 8 * kKiB; ///< of the request target
  std::size_t fields_max = 100;
};

struct HeadField {
  std::string_view name;
  std::string_view value; ///< without the spaces around it
};

/// A request head. All views point into the scanned bytes.
struct Head {
  std::string_view method;
  std::string_view target; ///< as sent
  std::string_view path;   ///< absolute-form stripped, leading slashes collapsed, no query
  std::string_view query;  ///< after the first '?', without it
  bool is_http_1_0 = false;
  std::vector<HeadField> fields;
  std::optional<ByteCount> content_length;
  bool chunked = false;
  bool expects_continue = false;
  bool keep_alive = true; ///< what version and Connection field ask for
  std::size_t size = 0;   ///< bytes from the start of the scan to the end of the blank line
};

enum class HeadState : std::uint8_t {
  needs_more,
  complete,
  refused,
};

struct HeadScan {
  HeadState state = HeadState::needs_more;
  int status = 0;           ///< of a refusal: 400, 414, 417, 431, 501 or 505
  std::string_view message; ///< of a refusal, for the client
};

/// Pure. Reads one head off the front of `bytes` into `head`, whose old content is dropped; a
/// refused head has method and target when the request line was sound. `scanned` is how many of
/// these bytes an earlier call has already answered with needs_more: they are not searched again,
/// so a head that comes in byte by byte costs linear time.
///
/// Stricter than RFC 9112 asks: whatever two parsers could read in two ways (bare CR or LF,
/// obs-fold, both lengths, a repeated length …) is refused, because a proxy in front of us may be
/// the other parser.
HeadScan scan_head(std::string_view bytes,
                   std::size_t scanned,
                   const HeadLimits& limits,
                   Head& head);

} // namespace pkc::http
