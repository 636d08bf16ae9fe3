// Bodies in pieces and slow readers, over real loopback sockets.
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
#include <utility>
#include <vector>

namespace pkc::http::test {
namespace {

/// More than the kernel takes off the server, so that it has to wait for the client.
constexpr std::size_t kLarge = 24 * kMiB;
constexpr std::size_t kSmallBuffer = 16 * kKiB;

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

/// So much of one file, and then another.
class PairSource final : public PieceSource {
 public:
  PairSource(std::shared_ptr<File> first, std::shared_ptr<File> second, ByteCount first_length)
      : first_(std::move(first)), second_(std::move(second)), first_length_(first_length) {}

  Result<FilePiece> piece(ByteCount offset, ByteCount length_max) override {
    const bool in_first = offset < first_length_;
    return FilePiece{
        .file = in_first ? first_ : second_,
        .offset = in_first ? offset : offset - first_length_,
        .length = in_first ? std::min(first_length_ - offset, length_max) : length_max};
  }
  void when_ready(ByteCount /*offset*/, Wake wake) override { wake(); }

 private:
  const std::shared_ptr<File> first_;
  const std::shared_ptr<File> second_;
  const ByteCount first_length_;
};

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

  TEST_CASE("truncated file: what lies before its end arrives, and nothing in place of the rest") {
    const Growing first(60'000);
    const Growing second(60'000);
    const auto same = std::make_shared<PairSource>(first.file(), first.file(), 50'000);
    const auto other = std::make_shared<PairSource>(first.file(), second.file(), 100'000);
    for (const auto& [source, sent] : {std::pair(same, 110'000U), std::pair(other, 60'000U)}) {
      CAPTURE(sent);
      const auto handler = [&](Request&) {
        Response response;
        response.body = PiecesBody{.source = source, .offset = 0, .length = 150'000};
        return response;
      };
      Records records;
      const Loopback server(single(Method::get, "/", handler), {}, records.log());
      Client client = server.client();
      REQUIRE(client.send(kGet));

      CHECK(client.read_to_end() == Client::End::reset);
      const auto record = records.only();
      REQUIRE(record);
      CHECK(record->bytes_sent == sent);
    }
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
    const Growing body(300'000);
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
    body->grow_to(300'000);

    CHECK(client.read().body == body.text());
  }
}

} // namespace
} // namespace pkc::http::test
