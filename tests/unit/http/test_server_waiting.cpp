// Deferred answers over real loopback sockets.
#include "unit/http/loopback.hpp"
#include "unit/http/tls_loopback.hpp"
#include "unit/http/waiting_fixture.hpp"

#include "pkc/http/server.hpp"

#include <doctest/doctest.h>

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <fstream>
#include <numeric>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace pkc::http::test {
namespace {

/// GET /wait and PUT /wait answer with `promise`; GET / does at once.
Router promising_router(Promise& promise) {
  Router router = hello_router();
  router.add({Method::get, "/wait", RouteAccess::open(), [&](Request& request) {
                return promise.defer([query = request.query] { return text_response(query); });
              }});
  router.add({Method::put, "/wait", RouteAccess::open(), [&](Request& request) {
                return promise.defer(
                    [body = read_all(*request.body).value()] { return text_response(body, 201); });
              }});
  return router;
}

std::size_t resident_memory() {
  std::size_t all = 0;
  std::size_t resident = 0;
  std::ifstream("/proc/self/statm") >> all >> resident;
  return resident * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

TEST_SUITE("http::Server deferred answers") {
  TEST_CASE("many: 2,000 wait with four workers, and all are answered in whatever order") {
    constexpr std::size_t kClients = 2'000;
    Promise promise;
    ServerOptions options;
    options.workers_min = 4;
    options.workers_max = 4;
    options.connections_per_client_max = 0;
    const Loopback server(promising_router(promise), options);
    std::vector<Client> clients;
    for (std::size_t i = 0; i < kClients; ++i) {
      clients.push_back(server.client());
      REQUIRE(clients.back().request(kGet).body == "hello");
    }
    const std::size_t memory_before = resident_memory();
    for (std::size_t i = 0; i < kClients; ++i) {
      REQUIRE(clients[i].send(get("/wait?" + std::to_string(i))));
    }
    REQUIRE(eventually([&] { return server->load().connections_waiting == kClients; }));
    const std::size_t memory = resident_memory() - std::min(memory_before, resident_memory());
    MESSAGE("memory per waiting connection: " << memory / kClients << " bytes");

    CHECK(server->load().connections_active == kClients);
    CHECK(eventually([&] { return server->load().workers_busy == 0; }));
    CHECK(server.client().request(kGet).body == "hello");
    CHECK(promise.waiting() == kClients);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    CHECK(memory / kClients < 8 * kKiB);
#endif

    std::vector<std::size_t> order(kClients);
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::ranges::shuffle(order, std::mt19937(7)); // NOLINT(cert-msc51-cpp): the same each time
    for (const std::size_t number : order) {
      promise.wake(number);
    }

    std::size_t right = 0;
    for (std::size_t i = 0; i < kClients; ++i) {
      right += clients[i].read().body == std::to_string(i) ? 1U : 0U;
    }
    CHECK(right == kClients);
    CHECK(promise.waiting() == 0);
    CHECK(server->load().connections_waiting == 0);
    CHECK(server->load().workers <= 4);
  }

  TEST_CASE("wake: inside the subscription, by another thread in it, and twice") {
    Promise promise;
    std::atomic<int> resumed = 0;
    const auto inside = [](const Wake& wake) { wake(); };
    const auto elsewhere = [](const Wake& wake) { std::jthread([wake] { wake(); }); };
    const auto twice = [](const Wake& wake) {
      wake();
      wake();
    };
    Router router;
    const auto add = [&](std::string_view path, auto subscribe) {
      router.add({Method::get, path, RouteAccess::open(), [&, subscribe](Request&) {
                    return promise.deferred(subscribe, [&] {
                      ++resumed;
                      return text_response("now");
                    });
                  }});
    };
    add("/inside", inside);
    add("/elsewhere", elsewhere);
    add("/twice", twice);
    const Loopback server(std::move(router));
    Client client = server.client();

    CHECK(client.request(get("/inside")).body == "now");
    CHECK(client.request(get("/elsewhere")).body == "now");
    CHECK(client.request(get("/twice")).body == "now");
    CHECK(resumed == 3);
    CHECK(promise.waiting() == 0);
  }

  TEST_CASE("wake: one that comes late touches neither the next wait nor a server that is gone") {
    Promise promise;
    {
      const Loopback server(promising_router(promise));
      Client client = server.client();
      REQUIRE(client.send(get("/wait?first")));
      REQUIRE(eventually([&] { return promise.subscribed() == 1; }));
      promise.wake(0);
      REQUIRE(client.read().body == "first");
      REQUIRE(client.send(get("/wait?second")));
      REQUIRE(eventually([&] { return server->load().connections_waiting == 1; }));

      promise.wake(0);
      Client other = server.client(); // a turn of the workers later
      REQUIRE(other.request(kGet).status == 200);
      CHECK(promise.waiting() == 1);

      promise.wake(1);
      CHECK(client.read().body == "second");
    }
    promise.wake(1);
  }

  TEST_CASE("resume: may put the answer off again") {
    Promise promise;
    const Loopback server(single(Method::get, "/", [&](Request&) {
      return promise.defer([&] { return promise.defer([&] { return text_response("at last"); }); });
    }));
    Client client = server.client();
    REQUIRE(client.send(kGet));
    REQUIRE(eventually([&] { return promise.subscribed() == 1; }));
    promise.wake(0);
    REQUIRE(eventually([&] { return promise.subscribed() == 2; }));
    CHECK(promise.waiting() == 1);

    promise.wake(1);

    CHECK(client.read().body == "at last");
    CHECK(client.request("GET /none HTTP/1.1\r\nHost: x\r\n\r\n").status == 404);
  }

  TEST_CASE("exceptions: in the subscription and in resume() are 500, and are logged") {
    Promise promise;
    Records records;
    Router router;
    router.add({Method::get, "/subscribe", RouteAccess::open(), [&](Request&) {
                  return promise.deferred([](const Wake&) { throw std::runtime_error("no room"); },
                                          [] { return text_response("never"); });
                }});
    router.add({Method::get, "/resume", RouteAccess::open(), [&](Request&) {
                  return promise.deferred(
                      [](const Wake& wake) { wake(); },
                      []() -> Response { throw std::runtime_error("no luck"); });
                }});
    const Loopback server(std::move(router), {}, records.log());

    CHECK(server.client().request(get("/subscribe")).status == 500);
    REQUIRE(eventually([&] { return records.all().size() == 1; }));
    CHECK(server.client().request(get("/resume")).status == 500);
    REQUIRE(eventually([&] { return records.all().size() == 2; }));

    CHECK(records.all()[0].failure == "exception in a handler: no room");
    CHECK(records.all()[1].failure == "exception in a handler: no luck");
    CHECK(promise.waiting() == 0);
  }

  TEST_CASE("pipelining: the requests behind it wait, a body before it is read, HEAD has none") {
    Promise promise;
    const Loopback server(promising_router(promise));
    Client client = server.client();
    REQUIRE(client.send("PUT /wait HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc" +
                        std::string(kGet) + "HEAD /wait?head HTTP/1.1\r\nHost: x\r\n\r\n" +
                        get("/wait?last")));
    REQUIRE(eventually([&] { return server->load().connections_waiting == 1; }));
    CHECK_FALSE(client.readable(0ms));

    promise.wake(0);
    const Answer stored = client.read();
    CHECK(stored.status == 201);
    CHECK(stored.body == "abc");
    CHECK(client.read().body == "hello");
    REQUIRE(eventually([&] { return promise.subscribed() == 2; }));
    promise.wake(1);
    CHECK(client.read(false).has("\r\nContent-Length: 4\r\n"));
    REQUIRE(eventually([&] { return promise.subscribed() == 3; }));
    promise.wake(2);
    CHECK(client.read().body == "last");
  }

  TEST_CASE("TLS: waits the same, also with the next request in the same record") {
    Promise promise;
    const TlsLoopback server(promising_router(promise));
    TlsClient client = server.client();
    REQUIRE(client.send(get("/wait?tls") + std::string(kGet)));
    REQUIRE(eventually([&] { return server->load().connections_waiting == 1; }));

    promise.wake(0);

    CHECK(client.read().body == "tls");
    CHECK(client.read().body == "hello");
  }

  TEST_CASE("timeouts: neither the idle nor the head's end it") {
    Promise promise;
    ServerOptions options;
    options.idle_timeout = 20ms;
    options.head_timeout = 20ms;
    options.body_timeout = 20ms;
    options.write_timeout = 20ms;
    const Loopback server(promising_router(promise), options);
    Client client = server.client();
    REQUIRE(client.send(get("/wait?still") + "GET"));
    REQUIRE(eventually([&] { return server->load().connections_waiting == 1; }));

    CHECK_FALSE(client.readable(200ms)); // the time is the claim
    promise.wake(0);

    CHECK(client.read().body == "still");
  }
}

TEST_SUITE("http::Server deferred answers and their clients") {
  TEST_CASE("leaves: by a close or a reset, seen at once, and no answer is made") {
    for (const bool reset : {false, true}) {
      CAPTURE(reset);
      Promise promise;
      Records records;
      std::atomic<bool> resumed = false;
      const Loopback server(single(Method::get,
                                   "/",
                                   [&](Request&) {
                                     return promise.defer([&] {
                                       resumed = true;
                                       return text_response("nobody hears it");
                                     });
                                   }),
                            {},
                            records.log());
      std::optional<Client> client(server.client());
      REQUIRE(client->send(kGet));
      REQUIRE(eventually([&] { return server->load().connections_waiting == 1; }));

      if (reset) {
        client->reset_on_close();
      }
      client.reset();

      CHECK(eventually([&] { return promise.waiting() == 0; }));
      CHECK(eventually([&] { return server->load().connections == 0; }));
      promise.wake(0);
      CHECK_FALSE(resumed);
      const auto record = records.only();
      REQUIRE(record);
      CHECK(record->aborted);
      CHECK(record->status == 0);
      CHECK(record->failure == "the client left");
    }
  }

  TEST_CASE("leaves: by TLS, too") {
    Promise promise;
    const TlsLoopback server(promising_router(promise));
    std::optional<TlsClient> client(server.client());
    REQUIRE(client->send(get("/wait")));
    REQUIRE(eventually([&] { return server->load().connections_waiting == 1; }));

    client.reset();

    CHECK(eventually([&] { return promise.waiting() == 0; }));
  }

  TEST_CASE("leaves: with the next requests sent already") {
    Promise promise;
    const Loopback server(promising_router(promise));
    std::optional<Client> client(server.client());
    REQUIRE(client->send(get("/wait") + get("/wait")));
    REQUIRE(eventually([&] { return server->load().connections_waiting == 1; }));

    client.reset();

    CHECK(eventually([&] { return promise.waiting() == 0 && server->load().connections == 0; }));
    CHECK(promise.subscribed() == 1);
  }

  TEST_CASE("half close: an HTTP/1.1 client still gets its answer, after a 102") {
    Promise promise;
    const Loopback server(promising_router(promise));
    Client client = server.client();
    REQUIRE(client.send(get("/wait?heard")));
    client.finish_sending();
    CHECK(client.read(false).status == 102);
    CHECK(eventually([&] { return server->load().connections_waiting == 1; }));

    promise.wake(0);

    CHECK(client.read().body == "heard");
    CHECK(client.read_to_end() == Client::End::closed);
  }

  TEST_CASE("half close: one of HTTP/1.0 counts as gone") {
    Promise promise;
    const Loopback server(promising_router(promise));
    Client client = server.client();
    REQUIRE(client.send(get("/wait", "1.0")));
    client.finish_sending();

    CHECK(client.read_to_end() == Client::End::reset);
    CHECK(client.unread().empty());
    CHECK(promise.waiting() == 0);
  }
}

TEST_SUITE("http::Server deferred answers and its end") {
  TEST_CASE("stop: waits for them, and they tell the client to close") {
    Promise promise;
    const Loopback server(promising_router(promise));
    Client client = server.client();
    REQUIRE(client.send(get("/wait?soon")));
    Client waiting = server.client();
    REQUIRE(waiting.send(get("/wait?done")));
    REQUIRE(eventually([&] { return server->load().connections_waiting == 2; }));
    Client canary = server.client();
    REQUIRE(canary.request(kGet).status == 200);
    bool clean = false;
    std::jthread stopping([&] { clean = server->stop(kPatience); });
    REQUIRE(canary.read_to_end() == Client::End::closed); // idle ones go first

    promise.wake(0);
    promise.wake(1);

    for (Client* const each : {&client, &waiting}) {
      const Answer answer = each->read();
      CHECK(answer.status == 200);
      CHECK(answer.has("\r\nConnection: close\r\n"));
    }
    stopping.join();
    CHECK(clean);
  }

  TEST_CASE("stop: after the grace they are cut off and given up") {
    Promise promise;
    Records records;
    const Loopback server(promising_router(promise), {}, records.log());
    Client client = server.client();
    REQUIRE(client.send(get("/wait")));
    REQUIRE(eventually([&] { return server->load().connections_waiting == 1; }));

    CHECK_FALSE(server->stop(10ms));

    CHECK(promise.waiting() == 0);
    CHECK(client.read_to_end() != Client::End::open);
    CHECK(client.unread().empty());
    const auto record = records.only();
    REQUIRE(record);
    CHECK(record->aborted);
  }

  TEST_CASE("hand_over: waits for them, however long the first request may take") {
    Promise promise;
    ServerOptions options;
    options.head_timeout = 20ms;
    options.handover_quiet = 20ms;
    const Loopback server(promising_router(promise), options);
    Client client = server.client();
    REQUIRE(client.send(get("/wait?handed")));
    REQUIRE(eventually([&] { return server->load().connections_waiting == 1; }));
    Client canary = server.client();
    REQUIRE(canary.request(kGet).status == 200);
    bool clean = false;
    std::jthread handing([&] { clean = server->hand_over(kPatience); });
    REQUIRE(canary.read_to_end() == Client::End::closed);

    CHECK_FALSE(client.readable(100ms)); // the time is the claim
    promise.wake(0);

    const Answer answer = client.read();
    CHECK(answer.body == "handed");
    CHECK(answer.has("\r\nConnection: close\r\n"));
    handing.join();
    CHECK(clean);
  }
}

} // namespace
} // namespace pkc::http::test
