// The server over real loopback sockets: what a client sees.
#include "unit/http/loopback.hpp"

#include "pkc/http/server.hpp"

#include <doctest/doctest.h>

#include <string>

namespace pkc::http::test {
namespace {

/// GET /hello answers "hello"; PUT /echo answers the body it got, or 400.
Router basic_router() {
  Router router;
  router.add({Method::get, "/hello", [](Request&) { return text_response("hello"); }});
  router.add({Method::put, "/echo", [](Request& request) {
                auto body = read_all(*request.body);
                return body ? text_response(*std::move(body)) : make_error(400, "broken body");
              }});
  return router;
}

TEST_SUITE("http::Server") {
  TEST_CASE("get: the answer has status, date, length and body") {
    const Loopback server(basic_router());
    Client client = server.client();

    const Answer answer = client.request("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n");

    CHECK(answer.status == 200);
    CHECK(answer.has("\r\nDate: "));
    CHECK(answer.has("\r\nContent-Length: 5\r\n"));
    CHECK(answer.body == "hello");
  }

  TEST_CASE("put: a body by Content-Length arrives whole") {
    const Loopback server(basic_router());
    Client client = server.client();
    const std::string body(1'000'000, 'b');

    const Answer answer = client.request("PUT /echo HTTP/1.1\r\nHost: x\r\nContent-Length: " +
                                         std::to_string(body.size()) + "\r\n\r\n" + body);

    CHECK(answer.status == 200);
    CHECK(answer.body == body);
  }

  TEST_CASE("keep-alive: a 404 leaves the connection open") {
    const Loopback server(basic_router());
    Client client = server.client();

    CHECK(client.request("GET /none HTTP/1.1\r\nHost: x\r\n\r\n").status == 404);

    CHECK(client.request("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n").status == 200);
  }
}

} // namespace
} // namespace pkc::http::test
