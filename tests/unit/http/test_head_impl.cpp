// The head scan, by table: each row is one head and what becomes of it.
#include "head.hpp"

#include <doctest/doctest.h>

#include <optional>
#include <string>
#include <string_view>

namespace pkc::http {
namespace {

using std::string_view_literals::operator""sv;

HeadScan scan(std::string_view bytes, Head& head) {
  return scan_head(bytes, 0, HeadLimits{}, head);
}

int status_of(std::string_view bytes) {
  Head head;
  const HeadScan result = scan(bytes, head);
  return result.state == HeadState::complete ? 200 : result.status; // 0: needs more
}

struct Row {
  std::string_view name;
  std::string_view bytes;
  int status;
};

constexpr Row kRows[] = {
    // request line
    {"plain", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 200},
    {"one empty line before", "\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", 200},
    {"four empty lines before", "\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", 200},
    {"five empty lines before", "\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", 400},
    {"bare LF in the request line", "GET / HTTP/1.1\nHost: x\r\n\r\n", 400},
    {"bare LF in a field", "GET / HTTP/1.1\r\nHost: x\nA: b\r\n\r\n", 400},
    {"bare LF as the blank line", "GET / HTTP/1.1\r\nHost: x\r\n\n", 400},
    {"bare CR in the request line", "GET /\rx HTTP/1.1\r\nHost: x\r\n\r\n", 400},
    {"bare CR in a value", "GET / HTTP/1.1\r\nHost: x\r\nA: b\rc\r\n\r\n", 400},
    {"CR CR LF", "GET / HTTP/1.1\r\nHost: x\r\r\n\r\n", 400},
    {"NUL in the target", "GET /\0 HTTP/1.1\r\nHost: x\r\n\r\n"sv, 400},
    {"NUL in a value", "GET / HTTP/1.1\r\nHost: x\r\nA: \0\r\n\r\n"sv, 400},
    {"two spaces", "GET  / HTTP/1.1\r\nHost: x\r\n\r\n", 400},
    {"space at the end", "GET / HTTP/1.1 \r\nHost: x\r\n\r\n", 400},
    {"tab for space", "GET\t/ HTTP/1.1\r\nHost: x\r\n\r\n", 400},
    {"no version", "GET /\r\nHost: x\r\n\r\n", 400},
    {"no method", " / HTTP/1.1\r\nHost: x\r\n\r\n", 400},
    {"lower-case version", "GET / http/1.1\r\nHost: x\r\n\r\n", 400},
    {"version with letters", "GET / HTTP/1.x\r\nHost: x\r\n\r\n", 400},
    {"version 1.2", "GET / HTTP/1.2\r\nHost: x\r\n\r\n", 505},
    {"version 2.0", "PRI * HTTP/2.0\r\n\r\n", 505},
    {"version 0.9", "GET / HTTP/0.9\r\n\r\n", 505},
    {"a method for the routes to know", "PROPFIND / HTTP/1.1\r\nHost: x\r\n\r\n", 200},
    {"endless method", "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG / HTTP/1.1\r\nHost: x\r\n\r\n", 501},
    {"CONNECT", "CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n", 501},
    {"method that is no token", "G(T / HTTP/1.1\r\nHost: x\r\n\r\n", 400},
    {"TRACE is known", "TRACE / HTTP/1.1\r\nHost: x\r\n\r\n", 200},
    {"a TLS hello", "\x16\x03\x01", 400},
    // target
    {"absolute-form", "GET http://x/a?b HTTP/1.1\r\nHost: x\r\n\r\n", 200},
    {"absolute-form without host", "GET http:///a HTTP/1.1\r\nHost: x\r\n\r\n", 400},
    {"absolute-form with user", "GET http://u@x/a HTTP/1.1\r\nHost: x\r\n\r\n", 400},
    {"another scheme", "GET ftp://x/a HTTP/1.1\r\nHost: x\r\n\r\n", 400},
    {"no leading slash", "GET a HTTP/1.1\r\nHost: x\r\n\r\n", 400},
    {"OPTIONS *", "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 200},
    {"GET *", "GET * HTTP/1.1\r\nHost: x\r\n\r\n", 400},
    {"fragment", "GET /a#b HTTP/1.1\r\nHost: x\r\n\r\n", 400},
    {"target beyond ASCII", "GET /\xC3\xA4 HTTP/1.1\r\nHost: x\r\n\r\n", 400},
    // fields
    {"obs-fold", "GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n", 400},
    {"obs-fold with tab", "GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n\tc\r\n\r\n", 400},
    {"blank before the first field", "GET / HTTP/1.1\r\n Host: x\r\n\r\n", 400},
    {"space before the colon", "GET / HTTP/1.1\r\nHost : x\r\n\r\n", 400},
    {"tab before the colon", "GET / HTTP/1.1\r\nHost\t: x\r\n\r\n", 400},
    {"no colon", "GET / HTTP/1.1\r\nHost: x\r\nA\r\n\r\n", 400},
    {"empty name", "GET / HTTP/1.1\r\nHost: x\r\n: a\r\n\r\n", 400},
    {"name that is no token", "GET / HTTP/1.1\r\nHost: x\r\nA[]: a\r\n\r\n", 400},
    {"empty value", "GET / HTTP/1.1\r\nHost: x\r\nA:\r\n\r\n", 200},
    {"value beyond ASCII", "GET / HTTP/1.1\r\nHost: x\r\nA: \xC3\xA4\r\n\r\n", 200},
    {"DEL in a value", "GET / HTTP/1.1\r\nHost: x\r\nA: \x7F\r\n\r\n", 400},
    // Host
    {"no Host", "GET / HTTP/1.1\r\n\r\n", 400},
    {"no Host on 1.0", "GET / HTTP/1.0\r\n\r\n", 200},
    {"two Hosts", "GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n", 400},
    {"two Hosts on 1.0", "GET / HTTP/1.0\r\nHost: x\r\nHost: x\r\n\r\n", 400},
    {"empty Host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", 200},
    {"Host with port", "GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", 200},
    {"Host with a path", "GET / HTTP/1.1\r\nHost: x/y\r\n\r\n", 400},
    {"Host with a space", "GET / HTTP/1.1\r\nHost: x y\r\n\r\n", 400},
    // Content-Length
    {"length", "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n", 200},
    {"length 0", "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 200},
    {"empty length", "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length:\r\n\r\n", 400},
    {"negative length", "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400},
    {"length with sign", "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\n", 400},
    {"hex length", "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 0x10\r\n\r\n", 400},
    {"length list", "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 5, 5\r\n\r\n", 400},
    {"length twice, alike",
     "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
     400},
    {"length over 64 bits",
     "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 18446744073709551616\r\n\r\n",
     400},
    {"length over 63 bits",
     "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 9223372036854775808\r\n\r\n",
     400},
    // Transfer-Encoding
    {"chunked", "PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", 200},
    {"Chunked", "PUT / HTTP/1.1\r\nHost: x\r\ntransfer-encoding: Chunked\r\n\r\n", 200},
    {"both lengths",
     "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
     400},
    {"both lengths, the other way",
     "PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n",
     400},
    {"chunked on 1.0", "PUT / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
    {"chunked not last",
     "PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, gzip\r\n\r\n",
     400},
    {"chunked twice",
     "PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, chunked\r\n\r\n",
     400},
    {"chunked in two fields",
     "PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: "
     "chunked\r\n\r\n",
     400},
    {"gzip, chunked", "PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501},
    {"gzip", "PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", 501},
    {"identity", "PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: identity\r\n\r\n", 501},
    {"xchunked", "PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n", 501},
    {"chunked with a parameter",
     "PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked;a=b\r\n\r\n",
     501},
    {"vertical tab before chunked",
     "PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: \vchunked\r\n\r\n",
     400},
    {"empty Transfer-Encoding", "PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding:\r\n\r\n", 501},
    // Expect
    {"100-continue", "PUT / HTTP/1.1\r\nHost: x\r\nExpect: 100-Continue\r\n\r\n", 200},
    {"other expectation", "PUT / HTTP/1.1\r\nHost: x\r\nExpect: tea\r\n\r\n", 417},
    // not finished
    {"nothing", "", 0},
    {"lone CR", "\r", 0},
    {"half a line", "GET / HT", 0},
    {"no blank line", "GET / HTTP/1.1\r\nHost: x\r\n", 0},
    {"half a blank line", "GET / HTTP/1.1\r\nHost: x\r\n\r", 0},
};

TEST_SUITE("http::scan_head") {
  TEST_CASE("status: every row of the table is judged as it says") {
    for (const Row& row : kRows) {
      CAPTURE(row.name);

      CHECK(status_of(row.bytes) == row.status);
    }
  }

  TEST_CASE("resume: a head that comes byte by byte is judged like one that comes at once") {
    for (const Row& row : kRows) {
      CAPTURE(row.name);
      Head head;
      HeadScan result;
      std::size_t scanned = 0;
      for (std::size_t size = 0; size <= row.bytes.size(); ++size) {
        result = scan_head(row.bytes.substr(0, size), scanned, HeadLimits{}, head);
        if (result.state != HeadState::needs_more) {
          break;
        }
        scanned = size;
      }

      CHECK((result.state == HeadState::complete ? 200 : result.status) == row.status);
    }
  }

  TEST_CASE("fields: names and values are kept in order, values trimmed, bytes behind left alone") {
    constexpr std::string_view kBytes =
        "PUT /a%2Fb?c=d?e HTTP/1.1\r\nHost: x\r\nA: \t1%20 \r\nB:2\r\nContent-Length: 3\r\n\r\nxyz";
    Head head;

    REQUIRE(scan(kBytes, head).state == HeadState::complete);

    CHECK(head.method == "PUT");
    CHECK(head.target == "/a%2Fb?c=d?e");
    CHECK(head.path == "/a%2Fb");
    CHECK(head.query == "c=d?e");
    REQUIRE(head.fields.size() == 4);
    CHECK(head.fields[1].name == "A");
    CHECK(head.fields[1].value == "1%20");
    CHECK(head.fields[2].value == "2");
    CHECK(head.content_length == 3);
    CHECK(head.size == kBytes.size() - 3);
  }

  TEST_CASE("target: leading slashes collapse and an absolute-form is stripped to its path") {
    struct {
      std::string_view target;
      std::string_view path;
      std::string_view query;
    } const rows[] = {
        {"/a//b", "/a//b", ""},
        {"///a", "/a", ""},
        {"//", "/", ""},
        {"http://h:80//a?q", "/a", "q"},
        {"HTTPS://h", "/", ""},
        {"http://h?q", "/", "q"},
        {"/?", "/", ""},
    };
    for (const auto& row : rows) {
      CAPTURE(row.target);
      Head head;
      const std::string bytes = "GET " + std::string(row.target) + " HTTP/1.1\r\nHost: x\r\n\r\n";

      REQUIRE(scan(bytes, head).state == HeadState::complete);

      CHECK(head.path == row.path);
      CHECK(head.query == row.query);
    }
  }

  TEST_CASE("keep_alive: version and Connection decide") {
    struct {
      std::string_view version;
      std::string_view connection;
      bool keep_alive;
    } const rows[] = {
        {"1.1", "", true},
        {"1.1", "Connection: close\r\n", false},
        {"1.1", "Connection: upgrade, Close\r\n", false},
        {"1.1", "Connection: keep-alive, close\r\n", false},
        {"1.1", "Connection: closed\r\n", true},
        {"1.0", "", false},
        {"1.0", "Connection: Keep-Alive\r\n", true},
    };
    for (const auto& row : rows) {
      CAPTURE(row.connection);
      Head head;
      const std::string bytes = "GET / HTTP/" + std::string(row.version) + "\r\nHost: x\r\n" +
                                std::string(row.connection) + "\r\n";

      REQUIRE(scan(bytes, head).state == HeadState::complete);

      CHECK(head.keep_alive == row.keep_alive);
    }
  }

  TEST_CASE("expect: 100-continue counts on 1.1 and is ignored on 1.0") {
    Head head;
    REQUIRE(scan("PUT / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n\r\n", head).state ==
            HeadState::complete);
    CHECK(head.expects_continue);
    REQUIRE(scan("PUT / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n", head).state ==
            HeadState::complete);
    CHECK_FALSE(head.expects_continue);
  }

  TEST_CASE("limits: a long target is 414, a large head and too many fields are 431") {
    const std::string host = " HTTP/1.1\r\nHost: x\r\n";
    const std::string fits = "GET /" + std::string(8191, 'a') + host;
    CHECK(status_of(fits + "\r\n") == 200);
    CHECK(status_of("GET /" + std::string(8192, 'a') + host + "\r\n") == 414);
    CHECK(status_of("GET /" + std::string(9000, 'a')) == 414);
    CHECK(status_of("GET /" + std::string(40'000, 'a') + host + "\r\n") == 414);
    CHECK(status_of("GET /" + host + "A: " + std::string(33'000, 'a')) == 431);
    CHECK(status_of("GET /" + host + "A: " + std::string(33'000, 'a') + "\r\n\r\n") == 431);
    std::string fields;
    for (int i = 0; i < 99; ++i) {
      fields += "A: b\r\n";
    }
    CHECK(status_of("GET /" + host + fields + "\r\n") == 200);
    CHECK(status_of("GET /" + host + fields + "A: b\r\n\r\n") == 431);
  }
}

} // namespace
} // namespace pkc::http
