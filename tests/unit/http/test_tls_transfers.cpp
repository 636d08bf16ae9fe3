// Requests and answers through TLS: records, what they hold back, and how a connection ends.
#include "support/temp_dir.hpp"
#include "unit/http/loopback.hpp"
#include "unit/http/tls_client.hpp"
#include "unit/http/tls_loopback.hpp"

#include "pkc/base/file_system.hpp"
#include "pkc/http/server.hpp"

#include <doctest/doctest.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <string>
#include <string_view>

namespace pkc::http::test {
namespace {

std::string pattern(std::size_t size) {
  std::string text(size, '\0');
  for (std::size_t i = 0; i < size; ++i) {
    text[i] = static_cast<char>('a' + (i * 7 + i / 251) % 26);
  }
  return text;
}

/// Gives half of what is announced, then fails.
class BrokenSource final : public ByteSource {
 public:
  explicit BrokenSource(ByteCount good) : left_(good) {}
  Result<std::size_t> read(MutableByteSpan buffer) override {
    if (left_ == 0) {
      return fail(Errc::corrupt, "as scripted");
    }
    const auto count = static_cast<std::size_t>(std::min<ByteCount>(left_, buffer.size()));
    std::ranges::fill(buffer.first(count), std::byte{'b'});
    left_ -= count;
    return count;
  }

 private:
  ByteCount left_;
};

constexpr std::size_t kLarge = 8'000'000;

Router transfer_router(const std::string& file = {}) {
  Router router;
  router.add(
      {Method::get, "/", RouteAccess::open(), [](Request&) { return text_response("hello"); }});
  router.add({Method::get, "/large", RouteAccess::open(), [](Request&) {
                return text_response(pattern(kLarge));
              }});
  router.add({Method::get, "/broken", RouteAccess::open(), [](Request&) {
                Response response;
                response.body = StreamBody{std::make_unique<BrokenSource>(kLarge / 2), kLarge};
                return response;
              }});
  router.add({Method::get, "/file", RouteAccess::open(), [file](Request&) {
                Response response;
                std::shared_ptr<File> opened = *posix_file_system().open(file);
                const ByteCount size = opened->opened_stat().size;
                response.body = FileBody{std::move(opened), 10, size - 10};
                return response;
              }});
  router.add({Method::put, "/echo", RouteAccess::open(), [](Request& request) {
                auto body = read_all(*request.body);
                return body ? text_response(*std::move(body)) : make_error(400, "broken body");
              }});
  router.add({Method::put, "/refuse", RouteAccess::open(), [](Request&) {
                return make_error(409, "exists");
              }});
  return router;
}

std::string put(std::string_view fields, std::string_view path = "/echo") {
  return "PUT " + std::string(path) + " HTTP/1.1\r\nHost: x\r\n" + std::string(fields) + "\r\n";
}

TEST_SUITE("http::Server TLS transfers") {
  TEST_CASE("keep-alive: GET, HEAD, PUT and 404 on one connection") {
    const TlsLoopback server(transfer_router());
    TlsClient client = server.client();

    CHECK(client.request(kGet).body == "hello");
    CHECK(client.request("HEAD / HTTP/1.1\r\nHost: x\r\n\r\n", false).has("Content-Length: 5\r\n"));
    CHECK(client.request("GET /none HTTP/1.1\r\nHost: x\r\n\r\n").status == 404);
    CHECK(client.request(put("Content-Length: 4\r\n") + "body").body == "body");
    CHECK(client.request(kGet).status == 200);
  }

  TEST_CASE("records: a hundred requests in one are all answered") {
    const TlsLoopback server(transfer_router());
    TlsClient client = server.client();
    std::string requests;
    for (int i = 0; i < 100; ++i) {
      requests += kGet;
    }
    REQUIRE(client.send(requests));

    for (int i = 0; i < 100; ++i) {
      REQUIRE(client.read().body == "hello");
    }
  }

  TEST_CASE("records: a request behind a body, in the record that the body's end came in") {
    // The body's reader takes exactly the body, and the kernel has nothing more to tell of.
    const TlsLoopback server(transfer_router());
    for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
      CAPTURE(version);
      TlsClient client = server.client({.version = version});
      REQUIRE(client.send(put("Content-Length: 10000\r\nExpect: 100-continue\r\n")));
      REQUIRE(client.read(false).status == 100); // it waits for the body now

      REQUIRE(client.send(pattern(10'000) + std::string(kGet)));

      CHECK(client.read().body == pattern(10'000));
      CHECK(client.read().body == "hello");
    }
  }

  TEST_CASE("records: a request that came with the end of the handshake") {
    // TCP_CORK would be needed to force it; many tries meet it as real clients do.
    const TlsLoopback server(transfer_router());
    for (int i = 0; i < 50; ++i) {
      TlsClient client = server.client();

      REQUIRE(client.request(kGet).body == "hello");
    }
  }

  TEST_CASE("records: a request in as many as it has bytes") {
    const TlsLoopback server(transfer_router());
    TlsClient client = server.client();
    for (const char byte : put("Content-Length: 5\r\n") + "12345") {
      REQUIRE(client.send({&byte, 1}));
    }

    CHECK(client.read().body == "12345");
    CHECK(client.request(kGet).body == "hello");
  }

  TEST_CASE("bodies: large ones arrive as they are, both ways") {
    const TlsLoopback server(transfer_router());
    const std::string body = pattern(kLarge);
    for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
      CAPTURE(version);
      TlsClient client = server.client({.version = version});

      CHECK(client.request("GET /large HTTP/1.1\r\nHost: x\r\n\r\n").body == body);
      std::jthread sender([&] {
        client.send(put("Content-Length: " + std::to_string(body.size()) + "\r\n"));
        client.send(body);
      });
      sender.join();
      CHECK(client.read().body == body);
    }
  }

  TEST_CASE("bodies: files of every size, from an offset") {
    const pkc::test::TempDir directory;
    for (const std::size_t size : {11U, 16'394U, 16'395U, 3'000'000U}) {
      CAPTURE(size);
      pkc::test::write_text(directory / "file", pattern(size));
      const TlsLoopback server(transfer_router(directory / "file"));
      TlsClient client = server.client();

      CHECK(client.request("GET /file HTTP/1.1\r\nHost: x\r\n\r\n").body ==
            pattern(size).substr(10));
      CHECK(client.request(kGet).body == "hello");
    }
  }

  TEST_CASE("bodies: a slow reader gets all of it") {
    const TlsLoopback server(transfer_router());
    TlsClient client = server.client({.receive_buffer = 4096});

    CHECK(client.request("GET /large HTTP/1.1\r\nHost: x\r\n\r\n").body == pattern(kLarge));
    CHECK(client.request(kGet).body == "hello");
  }

  TEST_CASE("bodies: chunked, refused unread, and larger than what is dropped") {
    const TlsLoopback server(transfer_router());
    TlsClient client = server.client();

    CHECK(client.request(put("Transfer-Encoding: chunked\r\n") + "3\r\nabc\r\n0\r\n\r\n").body ==
          "abc");
    CHECK(client.request(put("Content-Length: 5\r\n", "/refuse") + "12345").status == 409);
    CHECK(client.request(kGet).status == 200);
    const Answer refused =
        client.request(put("Content-Length: 9000000\r\n", "/refuse") + pattern(100'000));
    CHECK(refused.status == 409);
    CHECK(refused.has("Connection: close\r\n"));
    CHECK(client.read_to_end() == TlsClient::End::closed);
  }

  TEST_CASE("hostile heads: are refused as in clear") {
    const TlsLoopback server(transfer_router());
    for (const std::string_view head : {"GET /\n\n",
                                        "GET / HTTP/1.1\r\n\r\n",
                                        "GET / HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n",
                                        "PUT /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n"
                                        "Transfer-Encoding: chunked\r\n\r\n"}) {
      CAPTURE(head);
      TlsClient client = server.client();

      CHECK(client.request(head).status == 400);
      CHECK(client.read_to_end() == TlsClient::End::closed);
    }
  }

  TEST_CASE("key update: is answered, and the connection goes on") {
    const TlsLoopback server(transfer_router());
    TlsClient client = server.client({.version = TLS1_3_VERSION});
    for (int i = 0; i < 5; ++i) {
      client.update_keys();

      REQUIRE(client.request(kGet).body == "hello");
    }
    client.update_keys();
    CHECK(client.request(put("Content-Length: 100000\r\n") + pattern(100'000)).body ==
          pattern(100'000));
  }
}

TEST_SUITE("http::Server TLS endings") {
  TEST_CASE("end: a broken answer is a reset, never a clean end of a short body") {
    const TlsLoopback server(transfer_router());
    TlsClient client = server.client();
    REQUIRE(client.send("GET /broken HTTP/1.1\r\nHost: x\r\n\r\n"));

    CHECK(client.read_to_end() == TlsClient::End::reset);
    CHECK(client.unread().size() < kLarge);
  }

  TEST_CASE("end: a server that closes says so in TLS") {
    ServerOptions options;
    options.idle_timeout = 100ms;
    const TlsLoopback server(transfer_router(), options);
    struct {
      std::string_view name;
      std::string_view request;
    } const rows[] = {
        {"because it was asked to", "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"},
        {"because nothing comes", kGet},
        {"because the request is bad", "GET /\n\n"},
    };
    for (const auto& row : rows) {
      CAPTURE(row.name);
      TlsClient client = server.client();
      REQUIRE(client.send(row.request));

      CHECK(client.read_to_end() == TlsClient::End::closed);
      CHECK(client.unread().starts_with("HTTP/1.1 "));
    }
  }

  TEST_CASE("end: the rest of a head that does not come is a 408") {
    ServerOptions options;
    options.head_timeout = 100ms;
    const TlsLoopback server(transfer_router(), options);
    TlsClient client = server.client();
    REQUIRE(client.send("GET / HT"));

    CHECK(client.read().status == 408);
    CHECK(client.read_to_end() == TlsClient::End::closed);
  }

  TEST_CASE("end: a client that is done sending still gets its answer") {
    const TlsLoopback server(transfer_router());
    for (const bool in_tls : {true, false}) {
      CAPTURE(in_tls);
      TlsClient client = server.client({.version = TLS1_3_VERSION});
      REQUIRE(client.send(kGet));
      if (in_tls) {
        client.finish_sending();
      } else {
        client.cut_sending();
      }

      CHECK(client.read().body == "hello");
      CHECK(client.read_to_end() == TlsClient::End::closed);
    }
  }

  TEST_CASE("end: a body that was cut off is not taken for a whole one") {
    std::atomic<bool> failed = false;
    Router router = single(Method::put, "/", [&](Request& request) {
      failed = !read_all(*request.body);
      return make_error(400, "broken body");
    });
    const TlsLoopback server(std::move(router));
    for (const bool in_tls : {true, false}) {
      CAPTURE(in_tls);
      failed = false;
      TlsClient client = server.client({.version = TLS1_3_VERSION});
      REQUIRE(client.send("PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345"));
      if (in_tls) {
        client.finish_sending();
      } else {
        client.cut_sending();
      }

      CHECK(client.read().status == 400);
      CHECK(failed.load());
    }
  }
}

} // namespace
} // namespace pkc::http::test
