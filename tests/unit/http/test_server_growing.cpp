// Bodies that grow while they are sent, over real loopback sockets.
#include "unit/http/loopback.hpp"
#include "unit/http/tls_loopback.hpp"
#include "unit/http/waiting_fixture.hpp"

#include "pkc/http/server.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <initializer_list>
#include <optional>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

namespace pkc::http::test {
namespace {

constexpr std::size_t kSize = 300'000;

/// Lets the source grow in steps, the next when the answer has waited for it.
bool grow_in_steps(GrowingSource& source, std::initializer_list<ByteCount> sizes) {
  return std::ranges::all_of(sizes, [&](ByteCount size) {
    const bool waits = eventually([&] { return source.waiting() == 1; });
    source.grow_to(size);
    return waits;
  });
}

TEST_SUITE("http::Server growing bodies") {
  TEST_CASE("HTTP/1.1: arrive while they grow, and the connection goes on") {
    for (const std::string path : {"/known", "/unknown"}) {
      CAPTURE(path);
      const Growing body(kSize);
      const Loopback server(body.router());
      Client client = server.client();
      REQUIRE(client.send(get(path) + std::string(kGet)));
      const std::jthread growing([&] {
        CHECK(grow_in_steps(*body.operator->(), {1, 5, 20'000, 20'001, 150'000, kSize}));
        body->end();
      });

      const Answer answer = client.read();
      CHECK(answer.body == body.text());
      CHECK(answer.has("Content-Length: 300000\r\n") == (path == "/known"));
      CHECK_FALSE(answer.has("Connection: close"));
      CHECK(client.read().body == "hello");
      CHECK(client.request(get("/known")).body == body.text());
    }
  }

  TEST_CASE("at once: the head comes before the first byte, and each byte before the next") {
    for (const std::string path : {"/known", "/unknown"}) {
      CAPTURE(path);
      const Growing body(10);
      const Loopback server(body.router());
      Client client = server.client();
      REQUIRE(client.send(get(path)));
      REQUIRE(client.read(false).status == 200);
      for (ByteCount size = 1; size <= 10; ++size) {
        REQUIRE(client.unread().empty());
        body->grow_to(size);
        const std::string piece = path == "/known"
                                      ? body.text().substr(size - 1, 1)
                                      : "1\r\n" + body.text().substr(size - 1, 1) + "\r\n";
        CHECK(client.take_exactly(piece.size()) == piece);
      }
      body->end();
      CHECK(client.take_exactly(path == "/known" ? 0 : 5) == (path == "/known" ? "" : "0\r\n\r\n"));
    }
  }

  TEST_CASE("HTTP/1.0: with a length as ever, without one until the close") {
    const Growing body(kSize);
    const Loopback server(body.router());
    Client sized = server.client();
    Client unsized = server.client();
    REQUIRE(sized.send(get("/known", "1.0")));
    REQUIRE(unsized.send(get("/unknown", "1.0\r\nConnection: keep-alive")));
    REQUIRE(eventually([&] { return body->waiting() == 2; }));

    body->grow_to(kSize);
    body->end();

    CHECK(sized.read().body == body.text());
    const Answer head = unsized.read(false);
    CHECK(head.has("\r\nConnection: close\r\n"));
    CHECK_FALSE(head.has("Transfer-Encoding"));
    CHECK_FALSE(head.has("Content-Length"));
    CHECK(unsized.read_to_end() == Client::End::closed);
    CHECK(unsized.unread() == body.text());
  }

  TEST_CASE("empty: one that ends with nothing is an empty body") {
    const Growing body(kSize);
    body->end();
    const Loopback server(body.router());
    Client client = server.client();

    CHECK(client.request(get("/unknown")).body.empty());
    CHECK(client.request(kGet).body == "hello");
  }

  TEST_CASE("broken: is reset, and never a clean end of a short body") {
    for (const std::string version : {"1.1", "1.0"}) {
      for (const std::string path : {"/known", "/unknown"}) {
        CAPTURE(version);
        CAPTURE(path);
        const Growing body(kSize);
        Records records;
        const Loopback server(body.router(), {}, records.log());
        Client client = server.client();
        REQUIRE(client.send(get(path, version)));
        CHECK(grow_in_steps(*body.operator->(), {100'000}));
        REQUIRE(eventually([&] { return body->waiting() == 1; }));

        body->fail_now();

        CHECK(client.read_to_end() == Client::End::reset);
        const auto record = records.only();
        REQUIRE(record);
        CHECK(record->aborted);
        CHECK(record->status == 200);
        CHECK(record->bytes_sent == 100'000);
        CHECK(record->failure == "as scripted");
        CHECK(eventually([&] { return body.holders() == 0; }));
      }
    }
  }

  TEST_CASE("short: a source that ends before the announced length is reset") {
    const Growing body(kSize);
    body->grow_to(kSize - 1);
    body->end();
    const Loopback server(body.router());
    Client client = server.client();
    REQUIRE(client.send(get("/known")));

    CHECK(client.read_to_end() == Client::End::reset);
  }

  TEST_CASE("HEAD: has the fields of the body and asks for nothing of it") {
    const Growing body(kSize);
    const Loopback server(body.router());
    Client client = server.client();

    CHECK(client.request("HEAD /known HTTP/1.1\r\nHost: x\r\n\r\n", false)
              .has("\r\nContent-Length: 300000\r\n"));
    CHECK(client.request("HEAD /unknown HTTP/1.1\r\nHost: x\r\n\r\n", false)
              .has("\r\nTransfer-Encoding: chunked\r\n"));
    CHECK(client.request(kGet).body == "hello");
    CHECK(body->asked() == 0);
  }

  TEST_CASE("range: begins at its offset, ends with its length, and may be empty") {
    const Growing body(kSize);
    Router router;
    for (const auto& [path, offset, length] : {std::tuple("/middle", 1'000U, 150'000U),
                                               std::tuple("/one", 7U, 1U),
                                               std::tuple("/none", 7U, 0U)}) {
      router.add({Method::get, path, RouteAccess::open(), [&, offset, length](Request&) {
                    return body.answer(length, offset);
                  }});
    }
    const Loopback server(std::move(router));
    Client client = server.client();
    REQUIRE(client.send(get("/middle")));
    CHECK(grow_in_steps(*body.operator->(), {500, 1'000, 1'001, kSize}));

    CHECK(client.read().body == body.text().substr(1'000, 150'000));
    CHECK(client.request(get("/one")).body == body.text().substr(7, 1));
    CHECK(client.request(get("/none")).status == 200);
    CHECK(client.request(get("/one")).body == body.text().substr(7, 1));
  }

  TEST_CASE("TLS: the same, and an error is seen as one") {
    const Growing body(kSize);
    const TlsLoopback server(body.router());
    TlsClient known = server.client();
    TlsClient unknown = server.client();
    REQUIRE(known.send(get("/known") + std::string(kGet)));
    REQUIRE(unknown.send(get("/unknown") + std::string(kGet)));
    REQUIRE(eventually([&] { return body->waiting() == 2; }));
    body->grow_to(100'000);
    REQUIRE(eventually([&] { return body->waiting() == 2; }));
    body->grow_to(kSize);
    REQUIRE(eventually([&] { return body->waiting() == 1; }));
    body->end();

    CHECK(known.read().body == body.text());
    CHECK(known.read().body == "hello");
    CHECK(unknown.read().body == body.text());
    CHECK(unknown.read().body == "hello");

    const Growing other(kSize);
    const TlsLoopback failing(other.router());
    TlsClient client = failing.client();
    REQUIRE(client.send(get("/known")));
    CHECK(grow_in_steps(*other.operator->(), {100'000}));
    REQUIRE(eventually([&] { return other->waiting() == 1; }));
    other->fail_now();
    CHECK(client.read_to_end() == TlsClient::End::reset);
  }

  TEST_CASE("leaves: a client that is reset gives the source back at once, a closed one in time") {
    for (const bool reset : {true, false}) {
      CAPTURE(reset);
      const Growing body(kSize);
      Records records;
      const Loopback server(body.router(), {}, records.log());
      std::optional<Client> client(server.client());
      REQUIRE(client->send(get("/known")));
      REQUIRE(eventually([&] { return body->waiting() == 1; }));
      REQUIRE(client->read(false).status == 200);

      if (reset) {
        client->reset_on_close();
      }
      client.reset();
      ByteCount size = 0;
      CHECK(eventually([&] {
        if (!reset) {
          body->grow_to(std::min<ByteCount>(++size, kSize - 1));
        }
        return body.holders() == 0;
      }));

      const auto record = records.only();
      REQUIRE(record);
      CHECK(record->aborted);
    }
  }

  TEST_CASE("half close: a client that only sends no more gets all of it") {
    const Growing body(kSize);
    const Loopback server(body.router());
    Client client = server.client();
    REQUIRE(client.send(get("/known")));
    client.finish_sending();
    CHECK(grow_in_steps(*body.operator->(), {100'000, kSize}));

    CHECK(client.read().body == body.text());
    CHECK(client.read_to_end() == Client::End::closed);
  }

  TEST_CASE("stop: within the grace they are finished, after it they are reset") {
    const Growing body(kSize);
    for (const bool in_time : {true, false}) {
      CAPTURE(in_time);
      const Loopback server(body.router());
      Client client = server.client();
      REQUIRE(client.send(get("/known")));
      REQUIRE(eventually([&] { return body->waiting() == 1; }));
      if (in_time) {
        Client canary = server.client();
        REQUIRE(canary.request(kGet).status == 200);
        bool clean = false;
        std::jthread stopping([&] { clean = server->stop(kPatience); });
        REQUIRE(canary.read_to_end() == Client::End::closed);
        body->grow_to(1'000);
        REQUIRE(eventually([&] { return body->waiting() == 1; }));
        body->grow_to(kSize);
        CHECK(client.read().body == body.text());
        stopping.join();
        CHECK(clean);
        body->grow_to(1'000);
      } else {
        CHECK_FALSE(server->stop(10ms));
        CHECK(client.read_to_end() != Client::End::open);
        CHECK(client.unread().size() < kSize);
        CHECK(body.holders() == 0);
      }
    }
  }

  TEST_CASE("many: 1,000 follow one growing file with four workers, each in small memory") {
    constexpr std::size_t kClients = 1'000;
    const Growing body(kSize);
    ServerOptions options;
    options.workers_min = 4;
    options.workers_max = 4;
    options.connections_per_client_max = 0;
    const Loopback server(body.router(), options);
    std::vector<Client> clients;
    for (std::size_t i = 0; i < kClients; ++i) {
      clients.push_back(server.client());
      REQUIRE(clients.back().send(get(i % 2 == 0 ? "/known" : "/unknown")));
    }
    for (const ByteCount size : {ByteCount{1}, ByteCount{100'000}, ByteCount{kSize}}) {
      REQUIRE(eventually([&] { return body->waiting() == kClients; }));
      CHECK(server->load().connections_waiting == kClients);
      CHECK(server.client().request(kGet).body == "hello");
      body->grow_to(size);
    }
    REQUIRE(eventually([&] { return body->waiting() == kClients / 2; }));
    body->end();

    std::size_t right = 0;
    for (Client& client : clients) {
      right += client.read().body == body.text() ? 1U : 0U;
    }
    CHECK(right == kClients);
    CHECK(eventually([&] { return server->load().connections_waiting == 0; }));
  }
}

} // namespace
} // namespace pkc::http::test
