#include "local_origin.hpp"

namespace pkc::app {

Result<net::Origin> local_origin(const config::Settings& settings) {
  if (!settings.bind.starts_with("unix:") && settings.port == 0) {
    return fail(Errc::invalid_argument,
                "port is 0, so the kernel chose one that the settings do not tell");
  }
  return net::Origin{.scheme = settings.tls_cert.empty() ? net::Scheme::http : net::Scheme::https,
                     .host = net::address_of_listener(settings.bind),
                     .port = settings.port,
                     .certificate = net::PeerCertificate::any};
}

} // namespace pkc::app
