#include "local_request.hpp"

#include "client_address.hpp"
#include "text.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>

namespace pkc::http {

namespace {

constexpr std::array<std::string_view, 5> kProxyFields{
    "X-Forwarded-For", "Forwarded", "X-Real-IP", "X-Forwarded-Host", "Via"};

/// Of a numeric address; nobody else has names that begin like that.
bool is_loopback(std::string_view address) {
  constexpr CharSet kAddressChars("0123456789.");
  return address == "::1" || (address.starts_with("127.") && kAddressChars.has_all(address));
}

/// "localhost:8080", "127.0.0.1", "[::1]:8080": names that no resolver can point elsewhere.
bool names_this_machine(std::string_view host) {
  if (host.starts_with('[')) {
    return host.substr(1, host.find(']') - 1) == "::1";
  }
  const std::string_view name = host.substr(0, host.find(':'));
  return equals_ignoring_case(name, "localhost") || is_loopback(name);
}

/// "http://localhost:8080" of "localhost:8080".
bool is_origin_of(std::string_view origin, std::string_view host) {
  return std::ranges::any_of(std::array<std::string_view, 2>{"http://", "https://"},
                             [&](std::string_view scheme) {
                               return origin.starts_with(scheme) &&
                                      equals_ignoring_case(origin.substr(scheme.size()), host);
                             });
}

bool is_foreign_page(const Request& request, std::string_view host) {
  const auto origin = request.headers.get("Origin");
  const auto site = request.headers.get("Sec-Fetch-Site");
  return (origin && !is_origin_of(*origin, host)) ||
         (site && *site != "none" && *site != "same-origin");
}

} // namespace

bool is_local_request(const Request& request) {
  const bool on_socket_file = request.client_address == kUnixPeer;
  if (!on_socket_file && !is_loopback(request.client_address)) {
    return false;
  }
  const bool passed_on = std::ranges::any_of(
      kProxyFields, [&](std::string_view name) { return request.headers.get(name).has_value(); });
  const std::string_view host = request.headers.get("Host").value_or("localhost");
  const bool named = on_socket_file || names_this_machine(host);
  return !passed_on && named && !is_foreign_page(request, host);
}

} // namespace pkc::http
