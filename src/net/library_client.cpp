#include "library_client.hpp"

#include <sys/socket.h>

#include <string_view>

namespace pkc::net {

namespace {

constexpr std::string_view kUnixPrefix = "unix:";

/// The name or path to connect to.
std::string host_of(const Origin& origin) {
  return origin.host.starts_with(kUnixPrefix) ? origin.host.substr(kUnixPrefix.size())
                                              : origin.host;
}

void set_up(httplib::ClientImpl& client, const Origin& origin) {
  if (origin.host.starts_with(kUnixPrefix)) {
    client.set_address_family(AF_UNIX);
  }
  client.set_follow_location(false);
  client.set_path_encode(false);
}

} // namespace

std::unique_ptr<httplib::SSLClient> make_tls_client(const Origin& origin) {
  auto client = std::make_unique<httplib::SSLClient>(host_of(origin), origin.port);
  client->enable_server_certificate_verification(origin.certificate == PeerCertificate::valid);
  client->enable_server_hostname_verification(origin.certificate == PeerCertificate::valid);
  set_up(*client, origin);
  return client;
}

std::unique_ptr<httplib::ClientImpl> make_library_client(const Origin& origin) {
  if (origin.scheme == Scheme::https) {
    return make_tls_client(origin);
  }
  auto client = std::make_unique<httplib::ClientImpl>(host_of(origin), origin.port);
  set_up(*client, origin);
  return client;
}

httplib::Headers headers_with(const std::string& token) {
  return token.empty() ? httplib::Headers()
                       : httplib::Headers{{"Authorization", "Bearer " + token}};
}

} // namespace pkc::net
