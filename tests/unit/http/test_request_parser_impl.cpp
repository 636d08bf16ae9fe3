// What we rely on in cpp-httplib: which heads it agrees on, and that it never waits or answers.
#include "request_parser.hpp"

#include <doctest/doctest.h>

#include <string>
#include <string_view>

namespace pkc::http {
namespace {

bool agrees(RequestParser& parser, std::string_view bytes) {
  Head head;
  REQUIRE(scan_head(bytes, 0, HeadLimits{}, head).state == HeadState::complete);
  return parser.agrees(bytes.substr(0, head.size), head);
}

TEST_SUITE("http::RequestParser") {
  TEST_CASE("agrees: with every kind of head that we serve, one parser for all") {
    RequestParser parser;
    const std::string long_value(30'000, 'v');
    for (const std::string& bytes : {
             std::string("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
             std::string("GET / HTTP/1.0\r\n\r\n"),
             std::string("\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n"),
             std::string("HEAD /a%2Fb%zz?q=%41&=&& HTTP/1.1\r\nHost: x\r\n\r\n"),
             std::string("GET //a\\b\"<>^`{|} HTTP/1.1\r\nHost: x\r\n\r\n"),
             std::string("GET http://x/a HTTP/1.1\r\nHost: x\r\n\r\n"),
             std::string("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n"),
             std::string("PATCH / HTTP/1.1\r\nHost: x\r\n\r\n"),
             std::string("TRACE / HTTP/1.1\r\nHost: x\r\n\r\n"),
             std::string("PROPFIND /a HTTP/1.1\r\nHost: x\r\n\r\n"),
             std::string("get /a HTTP/1.1\r\nHost: x\r\nRange: bytes=oops\r\nA: b\r\n\r\n"),
             std::string("DELETE / HTTP/1.1\r\nHost: x\r\n\r\n"),
             std::string("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n"),
             std::string("PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"),
             std::string("PUT / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n\r\n"),
             std::string("GET / HTTP/1.1\r\nHost: x\r\nRange: bytes=oops\r\n\r\n"),
             std::string("GET / HTTP/1.1\r\nHost: x\r\nRange: bytes=5-2\r\nA: b\r\n\r\n"),
             std::string("GET / HTTP/1.1\r\nHost: x\r\nAccept: ;;q=7,/\r\n\r\n"),
             std::string("GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: "
                         "websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                         "Sec-WebSocket-Version: 13\r\n\r\n"),
             std::string("GET / HTTP/1.1\r\nHost: x\r\nA:\r\nB: \xC3\xA4\r\nC: %zz%00\r\n\r\n"),
             "GET / HTTP/1.1\r\nHost: x\r\nA: " + long_value + "\r\n\r\n",
             "GET /" + std::string(8000, 'p') + " HTTP/1.1\r\nHost: x\r\n\r\n",
         }) {
      CAPTURE(bytes.substr(0, 80));

      CHECK(agrees(parser, bytes));
    }
  }

  TEST_CASE("agrees: the library is asked once about heads that differ in a plain target only") {
    RequestParser parser;
    CHECK(agrees(parser, "GET /v1/a HTTP/1.1\r\nHost: x\r\n\r\n"));

    CHECK(agrees(parser, "GET /v1/b-_0/C HTTP/1.1\r\nHost: x\r\n\r\n"));

    CHECK(parser.asked() == 1);
  }

  TEST_CASE("agrees: a query that an encoder made is plain, too, and the library takes each") {
    constexpr std::string_view kRest = " HTTP/1.1\r\nHost: x\r\n\r\n";
    RequestParser parser;
    CHECK(agrees(parser, "GET /v1/a" + std::string(kRest)));
    for (const std::string_view target : {"/fetch?url=https%3A%2F%2Fx%2Fa%3fb&sha256=0a",
                                          "/a?",
                                          "/a?&&==&",
                                          "/a?a=1&a=2",
                                          "/a?%00=%ff",
                                          "/a?-._~"}) {
      CAPTURE(target);
      const std::string bytes = "GET " + std::string(target) + std::string(kRest);
      CHECK(agrees(parser, bytes));
      CHECK(parser.asked() == 1);
      RequestParser afresh; // the library itself
      CHECK(agrees(afresh, bytes));
      CHECK(afresh.asked() == 1);
    }
  }

  TEST_CASE("agrees: the library is asked about whatever it has not seen") {
    constexpr std::string_view kSeen = "GET /v1/a HTTP/1.1\r\nHost: x\r\n\r\n";
    for (const std::string& bytes : {
             std::string("HEAD /v1/a HTTP/1.1\r\nHost: x\r\n\r\n"),
             std::string("GET /v1/a HTTP/1.0\r\nHost: x\r\n\r\n"),
             std::string("GET /v1/a HTTP/1.1\r\nHost: y\r\n\r\n"),
             std::string("GET /v1/a HTTP/1.1\r\nHost: x\r\nA: b\r\n\r\n"),
             std::string("\r\nGET /v1/a HTTP/1.1\r\nHost: x\r\n\r\n"),
             std::string("GET /v1/%61 HTTP/1.1\r\nHost: x\r\n\r\n"),
             std::string("GET /v1/a?b%zz HTTP/1.1\r\nHost: x\r\n\r\n"),
             std::string("GET /v1/a?b%4 HTTP/1.1\r\nHost: x\r\n\r\n"),
             std::string("GET /v1/a?b+c HTTP/1.1\r\nHost: x\r\n\r\n"),
             std::string("GET /v1/a?b?c HTTP/1.1\r\nHost: x\r\n\r\n"),
             std::string("GET /v1/../a HTTP/1.1\r\nHost: x\r\n\r\n"),
             std::string("GET http://x/v1/a HTTP/1.1\r\nHost: x\r\n\r\n"),
             "GET /" + std::string(2000, 'a') + " HTTP/1.1\r\nHost: x\r\n\r\n",
         }) {
      CAPTURE(bytes.substr(0, 80));
      RequestParser parser;
      CHECK(agrees(parser, kSeen));

      CHECK(agrees(parser, bytes));

      CHECK(parser.asked() == 2);
    }
  }

  TEST_CASE("agrees: not when the heads are different, however often it is asked") {
    RequestParser parser;
    Head head;
    const std::string_view bytes = "GET /a HTTP/1.1\r\nHost: x\r\n\r\n";
    REQUIRE(scan_head(bytes, 0, HeadLimits{}, head).state == HeadState::complete);
    head.target = bytes.substr(4, 1); // not what the line says
    CHECK_FALSE(parser.agrees(bytes, head));

    CHECK_FALSE(parser.agrees(bytes, head));
  }

  TEST_CASE("agrees: heads of many clients push each other out and are still agreed on") {
    RequestParser parser;
    for (int round = 0; round < 2; ++round) {
      for (int client = 0; client < 20; ++client) {
        const std::string host = std::to_string(client);
        CHECK(agrees(parser, "GET /a HTTP/1.1\r\nHost: " + host + "\r\n\r\n"));
      }
    }
  }
}

} // namespace
} // namespace pkc::http
