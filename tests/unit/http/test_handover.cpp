// Two servers on one socket, of which the first hands over to the second.
#include "support/temp_dir.hpp"
#include "unit/http/loopback.hpp"

#include "pkc/http/server.hpp"

#include <doctest/doctest.h>

#include <unistd.h>

#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>

namespace pkc::http::test {
namespace {

constexpr std::string_view kWho = "GET /who HTTP/1.1\r\nHost: x\r\n\r\n";
constexpr std::string_view kClose = "\r\nConnection: close\r\n";

Router router_of(std::string name) {
  return single(
      Method::get, "/who", [name = std::move(name)](Request&) { return text_response(name); });
}

/// What the second process inherits.
PassedSocket inherited(const Server& server) {
  return {UniqueFd(::dup(server.listening_descriptor())), server.ownership()};
}

std::unique_ptr<Server> start_successor(const Server& server, bool accepts = true) {
  ServerOptions options;
  options.accepts_at_start = accepts;
  return Server::start(std::move(options), router_of("second"), {}, inherited(server)).value();
}

std::unique_ptr<Server> start_waiting_successor(const Server& server) {
  return start_successor(server, false);
}

/// Hands over in another thread; made, it has begun.
class HandingOver {
 public:
  explicit HandingOver(Server& server) : canary_(server.port()) {
    REQUIRE(canary_.request(kWho).status == 200);
    thread_ = std::jthread([this, &server] { clean_ = server.hand_over(kPatience); });
    REQUIRE(eventually([this] { return canary_.request(kWho).has(kClose); }));
  }
  [[nodiscard]] bool finish() {
    thread_.join();
    return clean_;
  }

 private:
  Client canary_; ///< told to close by the first answer after the beginning
  bool clean_ = false;
  std::jthread thread_;
};

TEST_SUITE("http::Server::hand_over") {
  TEST_CASE("begin_accepting: clients wait in the queue until then") {
    const Loopback first(router_of("first"));
    const auto second = start_waiting_successor(*first);
    CHECK(first.client().request(kWho).body == "first");
    CHECK(first->hand_over(kPatience));
    Client client = first.client();
    REQUIRE(client.send(kWho));

    REQUIRE(second->begin_accepting());

    CHECK(client.read().body == "second");
  }

  TEST_CASE("first request: a connection that has not brought one yet is answered") {
    const Loopback first(router_of("first"));
    Client silent = first.client();
    Client begun = first.client();
    REQUIRE(begun.send(kWho.substr(0, 10)));
    REQUIRE(eventually([&] { return first->load().connections == 2; }));
    const auto second = start_waiting_successor(*first);
    HandingOver handing(*first);
    Client late = first.client();
    REQUIRE(late.send(kWho));
    REQUIRE(second->begin_accepting());

    CHECK(late.read().body == "second");
    const Answer answers[] = {silent.request(kWho), begun.request(kWho.substr(10))};
    for (const Answer& answer : answers) {
      CHECK(answer.body == "first");
      CHECK(answer.has(kClose));
    }
    CHECK(handing.finish());
  }

  TEST_CASE("next request: an idle connection may bring one, and is told to close") {
    const Loopback first(router_of("first"));
    Client client = first.client();
    REQUIRE(client.request(kWho).body == "first");
    HandingOver handing(*first);

    const Answer answer = client.request(kWho);

    CHECK(answer.body == "first");
    CHECK(answer.has(kClose));
    CHECK(client.read_to_end() == Client::End::closed);
    CHECK(handing.finish());
  }

  TEST_CASE("quiet: an idle connection is closed after it, without a reset") {
    ServerOptions options;
    options.handover_quiet = 50ms;
    const Loopback first(router_of("first"), options);
    Client client = first.client();
    REQUIRE(client.request(kWho).body == "first");

    const SteadyTime before = system_clock().steady_now();
    CHECK(first->hand_over(kPatience));

    CHECK(system_clock().steady_now() - before < kPatience / 2);
    CHECK(client.read_to_end() == Client::End::closed);
  }

  TEST_CASE("grace: bounds the patience with silent connections, too") {
    ServerOptions options;
    options.head_timeout = kPatience * 100;
    const Loopback first(router_of("first"), options);
    Client client = first.client();
    REQUIRE(eventually([&] { return first->load().connections == 1; }));

    first->hand_over(50ms);

    CHECK(client.read_to_end() != Client::End::open);
  }

  TEST_CASE("file: of a Unix socket stays for the successor, which removes it in the end") {
    const pkc::test::TempDir directory;
    ServerOptions options;
    options.bind = "unix:" + directory / "s";
    auto first = Server::start(options, router_of("first"), {}).value();
    auto second = start_successor(*first);

    CHECK(first->hand_over(kPatience));
    first.reset();

    CHECK(Client(directory / "s").request(kWho).body == "second");
    CHECK(second->stop(kPatience));
    CHECK_FALSE(std::filesystem::exists(directory / "s"));
  }

  TEST_CASE("stop: after a hand-over nobody shares the socket, so new clients are refused") {
    const Loopback first(router_of("first"));
    const auto second = start_successor(*first);
    CHECK(first->hand_over(kPatience));

    CHECK(second->stop(kPatience));

    CHECK_THROWS_AS(first.client(), std::runtime_error);
  }
}

} // namespace
} // namespace pkc::http::test
