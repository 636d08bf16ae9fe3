// Sessions that are resumed, and certificates that change while the server runs.
#include "unit/http/loopback.hpp"
#include "unit/http/tls_client.hpp"
#include "unit/http/tls_loopback.hpp"

#include "pkc/http/server.hpp"

#include <doctest/doctest.h>
#include <openssl/ssl.h>

#include <string>

namespace pkc::http::test {
namespace {

/// A session that the server has given to a client.
SavedSession make_session(const TlsLoopback& server, TlsClientOptions options) {
  TlsClient client = server.client(std::move(options));
  REQUIRE(client.request(kGet).status == 200); // a ticket of TLS 1.3 comes before the answer
  REQUIRE_FALSE(client.resumed());
  return client.session();
}

bool resumes(const TlsLoopback& server, TlsClientOptions options, const SavedSession& session) {
  options.session = session;
  TlsClient client = server.client(std::move(options));
  CHECK(client.request(kGet).body == "hello");
  return client.resumed();
}

TEST_SUITE("http::Server TLS sessions") {
  TEST_CASE("resumption: a ticket spares the full handshake, in 1.2 and 1.3") {
    const TlsLoopback server(hello_router());
    for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
      CAPTURE(version);
      const SavedSession session = make_session(server, {.version = version});

      CHECK(resumes(server, {.version = version}, session));
    }
  }

  TEST_CASE("resumption: a ticket of another server is worth nothing") {
    const TlsLoopback one(hello_router());
    const TlsLoopback other(hello_router());
    for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
      CAPTURE(version);
      const SavedSession session = make_session(one, {.version = version});

      TlsClient client(other.port(), {.version = version, .session = session});

      CHECK(client.request(kGet).body == "hello");
      CHECK_FALSE(client.resumed());
    }
  }

  TEST_CASE("resumption: goes on after a reload, and with client certificates") {
    TlsFiles files;
    const pkc::test::Authority clients("clients");
    files.trust(clients.certificate());
    ServerOptions options;
    options.tls = files.options(true);
    const TlsLoopback server(hello_router(), options);
    for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
      CAPTURE(version);
      const TlsClientOptions as_builder{.version = version, .identity = clients.issue("builder")};
      const SavedSession session = [&] {
        TlsClient client(server.port(), as_builder);
        REQUIRE(client.request(kGet).status == 200);
        return client.session();
      }();
      files.use(files.authority().issue("next"));
      REQUIRE(server->reload_tls());

      TlsClientOptions again = as_builder;
      again.session = session;
      TlsClient client(server.port(), again);

      CHECK(client.request(kGet).status == 200);
      CHECK(client.resumed());
    }
  }

  TEST_CASE("resumption: ends when the trust in clients changes") {
    TlsFiles files;
    const pkc::test::Authority before("before");
    const pkc::test::Authority after("after");
    for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
      CAPTURE(version);
      files.trust(before.certificate());
      ServerOptions options;
      options.tls = files.options(true);
      const TlsLoopback server(hello_router(), options);
      TlsClientOptions as_builder{.version = version, .identity = before.issue("builder")};
      TlsClient client(server.port(), as_builder);
      REQUIRE(client.request(kGet).status == 200);
      files.trust(after.certificate());
      REQUIRE(server->reload_tls());

      as_builder.session = client.session();
      TlsClient again(server.port(), as_builder);

      CHECK(again.request(kGet).status == 0); // its certificate was looked at, and is no good now
      CHECK(client.request(kGet).status == 200);
    }
  }
}

TEST_SUITE("http::Server TLS reload") {
  TEST_CASE("reload: new connections see the new certificate, old ones go on") {
    const TlsLoopback server(hello_router());
    TlsClient before = server.client();
    REQUIRE(before.server_name() == "CN = first");
    server.files().use(server.files().authority().issue("second"));

    const auto state = server->reload_tls();

    REQUIRE(state);
    CHECK(state->subject == "CN = second");
    CHECK(server->tls()->subject == "CN = second");
    CHECK(server.client().server_name() == "CN = second");
    CHECK(before.request(kGet).body == "hello");
  }

  TEST_CASE("reload: files of no use are an error, and everything stays as it was") {
    const TlsLoopback server(hello_router());
    const auto& files = server.files();
    const auto next = files.authority().issue("next");
    pkc::test::write_text(files.path("certificate"), next.certificate);

    const auto state = server->reload_tls(); // the key is still the old one

    REQUIRE_FALSE(state);
    CHECK(state.error().code == Errc::invalid_argument);
    CHECK(state.error().message.find("does not belong") != std::string::npos);
    CHECK(server->tls()->subject == "CN = first");
    CHECK(server.client().server_name() == "CN = first");
    pkc::test::write_text(files.path("key"), next.key);
    REQUIRE(server->reload_tls());
    CHECK(server.client().server_name() == "CN = next");
  }

  TEST_CASE("reload: while clients come and go") {
    const TlsLoopback server(hello_router());
    const std::jthread clients([&](const std::stop_token& stop) {
      while (!stop.stop_requested()) {
        CHECK(server.client().request(kGet).body == "hello");
      }
    });
    for (int round = 0; round < 30; ++round) {
      server.files().use(server.files().authority().issue("round"));

      CHECK(server->reload_tls());
    }
  }

  TEST_CASE("reload: a server in clear has nothing to reload") {
    const Loopback server(hello_router());

    CHECK_FALSE(server->tls());
    CHECK(server->reload_tls().error().code == Errc::invalid_argument);
  }
}

} // namespace
} // namespace pkc::http::test
