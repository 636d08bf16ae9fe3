// Bodies in pieces, growing ones and slow readers, over real loopback sockets.
#include "unit/http/loopback.hpp"
#include "unit/http/tls_loopback.hpp"
#include "unit/http/waiting_fixture.hpp"

#include "pkc/http/server.hpp"

#include <doctest/doctest.h>

#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <iterator>
#include <optional>
#include <random>
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

/// Pieces of random length that lie in random order and at random distances in two files.
class ScatteredSource final : public PieceSource {
 public:
  /// Two of noise, and the second once more without descriptor.
  struct Files {
    explicit Files(std::size_t size);
    pkc::test::TempDir directory;
    std::array<std::string, 2> texts;
    std::array<std::shared_ptr<File>, 3> open;
  };

  ScatteredSource(const Files& files, unsigned seed, std::size_t size);

  [[nodiscard]] const std::string& text() const { return text_; }

  Result<FilePiece> piece(ByteCount offset, ByteCount length_max) override {
    auto next = std::ranges::upper_bound(places_, offset, {}, &Place::begin);
    const Place& place = *std::prev(next);
    const ByteCount skipped = offset - place.begin;
    return FilePiece{.file = place.file,
                     .offset = place.offset + skipped,
                     .length = std::min(place.length - skipped, length_max)};
  }
  void when_ready(ByteCount /*offset*/, Wake wake) override { wake(); }

 private:
  struct Place {
    ByteCount begin = 0;
    std::shared_ptr<File> file;
    ByteCount offset = 0;
    ByteCount length = 0;
  };
  std::vector<Place> places_;
  std::string text_;
};

ScatteredSource::Files::Files(std::size_t size) {
  std::mt19937_64 random(size); // NOLINT(*-msc51-cpp): the same each time
  for (std::size_t i = 0; i < texts.size(); ++i) {
    std::ranges::generate_n(std::back_inserter(texts.at(i)),
                            static_cast<std::ptrdiff_t>(size),
                            [&] { return static_cast<char>(random()); });
    const std::string path = directory / std::to_string(i);
    std::ofstream(path, std::ios::binary) << texts.at(i);
    open.at(i) = posix_file_system().open(path).value();
  }
  open.back() = std::make_shared<UndescribedFile>(open.at(1));
}

ScatteredSource::ScatteredSource(const Files& files, unsigned seed, std::size_t size) {
  std::mt19937 random(seed);
  const auto below = [&](std::size_t end) { return random() % end; };
  constexpr std::array<std::size_t, 5> kLengths{1, 300, 5'000, 131'069, 3'000'000};
  while (text_.size() < size) {
    const std::size_t file = below(20) == 0 ? 2 : below(2);
    const std::string& whole = files.texts.at(std::min<std::size_t>(file, 1));
    const std::size_t length = kLengths.at(below(below(30) == 0 ? 5 : 4)) + below(2);
    // Half of them begin at a page, as those of a store do.
    const std::size_t place =
        below(whole.size() - length) / 4'096 * 4'096 + below(2) * below(4'096);
    const std::size_t offset = std::min(place, whole.size() - length);
    places_.push_back(
        {.begin = text_.size(), .file = files.open.at(file), .offset = offset, .length = length});
    text_.append(whole, offset, length);
  }
}

/// While it lives, this process can open nothing. Those of the terminal are open already, and
/// poll() takes no more entries than the limit says.
class NoMoreDescriptors {
 public:
  NoMoreDescriptors() {
    REQUIRE(::getrlimit(RLIMIT_NOFILE, &before_) == 0);
    const rlimit none{.rlim_cur = 3, .rlim_max = before_.rlim_max};
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &none) == 0);
  }
  NoMoreDescriptors(const NoMoreDescriptors&) = delete;
  NoMoreDescriptors& operator=(const NoMoreDescriptors&) = delete;
  NoMoreDescriptors(NoMoreDescriptors&&) = delete;
  NoMoreDescriptors& operator=(NoMoreDescriptors&&) = delete;
  ~NoMoreDescriptors() { CHECK(::setrlimit(RLIMIT_NOFILE, &before_) == 0); }

 private:
  rlimit before_{};
};

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

  TEST_CASE("many at once: whatever lies where, a slow client gets it all, in order") {
    // Pieces of all sizes and places; of two files, so that a mix-up shows; some without
    // descriptor.
    const ScatteredSource::Files files(4 * kMiB);
    for (unsigned seed = 0; seed < 20; ++seed) {
      CAPTURE(seed);
      const auto source = std::make_shared<ScatteredSource>(files, seed, 8 * kMiB);
      const ByteCount begin = seed % 2 == 0 ? 0 : seed * 12'345;
      const ByteCount length = source->text().size() - begin - seed % 3;
      const Loopback server(single(Method::get, "/", [&](Request&) {
        Response response;
        response.body = PiecesBody{.source = source, .offset = begin, .length = length};
        return response;
      }));
      const bool slow = seed % 4 >= 2;
      Client client(server.port(), slow ? kSmallBuffer : 0);
      REQUIRE(client.send(kGet));
      if (slow) { // it waits for so long that the answer is put aside
        REQUIRE(eventually([&] { return server->load().connections_waiting == 1; }));
      }

      CHECK(client.read().body == source->text().substr(begin, length));
      CHECK(source.use_count() == 1);
    }
  }

  TEST_CASE("no descriptors left: pieces go out one by one") {
    const Growing body(3'000'000, 131'069);
    body->grow_to(3'000'000);
    const Loopback server(body.router());
    Client client = server.client();
    REQUIRE(client.request(kGet).body == "hello");

    const NoMoreDescriptors none;
    CHECK(client.request(get("/known")).body == body.text());
    CHECK(client.request(kGet).body == "hello");
  }

  TEST_CASE("truncated file: pieces before the one that is not there arrive") {
    const Growing body(1'000'000, 100'000);
    body->grow_to(1'500'000);
    Records records;
    const Loopback server(
        single(Method::get, "/", [&](Request&) { return body.answer(1'500'000); }),
        {},
        records.log());
    Client client = server.client();
    REQUIRE(client.send(kGet));

    CHECK(client.read_to_end() == Client::End::reset);
    const auto record = records.only();
    REQUIRE(record);
    CHECK(record->bytes_sent == 1'000'000);
    CHECK(eventually([&] { return body.holders() == 0; }));
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
