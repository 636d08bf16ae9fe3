// Slow clients, many clients, and the end of a server, over real loopback sockets.
#include "unit/http/loopback.hpp"

#include "pkc/http/server.hpp"

#include <doctest/doctest.h>

#include <sys/resource.h>

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace pkc::http::test {
namespace {

constexpr std::string_view kExpectingPut =
    "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n";
constexpr std::string_view kGet = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

Router hello_router() {
  return single(Method::get, "/", [](Request&) { return text_response("hello"); });
}

/// Handlers wait here until the test lets them go.
class Gate {
 public:
  void open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  void pass() {
    std::unique_lock lock(mutex_);
    ++waiting_;
    changed_.wait(lock, [&] { return open_; });
  }
  [[nodiscard]] int waiting() {
    const std::lock_guard lock(mutex_);
    return waiting_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = false;
  int waiting_ = 0;
};

/// GET /gate waits at the gate, GET / does not.
Router gate_router(Gate& gate) {
  Router router = hello_router();
  router.add({Method::get, "/gate", RouteAccess::open(), [&](Request&) {
                gate.pass();
                return text_response("passed");
              }});
  router.add({Method::put, "/", RouteAccess::open(), [](Request& request) {
                const auto body = read_all(*request.body);
                return make_error(body ? 201 : 400, "");
              }});
  return router;
}

TEST_SUITE("http::Server slow clients") {
  TEST_CASE("heads: more dripping clients than workers hold nobody up, and are served in the end") {
    ServerOptions options;
    options.workers_min = 2;
    options.workers_max = 2;
    const Loopback server(hello_router(), options);
    std::vector<Client> dripping;
    for (int i = 0; i < 20; ++i) {
      dripping.push_back(server.client());
    }
    Client other = server.client();

    for (const char byte : kGet.substr(0, kGet.size() - 1)) {
      for (Client& client : dripping) {
        REQUIRE(client.send({&byte, 1}));
      }
      REQUIRE(other.request(kGet).body == "hello");
    }

    for (Client& client : dripping) {
      CHECK(client.request(kGet.substr(kGet.size() - 1)).body == "hello");
    }
  }

  TEST_CASE("heads: one that does not end in time gets 408, however it drips") {
    ServerOptions options;
    options.head_timeout = 200ms;
    const Loopback server(hello_router(), options);
    Client client = server.client();
    REQUIRE(client.send("GET / HTTP/1.1\r\nHost: x\r\nA: "));

    while (!client.readable(20ms)) {
      client.send("a");
    }

    const Answer answer = client.read();
    CHECK(answer.status == 408);
    CHECK(answer.has("\r\nConnection: close\r\n"));
    client.read_to_end();
  }

  TEST_CASE("idle: a connection without a request is closed without a word") {
    ServerOptions options;
    options.idle_timeout = 100ms;
    const Loopback server(hello_router(), options);
    Client fresh = server.client();
    CHECK(fresh.read_to_end() == Client::End::closed);
    CHECK(fresh.unread().empty());

    Client used = server.client();
    CHECK(used.request(kGet).body == "hello");
    CHECK(used.read_to_end() == Client::End::closed);
    CHECK(used.unread().empty());
  }

  TEST_CASE("idle: many connections cost no worker") {
    ServerOptions options;
    options.workers_min = 1;
    options.workers_max = 1;
    const Loopback server(hello_router(), options);
    std::vector<Client> clients;
    for (int i = 0; i < 200; ++i) {
      clients.push_back(server.client());
    }

    for (Client& client : clients) {
      REQUIRE(client.request(kGet).body == "hello");
    }
    for (Client& client : clients) {
      REQUIRE(client.request(kGet).body == "hello");
    }

    CHECK(server->load().connections == 200);
    CHECK(server->load().workers == 1);
  }
}

TEST_SUITE("http::Server workers") {
  TEST_CASE("pool: grows while handlers block, up to its limit, and shrinks when idle") {
    Gate gate;
    ServerOptions options;
    options.workers_min = 2;
    options.workers_max = 12;
    options.worker_idle_timeout = 50ms;
    const Loopback server(gate_router(gate), options);
    std::vector<Client> blocked;
    for (int i = 0; i < 11; ++i) {
      blocked.push_back(server.client());
      REQUIRE(blocked.back().send("GET /gate HTTP/1.1\r\nHost: x\r\n\r\n"));
    }

    CHECK(eventually([&] { return gate.waiting() == 11; }));
    Client other = server.client();
    CHECK(other.request(kGet).body == "hello");
    CHECK(server->load().workers <= 12);
    CHECK(server->load().workers_max == 12);
    CHECK(eventually([&] { return server->load().workers_busy == 11; }));
    CHECK(server->load().connections == 12);
    CHECK(server->load().connections_active == 11);
    CHECK(server->load().accepted == 12);
    CHECK(server->load().connections_queued == 0);

    gate.open();
    for (Client& client : blocked) {
      CHECK(client.read().body == "passed");
    }
    CHECK(eventually([&] { return server->load().workers == 2; }));
    CHECK(other.request(kGet).body == "hello");
  }

  TEST_CASE("events: what a worker took together with a request that blocks is given to others") {
    Gate first;
    Gate second;
    Gate third;
    Router router = gate_router(first);
    for (const auto& [path, gate] :
         {std::pair("/second", std::ref(second)), std::pair("/third", std::ref(third))}) {
      router.add({Method::get, path, RouteAccess::open(), [gate](Request&) {
                    gate.get().pass();
                    return text_response("passed");
                  }});
    }
    ServerOptions options;
    options.workers_min = 2;
    options.workers_max = 2;
    const Loopback server(std::move(router), options);
    std::vector<Client> clients;
    for (int i = 0; i < 4; ++i) {
      clients.push_back(server.client());
      REQUIRE(clients.back().request(kGet).body == "hello");
    }
    REQUIRE(clients[0].send("GET /gate HTTP/1.1\r\nHost: x\r\n\r\n"));
    REQUIRE(clients[1].send("GET /second HTTP/1.1\r\nHost: x\r\n\r\n"));
    REQUIRE(eventually([&] { return first.waiting() == 1 && second.waiting() == 1; }));
    // Both workers are held: these two wait side by side, and one worker gets both.
    REQUIRE(clients[2].send("GET /third HTTP/1.1\r\nHost: x\r\n\r\n"));
    REQUIRE(clients[3].send(kGet));
    first.open();
    REQUIRE(eventually([&] { return third.waiting() == 1; }));

    second.open();
    CHECK(clients[3].read().body == "hello");
    CHECK(third.waiting() == 1);

    third.open();
    CHECK(clients[2].read().body == "passed");
  }
}

TEST_SUITE("http::Server capacity") {
  TEST_CASE(
      "connections_max: one more gets 503 with Retry-After at once, and a place when one is free") {
    ServerOptions options;
    options.connections_max = 2;
    const Loopback server(hello_router(), options);
    std::optional<Client> first(server.client());
    Client second = server.client();
    REQUIRE(first->request(kGet).body == "hello");
    REQUIRE(second.request(kGet).body == "hello");

    Client third = server.client();
    const Answer answer = third.read();
    CHECK(answer.status == 503);
    CHECK(answer.has("\r\nRetry-After: 1\r\n"));
    CHECK(answer.body == R"({"error":"too many connections"})");
    CHECK(third.read_to_end() == Client::End::closed);
    CHECK(server->load().refused_connections == 1);
    CHECK(server->load().refused_per_client == 0);
    CHECK(server->load().accepted == 3);

    first.reset();
    CHECK(eventually([&] {
      Client again = server.client();
      return again.request(kGet).status == 200;
    }));
    CHECK(second.request(kGet).body == "hello");
  }

  TEST_CASE("connections_per_client_max: one address cannot keep the others out") {
    ServerOptions options;
    options.connections_per_client_max = 2;
    const Loopback server(hello_router(), options);
    std::optional<Client> first(std::in_place, server.port(), 0, 1);
    Client second(server.port(), 0, 1);
    REQUIRE(first->request(kGet).body == "hello");
    REQUIRE(second.request(kGet).body == "hello");

    Client third(server.port(), 0, 1);
    const Answer answer = third.read();
    CHECK(answer.status == 503);
    CHECK(answer.has("\r\nRetry-After: 1\r\n"));
    CHECK(third.read_to_end() == Client::End::closed);
    Client other(server.port(), 0, 2);
    CHECK(other.request(kGet).body == "hello");

    first.reset();
    CHECK(eventually([&] {
      Client again(server.port(), 0, 1);
      return again.request(kGet).status == 200;
    }));
    CHECK(second.request(kGet).body == "hello");
  }

  TEST_CASE("connections_per_client_max: who is refused takes no place, however often it tries") {
    ServerOptions options;
    options.connections_max = 3;
    options.connections_per_client_max = 1;
    const Loopback server(hello_router(), options);
    Client greedy(server.port(), 0, 1);
    REQUIRE(greedy.request(kGet).body == "hello");
    std::vector<Client> refused;
    for (int i = 0; i < 20; ++i) {
      refused.emplace_back(server.port(), 0, 1);
      REQUIRE(refused.back().read().status == 503);
    }

    Client other(server.port(), 0, 2);
    CHECK(other.request(kGet).body == "hello");
    CHECK(server->load().refused_per_client == 20);
    CHECK(server->load().refused_connections == 0);
  }

  TEST_CASE("connections_per_client_max: neither a trusted proxy nor 0 has a limit") {
    struct Row {
      std::size_t limit;
      std::vector<std::string> proxies;
    };
    const std::vector<Row> rows{{1, {"127.0.0.0/8"}}, {0, {}}};
    for (const Row& row : rows) {
      CAPTURE(row.limit);
      ServerOptions options;
      options.connections_per_client_max = row.limit;
      options.trusted_proxies = row.proxies;
      const Loopback server(hello_router(), options);
      std::vector<Client> clients;
      for (int i = 0; i < 5; ++i) {
        clients.push_back(server.client());
        CHECK(clients.back().request(kGet).body == "hello");
      }
    }
  }

  TEST_CASE("uploads_max: one more gets 503 before its body is asked for, and reads go on") {
    Gate gate;
    ServerOptions options;
    options.uploads_max = 1;
    const Loopback server(gate_router(gate), options);
    Client first = server.client();
    REQUIRE(first.request(kExpectingPut).status == 100); // its handler waits for the body now
    CHECK(server->load().uploads == 1);
    CHECK(server->load().uploads_max == 1);

    Client second = server.client();
    const Answer refused = second.request(kExpectingPut);
    CHECK(refused.status == 503);
    CHECK(refused.has("\r\nRetry-After: 1\r\n"));
    CHECK(second.read_to_end() == Client::End::closed);
    Client third = server.client();
    CHECK(third.request("PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc").status == 503);
    CHECK(third.request("PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n").status == 201);
    CHECK(server->load().refused_uploads == 2);
    CHECK(third.request(kGet).body == "hello");
    CHECK(third.request("HEAD / HTTP/1.1\r\nHost: x\r\n\r\n", false).status == 200);
    CHECK(third.request("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc").status == 200);

    CHECK(first.request("0123456789").status == 201);
    for (int i = 0; i < 100; ++i) { // the place is free as soon as the answer is there
      Client& client = i % 2 == 0 ? first : third;
      REQUIRE(client.request("PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\na").status ==
              201);
    }
  }

  TEST_CASE(
      "uploads_max: a place is free again after a client that left and a handler that threw") {
    ServerOptions options;
    options.uploads_max = 1;
    Router router = single(Method::put, "/", [](Request& request) {
      const auto body = read_all(*request.body);
      return body ? throw std::runtime_error("no") : make_error(400, "");
    });
    const Loopback server(std::move(router), options);
    {
      Client leaver = server.client();
      REQUIRE(leaver.request(kExpectingPut).status == 100);
      leaver.reset_on_close();
    }

    CHECK(eventually([&] {
      Client client = server.client();
      const int status = client.request(kExpectingPut).status;
      return status == 100 && client.request("0123456789").status == 500;
    }));
    Client again = server.client();
    CHECK(again.request(kExpectingPut).status == 100);
  }

  TEST_CASE("uploads_max: stalled uploads never take the last worker") {
    Gate gate;
    ServerOptions options;
    options.workers_min = 2;
    options.workers_max = 4;
    const Loopback server(gate_router(gate), options);
    std::vector<Client> uploads;
    int accepted = 0;
    for (int i = 0; i < 8; ++i) {
      uploads.push_back(server.client());
      accepted += uploads.back().request(kExpectingPut).status == 100 ? 1 : 0;
    }

    CHECK(accepted == 3);
    Client reader = server.client();
    for (int i = 0; i < 20; ++i) {
      REQUIRE(reader.request(kGet).body == "hello");
    }
  }

  TEST_CASE("descriptors: without a free one new clients wait, and nothing spins or breaks") {
    std::atomic<int> failures = 0;
    const Loopback server(hello_router(), {}, [&](const AccessRecord& record) {
      failures += record.method.empty() && !record.failure.empty() ? 1 : 0;
    });
    Client served = server.client();
    REQUIRE(served.request(kGet).body == "hello");
    Client waiting = [&] {
      Client client = server.client(); // has its own descriptor; the server's end has not, below
      return client;
    }();
    REQUIRE(waiting.request(kGet).body == "hello");

    rlimit before{};
    REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
    UniqueFd probe(::dup(0));
    std::optional<Client> late;
    {
      // The next free number is probe's; the client takes it, and the server gets none.
      const auto free_number = static_cast<rlim_t>(probe.get());
      probe.reset();
      const rlimit none{free_number + 1, before.rlim_max};
      REQUIRE(::setrlimit(RLIMIT_NOFILE, &none) == 0);
      late.emplace(server.port());
      CHECK(eventually([&] { return failures.load() > 0; }));
      CHECK(served.request(kGet).body == "hello");
      CHECK_FALSE(late->readable(0ms));
      REQUIRE(::setrlimit(RLIMIT_NOFILE, &before) == 0);
    }

    CHECK(late->request(kGet).body == "hello");
  }
}

TEST_SUITE("http::Server::stop") {
  TEST_CASE("idle: connections without a request are closed and nothing is waited for") {
    const Loopback server(hello_router());
    Client fresh = server.client();
    Client used = server.client();
    Client begun = server.client();
    REQUIRE(used.request(kGet).body == "hello");
    REQUIRE(begun.send("GET / HT"));
    REQUIRE(eventually([&] { return server->load().connections == 3; }));

    CHECK(server->stop(kPatience));

    CHECK(fresh.read_to_end() == Client::End::closed);
    CHECK(used.read_to_end() == Client::End::closed);
    CHECK(begun.read_to_end() != Client::End::open);
    CHECK(server->load().connections == 0);
    CHECK(server->stop(0ms)); // idempotent
  }

  TEST_CASE("sent before: a request that has arrived is answered, not dropped") {
    const Loopback server(hello_router());
    Client client = server.client();
    REQUIRE(client.request(kGet).body == "hello"); // it is accepted
    REQUIRE(client.send(kGet));

    CHECK(server->stop(kPatience));

    CHECK(client.read().body == "hello");
  }

  TEST_CASE("in flight: the answer is finished and says close; nobody new is let in") {
    Gate gate;
    const Loopback server(gate_router(gate));
    Client client = server.client();
    REQUIRE(client.send("GET /gate HTTP/1.1\r\nHost: x\r\n\r\n"));
    REQUIRE(eventually([&] { return gate.waiting() == 1; }));

    bool clean = false;
    std::jthread stopper([&] { clean = server->stop(kPatience); });
    CHECK(eventually([&] {
      try {
        const Client late = server.client();
        return false;
      } catch (const std::runtime_error&) {
        return true;
      }
    }));
    gate.open();
    const Answer answer = client.read();
    stopper.join();

    CHECK(answer.body == "passed");
    CHECK(answer.has("\r\nConnection: close\r\n"));
    CHECK(clean);
  }

  TEST_CASE("stalled: a body that does not come is cut off when the grace is over") {
    Gate gate;
    const Loopback server(gate_router(gate));
    Client client = server.client();
    REQUIRE(
        client.send("PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\nExpect: "
                    "100-continue\r\n\r\n"));
    REQUIRE(client.read().status == 100); // the handler waits for the body now

    CHECK_FALSE(server->stop(50ms));

    CHECK(client.read_to_end() != Client::End::open);
  }

  TEST_CASE("port: can be bound again at once") {
    std::optional<Loopback> server(std::in_place, hello_router());
    const std::uint16_t port = server->port();
    Client client = server->client();
    REQUIRE(client.request(kGet).body == "hello");
    server.reset();
    ServerOptions options;
    options.port = port;

    const auto again = Server::start(options, hello_router(), {});

    CHECK(again.has_value());
  }

  TEST_CASE("destruction: a server with connections in every state goes away") {
    Gate gate;
    gate.open();
    std::vector<Client> clients;
    {
      const Loopback server(gate_router(gate));
      for (int i = 0; i < 10; ++i) {
        clients.push_back(server.client());
        clients.push_back(server.client());
        clients.back().send("GET / HTTP/1.1\r\n");
        clients.push_back(server.client());
        clients.back().send("PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc");
        clients.push_back(server.client());
        clients.back().send("BREW / HTTP/1.1\r\nHost: x\r\n\r\n");
      }
    }
    for (Client& client : clients) {
      CHECK(client.read_to_end() != Client::End::open);
    }
  }
}

} // namespace
} // namespace pkc::http::test
