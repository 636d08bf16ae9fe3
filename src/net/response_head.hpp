// The head of an answer: what a server said about what comes next. Pure.
#pragma once

#include "pkc/base/bytes.hpp"
#include "pkc/base/http_headers.hpp"
#include "pkc/base/result.hpp"
#include "pkc/net/http_client.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace pkc::net {

/// A status line with its headers.
struct ParsedHead {
  int status = 0;         ///< 100 to 999
  bool is_http10 = false; ///< HTTP/1.0, otherwise 1.1
  HttpHeaders headers;
};

/// Parses everything up to the empty line, by RFC 9112 sections 4 and 5. Taken although the grammar
/// has no place for it: a line that ends with LF alone, and a value that goes on in the next line.
/// Errors: unavailable, with what is wrong.
Result<ParsedHead> parse_head(std::string_view text, std::size_t header_count_max);

/// How the end of a body is known.
enum class BodyEnd : std::uint8_t {
  none, ///< there is no body
  length,
  chunked,
  close
};

struct Framing {
  BodyEnd end = BodyEnd::none;
  ByteCount length = 0;               ///< of the body, for BodyEnd::length
  std::optional<ByteCount> announced; ///< what ResponseHead::content_length is
  bool keeps_connection = false;      ///< once the body was read to its end
};

/// RFC 9112 section 6.3, for the answer to a GET or HEAD request. Errors: unavailable for lengths
/// that contradict each other or are none, and for transfer codings that nobody asked for.
Result<Framing> framing_of(FetchMethod method, const ParsedHead& head);

/// Where a redirect leads: the Location of an answer that is one; nothing for any other answer. The
/// view lives as long as the head.
std::optional<std::string_view> redirect_target(const ParsedHead& head);

} // namespace pkc::net
