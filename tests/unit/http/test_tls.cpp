// TLS over real loopback sockets: who is let in, and what is agreed on.
#include "unit/http/loopback.hpp"
#include "unit/http/tls_client.hpp"
#include "unit/http/tls_loopback.hpp"

#include "pkc/base/guarded.hpp"
#include "pkc/http/server.hpp"

#include <doctest/doctest.h>
#include <openssl/ssl.h>

#include <atomic>
#include <string>
#include <string_view>
#include <vector>

namespace pkc::http::test {
namespace {

TEST_SUITE("http::Server TLS handshakes") {
  TEST_CASE("versions: 1.2 and 1.3 are spoken, older ones are refused") {
    struct {
      int version;
      std::string_view failure; ///< empty: none
    } const rows[] = {
        {TLS1_3_VERSION, ""},
        {TLS1_2_VERSION, ""},
        {TLS1_1_VERSION, "tlsv1 alert protocol version"},
        {TLS1_VERSION, "tlsv1 alert protocol version"},
    };
    const TlsLoopback server(hello_router());
    for (const auto& row : rows) {
      CAPTURE(row.version);

      TlsClient client = server.client({.version = row.version});

      CHECK(client.failure() == row.failure);
      CHECK(client.request(kGet).body == (row.failure.empty() ? "hello" : ""));
    }
  }

  TEST_CASE("ALPN: http/1.1 is chosen, and a client without ALPN is welcome") {
    const TlsLoopback server(hello_router());

    TlsClient modern = server.client({.protocols = {"h2", "http/1.1"}});
    CHECK(modern.protocol() == "http/1.1");
    CHECK(modern.request(kGet).body == "hello");

    TlsClient silent = server.client();
    CHECK(silent.protocol().empty());
    CHECK(silent.request(kGet).body == "hello");
  }

  TEST_CASE("ALPN: a client that speaks h2 only is refused with the alert for it") {
    const TlsLoopback server(hello_router());

    const TlsClient client = server.client({.protocols = {"h2"}});

    CHECK(client.failure() == "tlsv1 alert no application protocol");
  }

  TEST_CASE("plain HTTP: gets an answer that says what to do, and the end") {
    std::atomic<int> status = 0;
    const TlsLoopback server(
        hello_router(), {}, [&](const AccessRecord& record) { status = record.status; });
    for (const std::string_view request :
         {std::string_view(kGet), std::string_view("DELETE /x HTTP/1.1\r\n\r\n")}) {
      Client client = server.plain_client();

      const Answer answer = client.request(request);

      CHECK(answer.status == 400);
      CHECK(answer.body == R"({"error":"this port speaks TLS: use an https:// address"})");
      CHECK(client.read_to_end() == Client::End::closed);
    }
    CHECK(eventually([&] { return status == 400; }));
  }

  TEST_CASE("failure: is told to the log as one of a handshake, with its reason") {
    Guarded<std::vector<std::string>> failures;
    const TlsLoopback server(hello_router(), {}, [&](const AccessRecord& record) {
      if (record.handshake) {
        failures.lock()->push_back(std::string(record.client_address) + " " +
                                   std::string(record.failure));
      }
    });
    {
      const Client silent = server.plain_client(); // as a health check of TCP does
    }

    const TlsClient client = server.client({.protocols = {"h2"}});

    REQUIRE(eventually([&] { return !failures.lock()->empty(); }));
    CHECK(*failures.lock() == std::vector<std::string>{"127.0.0.1 TLS: no application protocol"});
  }

  TEST_CASE("too many connections: by TLS too the client is told so") {
    ServerOptions options;
    options.connections_max = 1;
    const TlsLoopback server(hello_router(), options);
    TlsClient first = server.client();
    REQUIRE(first.request(kGet).status == 200);

    TlsClient second = server.client();
    const Answer answer = second.read();

    CHECK(answer.status == 503);
    CHECK(answer.has("\r\nRetry-After: 1\r\n"));
    CHECK(second.read_to_end() == TlsClient::End::closed);
    CHECK(first.request(kGet).status == 200);
  }

  TEST_CASE("chain: the certificates behind the first one are sent along") {
    const TlsFiles files;
    const pkc::test::Authority between("between", files.authority());
    auto identity = between.issue("leaf");
    identity.certificate += between.certificate();
    files.use(identity);
    ServerOptions options;
    options.tls = files.options();
    const Loopback server(hello_router(), options);

    const TlsClient client(server.port(), {.authority = files.authority().certificate()});

    CHECK(client.failure().empty());
    CHECK(client.chain_length() == 2);
  }
}

/// What a client with a certificate, or without one, comes to.
struct ClientCase {
  std::string_view name;
  ClientCertificates asked;
  pkc::test::Identity identity;
  bool served;
};

void check_client(const ClientCase& row, int version, const TlsFiles& files) {
  CAPTURE(row.name);
  CAPTURE(version);
  ServerOptions options;
  options.tls = files.options(true);
  options.tls->client_certificates = row.asked;
  const Loopback server(hello_router(), options);

  // In TLS 1.3 the client may be done before the server has looked at its certificate.
  TlsClient client(
      server.port(),
      {.authority = files.authority().certificate(), .version = version, .identity = row.identity});
  const Answer answer = client.failure().empty() ? client.request(kGet) : Answer{};

  CHECK(answer.status == (row.served ? 200 : 0));
}

TEST_SUITE("http::Server TLS client certificates") {
  TEST_CASE("clients: the right certificate is served, a wrong one never, none if it is optional") {
    const TlsFiles files;
    const pkc::test::Authority trusted("clients");
    const pkc::test::Authority stranger("strangers");
    files.trust(trusted.certificate());
    const auto good = trusted.issue("builder");
    const auto foreign = stranger.issue("builder");
    const auto expired = trusted.issue({.name = "builder", .begins_in = -48h, .expires_in = -24h});
    const ClientCase rows[] = {
        {"good", ClientCertificates::required, good, true},
        {"none", ClientCertificates::required, {}, false},
        {"of a stranger", ClientCertificates::required, foreign, false},
        {"expired", ClientCertificates::required, expired, false},
        {"good, optional", ClientCertificates::optional, good, true},
        {"none, optional", ClientCertificates::optional, {}, true},
        {"of a stranger, optional", ClientCertificates::optional, foreign, false},
    };
    for (const ClientCase& row : rows) {
      check_client(row, TLS1_2_VERSION, files);
      check_client(row, TLS1_3_VERSION, files);
    }
  }

  TEST_CASE("clients: a refused one hears why") {
    const TlsFiles files;
    files.trust(pkc::test::Authority("clients").certificate());
    ServerOptions options;
    options.tls = files.options(true);
    const Loopback server(hello_router(), options);
    TlsClient client(server.port(), {.version = TLS1_3_VERSION});
    client.send(kGet);

    CHECK(client.read_to_end() == TlsClient::End::reset);
    CHECK(client.end_reason() == "tlsv13 alert certificate required");
  }

  TEST_CASE("clients: an authority between is trust enough") {
    const TlsFiles files;
    const pkc::test::Authority root("root");
    const pkc::test::Authority builders("builders", root);
    files.trust(builders.certificate());
    check_client({"by the trusted one", ClientCertificates::required, builders.issue("b"), true},
                 TLS1_3_VERSION,
                 files);
    check_client({"by its issuer", ClientCertificates::required, root.issue("r"), false},
                 TLS1_3_VERSION,
                 files);
  }
}

} // namespace
} // namespace pkc::http::test
