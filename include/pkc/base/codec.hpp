// Base64 and percent-encoding, as clients write them.
#pragma once

#include "pkc/base/bytes.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace pkc {

/// Decodes base64 (RFC 4648) in the standard or the URL-safe alphabet, with padding or without it;
/// nothing for any other text: a foreign character, a mixture of both alphabets, a length that no
/// encoder makes, padding that does not fill up a group of four, or bits left over that are not
/// zero.
std::optional<std::string> decode_base64(std::string_view text);

/// URL-safe alphabet, no padding: fit for a URL, a header and a command line.
std::string encode_base64url(ByteSpan bytes);

/// Standard alphabet, padded: what HTTP's Basic scheme asks for.
std::string encode_base64(ByteSpan bytes);

/// Percent-decodes once (RFC 3986 section 2.1); any byte may come out. Nothing when a "%" is not
/// followed by two hex digits.
std::optional<std::string> decode_percent(std::string_view text);

} // namespace pkc
