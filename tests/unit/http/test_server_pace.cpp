// Clients that move bytes all the time, too few and enough of them, over real loopback sockets.
#include "unit/http/loopback.hpp"

#include "pkc/http/server.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <string>
#include <thread>
#include <utility>

namespace pkc::http::test {
namespace {

/// More than the kernel takes off the server, so that it has to wait for the client.
constexpr std::size_t kLargeBody = 24 * kMiB;
constexpr std::size_t kSmallBuffer = 16 * kKiB;

Router large_router() {
  return single(
      Method::get, "/", [](Request&) { return text_response(std::string(kLargeBody, 'x')); });
}

/// PUT / answers 201, or 400 with the error's code noted.
Router upload_router(std::atomic<Errc>& error) {
  return single(Method::put, "/", [&](Request& request) {
    const auto body = read_all(*request.body);
    if (!body) {
      error = body.error().code;
    }
    return make_error(body ? 201 : 400, "");
  });
}

TEST_SUITE("http::Server transfer rate") {
  TEST_CASE("upload: one that drips is given up, sized or chunked") {
    for (const std::string framing : {"Content-Length: 100000", "Transfer-Encoding: chunked"}) {
      CAPTURE(framing);
      std::atomic<Errc> error{};
      ServerOptions options;
      options.body_timeout = 500ms;
      options.transfer_rate_min = 10 * kKiB;
      const Loopback server(upload_router(error), options);
      Client client = server.client();
      REQUIRE(client.send("PUT / HTTP/1.1\r\nHost: x\r\n" + framing + "\r\n\r\n"));
      const bool chunked = framing.starts_with("Transfer");

      const SteadyTime end = deadline();
      while (!client.readable(20ms) && system_clock().steady_now() < end) {
        client.send(chunked ? "1\r\na\r\n" : "a");
      }

      CHECK(client.read().status == 400);
      CHECK(error.load() == Errc::timeout);
      CHECK(client.read_to_end() == Client::End::closed);
    }
  }

  TEST_CASE("upload: a slow one above the rate is never cut, nor any without a rate") {
    for (const ByteCount rate : {1 * kKiB, ByteCount{0}}) {
      CAPTURE(rate);
      std::atomic<Errc> error{};
      ServerOptions options;
      options.body_timeout = 500ms;
      options.transfer_rate_min = rate;
      const Loopback server(upload_router(error), options);
      Client client = server.client();
      // Far above the rate, also on a busy machine.
      const std::string piece(rate == 0 ? 1 : 3'000, 'a');
      constexpr int kPieces = 80; // three timeouts
      REQUIRE(client.send("PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: " +
                          std::to_string(piece.size() * kPieces) + "\r\n\r\n"));

      for (int i = 0; i < kPieces; ++i) {
        REQUIRE(client.send(piece));
        REQUIRE((i + 1 == kPieces || !client.readable(20ms)));
      }

      CHECK(client.read().status == 201);
    }
  }

  TEST_CASE("download: one that is taken drop by drop is reset") {
    std::atomic<bool> aborted = false;
    ServerOptions options;
    options.write_timeout = 500ms;
    options.transfer_rate_min = 4 * kMiB;
    const Loopback server(large_router(), options, [&](const AccessRecord& record) {
      aborted = aborted || record.aborted;
    });
    Client client(server.port(), kSmallBuffer);
    REQUIRE(client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n"));

    CHECK(eventually([&] {
      std::this_thread::sleep_for(5ms); // the pace is the claim
      return !client.take(1 * kKiB) || aborted;
    }));

    CHECK(aborted);
    CHECK(client.read_to_end() == Client::End::reset);
  }

  TEST_CASE("download: a slow one above the rate gets all of it") {
    ServerOptions options;
    options.write_timeout = 500ms;
    options.transfer_rate_min = 1 * kKiB;
    const Loopback server(large_router(), options);
    Client client(server.port(), kSmallBuffer);
    REQUIRE(client.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
    std::size_t taken = 0;
    for (; taken < 300 * kKiB; taken += 1 * kKiB) { // three timeouts
      std::this_thread::sleep_for(5ms);             // the pace is the claim
      REQUIRE(client.take(1 * kKiB));
    }

    CHECK(client.read_to_end() == Client::End::closed);
    CHECK(client.unread().size() > kLargeBody - taken - 1);
  }
}

} // namespace
} // namespace pkc::http::test
