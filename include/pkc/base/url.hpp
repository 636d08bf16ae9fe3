// Url: an absolute http or https URL, taken apart and written in one way.
#pragma once

#include "pkc/base/result.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace pkc {

enum class UrlScheme : std::uint8_t {
  http,
  https
};

/// The longest URL that is taken, in bytes: what common clients and servers agree on.
constexpr std::size_t kUrlSizeMax = 8192;

/// An absolute URL without credentials and without fragment. Two URLs that differ in case of scheme
/// or host, in a default port, in dot segments, in the way a numeric address is written or in a
/// fragment only are equal here. The path and the query are otherwise left as they were: a server
/// may sign them.
struct Url {
  UrlScheme scheme = UrlScheme::http;
  std::string host;        ///< as normalise_host() writes it: IPv6 has no brackets
  std::uint16_t port = 80; ///< never 0; the scheme's own when none was named
  std::string target;      ///< path and query, printable ASCII, begins with "/"

  /// "https://host/path?query", with the port where it is not the scheme's own.
  [[nodiscard]] std::string text() const;
  /// "https://host:443": the port is always there, IPv6 has brackets.
  [[nodiscard]] std::string origin() const;
  /// The value of a Host header: the port where it is not the scheme's own.
  [[nodiscard]] std::string authority() const;

  friend bool operator==(const Url&, const Url&) = default;
};

/// Parses an absolute URL by RFC 3986 section 3. Bytes of a path or query that browsers encode and
/// that can mean one thing only are encoded ("é", "{", "|"); nothing else is repaired. Pure.
/// Errors: invalid_argument, with a message that names the rule and may be shown: another scheme,
/// credentials, a control byte or space, a backslash, a "%" without two hex digits, bytes that are
/// not UTF-8, a host that normalise_host() refuses, a port that is none, more than kUrlSizeMax
/// bytes.
Result<Url> parse_url(std::string_view text);

/// The URL that a Location header means: RFC 3986 section 5.2, with the rules of parse_url(), but
/// that a space is encoded, because servers do write it there. Pure. Errors: invalid_argument.
Result<Url> resolve_reference(const Url& base, std::string_view reference);

/// The one way in which a host is written here: a name in lower case without the dot at its end; an
/// IPv4 address as four decimal numbers, from every form that inet_aton() understands
/// ("2130706433", "0x7f.1", "0177.1"); an IPv6 address, in brackets or not, in the form of RFC 5952
/// without brackets. Pure. Errors: invalid_argument: empty, longer than 253 bytes, an empty or too
/// long label, other characters than letters, digits, "-" and "_" (an international name has to
/// come as "xn--…"), a zone id, or a last label that is a number in a host that is no address.
Result<std::string> normalise_host(std::string_view host);

/// The four bytes of an IPv4 address in any form that inet_aton() understands. Pure.
std::optional<std::array<std::uint8_t, 4>> parse_ipv4_number(std::string_view text);

} // namespace pkc
