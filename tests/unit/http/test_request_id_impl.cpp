#include "loopback.hpp"
#include "request_id.hpp"

#include "pkc/ops/log.hpp"

#include <doctest/doctest.h>

#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace pkc::http {
namespace {

TEST_SUITE("http::RequestIds") {
  TEST_CASE("is_request_id: letters, digits and . _ -, up to 128 of them") {
    struct Row {
      std::string text;
      bool valid;
    };
    const std::vector<Row> rows = {
        {"", false},
        {"a", true},
        {"AZaz09._-", true},
        {"2b6f0cc9-04d8-4b2f-9f0e-0a1b2c3d4e5f", true},
        {std::string(128, 'x'), true},
        {std::string(129, 'x'), false},
        {"a b", false},
        {"a\"b", false},
        {"a=b", false},
        {"a/b", false},
        {"a,b", false},
        {"a\tb", false},
        {"\xc3\xa4", false},
        {std::string("a\0b", 3), false},
    };
    for (const Row& row : rows) {
      CAPTURE(row.text);
      CHECK(is_request_id(row.text) == row.valid);
    }
  }

  TEST_CASE("next: is an id of its own, each time and for each seed") {
    std::set<std::string, std::less<>> seen;
    for (const std::uint64_t seed : {0U, 1U, 2U}) {
      RequestIds ids(seed);
      for (int i = 0; i < 10'000; ++i) {
        const std::string_view id = ids.next();
        REQUIRE(id.size() == 24);
        REQUIRE(is_request_id(id));
        seen.emplace(id);
      }
    }

    CHECK(seen.size() == 30'000);
  }

  TEST_CASE("a seed of the system's is another one each time") {
    RequestIds one;
    RequestIds other;

    CHECK(one.next() != other.next());
  }
}

} // namespace

namespace test {
namespace {

/// The value of the answer's X-Request-Id; empty without one.
std::string id_of(const Answer& answer) {
  constexpr std::string_view kName = "\r\nX-Request-Id: ";
  const std::size_t at = answer.head.find(kName);
  if (at == std::string::npos || answer.head.find(kName, at + 1) != std::string::npos) {
    return "";
  }
  const std::size_t start = at + kName.size();
  return answer.head.substr(start, answer.head.find("\r\n", start) - start);
}

/// The id under which a handler's log lines are written.
Router echo_scope() {
  Router router;
  router.add({.method = Method::get,
              .pattern = "/",
              .access = RouteAccess::open(),
              .handler = [](Request& /*request*/) {
                Response response = make_response(200);
                response.body = std::string(ops::request_id());
                return response;
              }});
  return router;
}

TEST_SUITE("http::Server request ids") {
  TEST_CASE("a sound one is taken over, in the answer and while the handler runs") {
    const Loopback server(echo_scope());
    Client client = server.client();

    for (const std::string_view name : {"X-Request-Id", "x-request-id", "X-REQUEST-ID"}) {
      const Answer answer = client.request("GET / HTTP/1.1\r\nHost: x\r\n" + std::string(name) +
                                           ": build-7.a_1\r\n\r\n");
      CHECK(id_of(answer) == "build-7.a_1");
      CHECK(answer.body == "build-7.a_1");
    }
  }

  TEST_CASE("another is made where there is none, an unsound one, or more than one") {
    const Loopback server(echo_scope());
    Client client = server.client();
    std::set<std::string> seen;

    for (const std::string& field : {std::string(),
                                     std::string("X-Request-Id: \r\n"),
                                     std::string("X-Request-Id: a b\r\n"),
                                     "X-Request-Id: " + std::string(129, 'x') + "\r\n",
                                     std::string("X-Request-Id: one\r\nX-Request-Id: two\r\n")}) {
      const Answer answer = client.request("GET / HTTP/1.1\r\nHost: x\r\n" + field + "\r\n");
      CAPTURE(answer.head);
      CHECK(id_of(answer).size() == 24);
      CHECK(answer.body == id_of(answer));
      seen.insert(id_of(answer));
    }

    CHECK(seen.size() == 5);
  }

  TEST_CASE("errors have one, also those of a head that is no HTTP") {
    const Loopback server(echo_scope());

    CHECK(id_of(server.client().request(
              "GET /no HTTP/1.1\r\nHost: x\r\nX-Request-Id: me\r\n\r\n")) == "me");
    CHECK(id_of(server.client().request("nonsense\r\n\r\n")).size() == 24);
  }

  TEST_CASE("the access record and what comes after the request are told apart") {
    std::string seen;
    {
      const Loopback server(echo_scope(), {}, [&seen](const AccessRecord& record) {
        seen += record.target;
        seen += '=';
        seen += ops::request_id();
        seen += ' ';
      });
      Client client = server.client();
      client.request("GET / HTTP/1.1\r\nHost: x\r\nX-Request-Id: me\r\n\r\n");
    }

    CHECK(seen == "/=me ");
    CHECK(ops::request_id().empty());
  }
}

} // namespace
} // namespace test
} // namespace pkc::http
