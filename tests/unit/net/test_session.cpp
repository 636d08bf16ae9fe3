// Sessions with servers that do what a test says.
#include "scripted_origin.hpp"

#include "pkc/base/bytes.hpp"
#include "pkc/base/stream.hpp"
#include "pkc/net/session.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <future>
#include <string>
#include <string_view>
#include <utility>

namespace pkc::net {
namespace {

using test::Peer;
using test::ScriptedOrigin;

class Collected final : public ByteSink {
 public:
  Result<void> write(ByteSpan bytes) override {
    text.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    return {};
  }
  std::string text;
};

Origin origin_of(const ScriptedOrigin& server) {
  return {.host = "127.0.0.1", .port = server.port()};
}

/// Each connection gets one answer and is closed.
ScriptedOrigin::Script once(std::string answer) {
  return [answer = std::move(answer)](Peer& peer, std::size_t /*number*/) {
    peer.read_head();
    peer.send(answer);
    peer.end();
  };
}

Errc code_of(const std::string& answer) {
  const ScriptedOrigin server(once(answer));
  Collected body;
  const auto asked = make_session(origin_of(server), {})->ask("GET", "/", body);
  REQUIRE(!asked.has_value());
  return asked.error().code;
}

} // namespace

TEST_SUITE("net::Session") {
  TEST_CASE("ask: one connection for all requests, with the token and headers of each answer") {
    const ScriptedOrigin server(ScriptedOrigin::site([](const std::string& head) {
      if (head.starts_with("HEAD /a?b=%2B%25%26")) {
        return std::string("HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\nX-Side: left\r\n\r\n");
      }
      return test::ok(test::header_of(head, "Authorization"), "Content-Encoding: gzip\r\n");
    }));
    const auto session = make_session(origin_of(server), {.token = "secret"});
    Collected body;

    const auto absent = session->ask("HEAD", "/a?b=%2B%25%26", body);
    const auto there = session->ask("GET", "/", body);

    REQUIRE(absent.has_value());
    CHECK(absent->status == 404);
    CHECK(absent->headers.get("x-side") == "left");
    REQUIRE(there.has_value());
    CHECK(there->status == 200);
    CHECK(there->body.empty());
    CHECK(body.text == "Bearer secret"); // as it was sent, whatever coding it claims
    CHECK(server.connections() == 1);
  }

  TEST_CASE("ask: the body of another status is part of the answer, up to a limit") {
    const ScriptedOrigin server(once("HTTP/1.1 502 Bad\r\nContent-Length: 10\r\n\r\n0123456789"));
    Collected body;

    const auto asked =
        make_session(origin_of(server), {.error_size_max = 4})->ask("GET", "/", body);

    REQUIRE(asked.has_value());
    CHECK(asked->status == 502);
    CHECK(asked->body == "0123");
    CHECK(body.text.empty());
  }

  TEST_CASE("ask: a chunked answer is whole with its last chunk") {
    const ScriptedOrigin server(
        once("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"));
    Collected body;

    CHECK(make_session(origin_of(server), {})->ask("GET", "/", body).has_value());
    CHECK(body.text == "abc");
  }

  TEST_CASE("ask: an answer that may be a part of one is an error, and none at all is another") {
    CHECK(code_of("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabc") == Errc::io);
    CHECK(code_of("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n") == Errc::io);
    CHECK(code_of("HTTP/1.1 200 OK\r\n\r\nabc") == Errc::io);
    CHECK(code_of("") == Errc::unavailable);
    CHECK(code_of("HTTP/1.1 200 O") == Errc::unavailable);
  }

  TEST_CASE("ask: a server that closed a kept connection is asked on a new one") {
    const ScriptedOrigin server([](Peer& peer, std::size_t /*number*/) {
      peer.read_head();
      peer.send(test::ok("a"));
      peer.end();
      peer.wait_for_close();
    });
    const auto session = make_session(origin_of(server), {});
    Collected body;

    // When it is noticed too late, that is an error after which asking again does no harm.
    for (std::size_t done = 0; done < 2;) {
      const auto asked = session->ask("GET", "/", body);
      REQUIRE((asked || asked.error().code == Errc::unavailable));
      done += static_cast<std::size_t>(asked.has_value());
    }

    CHECK(body.text == "aa");
    CHECK(server.connections() >= 2);
  }

  TEST_CASE("ask: no end within the time is a timeout, with and without a beginning") {
    const ScriptedOrigin server([](Peer& peer, std::size_t number) {
      peer.read_head();
      if (number > 0) {
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab");
      }
      peer.wait_for_close();
    });
    Collected body;
    for (int i = 0; i < 2; ++i) {
      const auto asked = make_session(origin_of(server), {.timeout = std::chrono::milliseconds{50}})
                             ->ask("GET", "/", body);
      REQUIRE(!asked.has_value());
      CHECK(asked.error().code == Errc::timeout);
    }
  }

  TEST_CASE("ask: a body that comes and comes ends with the time, too") {
    const ScriptedOrigin server([](Peer& peer, std::size_t /*number*/) {
      peer.read_head();
      peer.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n");
      while (peer.send(std::string(64 * kKiB, 'x'))) {
      }
    });
    class Nowhere final : public ByteSink {
      Result<void> write(ByteSpan /*bytes*/) override { return {}; }
    };
    Nowhere nowhere;

    const auto asked = make_session(origin_of(server), {.timeout = std::chrono::milliseconds{50}})
                           ->ask("GET", "/", nowhere);

    REQUIRE(!asked.has_value());
    CHECK(asked.error().code == Errc::timeout);
  }

  TEST_CASE("ask: what the sink has against it comes out") {
    class Full final : public ByteSink {
      Result<void> write(ByteSpan /*bytes*/) override { return fail(Errc::no_space, "full"); }
    };
    const ScriptedOrigin server(once(test::ok("abc")));
    Full full;

    const auto asked = make_session(origin_of(server), {})->ask("GET", "/", full);

    REQUIRE(!asked.has_value());
    CHECK(asked.error().code == Errc::no_space);
  }

  TEST_CASE("interrupt: ends what waits for a silent server") {
    std::promise<void> read;
    const ScriptedOrigin server([&](Peer& peer, std::size_t /*number*/) {
      peer.read_head();
      read.set_value();
      peer.wait_for_close();
    });
    const auto session = make_session(origin_of(server), {});
    auto asked = std::async(std::launch::async, [&] {
      Collected body;
      return session->ask("GET", "/", body);
    });
    read.get_future().wait();

    session->interrupt();

    CHECK(!asked.get().has_value());
  }
}

} // namespace pkc::net
