// The client with TLS, and through proxies.
#include "fetch_fixture.hpp"
#include "scripted_origin.hpp"
#include "support/certificates.hpp"
#include "support/temp_dir.hpp"

#include <doctest/doctest.h>

#include <netinet/in.h>
#include <sys/socket.h>

#include <atomic>
#include <chrono>
#include <string>
#include <string_view>
#include <utility>

using pkc::Errc;
using pkc::test::Authority;
using pkc::test::CertificateFacts;
using pkc::test::Collector;
using pkc::test::FetchFixture;
using pkc::test::header_of;
using pkc::test::Identity;
using pkc::test::ok;
using pkc::test::Peer;
using pkc::test::redirect;
using pkc::test::ScriptedOrigin;
using pkc::test::target_of;
using pkc::test::url_of;

namespace {

/// An authority that the client of the fixture trusts.
class TlsFixture : public FetchFixture {
 public:
  TlsFixture() {
    pkc::test::write_text(directory_ / "ca.pem", authority.certificate());
    options.ca_file = directory_ / "ca.pem";
  }
  [[nodiscard]] Identity identity(std::string hosts = "DNS:origin.test") const {
    CertificateFacts facts{.name = "origin"};
    facts.hosts = std::move(hosts);
    return authority.issue(facts);
  }

  Authority authority{"test authority"};

 private:
  pkc::test::TempDir directory_;
};

std::string https(const ScriptedOrigin& origin,
                  std::string_view host = "origin.test",
                  std::string_view target = "/") {
  return url_of(origin.port(), target, host, "https");
}

pkc::UniqueFd connect_to(std::uint16_t port) {
  pkc::UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in name{};
  name.sin_family = AF_INET;
  name.sin_port = htons(port);
  name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int connected = ::connect(socket.get(), reinterpret_cast<sockaddr*>(&name), sizeof(name));
  return connected == 0 ? std::move(socket) : pkc::UniqueFd();
}

/// A proxy that looks names up in its own way: everything is on loopback, at the port that was
/// named.
class TestProxy {
 public:
  explicit TestProxy(std::string authorization = "")
      : authorization_(std::move(authorization)),
        origin_([this](Peer& peer, std::size_t /*number*/) { serve(peer); }) {}

  [[nodiscard]] std::string url(std::string_view credentials = "") const {
    return "http://" + std::string(credentials) + "127.0.0.1:" + std::to_string(origin_.port());
  }
  [[nodiscard]] std::size_t connections() const { return origin_.connections(); }
  [[nodiscard]] std::vector<std::string> heads() { return *heads_.lock(); }

 private:
  void serve(Peer& peer) {
    const std::string head = peer.read_head();
    heads_.lock()->push_back(head);
    if (header_of(head, "Proxy-Authorization") != authorization_) {
      peer.send("HTTP/1.1 407 Who\r\nContent-Length: 0\r\n\r\n");
      return;
    }
    const bool is_tunnel = head.starts_with("CONNECT ");
    const std::string target = target_of(head);
    const auto url = pkc::parse_url(is_tunnel ? "https://" + target : target);
    const pkc::UniqueFd server = url ? connect_to(url->port) : pkc::UniqueFd();
    if (!server) {
      peer.send("HTTP/1.1 502 No\r\nContent-Length: 0\r\n\r\n");
      return;
    }
    if (is_tunnel) {
      peer.send("HTTP/1.1 200 Connection established\r\n\r\n");
    } else {
      const std::string request = "GET " + url->target + head.substr(head.find(" HTTP/1.1\r\n"));
      REQUIRE(::send(server.get(), request.data(), request.size(), MSG_NOSIGNAL) ==
              static_cast<ssize_t>(request.size()));
    }
    peer.relay(server.get());
  }

  std::string authorization_;
  pkc::Guarded<std::vector<std::string>> heads_;
  ScriptedOrigin origin_; ///< last: it uses the rest
};

} // namespace

TEST_SUITE("net::HttpClient TLS") {
  TEST_CASE("fetch: a server with a certificate of the CA file, on one connection") {
    TlsFixture fixture;
    const ScriptedOrigin origin(
        ScriptedOrigin::site([](const std::string&) { return ok("hello"); }), fixture.identity());
    Collector sink;

    CHECK(fixture.get(https(origin), sink));
    CHECK(fixture.get(https(origin), sink));

    CHECK(sink.body == "hellohello");
    CHECK(origin.connections() == 1);
  }

  TEST_CASE("fetch: a server that is known by its address") {
    TlsFixture fixture;
    const ScriptedOrigin origin(
        ScriptedOrigin::site([](const std::string&) { return ok("hello"); }),
        fixture.identity("IP:127.0.0.1"));

    CHECK(fixture.get(https(origin, "127.0.0.1")));
    CHECK(fixture.get(https(origin, "0x7f.1")));
    CHECK_FALSE(fixture.get(https(origin)));
  }

  TEST_CASE("fetch: no certificate that is not valid for the host, now") {
    TlsFixture fixture;
    const Authority stranger("somebody else");
    CertificateFacts expired{.name = "origin", .begins_in = std::chrono::hours(-2)};
    expired.expires_in = std::chrono::hours(-1);
    expired.hosts = "DNS:origin.test";
    CertificateFacts unborn{.name = "origin", .begins_in = std::chrono::hours(1)};
    unborn.hosts = "DNS:origin.test";
    CertificateFacts foreign{.name = "origin"};
    foreign.hosts = "DNS:origin.test";
    const std::pair<std::string_view, Identity> rows[] = {
        {"hostname mismatch", fixture.identity("DNS:other.test")},
        {"hostname mismatch", fixture.identity("IP:127.0.0.1")},
        {"expired", fixture.authority.issue(expired)},
        {"not yet valid", fixture.authority.issue(unborn)},
        {"issuer", stranger.issue(foreign)}};
    for (const auto& [why, identity] : rows) {
      CAPTURE(why);
      std::atomic<int> requests = 0;
      const ScriptedOrigin origin(ScriptedOrigin::site([&](const std::string&) {
                                    ++requests;
                                    return ok("hello");
                                  }),
                                  identity);

      const auto answer = fixture.get(https(origin));

      REQUIRE_FALSE(answer);
      CHECK(answer.error().code == Errc::unavailable);
      CAPTURE(answer.error().message);
      CHECK(answer.error().message.find(why) != std::string::npos);
      CHECK(requests == 0);
    }
  }

  TEST_CASE("fetch: without the CA file nobody signs for it") {
    const TlsFixture trusting;
    const ScriptedOrigin origin(
        ScriptedOrigin::site([](const std::string&) { return ok("hello"); }), trusting.identity());
    FetchFixture fixture;

    const auto answer = fixture.get(https(origin));

    REQUIRE_FALSE(answer);
    CHECK(answer.error().code == Errc::unavailable);
  }

  TEST_CASE("fetch: a server that speaks in clear, or breaks off the handshake") {
    TlsFixture fixture;
    const ScriptedOrigin clear([](Peer& peer, std::size_t /*number*/) { peer.send(ok("hello")); });
    const ScriptedOrigin gone([](Peer& peer, std::size_t /*number*/) { peer.cut(); });

    for (const ScriptedOrigin* origin : {&clear, &gone}) {
      const auto answer = fixture.get(https(*origin));
      REQUIRE_FALSE(answer);
      CHECK(answer.error().code == Errc::unavailable);
    }
  }

  TEST_CASE("fetch: a body until the end is whole only when TLS says so") {
    TlsFixture fixture;
    for (const bool is_whole : {true, false}) {
      const ScriptedOrigin origin(
          [&](Peer& peer, std::size_t /*number*/) {
            peer.read_head();
            peer.send("HTTP/1.1 200 OK\r\n\r\nhello");
            is_whole ? peer.end() : peer.cut();
          },
          fixture.identity());
      Collector sink;

      const auto answer = fixture.get(https(origin), sink);

      CHECK(answer.has_value() == is_whole);
      CHECK(sink.body == "hello");
    }
  }

  TEST_CASE("fetch: a redirect to http is followed only by those who want it") {
    const ScriptedOrigin clear(
        ScriptedOrigin::site([](const std::string&) { return ok("clear"); }));
    TlsFixture strict;
    TlsFixture lenient;
    lenient.options.downgrade = pkc::net::Downgrade::follow;
    for (TlsFixture* fixture : {&strict, &lenient}) {
      const ScriptedOrigin origin(
          ScriptedOrigin::site([&](const std::string&) { return redirect(url_of(clear.port())); }),
          fixture->identity());

      const auto answer = fixture->get(https(origin));

      CHECK(answer.has_value() == (fixture == &lenient));
      CHECK((answer || answer.error().code == Errc::unauthorized));
    }
    CHECK(clear.connections() == 1);
  }

  TEST_CASE("fetch: a redirect to https is followed") {
    TlsFixture fixture;
    const ScriptedOrigin safe(ScriptedOrigin::site([](const std::string&) { return ok("safe"); }),
                              fixture.identity());
    const ScriptedOrigin clear(
        ScriptedOrigin::site([&](const std::string&) { return redirect(https(safe)); }));
    Collector sink;

    CHECK(fixture.get(url_of(clear.port()), sink));

    CHECK(sink.body == "safe");
  }
}

TEST_SUITE("net::HttpClient proxy") {
  TEST_CASE("fetch: http in absolute-form, with the proxy's credentials for the proxy") {
    TestProxy proxy("Basic dTpw");
    const ScriptedOrigin origin(ScriptedOrigin::site(
        [](const std::string&) { return ok("hello", "Connection: close\r\n"); }));
    FetchFixture fixture;
    fixture.options.proxy.http = proxy.url("u:p@");
    fixture.resolver.set("origin.test", {{}}); // only the proxy knows it
    Collector sink;

    CHECK(fixture.get(url_of(origin.port(), "/a?b"), sink));

    CHECK(sink.body == "hello");
    REQUIRE(proxy.heads().size() == 1);
    CHECK(proxy.heads().front().starts_with("GET " + url_of(origin.port(), "/a?b") +
                                            " HTTP/1.1\r\n"));
  }

  TEST_CASE("fetch: https through a tunnel, where the certificate is still the server's") {
    TestProxy proxy("Basic dTpw");
    TlsFixture fixture;
    std::string asked;
    const ScriptedOrigin origin(ScriptedOrigin::site([&](const std::string& head) {
                                  asked = head;
                                  return ok("hello");
                                }),
                                fixture.identity());
    fixture.options.proxy.https = proxy.url("u:p@");
    fixture.resolver.set("origin.test", {{}});
    fixture.resolver.set("other.test", {{}});
    Collector sink;

    CHECK(fixture.get(https(origin), sink));
    CHECK(fixture.get(https(origin), sink));
    const auto wrong = fixture.get(https(origin, "other.test"));

    CHECK(sink.body == "hellohello");
    REQUIRE(proxy.heads().size() == 2); // the second request went through the first tunnel
    const std::string place = "origin.test:" + std::to_string(origin.port());
    CHECK(proxy.heads().front().starts_with("CONNECT " + place + " HTTP/1.1\r\nHost: " + place));
    CHECK(header_of(asked, "Proxy-Authorization").empty());
    REQUIRE_FALSE(wrong);
    CHECK(wrong.error().message.find("hostname mismatch") != std::string::npos);
  }

  TEST_CASE("fetch: a proxy that refuses is not an answer") {
    TestProxy proxy("Basic dTpw");
    FetchFixture fixture;
    fixture.options.proxy.http = proxy.url();
    fixture.options.proxy.https = proxy.url();
    for (const std::string_view url : {"http://origin.test/", "https://origin.test/"}) {
      Collector sink;

      const auto answer = fixture.get(std::string(url), sink);

      REQUIRE_FALSE(answer);
      CHECK(answer.error().code == Errc::unavailable);
      CHECK(sink.heads.empty());
    }
  }

  TEST_CASE("fetch: a proxy that gives no tunnel, and one that speaks for the server") {
    FetchFixture fixture;
    const ScriptedOrigin proxy([](Peer& peer, std::size_t number) {
      peer.read_head();
      peer.send(number == 0 ? "HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n"
                            : "HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\n");
      peer.wait_for_close();
    });
    fixture.options.proxy.https = "127.0.0.1:" + std::to_string(proxy.port());
    for (int i = 0; i < 2; ++i) {
      const auto answer = fixture.get("https://origin.test/");
      REQUIRE_FALSE(answer);
      CHECK(answer.error().code == Errc::unavailable);
    }
    CHECK(proxy.connections() == 2);
  }

  TEST_CASE("fetch: the rules hold for what is asked of a proxy, which is itself exempt") {
    TestProxy proxy;
    const ScriptedOrigin origin(
        ScriptedOrigin::site([](const std::string&) { return ok("hello"); }));
    FetchFixture fixture;
    fixture.allow({}, {"denied.test"});
    fixture.options.proxy.http = proxy.url();
    fixture.options.proxy.https = proxy.url();
    fixture.resolver.set("inside.test", {{"8.8.8.8", "10.0.0.1"}});
    fixture.resolver.set("unknown.test", {{}});
    for (const std::string_view url : {"http://inside.test/",
                                       "https://inside.test/",
                                       "http://denied.test/",
                                       "http://10.0.0.1/",
                                       "https://0xa.1/",
                                       "http://169.254.169.254/"}) {
      CAPTURE(url);
      const auto answer = fixture.get(std::string(url));
      REQUIRE_FALSE(answer);
      CHECK(answer.error().code == Errc::unauthorized);
    }
    CHECK(proxy.connections() == 0);

    CHECK(fixture.get(url_of(origin.port(), "/", "unknown.test")));
    CHECK(proxy.connections() == 1);
  }

  TEST_CASE("fetch: hosts of no_proxy are asked directly") {
    TestProxy proxy;
    const ScriptedOrigin origin(
        ScriptedOrigin::site([](const std::string&) { return ok("hello"); }));
    FetchFixture fixture;
    fixture.options.proxy = {.http = proxy.url(), .https = "", .none = "origin.test"};

    CHECK(fixture.get(url_of(origin.port())));

    CHECK(proxy.connections() == 0);
  }
}
