// A TLS server on loopback, with certificates of its own.
#pragma once

#include "support/certificates.hpp"
#include "support/temp_dir.hpp"
#include "unit/http/loopback.hpp"
#include "unit/http/tls_client.hpp"

#include "pkc/http/server.hpp"

#include <string>
#include <utility>

namespace pkc::http::test {

/// The files that a server needs, signed by an authority that the tests know.
class TlsFiles {
 public:
  TlsFiles() : authority_("test authority") { use(authority_.issue("first")); }

  [[nodiscard]] const pkc::test::Authority& authority() const { return authority_; }
  [[nodiscard]] std::string path(const std::string& name) const { return directory_ / name; }

  /// What the next load reads.
  void use(const pkc::test::Identity& identity) const {
    pkc::test::write_text(path("certificate"), identity.certificate);
    pkc::test::write_text(path("key"), identity.key);
  }
  void trust(const std::string& authorities) const {
    pkc::test::write_text(path("clients"), authorities);
  }

  /// Clients are asked for certificates when trust() was called.
  [[nodiscard]] TlsOptions options(bool ask_clients = false) const {
    return {.certificate_file = path("certificate"),
            .key_file = path("key"),
            .client_ca_file = ask_clients ? path("clients") : "",
            .client_certificates = ClientCertificates::required};
  }

 private:
  pkc::test::TempDir directory_;
  pkc::test::Authority authority_;
};

/// A server that speaks TLS, and clients that believe it.
class TlsLoopback {
 public:
  explicit TlsLoopback(Router router, ServerOptions options = {}, AccessLog log = {})
      : server_(std::move(router), with_tls(std::move(options), files_), std::move(log)) {}

  [[nodiscard]] const TlsFiles& files() const { return files_; }
  [[nodiscard]] std::uint16_t port() const { return server_.port(); }
  [[nodiscard]] Client plain_client() const { return server_.client(); }
  [[nodiscard]] TlsClient client(TlsClientOptions options = {}) const {
    options.authority = files_.authority().certificate();
    return TlsClient(port(), options);
  }
  Server* operator->() const { return server_.operator->(); }

 private:
  static ServerOptions with_tls(ServerOptions options, const TlsFiles& files) {
    if (!options.tls) {
      options.tls = files.options();
    }
    return options;
  }

  TlsFiles files_;
  Loopback server_;
};

inline Router hello_router() {
  return single(Method::get, "/", [](Request&) { return text_response("hello"); });
}

constexpr std::string_view kGet = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

} // namespace pkc::http::test
