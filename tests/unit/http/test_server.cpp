// The server over real loopback sockets: what a client sees.
#include "unit/http/loopback.hpp"

#include "pkc/http/server.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace pkc::http::test {
namespace {

/// GET /hello answers "hello"; PUT /echo answers the body it got, or 400.
Router basic_router() {
  Router router;
  router.add({Method::get, "/hello", RouteAccess::open(), [](Request&) {
                return text_response("hello");
              }});
  router.add({Method::put, "/echo", RouteAccess::open(), [](Request& request) {
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

  TEST_CASE("head request: the headers of the body and none of it") {
    const Loopback server(basic_router());
    Client client = server.client();

    const Answer head = client.request("HEAD /hello HTTP/1.1\r\nHost: x\r\n\r\n", false);

    CHECK(head.status == 200);
    CHECK(head.has("\r\nContent-Length: 5\r\n"));
    CHECK(client.request("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n").body == "hello");
  }

  TEST_CASE("keep-alive: a 404 leaves the connection open") {
    const Loopback server(basic_router());
    Client client = server.client();

    CHECK(client.request("GET /none HTTP/1.1\r\nHost: x\r\n\r\n").status == 404);

    CHECK(client.request("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n").status == 200);
  }

  TEST_CASE("keep-alive: Connection: close is answered and done") {
    const Loopback server(basic_router());
    Client client = server.client();

    const Answer answer =
        client.request("GET /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");

    CHECK(answer.has("\r\nConnection: close\r\n"));
    CHECK(client.read_to_end() == Client::End::closed);
  }

  TEST_CASE("keep-alive: HTTP/1.0 closes unless it asks") {
    const Loopback server(basic_router());
    Client closing = server.client();
    CHECK(closing.request("GET /hello HTTP/1.0\r\n\r\n").body == "hello");
    CHECK(closing.read_to_end() == Client::End::closed);

    Client keeping = server.client();
    const std::string request = "GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
    CHECK(keeping.request(request).has("\r\nConnection: keep-alive\r\n"));
    CHECK(keeping.request(request).body == "hello");
  }

  TEST_CASE("pipelining: a hundred requests at once get a hundred answers in order") {
    const Loopback server(basic_router());
    Client client = server.client();
    CHECK(echoes_pipelined(client, 100));
  }

  TEST_CASE("pipelining: more requests than the input buffer holds") {
    const Loopback server(basic_router());
    Client client = server.client();
    std::string requests;
    for (int i = 0; i < 1000; ++i) {
      requests +=
          "GET /hello HTTP/1.1\r\nHost: x\r\nPadding: " + std::string(200, 'p') + "\r\n\r\n";
    }
    std::jthread sender([&] { client.send(requests); });

    int good = 0;
    for (int i = 0; i < 1000; ++i) {
      good += client.read().body == "hello" ? 1 : 0;
    }
    CHECK(good == 1000);
  }

  TEST_CASE("half close: a client that has finished sending still gets its answers") {
    const Loopback server(basic_router());
    Client client = server.client();
    const std::string request = "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n";
    REQUIRE(client.send(request + request));
    client.finish_sending();

    CHECK(client.read().body == "hello");
    CHECK(client.read().body == "hello");
    CHECK(client.read_to_end() == Client::End::closed);
  }

  TEST_CASE("handler: an exception becomes a 500 that tells the log and not the client") {
    std::string failure;
    std::atomic<bool> logged = false;
    const Loopback server(
        single(Method::get, "/", [](Request&) -> Response { throw std::runtime_error("secret"); }),
        {},
        [&](const AccessRecord& record) {
          failure = record.failure;
          logged = true;
        });
    Client client = server.client();

    const Answer answer = client.request("GET / HTTP/1.1\r\nHost: x\r\n\r\n");

    CHECK(answer.status == 500);
    CHECK(answer.body == R"({"error":"internal error"})");
    REQUIRE(eventually([&] { return logged.load(); }));
    CHECK(failure.find("secret") != std::string::npos);
  }

  TEST_CASE("fields: a line break in a value cannot start another field") {
    const Loopback server(single(Method::get, "/", [](Request&) {
      Response response = make_response(200);
      response.headers.add("A", "b\r\nInjected: c");
      return response;
    }));
    Client client = server.client();

    const Answer answer = client.request("GET / HTTP/1.1\r\nHost: x\r\n\r\n");

    CHECK(answer.has("\r\nA: b  Injected: c\r\n"));
  }

  TEST_CASE("status: 204 and 304 have neither body nor length") {
    for (const int status : {204, 304}) {
      const Loopback server(
          single(Method::get, "/", [status](Request&) { return text_response("x", status); }));
      Client client = server.client();

      const Answer answer = client.request("GET / HTTP/1.1\r\nHost: x\r\n\r\n");

      CHECK(answer.status == status);
      CHECK_FALSE(answer.has("Content-Length"));
      CHECK(client.request("GET / HTTP/1.1\r\nHost: x\r\n\r\n").status == status);
    }
  }

  TEST_CASE("request: raw path, query, fields undecoded, and the client behind a trusted proxy") {
    ServerOptions options;
    options.trusted_proxies = {"127.0.0.0/8"};
    const Loopback server(
        single(Method::get,
               "/a/{b}",
               [](Request& request) {
                 return text_response(request.path + "|" + request.query + "|" +
                                      request.parameters.at(0) + "|" +
                                      std::string(request.headers.get("x-y").value_or("")) + "|" +
                                      request.client_address);
               }),
        options);
    Client client = server.client();

    const Answer answer = client.request(
        "GET http://h//a/%2Fb?c=%20 HTTP/1.1\r\nHost: x\r\nX-Y: 100%25\r\nX-Forwarded-For: "
        "198.51.100.7\r\n\r\n");

    CHECK(answer.body == "/a/%2Fb|c=%20|/b|100%25|198.51.100.7");
  }

  TEST_CASE("access log: one record a request, refused heads included") {
    std::mutex mutex;
    std::vector<std::string> records;
    const Loopback server(basic_router(), {}, [&](const AccessRecord& record) {
      const std::lock_guard lock(mutex);
      records.push_back(std::string(record.method) + " " + std::string(record.target) + " " +
                        std::to_string(record.status) + " " + std::to_string(record.bytes_sent) +
                        " " + std::to_string(record.bytes_received) + " " +
                        std::string(record.client_address));
    });
    Client client = server.client();
    client.request("GET /hello?q HTTP/1.1\r\nHost: x\r\n\r\n");
    client.request("HEAD /hello HTTP/1.1\r\nHost: x\r\n\r\n", false);
    client.request("PUT /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab");
    client.request("GET /x HTTP/1.1\r\n\r\n");

    REQUIRE(eventually([&] {
      const std::lock_guard lock(mutex);
      return records.size() == 4;
    }));
    CHECK(records[0] == "GET /hello?q 200 5 0 127.0.0.1");
    CHECK(records[1] == "HEAD /hello 200 0 0 127.0.0.1");
    CHECK(records[2] == "PUT /echo 200 2 2 127.0.0.1");
    CHECK(records[3] == "GET /x 400 40 0 127.0.0.1");
  }

  TEST_CASE("refusals: a head that cannot be trusted gets its status as JSON, then the close") {
    const Loopback server(basic_router());
    struct {
      std::string_view name;
      std::string head;
      int status;
    } const rows[] = {
        {"garbage", "\x16\x03\x01", 400},
        {"bare LF", "GET / HTTP/1.1\nHost: x\n\n", 400},
        {"no Host", "GET / HTTP/1.1\r\n\r\n", 400},
        {"obs-fold", "GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n", 400},
        {"space before colon", "GET / HTTP/1.1\r\nHost : x\r\n\r\n", 400},
        {"both lengths",
         "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
         400},
        {"length list", "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 1, 1\r\n\r\n", 400},
        {"gzip body", "PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", 501},
        {"CONNECT", "CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n", 501},
        {"HTTP/2", "PRI * HTTP/2.0\r\n\r\n", 505},
        {"long target", "GET /" + std::string(9000, 'a') + " HTTP/1.1\r\nHost: x\r\n\r\n", 414},
        {"large head", "GET / HTTP/1.1\r\nHost: x\r\nA: " + std::string(40'000, 'a'), 431},
        {"expectation", "PUT / HTTP/1.1\r\nHost: x\r\nExpect: tea\r\n\r\n", 417},
    };
    for (const auto& row : rows) {
      CAPTURE(row.name);
      Client client = server.client();

      const Answer answer = client.request(row.head);

      CHECK(answer.status == row.status);
      CHECK(answer.has("\r\nConnection: close\r\n"));
      CHECK(answer.has("\r\nContent-Type: application/json\r\n"));
      CHECK(answer.body.starts_with("{\"error\":\""));
      CHECK(client.read_to_end() == Client::End::closed);
    }
  }

  TEST_CASE("odd fields: a malformed Range or Accept is no error") {
    const Loopback server(basic_router());
    Client client = server.client();

    CHECK(client.request("GET /hello HTTP/1.1\r\nHost: x\r\nRange: bytes=x\r\n\r\n").status == 200);
    CHECK(client.request("GET /hello HTTP/1.1\r\nHost: x\r\nAccept: ;;,q=9\r\n\r\n").status == 200);
  }

  TEST_CASE("start: an address that cannot be used is an error that names it") {
    ServerOptions options;
    options.bind = "not an address";
    const auto unusable = Server::start(options, basic_router(), {});
    REQUIRE_FALSE(unusable.has_value());
    CHECK(unusable.error().code == Errc::invalid_argument);
    CHECK(unusable.error().message.find("not an address") != std::string::npos);

    const Loopback first(basic_router());
    options.bind = "127.0.0.1";
    options.port = first.port();
    const auto taken = Server::start(options, basic_router(), {});
    REQUIRE_FALSE(taken.has_value());
    CHECK(taken.error().code == Errc::io);
    CHECK(taken.error().message.find("127.0.0.1:" + std::to_string(first.port())) !=
          std::string::npos);
  }

  TEST_CASE("start: a name and an IPv6 literal can be bound") {
    for (const std::string bind : {"localhost", "::1", "[::1]", "::"}) {
      CAPTURE(bind);
      ServerOptions options;
      options.bind = bind;
      options.port = 0;

      const auto server = Server::start(options, basic_router(), {});

      if (!server && server.error().code == Errc::io && bind != "localhost") {
        MESSAGE("no IPv6 on this machine: " << server.error().message);
        continue;
      }
      REQUIRE(server.has_value());
      CHECK((*server)->port() != 0);
    }
  }
}

} // namespace
} // namespace pkc::http::test
