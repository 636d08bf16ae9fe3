// Access control over real sockets: what a client sees, and when.
#include "access_fixture.hpp"
#include "loopback.hpp"

#include "pkc/http/auth.hpp"
#include "pkc/http/message.hpp"
#include "pkc/http/router.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace pkc::http::test {
namespace {

Router guarded_router(std::shared_ptr<AccessControl> control) {
  Router router;
  router.guard(std::move(control));
  router.add({Method::get, "/hello", RouteAccess::read("polykit"), [](Request& request) {
                return text_response(request.principal->name);
              }});
  router.add({Method::put, "/echo", RouteAccess::write("polykit"), [](Request& request) {
                auto text = read_all(*request.body);
                return text ? text_response(*std::move(text), 201) : make_error(400, "broken");
              }});
  router.add(
      {Method::delete_, "/all", RouteAccess::admin(), [](Request&) { return make_response(204); }});
  return router;
}

std::shared_ptr<AccessControl> plain_control() {
  return std::make_shared<AccessControl>(plain_rules());
}

std::string get(const std::string& name) {
  return "GET /hello HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + token_of(name) + "\r\n\r\n";
}

TEST_SUITE("http::AccessControl over sockets") {
  TEST_CASE("a waiting client gets its refusal in place of 100 Continue") {
    const Loopback server(guarded_router(plain_control()));
    for (const std::string& field :
         std::vector<std::string>{"",
                                  "Authorization: Bearer wrong\r\n",
                                  "Authorization: Bearer " + token_of("reader") + "\r\n"}) {
      Client client = server.client();

      const Answer answer = client.request("PUT /echo HTTP/1.1\r\nHost: x\r\n" + field +
                                           "Expect: 100-continue\r\nContent-Length: 5\r\n\r\n");

      CHECK(answer.status == (field.contains("-of-the-test") ? 403 : 401));
      CHECK(client.unread().empty());
      CHECK(client.read_to_end() == Conversation::End::closed);
    }
    Client client = server.client();
    const Answer go_on = client.request(
        "PUT /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n"
        "Authorization: Bearer " +
        token_of("writer") + "\r\n\r\n");
    CHECK(go_on.status == 100);
    CHECK(client.request("12345").body == "12345");
  }

  TEST_CASE("a small body that comes along is dropped and the connection goes on") {
    const Loopback server(guarded_router(plain_control()));
    Client client = server.client();

    const Answer refused =
        client.request("PUT /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n12345");
    const Answer next = client.request(get("reader"));

    CHECK(refused.status == 401);
    CHECK(refused.has("WWW-Authenticate: Bearer realm=\"polykit-cache\"\r\n"));
    CHECK(refused.has("WWW-Authenticate: Basic realm=\"polykit-cache\", charset=\"UTF-8\"\r\n"));
    CHECK(refused.has("Content-Type: application/json\r\n"));
    CHECK(next.body == "reader");
  }

  TEST_CASE("a large body is not read for nothing") {
    const Loopback server(guarded_router(plain_control()));
    Client client = server.client();

    const Answer refused =
        client.request("PUT /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n");

    CHECK(refused.status == 401);
    CHECK(refused.has("Connection: close\r\n"));
  }

  TEST_CASE("each request of a connection is looked at by itself") {
    const Loopback server(guarded_router(plain_control()));
    Client client = server.client();

    client.send(get("reader") + get("nobody") + get("writer") +
                "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n");

    CHECK(client.read().body == "reader");
    CHECK(client.read().status == 401);
    CHECK(client.read().body == "writer");
    CHECK(client.read().status == 401);
  }

  TEST_CASE("without rules admin needs a request that came straight from here") {
    const Loopback server(guarded_router(std::make_shared<AccessControl>()));
    const auto ask = [&](const std::string& fields) {
      return server.client().request("DELETE /all HTTP/1.1\r\n" + fields + "\r\n", false).status;
    };

    CHECK(ask("Host: localhost\r\n") == 204);
    CHECK(ask("Host: 127.0.0.1:8080\r\n") == 204);
    CHECK(ask("Host: cache.example\r\n") == 403);
    CHECK(ask("Host: localhost\r\nX-Forwarded-For: 127.0.0.1\r\n") == 403);
    CHECK(ask("Host: localhost\r\nOrigin: https://cache.example\r\n") == 403);
  }

  TEST_CASE("a proxy that is trusted does not make its clients local") {
    ServerOptions options;
    options.trusted_proxies = {"127.0.0.1"};
    const Loopback server(guarded_router(std::make_shared<AccessControl>()), options);

    const Answer answer = server.client().request(
        "DELETE /all HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 10.1.2.3\r\n\r\n");

    CHECK(answer.status == 403);
  }

  TEST_CASE("rules are replaced under load: every request sees the old ones or the new ones") {
    const auto control = plain_control();
    const Loopback server(guarded_router(control));
    AccessRules without_writer = plain_rules();
    without_writer.tokens.pop_back();
    std::atomic<bool> done = false;
    std::atomic<int> wrong = 0;
    std::atomic<int> refused = 0;
    std::atomic<int> served = 0;
    std::vector<std::jthread> clients;
    clients.reserve(4);
    for (int i = 0; i < 4; ++i) {
      clients.emplace_back([&] {
        Client client = server.client();
        while (!done) {
          wrong += client.request(get("reader")).body == "reader" ? 0 : 1;
          const Answer answer = client.request(get("writer"));
          wrong += answer.status == 401 || answer.body == "writer" ? 0 : 1;
          (answer.status == 401 ? refused : served)++;
        }
      });
    }

    for (int round = 0; round < 100 || refused == 0 || served == 0; ++round) {
      control->replace(round % 2 == 0 ? without_writer : plain_rules());
      std::this_thread::yield();
    }
    done = true;
    clients.clear();

    CHECK(wrong == 0);
  }
}

} // namespace
} // namespace pkc::http::test
