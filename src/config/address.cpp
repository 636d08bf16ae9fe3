#include "pkc/config/settings.hpp"

#include <charconv>
#include <system_error>

namespace pkc::config {
namespace {

Result<std::uint16_t> parse_port(std::string_view text) {
  std::uint16_t port = 0;
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc{} || rest != text.data() + text.size()) {
    return fail(Errc::invalid_argument, "has no port from 0 to 65535 behind its colon");
  }
  return port;
}

/// What stands behind an address: nothing, or a colon and a port.
Result<Address> with_port(std::string_view bind,
                          std::string_view rest,
                          std::uint16_t default_port) {
  if (bind.empty()) {
    return fail(Errc::invalid_argument, "has no address");
  }
  if (rest.empty()) {
    return Address{.bind = std::string(bind), .port = default_port};
  }
  if (!rest.starts_with(':')) {
    return fail(Errc::invalid_argument, "has something else than a port behind its address");
  }
  TRY_ASSIGN(const std::uint16_t port, parse_port(rest.substr(1)));
  return Address{.bind = std::string(bind), .port = port};
}

} // namespace

Result<Address> parse_address(std::string_view text, std::uint16_t default_port) {
  if (text.starts_with("unix:")) {
    return Address{.bind = std::string(text), .port = 0};
  }
  if (text.starts_with('[')) {
    const std::size_t end = text.find(']');
    if (end == std::string_view::npos) {
      return fail(Errc::invalid_argument, "has no closing bracket");
    }
    return with_port(text.substr(1, end - 1), text.substr(end + 1), default_port);
  }
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos || colon != text.rfind(':')) { // several: a bare IPv6 address
    return with_port(text, "", default_port);
  }
  return with_port(text.substr(0, colon), text.substr(colon), default_port);
}

} // namespace pkc::config
