#include "pkc/app/health_check.hpp"

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

net::Origin origin_of(const config::Settings& settings) {
  return {.scheme = settings.tls_cert.empty() ? net::Scheme::http : net::Scheme::https,
          .host = net::address_of_listener(settings.bind),
          .port = settings.port,
          .certificate = net::PeerCertificate::any};
}

/// The beginning of a body, fit for one line.
std::string shown(std::string_view body) {
  std::string text(body.substr(0, kShownMax));
  std::ranges::replace_if(text, [](char c) { return c < ' ' || c > '~'; }, ' ');
  return text;
}

} // namespace

Result<std::string> check_health(const config::Settings& settings) {
  const net::Origin origin = origin_of(settings);
  const bool is_unix = settings.bind.starts_with("unix:");
  if (!is_unix && settings.port == 0) {
    return fail(Errc::invalid_argument,
                "port is 0, so the kernel chose one that the settings do not tell");
  }
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
