// Answers that a stop cuts off: whatever they wait for at that moment, they end with a reset.
#include "unit/http/loopback.hpp"
#include "unit/http/tls_loopback.hpp"
#include "unit/http/waiting_fixture.hpp"

#include "pkc/http/server.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <thread>

namespace pkc::http::test {
namespace {

constexpr std::size_t kSize = 300'000;
/// More than the kernel takes off the server, so that it has to wait for the client.
constexpr std::size_t kLarge = 24 * kMiB;
constexpr std::size_t kSmallBuffer = 16 * kKiB;

/// A body that is made while its worker waits.
class EndlessSource final : public ByteSource {
 public:
  Result<std::size_t> read(MutableByteSpan buffer) override {
    std::ranges::fill(buffer, std::byte{'e'});
    return buffer.size();
  }
};

/// What the requests of these tests are for: bodies with a length, in chunks, and up to the close.
struct Row {
  std::string path;
  std::string version;
};
const Row kRows[] = {
    {"/known", "1.1"}, {"/unknown", "1.1"}, {"/known", "1.0"}, {"/unknown", "1.0"}};

/// The answer is read up to its first bytes, then cut off.
template <typename Client>
void check_cut_off(Server& server, Client& client, std::string_view text) {
  REQUIRE(client.read(false).status == 200);

  CHECK_FALSE(server.stop(10ms));

  CHECK(client.read_to_end() == Conversation::End::reset);
  CHECK(client.unread().size() < text.size());
}

TEST_SUITE("http::Server cut off") {
  TEST_CASE("an answer that waits for more of its body") {
    const Growing body(kSize);
    body->grow_to(100'000);
    for (const Row& row : kRows) {
      CAPTURE(row.path);
      CAPTURE(row.version);
      Records records;
      const Loopback server(body.router(), {}, records.log());
      Client client = server.client();
      REQUIRE(client.send(get(row.path, row.version)));
      REQUIRE(eventually([&] { return server->load().connections_waiting == 1; }));

      check_cut_off(*server, client, body.text());

      const auto record = records.only();
      REQUIRE(record);
      CHECK(record->aborted);
      CHECK(record->bytes_sent == 100'000);
      CHECK(record->failure == "the server stops");
      CHECK(body.holders() == 0);

      const TlsLoopback encrypted(body.router());
      TlsClient reader = encrypted.client();
      REQUIRE(reader.send(get(row.path, row.version)));
      REQUIRE(eventually([&] { return encrypted->load().connections_waiting == 1; }));
      check_cut_off(*encrypted.operator->(), reader, body.text());
    }
  }

  TEST_CASE("an answer that waits for its client") {
    const Growing body(kLarge);
    body->grow_to(kLarge);
    body->end();
    for (const Row& row : kRows) {
      CAPTURE(row.path);
      CAPTURE(row.version);
      const Loopback server(body.router());
      Client client(server.port(), kSmallBuffer);
      REQUIRE(client.send(get(row.path, row.version)));
      REQUIRE(eventually([&] { return server->load().connections_waiting == 1; }));
      check_cut_off(*server, client, body.text());

      const TlsLoopback encrypted(body.router());
      TlsClient reader = encrypted.client({.receive_buffer = kSmallBuffer});
      REQUIRE(reader.send(get(row.path, row.version)));
      REQUIRE(eventually([&] { return encrypted->load().connections_waiting == 1; }));
      check_cut_off(*encrypted.operator->(), reader, body.text());
    }
  }

  TEST_CASE("an answer whose worker waits for the client") {
    const std::string text = pattern(kLarge);
    Router router = single(Method::get, "/text", [&](Request&) { return text_response(text); });
    router.add({Method::get, "/stream", RouteAccess::open(), [&](Request&) {
                  Response response;
                  response.body = StreamBody{std::make_unique<EndlessSource>(), kLarge};
                  return response;
                }});
    for (const std::string path : {"/text", "/stream"}) {
      CAPTURE(path);
      const Loopback server(router);
      Client client(server.port(), kSmallBuffer);
      REQUIRE(client.send(get(path, "1.0")));
      check_cut_off(*server, client, text);

      const TlsLoopback encrypted(router);
      TlsClient reader = encrypted.client({.receive_buffer = kSmallBuffer});
      REQUIRE(reader.send(get(path, "1.0")));
      check_cut_off(*encrypted.operator->(), reader, text);
    }
  }

  TEST_CASE("an answer that flows: who keeps reading gets no more of it than others") {
    Router router = single(Method::get, "/", [&](Request&) {
      Response response;
      response.body = StreamBody{std::make_unique<EndlessSource>(), ~ByteCount{0}};
      return response;
    });
    const Loopback server(std::move(router));
    Client client = server.client();
    REQUIRE(client.send(get("/", "1.0")));
    REQUIRE(client.read(false).status == 200);
    bool clean = true;
    std::jthread stopping([&] { clean = server->stop(10ms); });

    while (client.take(65536)) {
    }

    stopping.join();
    CHECK_FALSE(clean);
    CHECK(client.read_to_end() != Conversation::End::open);
  }

  TEST_CASE("an answer that is not there yet") {
    Promise promise;
    const Loopback server(single(Method::get, "/", [&](Request&) {
      return promise.defer([] { return text_response("late"); });
    }));
    Client client = server.client();
    REQUIRE(client.send(get("/", "1.0")));
    REQUIRE(eventually([&] { return promise.subscribed() == 1; }));

    CHECK_FALSE(server->stop(10ms));

    CHECK(client.read_to_end() == Conversation::End::reset);
    CHECK(client.unread().empty());
    CHECK(promise.waiting() == 0);
  }

  TEST_CASE("an upload that does not come, and the answer that its handler has for that") {
    const Loopback server(single(Method::put, "/", [](Request& request) {
      return read_all(*request.body) ? text_response("whole") : make_error(400, "broken body");
    }));
    Client client = server.client();
    REQUIRE(
        client.send("PUT / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
                    "Content-Length: 10\r\n\r\n"));
    REQUIRE(client.read(false).status == 100);

    CHECK_FALSE(server->stop(10ms));

    CHECK(client.read_to_end() == Conversation::End::reset);
    CHECK(client.unread().empty());
  }

  TEST_CASE("nobody: who is idle, or has all of an answer, is closed in order") {
    const Growing body(kSize);
    body->grow_to(kSize);
    body->end();
    const Loopback server(body.router());
    Client idle = server.client();
    Client unsized = server.client();
    REQUIRE(idle.request(get("/known")).body == body.text());
    REQUIRE(unsized.send(get("/unknown", "1.0")));
    REQUIRE(unsized.read(false).status == 200);
    REQUIRE((unsized.take_exactly(kSize) == body.text()));

    CHECK(server->stop(kPatience));

    CHECK(idle.read_to_end() == Conversation::End::closed);
    CHECK(unsized.read_to_end() == Conversation::End::closed);
  }
}

} // namespace
} // namespace pkc::http::test
