#include "tls_client.hpp"

#include "pkc/net/address.hpp"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <array>

namespace pkc::net {

void SslTraits::close(SSL* session) noexcept {
  SSL_free(session);
}

void SslContextTraits::close(SSL_CTX* context) noexcept {
  SSL_CTX_free(context);
}

std::string tls_failure() {
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  const char* const reason = ERR_reason_error_string(code);
  return reason == nullptr ? "unknown" : reason;
}

namespace {

/// Whose certificate is wanted.
bool name_server(SSL* session, std::string host) {
  if (parse_address(host)) { // RFC 6066 section 3: no address in the name of a server
    return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(session), host.c_str()) == 1;
  }
  // What SSL_set_tlsext_host_name() does, which is a macro with a cast.
  return SSL_set1_host(session, host.c_str()) == 1 &&
         SSL_ctrl(session, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, host.data()) ==
             1;
}

} // namespace

Result<TlsClient> TlsClient::make(const std::string& ca_file) {
  ERR_clear_error();
  TlsClient client;
  client.context_.reset(SSL_CTX_new(TLS_client_method()));
  SSL_CTX* const context = client.context_.get();
  if (context == nullptr || SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) != 1) {
    return fail(Errc::io, "cannot set up TLS: " + tls_failure());
  }
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
  SSL_CTX_set_mode(context,
                   SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                       SSL_MODE_RELEASE_BUFFERS);
  // A machine without roots can still trust the file, or fetch over http.
  SSL_CTX_set_default_verify_paths(context);
  ERR_clear_error();
  if (!ca_file.empty() && SSL_CTX_load_verify_file(context, ca_file.c_str()) != 1) {
    return fail(Errc::invalid_argument,
                "cannot read certificates from " + ca_file + ": " + tls_failure());
  }
  // Says that no other protocol is spoken here, to servers that would prefer one.
  constexpr std::array<unsigned char, 9> kHttp11{8, 'h', 't', 't', 'p', '/', '1', '.', '1'};
  SSL_CTX_set_alpn_protos(context, kHttp11.data(), kHttp11.size());
  return client;
}

Result<SslHandle> TlsClient::begin(int socket, const std::string& host) const {
  ERR_clear_error();
  SslHandle session(SSL_new(context_.get()));
  BIO* const bio = session ? BIO_new_socket(socket, BIO_NOCLOSE) : nullptr;
  if (bio == nullptr) {
    return fail(Errc::io, "cannot make a TLS session: " + tls_failure());
  }
  SSL_set_bio(session.get(), bio, bio); // takes the one reference for both directions
  SSL_set_connect_state(session.get());
  SSL_set_hostflags(session.get(), X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  return name_server(session.get(), host)
             ? Result<SslHandle>(std::move(session))
             : fail(Errc::io, "cannot make a TLS session: " + tls_failure());
}

} // namespace pkc::net
