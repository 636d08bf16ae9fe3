// Bodies in pieces, growing ones and slow readers, over real loopback sockets.
#include "unit/http/loopback.hpp"
#include "unit/http/tls_loopback.hpp"
#include "unit/http/waiting_fixture.hpp"

#include "pkc/http/server.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace pkc::http::test {
namespace {

constexpr std::size_t kSize = 300'000;
/// More than the kernel takes off the server, so that it has to wait for the client.
constexpr std::size_t kLarge = 24 * kMiB;
constexpr std::size_t kSmallBuffer = 16 * kKiB;

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

TEST_SUITE("http::Server bodies in pieces") {
  TEST_CASE("stored: all pieces follow each other without a wait for the source") {
    for (const ByteCount piece : {ByteCount{1'000}, ByteCount{16'384}, ByteCount{131'072}}) {
      CAPTURE(piece);
      const Growing body(3'000'000, piece);
      body->grow_to(3'000'000);
      body->end();
      const Loopback server(body.router());
      Client client = server.client();

      CHECK(client.request(get("/known")).body == body.text());
      CHECK(client.request(get("/unknown")).body == body.text());
      CHECK(body->waits() == 0);
    }
  }

  TEST_CASE("no descriptor: pieces are copied, in clear and by TLS") {
    const Growing body(3'000'000);
    const auto source = std::make_shared<GrowingSource>(
        std::make_shared<UndescribedFile>(body.file()), ByteCount{200'000});
    source->grow_to(3'000'000);
    const auto router = [&] {
      return single(Method::get, "/", [&](Request&) {
        Response response;
        response.body = PiecesBody{.source = source, .offset = 0, .length = 3'000'000};
        return response;
      });
    };
    const Loopback server(router());
    Client client = server.client();
    CHECK(client.request(kGet).body == body.text());
    const TlsLoopback encrypting(router());
    TlsClient other = encrypting.client();
    CHECK(other.request(kGet).body == body.text());
  }

  TEST_CASE("truncated file: a piece that is not there is reset") {
    for (const std::size_t size : {10U, 100'000U}) { // by copy and by sendfile
      CAPTURE(size);
      const Growing body(size);
      body->grow_to(size + 1);
      const Loopback server(
          single(Method::get, "/", [&](Request&) { return body.answer(size + 1); }));
      Client client = server.client();
      REQUIRE(client.send(kGet));

      CHECK(client.read_to_end() == Client::End::reset);
    }
  }
}

/// GET /pieces and /file, each kLarge bytes.
Router large_router(const Growing& body) {
  Router router = body.router();
  router.add({Method::get, "/file", RouteAccess::open(), [&](Request&) {
                Response response;
                response.body = FileBody{body.file(), 0, body.text().size()};
                return response;
              }});
  return router;
}

TEST_SUITE("http::Server slow readers") {
  TEST_CASE("many: those of files and pieces hold no worker, and get all in the end") {
    const Growing body(kLarge, 128 * kKiB);
    body->grow_to(kLarge);
    ServerOptions options;
    options.workers_min = 2;
    options.workers_max = 2;
    const Loopback server(large_router(body), options);
    std::vector<Client> clients;
    for (int i = 0; i < 20; ++i) {
      clients.emplace_back(server.port(), kSmallBuffer);
      REQUIRE(clients.back().send(get(i % 2 == 0 ? "/known" : "/file")));
    }

    CHECK(eventually([&] { return server->load().connections_waiting == 20; }));
    CHECK(server.client().request(kGet).body == "hello");

    for (Client& client : clients) {
      CHECK(client.read().body == body.text());
      CHECK(client.request(kGet).body == "hello");
    }
  }

  TEST_CASE("TLS: one that reads nothing for a while gets all in the end") {
    const Growing body(kLarge, 128 * kKiB);
    body->grow_to(kLarge);
    const TlsLoopback server(large_router(body));
    for (const std::string path : {"/known", "/file"}) {
      CAPTURE(path);
      TlsClient client = server.client({.receive_buffer = kSmallBuffer});
      REQUIRE(client.send(get(path)));
      CHECK(eventually([&] { return server->load().connections_waiting == 1; }));

      CHECK(client.read().body == body.text());
      CHECK(client.request(kGet).body == "hello");
    }
  }

  TEST_CASE("small pieces: those that are sent half when the client stops are not lost") {
    const Growing body(kLarge, 10'000); // each goes out with the line of its chunk, in one send
    body->grow_to(kLarge);
    body->end();
    const Loopback server(body.router());
    Client client(server.port(), kSmallBuffer);
    REQUIRE(client.send(get("/unknown")));
    REQUIRE(eventually([&] { return server->load().connections_waiting == 1; }));

    CHECK(client.read().body == body.text());
  }

  TEST_CASE("stalled: one that takes nothing is reset after the timeout") {
    const Growing body(kLarge, 128 * kKiB);
    body->grow_to(kLarge);
    for (const std::string path : {"/known", "/file"}) {
      CAPTURE(path);
      Records records;
      ServerOptions options;
      options.write_timeout = 100ms;
      const Loopback server(large_router(body), options, records.log());
      Client client(server.port(), kSmallBuffer);
      REQUIRE(client.send(get(path)));

      const auto record = records.only();
      REQUIRE(record);
      CHECK(record->aborted);
      CHECK(record->failure == "the client stalled");
      CHECK(record->bytes_sent > 0);
      CHECK(record->bytes_sent < kLarge);
      CHECK(client.read_to_end() == Client::End::reset);
    }
  }

  TEST_CASE("rate: one below it is reset, one above it gets all") {
    const Growing body(kLarge, 128 * kKiB);
    body->grow_to(kLarge);
    for (const ByteCount rate : {4 * kMiB, 1 * kKiB}) {
      CAPTURE(rate);
      Records records;
      ServerOptions options;
      options.write_timeout = 300ms;
      options.transfer_rate_min = rate;
      const Loopback server(large_router(body), options, records.log());
      Client client(server.port(), kSmallBuffer);
      REQUIRE(client.send("GET /known HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
      const SteadyTime end = system_clock().steady_now() + (rate < kMiB ? 1'000ms : kPatience);

      bool open = true;
      while (open && records.all().empty() && system_clock().steady_now() < end) {
        std::this_thread::sleep_for(5ms); // the pace is the claim
        open = client.take(1 * kKiB);
      }

      if (rate < kMiB) {
        CHECK(client.read_to_end() == Client::End::closed);
        CHECK_FALSE(records.only()->aborted);
      } else {
        CHECK(records.only()->failure == "the client is too slow");
      }
    }
  }

  TEST_CASE("pace: what we let the client wait for does not count") {
    const Growing body(kSize);
    ServerOptions options;
    options.write_timeout = 50ms;
    options.transfer_rate_min = 1 * kMiB;
    const Loopback server(body.router(), options);
    Client client = server.client();
    REQUIRE(client.send(get("/known")));
    for (const ByteCount size : {ByteCount{1}, ByteCount{2}, ByteCount{3}}) {
      body->grow_to(size);
      REQUIRE(eventually([&] { return body->waiting() == 1; }));
      std::this_thread::sleep_for(150ms); // the time is the claim
    }
    body->grow_to(kSize);

    CHECK(client.read().body == body.text());
  }
}

} // namespace
} // namespace pkc::http::test
