#include "pkc/app/health_check.hpp"

#include "local_origin.hpp"

#include "pkc/net/client.hpp"

#include <algorithm>
#include <cstddef>
#include <string_view>
#include <utility>

namespace pkc::app {

namespace {

constexpr std::string_view kTarget = "/health";
constexpr std::string_view kHealthy = R"({"status":"healthy")"; // protocols/admin begins so
constexpr std::size_t kShownMax = 300;

/// The beginning of a body, fit for one line.
std::string shown(std::string_view body) {
  std::string text(body.substr(0, kShownMax));
  std::ranges::replace_if(text, [](char c) { return c < ' ' || c > '~'; }, ' ');
  return text;
}

} // namespace

Result<std::string> check_health(const config::Settings& settings) {
  TRY_ASSIGN(const net::Origin origin, local_origin(settings));
  if (!settings.tls_client_ca.empty() &&
      settings.tls_client_auth == config::TlsClientAuth::required) {
    TRY(net::shake_hands(origin, {}));
    return origin.text() +
           " speaks TLS; it demands a certificate, so its health could not be asked for";
  }
  TRY_ASSIGN(const net::Answer answer, net::get(origin, std::string(kTarget), {}));
  std::string told =
      origin.text() + std::string(kTarget) + " answers " + std::to_string(answer.status);
  if (answer.status != 200 || !answer.body.starts_with(kHealthy)) {
    return fail(Errc::unavailable, told + ": " + shown(answer.body));
  }
  return told;
}

} // namespace pkc::app
