#include "pkc/base/url.hpp"

#include "pkc/base/http_text.hpp"
#include "pkc/base/number.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <utility>
#include <vector>

namespace pkc {

namespace {

constexpr std::uint16_t kHttpPort = 80;
constexpr std::uint16_t kHttpsPort = 443;
constexpr std::size_t kHostSizeMax = 253; // RFC 1035 section 3.1, as text
constexpr std::size_t kLabelSizeMax = 63;
constexpr CharSet kHostChars = CharSet("-_.").with_range('0', '9').with_range('a', 'z');
constexpr CharSet kDigits = CharSet("").with_range('0', '9');
constexpr CharSet kHexDigits = CharSet("").with_range('0', '9').with_range('a', 'f');
/// What RFC 3986 has no place for in a path or query, and browsers encode.
constexpr CharSet kEncoded("\"<>^`{|}");

std::unexpected<Error> wrong(std::string message) {
  return fail(Errc::invalid_argument, std::move(message));
}

std::uint16_t port_of(UrlScheme scheme) {
  return scheme == UrlScheme::https ? kHttpsPort : kHttpPort;
}

std::string_view name_of(UrlScheme scheme) {
  return scheme == UrlScheme::https ? "https" : "http";
}

std::string bracketed(const std::string& host) {
  return host.find(':') == std::string::npos ? host : '[' + host + ']';
}

std::string lower(std::string_view text) {
  std::string result(text);
  std::ranges::transform(result, result.begin(), to_lower_ascii);
  return result;
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (;;) {
    const std::size_t at = text.find(separator);
    parts.push_back(text.substr(0, at));
    if (at == std::string_view::npos) {
      return parts;
    }
    text.remove_prefix(at + 1);
  }
}

/// One number of an IPv4 address: decimal, octal or hex.
std::optional<std::uint32_t> parse_part(std::string_view part) {
  int base = 10;
  if (part.starts_with("0x") || part.starts_with("0X")) {
    part.remove_prefix(2);
    base = 16;
  } else if (part.size() > 1 && part.front() == '0') {
    base = 8;
  }
  return parse_number<std::uint32_t>(part, base);
}

bool is_number(std::string_view label) {
  const bool is_hex = label.starts_with("0x");
  return !label.empty() && (is_hex ? kHexDigits.has_all(label.substr(2)) : kDigits.has_all(label));
}

Result<std::string> normalise_v6(std::string_view host) {
  in6_addr address{};
  if (::inet_pton(AF_INET6, std::string(host).c_str(), &address) != 1) {
    return wrong(host.find('%') == std::string_view::npos
                     ? "the host is no IPv6 address"
                     : "an IPv6 address with a zone means something on one machine only");
  }
  std::array<char, INET6_ADDRSTRLEN> text{};
  ::inet_ntop(AF_INET6, &address, text.data(), text.size());
  return std::string(text.data());
}

Result<void> check_labels(std::string_view host) {
  if (host.size() > kHostSizeMax) {
    return wrong("the host is longer than 253 bytes");
  }
  for (const std::string_view label : split(host, '.')) {
    if (label.empty() || label.size() > kLabelSizeMax) {
      return wrong("a part of the host is empty or longer than 63 bytes");
    }
  }
  return {};
}

Result<std::uint16_t> parse_port(std::string_view text) {
  const std::uint16_t port = parse_number<std::uint16_t>(text).value_or(0);
  return port == 0 ? wrong("the port is no number from 1 to 65535") : Result<std::uint16_t>(port);
}

/// Host and port of `authority` into `url`.
Result<void> parse_authority(std::string_view authority, Url& url) {
  if (authority.find('@') != std::string_view::npos) {
    return wrong("a URL with credentials is not taken");
  }
  const bool has_brackets = authority.starts_with('[');
  const std::size_t bracket = has_brackets ? authority.find(']') : 0;
  if (bracket == std::string_view::npos) {
    return wrong("the host has no closing bracket");
  }
  const std::size_t host_size =
      has_brackets ? bracket + 1 : std::min(authority.find(':'), authority.size());
  const std::string_view host = authority.substr(0, host_size);
  std::string_view port = authority.substr(host_size);
  TRY_ASSIGN(url.host, normalise_host(host));
  url.port = port_of(url.scheme);
  if (port.empty() || port == ":") { // RFC 3986 section 6.2.3: an empty port is none
    return {};
  }
  if (port.front() != ':') {
    return wrong("something other than a port stands behind the brackets");
  }
  port.remove_prefix(1);
  TRY_ASSIGN(url.port, parse_port(port));
  return {};
}

/// The length of the UTF-8 sequence at the beginning of `text`; 0 when there is none.
std::size_t utf8_sequence(std::string_view text) {
  struct Row {
    unsigned char first_low;
    unsigned char first_high;
    unsigned char second_low;
    unsigned char second_high;
    std::size_t size;
  };
  constexpr Row kRows[] = {// RFC 3629 section 4, without ASCII
                           {0xC2, 0xDF, 0x80, 0xBF, 2},
                           {0xE0, 0xE0, 0xA0, 0xBF, 3},
                           {0xE1, 0xEC, 0x80, 0xBF, 3},
                           {0xED, 0xED, 0x80, 0x9F, 3},
                           {0xEE, 0xEF, 0x80, 0xBF, 3},
                           {0xF0, 0xF0, 0x90, 0xBF, 4},
                           {0xF1, 0xF3, 0x80, 0xBF, 4},
                           {0xF4, 0xF4, 0x80, 0x8F, 4}};
  const auto is_within = [text](std::size_t at, unsigned char low, unsigned char high) {
    const auto byte = at < text.size() ? static_cast<unsigned char>(text[at]) : 0U;
    return byte >= low && byte <= high;
  };
  for (const Row& row : kRows) {
    if (is_within(0, row.first_low, row.first_high) &&
        is_within(1, row.second_low, row.second_high) &&
        (row.size < 3 || is_within(2, 0x80, 0xBF)) && (row.size < 4 || is_within(3, 0x80, 0xBF))) {
      return row.size;
    }
  }
  return 0;
}

void append_encoded(std::string& out, std::string_view bytes) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    out += '%';
    out += kHex[byte >> 4U];
    out += kHex[byte & 0xFU];
  }
}

bool is_escape(std::string_view text) {
  return text.size() >= 3 && hex_digit(text[1]) >= 0 && hex_digit(text[2]) >= 0;
}

/// Path and query as they are sent.
Result<std::string> encode(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  while (!text.empty()) {
    std::size_t taken = 1;
    if (static_cast<unsigned char>(text.front()) >= 0x80) {
      taken = utf8_sequence(text);
      if (taken == 0) {
        return wrong("the URL is not UTF-8");
      }
      append_encoded(result, text.substr(0, taken));
    } else if (kEncoded.has(text.front())) {
      append_encoded(result, text.substr(0, 1));
    } else if (text.front() == '%' && !is_escape(text)) {
      return wrong("a % in the URL has no two hex digits behind it");
    } else {
      result += text.front();
    }
    text.remove_prefix(taken);
  }
  return result;
}

/// RFC 3986 section 5.2.4. `path` begins with "/".
std::string without_dot_segments(std::string_view path) {
  std::vector<std::string_view> kept;
  bool ends_in_dots = false;
  for (const std::string_view segment : split(path.substr(1), '/')) {
    ends_in_dots = segment == "." || segment == "..";
    if (segment == ".." && !kept.empty()) {
      kept.pop_back();
    }
    if (!ends_in_dots) {
      kept.push_back(segment);
    }
  }
  std::string result;
  for (const std::string_view segment : kept) {
    (result += '/') += segment;
  }
  return ends_in_dots || kept.empty() ? result + '/' : result;
}

/// Of everything behind the authority, without fragment.
Result<std::string> parse_target(std::string_view rest) {
  TRY_ASSIGN(const std::string encoded, encode(rest));
  const std::size_t question = std::min(encoded.find('?'), encoded.size());
  const std::string path = encoded.substr(0, question);
  return without_dot_segments(path.empty() ? "/" : path) + encoded.substr(question);
}

Result<UrlScheme> parse_scheme(std::string_view name) {
  if (equals_ignoring_case(name, "http")) {
    return UrlScheme::http;
  }
  if (equals_ignoring_case(name, "https")) {
    return UrlScheme::https;
  }
  return wrong("the URL does not begin with http:// or https://");
}

Result<void> check_bytes(std::string_view text) {
  if (text.size() > kUrlSizeMax) {
    return wrong("the URL is longer than 8192 bytes");
  }
  const auto is_bad = [](char c) { return static_cast<unsigned char>(c) <= ' ' || c == '\x7f'; };
  if (std::ranges::any_of(text, is_bad)) {
    return wrong("the URL has a space or a control character");
  }
  if (text.find('\\') != std::string_view::npos) {
    return wrong("the URL has a backslash, which programs read differently");
  }
  return {};
}

/// True for "name:…", RFC 3986 section 3.1.
bool has_scheme(std::string_view reference) {
  constexpr CharSet kLetters = CharSet("").with_range('a', 'z').with_range('A', 'Z');
  constexpr CharSet kRest =
      CharSet("+-.").with_range('0', '9').with_range('a', 'z').with_range('A', 'Z');
  const std::size_t colon = reference.find(':');
  return colon != std::string_view::npos && colon > 0 && kLetters.has(reference.front()) &&
         kRest.has_all(reference.substr(0, colon));
}

/// Servers do write a space into a Location, and there it can mean nothing else.
std::string with_spaces_encoded(std::string_view reference) {
  std::string result;
  for (const char c : reference) {
    result += c == ' ' ? std::string_view("%20") : std::string_view(&c, 1);
  }
  return result;
}

} // namespace

std::string Url::authority() const {
  const std::string name = bracketed(host);
  return port == port_of(scheme) ? name : name + ':' + std::to_string(port);
}

std::string Url::text() const {
  return std::string(name_of(scheme)) + "://" + authority() + target;
}

std::string Url::origin() const {
  return std::string(name_of(scheme)) + "://" + bracketed(host) + ':' + std::to_string(port);
}

Result<Url> parse_url(std::string_view text) {
  TRY(check_bytes(text));
  Url url;
  const std::size_t colon = std::min(text.find("://"), text.size());
  TRY_ASSIGN(url.scheme, parse_scheme(text.substr(0, colon)));
  std::string_view rest = text.substr(std::min(colon + 3, text.size()));
  rest = rest.substr(0, rest.find('#'));
  const std::size_t end = std::min(rest.find_first_of("/?"), rest.size());
  TRY(parse_authority(rest.substr(0, end), url));
  TRY_ASSIGN(url.target, parse_target(rest.substr(end)));
  if (url.text().size() > kUrlSizeMax) {
    return wrong("the URL is longer than 8192 bytes when it is encoded");
  }
  return url;
}

Result<Url> resolve_reference(const Url& base, std::string_view reference) {
  const std::string given = with_spaces_encoded(trim_ows(reference));
  const std::string site = std::string(name_of(base.scheme)) + "://" + base.authority();
  const std::string_view target = base.target;
  const std::string_view path = target.substr(0, target.find('?'));
  if (has_scheme(given)) {
    return parse_url(given);
  }
  if (given.starts_with("//")) {
    return parse_url(std::string(name_of(base.scheme)) + ':' + given);
  }
  if (given.starts_with('/')) {
    return parse_url(site + given);
  }
  if (given.empty() || given.starts_with('#')) {
    return parse_url(base.text());
  }
  if (given.starts_with('?')) {
    return parse_url(site + std::string(path) + given);
  }
  return parse_url(site + std::string(path.substr(0, path.rfind('/') + 1)) + given);
}

Result<std::string> normalise_host(std::string_view host) {
  if (host.starts_with('[') && host.ends_with(']')) {
    return normalise_v6(host.substr(1, host.size() - 2));
  }
  if (host.find(':') != std::string_view::npos) {
    return normalise_v6(host);
  }
  std::string name = lower(host.ends_with('.') ? host.substr(0, host.size() - 1) : host);
  if (name.empty()) {
    return wrong("the URL has no host");
  }
  if (!kHostChars.has_all(name)) {
    return wrong("the host has other characters than letters, digits, -, _ and dots");
  }
  TRY(check_labels(name));
  if (is_number(std::string_view(name).substr(name.rfind('.') + 1))) {
    const auto address = parse_ipv4_number(name);
    if (!address) {
      return wrong("the host ends in a number and is no IPv4 address");
    }
    name.clear();
    for (const unsigned byte : *address) {
      name += (name.empty() ? "" : ".") + std::to_string(byte);
    }
  }
  return name;
}

std::optional<std::array<std::uint8_t, 4>> parse_ipv4_number(std::string_view text) {
  const std::vector<std::string_view> parts = split(text, '.');
  if (parts.size() > 4) {
    return std::nullopt;
  }
  std::uint32_t address = 0;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const auto number = parse_part(parts[i]);
    const bool is_last = i + 1 == parts.size();
    // The last number fills what the others left: "127.1" is 127.0.0.1.
    const auto bits = static_cast<unsigned>(is_last ? 8 * (4 - i) : 8);
    if (!number || (bits < 32 && *number >> bits != 0)) {
      return std::nullopt;
    }
    const auto shift = static_cast<unsigned>(is_last ? 0 : 8 * (3 - i));
    address |= *number << shift;
  }
  return std::array{static_cast<std::uint8_t>(address >> 24U),
                    static_cast<std::uint8_t>(address >> 16U & 0xFFU),
                    static_cast<std::uint8_t>(address >> 8U & 0xFFU),
                    static_cast<std::uint8_t>(address & 0xFFU)};
}

} // namespace pkc
