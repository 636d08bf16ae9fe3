#include "fields.hpp"

#include "pkc/base/url.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <system_error>

namespace pkc::config {

namespace {

/// The number of bits in an address of the family, or 0 when `address` is not of it.
unsigned address_bits(int family, const std::string& address) {
  std::array<std::byte, sizeof(in6_addr)> binary{};
  if (inet_pton(family, address.c_str(), binary.data()) != 1) {
    return 0;
  }
  return family == AF_INET ? 32U : 128U;
}

} // namespace

Result<void> check_proxy(std::string_view text) {
  return text == "unix" ? Result<void>() : check_address_block(text);
}

Result<void> check_address_block(std::string_view text) {
  const std::size_t slash = text.find('/');
  const std::string address(text.substr(0, slash));
  unsigned bits = address_bits(AF_INET, address);
  if (bits == 0) {
    bits = address_bits(AF_INET6, address);
  }
  if (bits == 0 || address.find('\0') != std::string::npos) {
    return fail(Errc::invalid_argument, "is not an IP address or a block such as 10.0.0.0/8");
  }
  if (slash == std::string_view::npos) {
    return {};
  }
  const std::string_view prefix = text.substr(slash + 1);
  unsigned length = 0;
  const auto [rest, error] = std::from_chars(prefix.data(), prefix.data() + prefix.size(), length);
  if (error != std::errc{} || rest != prefix.data() + prefix.size() || length > bits) {
    return fail(Errc::invalid_argument,
                "has no prefix length from 0 to " + std::to_string(bits) + " behind its slash");
  }
  return {};
}

Result<void> check_bind(std::string_view text) {
  constexpr std::string_view kPrefix = "unix:";
  constexpr std::size_t kPathMax = sizeof(sockaddr_un::sun_path) - 1;
  if (!text.starts_with(kPrefix)) {
    return {};
  }
  const std::string_view path = text.substr(kPrefix.size());
  if (!path.starts_with('/')) {
    return fail(Errc::invalid_argument, "has no absolute path behind unix:");
  }
  if (path.size() > kPathMax) {
    return fail(Errc::invalid_argument,
                "has a path of more than " + std::to_string(kPathMax) +
                    " bytes, which the kernel does not take");
  }
  return {};
}

Result<void> check_metrics_bind(std::string_view text) {
  if (text.empty()) {
    return {};
  }
  TRY(check_bind(text));
  TRY(parse_address(text, kMetricsPort));
  return {};
}

std::optional<unsigned> parse_mode(std::string_view text) {
  unsigned mode = 0;
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), mode, 8);
  const bool whole = error == std::errc{} && rest == text.data() + text.size();
  return whole && text.size() >= 3 && mode <= 0777 ? std::optional(mode) : std::nullopt;
}

Result<void> check_mode(std::string_view text) {
  return parse_mode(text) ? Result<void>{}
                          : fail(Errc::invalid_argument, "is not an octal mode from 000 to 0777");
}

Result<std::pair<std::string, ByteCount>> parse_space_size(std::string_view text) {
  const std::size_t equals = text.find('=');
  const std::string_view name = text.substr(0, equals);
  const bool named = name.size() >= 3 && std::ranges::all_of(name, [](char c) {
                       return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
                     });
  if (equals == std::string_view::npos || !named) {
    return fail(Errc::invalid_argument, "is not the name of a space, =, and a size");
  }
  const auto size = parse_byte_count(text.substr(equals + 1));
  if (!size || *size == 0) {
    return fail(Errc::invalid_argument, "has no size above 0 behind its =");
  }
  return std::pair(std::string(name), *size);
}

Result<void> check_host_pattern(std::string_view text) {
  constexpr std::string_view kAnyBelow = "*.";
  if (text.starts_with(kAnyBelow)) {
    text.remove_prefix(kAnyBelow.size());
  }
  return normalise_host(text)
             ? Result<void>()
             : fail(Errc::invalid_argument, "is not a host such as example.org or *.example.org");
}

Result<void> check_upstream_proxy(std::string_view text) {
  if (text == kProxyFromEnvironment || text == kNoProxy) {
    return {};
  }
  constexpr std::string_view kScheme = "http://";
  return text.starts_with(kScheme) && text.size() > kScheme.size()
             ? Result<void>()
             : fail(Errc::invalid_argument,
                    "is not environment, none, or a URL such as http://proxy.example.org:3128");
}

Result<void> check_space_size(std::string_view text) {
  TRY(parse_space_size(text));
  return {};
}

} // namespace pkc::config
