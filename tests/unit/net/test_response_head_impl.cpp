#include "response_head.hpp"

#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <utility>

using pkc::Errc;
using pkc::net::BodyEnd;
using pkc::net::FetchMethod;
using pkc::net::framing_of;
using pkc::net::parse_head;

namespace {

constexpr std::size_t kMany = 100;

} // namespace

TEST_SUITE("net::response_head") {
  TEST_CASE("parse_head: status, version and headers") {
    const auto head = parse_head("HTTP/1.0 404 Not Found\r\nA: 1\r\nb:2 \r\nA:\t3\r\n\r\n", kMany);

    REQUIRE(head);
    CHECK(head->status == 404);
    CHECK(head->is_http10);
    CHECK(head->headers.get("a") == "1");
    CHECK(head->headers.get("B") == "2");
    CHECK(head->headers.fields().size() == 3);
    CHECK(head->headers.fields().back().second == "3");
  }

  TEST_CASE("parse_head: forms of old servers") {
    const auto bare = parse_head("HTTP/1.1 200\nA: 1\n\n", kMany);
    const auto folded = parse_head("HTTP/1.1 200 \r\nA: 1\r\n  2\r\n\t3 \r\nB:\r\n\r\n", kMany);

    REQUIRE(bare);
    CHECK(bare->headers.get("A") == "1");
    REQUIRE(folded);
    CHECK(folded->headers.get("A") == "1 2 3");
    CHECK(folded->headers.get("B") == "");
  }

  TEST_CASE("parse_head: what is none") {
    using namespace std::string_literals;
    for (const std::string& text : {""s,
                                    "\r\n\r\n"s,
                                    "HTTP/1.1\r\n\r\n"s,
                                    "HTTP/1.1 \r\n\r\n"s,
                                    "HTTP/1.1 20\r\n\r\n"s,
                                    "HTTP/1.1 20x\r\n\r\n"s,
                                    "HTTP/1.1 200OK\r\n\r\n"s,
                                    "HTTP/1.1 0200 OK\r\n\r\n"s,
                                    "HTTP/1.1  200 OK\r\n\r\n"s,
                                    "HTTP/1.2 200 OK\r\n\r\n"s,
                                    "http/1.1 200 OK\r\n\r\n"s,
                                    "HTTP/1.1 200 OK\r\n A: 1\r\n\r\n"s,
                                    "HTTP/1.1 200 OK\r\n: 1\r\n\r\n"s,
                                    "HTTP/1.1 200 OK\r\nA : 1\r\n\r\n"s,
                                    "HTTP/1.1 200 OK\r\nA\r\n\r\n"s,
                                    "HTTP/1.1 200 OK\r\nA: 1\r2\r\n\r\n"s,
                                    "HTTP/1.1 200 OK\r\nA: 1\0002\r\n\r\n"s,
                                    "HTTP/1.1 200 OK\r\nA: \x1b[2J\r\n\r\n"s}) {
      CAPTURE(text);
      const auto head = parse_head(text, kMany);
      REQUIRE_FALSE(head);
      CHECK(head.error().code == Errc::unavailable);
    }
    CHECK(parse_head("HTTP/1.1 200 OK\r\nA: 1\r\nB: 2\r\n\r\n", 2));
    CHECK_FALSE(parse_head("HTTP/1.1 200 OK\r\nA: 1\r\nB: 2\r\n\r\n", 1));
  }

  TEST_CASE("framing_of: how a body ends, and whether the connection can be kept then") {
    struct Row {
      std::string_view head;
      BodyEnd end;
      bool keeps;
    };
    constexpr Row kRows[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n", BodyEnd::length, true},
        {"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n", BodyEnd::length, true},
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n", BodyEnd::length, true},
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n", BodyEnd::length, false},
        {"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n", BodyEnd::length, false},
        {"HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: Keep-Alive\r\n",
         BodyEnd::length,
         true},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n", BodyEnd::chunked, true},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n",
         BodyEnd::chunked,
         false},
        {"HTTP/1.1 200 OK\r\n", BodyEnd::close, false},
        {"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n", BodyEnd::close, false},
        {"HTTP/1.1 204 OK\r\n", BodyEnd::none, true},
        {"HTTP/1.1 304 OK\r\nContent-Length: 5\r\n", BodyEnd::none, true}};
    for (const Row& row : kRows) {
      CAPTURE(row.head);
      const auto head = parse_head(std::string(row.head) + "\r\n", kMany).value();
      const auto framing = framing_of(FetchMethod::get, head);
      REQUIRE(framing);
      CHECK(framing->end == row.end);
      CHECK(framing->keeps_connection == row.keeps);
      CHECK(framing->length == (row.end == BodyEnd::length ? 5 : 0));
      CHECK(framing_of(FetchMethod::head, head)->end == BodyEnd::none);
    }
  }

  TEST_CASE("framing_of: lengths and codings that cannot be followed") {
    for (const std::string_view fields :
         {"Content-Length: \r\n",
          "Content-Length: ,\r\n",
          "Content-Length: 5,\r\nContent-Length: 6\r\n",
          "Content-Length: 5, 6\r\n",
          "Content-Length: 5x\r\n",
          "Content-Length: +5\r\n",
          "Content-Length: 0x5\r\n",
          "Content-Length: 99999999999999999999\r\n",
          "Transfer-Encoding: gzip\r\n",
          "Transfer-Encoding: chunked, chunked\r\n",
          "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n",
          "Transfer-Encoding: \r\nContent-Length: 5\r\n"}) {
      CAPTURE(fields);
      const auto head =
          parse_head("HTTP/1.1 200 OK\r\n" + std::string(fields) + "\r\n", kMany).value();
      const auto framing = framing_of(FetchMethod::get, head);
      REQUIRE_FALSE(framing);
      CHECK(framing.error().code == Errc::unavailable);
    }
  }
}
