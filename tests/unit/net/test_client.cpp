// The client against servers of ours, and against peers that misbehave.
#include "support/certificates.hpp"
#include "support/temp_dir.hpp"

#include "pkc/base/unique_handle.hpp"
#include "pkc/http/server.hpp"
#include "pkc/net/client.hpp"

#include <doctest/doctest.h>

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

using pkc::Errc;
using pkc::UniqueFd;
using pkc::http::Server;
using pkc::http::ServerOptions;
using pkc::net::address_of_listener;
using pkc::net::get;
using pkc::net::Origin;
using pkc::net::PeerCertificate;
using pkc::net::Scheme;
using pkc::net::shake_hands;

namespace {

constexpr std::size_t kBigSize = 100'000;

std::unique_ptr<Server> start(ServerOptions options = {}) {
  pkc::http::Router router;
  const auto answer = [](int status, const std::string& body) {
    return [status, body](pkc::http::Request& /*request*/) {
      auto response = pkc::http::make_response(status);
      response.body = body;
      return response;
    };
  };
  router.add(
      {pkc::http::Method::get, "/here", pkc::http::RouteAccess::open(), answer(200, "it is here")});
  router.add({pkc::http::Method::delete_,
              "/echo",
              pkc::http::RouteAccess::open(),
              [](pkc::http::Request& request) {
                auto response = pkc::http::make_response(200);
                response.body = request.method_name + " " + request.query + " " +
                                std::string(request.headers.get("Authorization").value_or(""));
                return response;
              }});
  router.add({pkc::http::Method::get, "/ill", pkc::http::RouteAccess::open(), answer(503, "ill")});
  router.add({pkc::http::Method::get,
              "/big",
              pkc::http::RouteAccess::open(),
              answer(200, std::string(kBigSize, 'x'))});
  router.add({pkc::http::Method::get,
              "/moved",
              pkc::http::RouteAccess::open(),
              [](pkc::http::Request& /*request*/) {
                auto response = pkc::http::make_response(302);
                response.headers.add("Location", "/here");
                return response;
              }});
  options.port = 0;
  return Server::start(std::move(options), std::move(router), {}).value();
}

Origin origin_of(const Server& server, Scheme scheme = Scheme::http) {
  return {.scheme = scheme,
          .host = "127.0.0.1",
          .port = server.port(),
          .certificate = PeerCertificate::any};
}

/// Certificate files of an authority that no machine trusts.
class TlsFiles {
 public:
  TlsFiles() {
    const auto identity = authority_.issue("server");
    pkc::test::write_text(directory_ / "certificate", identity.certificate);
    pkc::test::write_text(directory_ / "key", identity.key);
    pkc::test::write_text(directory_ / "clients", authority_.certificate());
  }
  enum class Clients {
    anonymous,
    certified
  };
  [[nodiscard]] ServerOptions options(Clients clients) const {
    ServerOptions result;
    result.tls = pkc::http::TlsOptions{
        .certificate_file = directory_ / "certificate",
        .key_file = directory_ / "key",
        .client_ca_file = clients == Clients::certified ? directory_ / "clients" : "",
        .client_certificates = pkc::http::ClientCertificates::required};
    return result;
  }

 private:
  pkc::test::TempDir directory_;
  pkc::test::Authority authority_{"test authority"};
};

/// A loopback socket in the kernel's hands: connections are made, and nobody answers them.
class SilentPeer {
 public:
  SilentPeer() : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (!socket_) {
      throw std::runtime_error("no socket"); // the analysis does not see that REQUIRE ends a test
    }
    socklen_t size = sizeof(address);
    auto* const name = reinterpret_cast<sockaddr*>(&address);
    REQUIRE(::bind(socket_.get(), name, size) == 0);
    REQUIRE(::getsockname(socket_.get(), name, &size) == 0);
    port_ = ntohs(address.sin_port);
  }
  void listen() const { REQUIRE(::listen(socket_.get(), 5) == 0); }
  [[nodiscard]] UniqueFd accept() const {
    return UniqueFd(::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  }
  [[nodiscard]] Origin origin(Scheme scheme = Scheme::http) const {
    return {
        .scheme = scheme, .host = "127.0.0.1", .port = port_, .certificate = PeerCertificate::any};
  }

 private:
  UniqueFd socket_;
  std::uint16_t port_ = 0;
};

constexpr pkc::net::Limits kImpatient{.timeout = std::chrono::milliseconds(50),
                                      .body_size_max = 1000};
constexpr int kDropMs = 5;

} // namespace

TEST_SUITE("net::client") {
  TEST_CASE("get: whatever is answered, with its body") {
    const auto server = start();

    const auto here = get(origin_of(*server), "/here", {});
    const auto ill = get(origin_of(*server), "/ill", {});
    const auto moved = get(origin_of(*server), "/moved", {});

    REQUIRE(here);
    CHECK(here->status == 200);
    CHECK(here->body == "it is here");
    REQUIRE(ill);
    CHECK(ill->status == 503);
    CHECK(ill->body == "ill");
    REQUIRE(moved);
    CHECK(moved->status == 302); // not followed
  }

  TEST_CASE("get: through a Unix socket") {
    const pkc::test::TempDir directory;
    ServerOptions options;
    options.bind = "unix:" + (directory / "http.sock");
    const auto server = start(options);

    const auto answer = get({.host = options.bind}, "/here", {});

    REQUIRE(answer);
    CHECK(answer->body == "it is here");
  }

  TEST_CASE("get: through TLS, with a certificate of no authority only where that may be") {
    const TlsFiles files;
    const auto server = start(files.options(TlsFiles::Clients::anonymous));
    Origin origin = origin_of(*server, Scheme::https);

    const auto any = get(origin, "/here", {});
    origin.certificate = PeerCertificate::valid;
    const auto valid = get(origin, "/here", {});

    REQUIRE(any);
    CHECK(any->body == "it is here");
    REQUIRE_FALSE(valid);
    CHECK(valid.error().code == Errc::unavailable);
  }

  TEST_CASE("get: through TLS and a Unix socket") {
    const pkc::test::TempDir directory;
    const TlsFiles files;
    ServerOptions options = files.options(TlsFiles::Clients::anonymous);
    options.bind = "unix:" + (directory / "http.sock");
    const auto server = start(options);

    const auto answer =
        get({.scheme = Scheme::https, .host = options.bind, .certificate = PeerCertificate::any},
            "/here",
            {});

    REQUIRE(answer);
    CHECK(answer->body == "it is here");
  }

  TEST_CASE("get: nobody listens") {
    const SilentPeer peer;

    const auto answer = get(peer.origin(), "/here", {});

    REQUIRE_FALSE(answer);
    CHECK(answer.error().code == Errc::unavailable);
    CHECK(answer.error().message.starts_with(peer.origin().text()));
  }

  TEST_CASE("get: a peer that never answers is given up") {
    const SilentPeer peer;
    peer.listen();

    CHECK_FALSE(get(peer.origin(), "/here", kImpatient));
    CHECK_FALSE(get(peer.origin(Scheme::https), "/here", kImpatient));
  }

  TEST_CASE("get: a peer that answers by drops is given up, though none of them is late") {
    const SilentPeer peer;
    peer.listen();
    const std::jthread thread([&peer] {
      const UniqueFd client = peer.accept();
      std::array<char, 1000> request{};
      REQUIRE(::read(client.get(), request.data(), request.size()) > 0);
      constexpr std::string_view kHead = "HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n";
      REQUIRE(::write(client.get(), kHead.data(), kHead.size()) > 0);
      pollfd entry{client.get(), POLLIN, 0}; // readable when the client has closed
      int drops = 200;
      while (--drops >= 0 && ::poll(&entry, 1, kDropMs) == 0 &&
             ::send(client.get(), "x", 1, MSG_NOSIGNAL) == 1) {
      }
    });

    CHECK_FALSE(get(peer.origin(), "/here", kImpatient));
  }

  TEST_CASE("get: a peer that breaks off is no answer") {
    const SilentPeer peer;
    peer.listen();
    const std::jthread thread([&peer] {
      const UniqueFd client = peer.accept();
      std::array<char, 1000> request{};
      REQUIRE(::read(client.get(), request.data(), request.size()) > 0);
      constexpr std::string_view kHalf = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf";
      REQUIRE(::write(client.get(), kHalf.data(), kHalf.size()) > 0);
    });

    CHECK_FALSE(get(peer.origin(), "/here", {}));
  }

  TEST_CASE("get: a body over the limit is refused") {
    const auto server = start();

    pkc::net::Limits limits;
    limits.body_size_max = kBigSize;
    const auto fitting = get(origin_of(*server), "/big", limits);
    limits.body_size_max = kBigSize - 1;
    const auto too_big = get(origin_of(*server), "/big", limits);

    REQUIRE(fitting);
    CHECK(fitting->body.size() == kBigSize);
    CHECK_FALSE(too_big);
  }

  TEST_CASE("shake_hands: also with a server that demands a certificate") {
    const TlsFiles files;
    for (const auto clients : {TlsFiles::Clients::anonymous, TlsFiles::Clients::certified}) {
      const auto server = start(files.options(clients));
      CHECK(shake_hands(origin_of(*server, Scheme::https), {}));
      CHECK(get(origin_of(*server, Scheme::https), "/here", {}).has_value() ==
            (clients == TlsFiles::Clients::anonymous));
    }
  }

  TEST_CASE("exchange: method, target and token arrive as they are") {
    const auto server = start();

    const auto answer =
        pkc::net::exchange(origin_of(*server),
                           {.method = "DELETE", .target = "/echo?a=%26&b=c", .token = "secret"},
                           {});

    REQUIRE(answer);
    CHECK(answer->status == 200);
    CHECK(answer->body == "DELETE a=%26&b=c Bearer secret");
  }

  TEST_CASE("parse_origin: whatever a URL of a server may look like") {
    const std::pair<std::string, std::string> rows[] = {
        {"http://cache.example", "http://cache.example:80"},
        {"http://cache.example/", "http://cache.example:80"},
        {"https://cache.example", "https://cache.example:443"},
        {"https://[::1]:8443", "https://[::1]:8443"},
        {"https://[::1]", "https://[::1]:443"},
        {"http://127.0.0.1:65535", "http://127.0.0.1:65535"},
        {"unix:/run/http.sock", "unix:/run/http.sock"}};
    for (const auto& [url, text] : rows) {
      CAPTURE(url);
      const auto origin = pkc::net::parse_origin(url);
      REQUIRE(origin);
      CHECK(origin->text() == text);
      CHECK(origin->certificate == PeerCertificate::valid);
    }
  }

  TEST_CASE("parse_origin: anything else is refused") {
    for (const std::string_view url : {"",
                                       "cache.example",
                                       "ftp://cache.example",
                                       "http://",
                                       "http://:80",
                                       "http://a:0",
                                       "http://a:65536",
                                       "http://a:80x",
                                       "http://a:",
                                       "http://a/path",
                                       "http://user@a",
                                       "http://a b",
                                       "http://[::1",
                                       "http://[]",
                                       "unix:",
                                       "unix:relative"}) {
      CAPTURE(url);
      const auto origin = pkc::net::parse_origin(url);
      REQUIRE_FALSE(origin);
      CHECK(origin.error().code == Errc::invalid_argument);
    }
  }

  TEST_CASE("shake_hands: not with a server that speaks in clear, nor with one that is silent") {
    const auto server = start();
    const SilentPeer peer;
    peer.listen();

    CHECK_FALSE(shake_hands(origin_of(*server, Scheme::https), {}));
    CHECK_FALSE(shake_hands(peer.origin(Scheme::https), kImpatient));
  }

  TEST_CASE("text: as a URL, or the socket") {
    CHECK(Origin{.host = "cache.example", .port = 80}.text() == "http://cache.example:80");
    CHECK(Origin{.scheme = Scheme::https, .host = "::1", .port = 8443}.text() ==
          "https://[::1]:8443");
    CHECK(Origin{.host = "unix:/run/http.sock"}.text() == "unix:/run/http.sock");
  }

  TEST_CASE("address_of_listener: what stands for all addresses is reached by loopback") {
    const std::pair<std::string, std::string> rows[] = {{"0.0.0.0", "127.0.0.1"},
                                                        {"0", "127.0.0.1"},
                                                        {"::", "::1"},
                                                        {"[::]", "::1"},
                                                        {"0::0", "::1"},
                                                        {"[::1]", "::1"},
                                                        {"127.0.0.1", "127.0.0.1"},
                                                        {"10.0.0.1", "10.0.0.1"},
                                                        {"localhost", "localhost"},
                                                        {"unix:/a/b", "unix:/a/b"}};
    for (const auto& [bind, address] : rows) {
      CAPTURE(bind);
      CHECK(address_of_listener(bind) == address);
    }
  }
}
