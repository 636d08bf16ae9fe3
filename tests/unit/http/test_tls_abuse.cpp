// Clients that do with TLS what they should not.
#include "unit/http/loopback.hpp"
#include "unit/http/tls_client.hpp"
#include "unit/http/tls_loopback.hpp"

#include "pkc/http/server.hpp"

#include <doctest/doctest.h>
#include <openssl/ssl.h>

#include <cstdint>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace pkc::http::test {
namespace {

std::string random_bytes(std::mt19937& random, std::size_t size) {
  std::string bytes(size, '\0');
  for (char& byte : bytes) {
    byte = static_cast<char>(random());
  }
  return bytes;
}

/// Bytes that are no handshake, some of them nearly so.
std::string near_handshake(std::mt19937& random) {
  static const std::string kHello = client_hello();
  const auto size = random() % 2000;
  switch (random() % 5) {
    case 0: {
      std::string bytes = random_bytes(random, 1 + size);
      bytes.front() = static_cast<char>(random() % 0x40); // no letter, or it is taken for HTTP
      return bytes;
    }
    case 1: // a record of random bytes
      return std::string("\x16\x03\x01", 3) + static_cast<char>(size >> 8U) +
             static_cast<char>(size) + random_bytes(random, size);
    case 2: { // a good hello with some bad bytes
      std::string bytes = kHello;
      for (int flips = 0; flips < 3; ++flips) {
        bytes[random() % bytes.size()] ^= static_cast<char>(1U << random() % 8);
      }
      return bytes;
    }
    case 3: // a good one, then nonsense instead of the second flight
      return kHello + random_bytes(random, size);
    default: // a part of a good one
      return kHello.substr(0, random() % kHello.size());
  }
}

TEST_SUITE("http::Server TLS abuse") {
  TEST_CASE("stalled handshakes: hold no worker, and end at the deadline") {
    ServerOptions options;
    options.workers_min = 1;
    options.workers_max = 2;
    options.head_timeout = 2'000ms;
    const TlsLoopback server(hello_router(), options);
    const std::string half = client_hello().substr(0, 100);
    std::vector<Client> stalled;
    for (int i = 0; i < 200; ++i) {
      stalled.push_back(server.plain_client());
      REQUIRE(stalled.back().send(half.substr(0, static_cast<std::size_t>(i) % half.size())));
    }
    REQUIRE(eventually([&] { return server->load().connections == 200; }));

    CHECK(server.client().request(kGet).body == "hello");

    CHECK(server->load().workers <= 2);
    CHECK(server->load().connections >= 200); // so the client above was served beside them
    for (Client& client : stalled) {
      CHECK(client.read_to_end() != Client::End::open);
      CHECK(client.unread().empty());
    }
    CHECK(eventually([&] { return server->load().connections == 0; }));
  }

  TEST_CASE("dripped handshake: a byte now and then does not move the deadline") {
    ServerOptions options;
    options.head_timeout = 300ms;
    const TlsLoopback server(hello_router(), options);
    const std::string hello = client_hello();
    const SteadyTime begin = system_clock().steady_now(); // no later than the server's
    Client client = server.plain_client();
    bool ended = false;

    for (std::size_t i = 0; i < hello.size() - 1 && !ended; ++i) {
      client.send(hello.substr(i, 1));
      ended = client.readable(10ms); // nothing is to be read but the end
    }

    CHECK(ended);
    CHECK(client.read_to_end() != Client::End::open);
    CHECK(system_clock().steady_now() - begin >= 300ms);
  }

  TEST_CASE("handshakes that are left: cost no connection") {
    const TlsLoopback server(hello_router());
    const std::string hello = client_hello();
    for (std::size_t i = 0; i < 100; ++i) {
      Client client = server.plain_client();
      client.send(hello.substr(0, hello.size() * i / 50));
      if (i % 2 == 0) {
        client.reset_on_close();
      }
    }

    CHECK(eventually([&] { return server->load().connections == 0; }));
    CHECK(server.client().request(kGet).body == "hello");
  }

  TEST_CASE("random bytes: end the connection and nothing else") {
    std::mt19937 random(20'261'121);
    ServerOptions options;
    options.head_timeout = 500ms;
    const TlsLoopback server(hello_router(), options);
    std::vector<Client> clients;
    for (int round = 0; round < 400; ++round) {
      clients.push_back(server.plain_client());
      clients.back().send(near_handshake(random));
      if (round % 100 == 0) {
        REQUIRE(server.client().request(kGet).body == "hello");
      }
    }

    for (Client& client : clients) {
      REQUIRE(client.read_to_end() != Client::End::open);
    }
    clients.clear();
    CHECK(eventually([&] { return server->load().connections == 0; }));
    CHECK(server.client().request(kGet).body == "hello");
  }

  TEST_CASE("random bytes: behind a good handshake they end the connection too") {
    std::mt19937 random(1);
    const TlsLoopback server(hello_router());
    for (int round = 0; round < 50; ++round) {
      TlsClient client =
          server.client({.version = round % 2 == 0 ? TLS1_2_VERSION : TLS1_3_VERSION});
      REQUIRE(client.request(kGet).body == "hello");

      client.send_raw(std::string("\x17\x03\x03\x01\x00", 5) + random_bytes(random, 256));

      CHECK(client.read_to_end() != TlsClient::End::open);
    }
    CHECK(eventually([&] { return server->load().connections == 0; }));
  }

  TEST_CASE("many at once: handshakes, requests and broken ends from several threads") {
    ServerOptions options;
    options.connections_max = 64;
    const TlsLoopback server(hello_router(), options);
    std::vector<std::jthread> threads;
    for (unsigned thread = 0; thread < 6; ++thread) {
      threads.emplace_back([&server, thread] {
        std::mt19937 random(thread);
        for (int round = 0; round < 20; ++round) {
          if (random() % 3 == 0) {
            Client raw = server.plain_client();
            raw.send(near_handshake(random));
            continue;
          }
          TlsClient client = server.client();
          if (random() % 2 == 0) {
            client.send(kGet.substr(0, random() % kGet.size()));
          } else {
            CHECK(client.request(kGet).body == "hello");
          }
        }
      });
    }
    threads.clear();

    CHECK(server->stop(20s));
  }

  TEST_CASE("stop: does not wait for handshakes that stall") {
    const TlsLoopback server(hello_router());
    Client stalled = server.plain_client();
    REQUIRE(stalled.send(client_hello().substr(0, 50)));
    REQUIRE(eventually([&] { return server->load().connections == 1; }));
    const SteadyTime begin = system_clock().steady_now();

    CHECK(server->stop(20s));

    CHECK(system_clock().steady_now() - begin < 8s); // far less than head_timeout
  }
}

} // namespace
} // namespace pkc::http::test
