// How long the client waits.
#include "fetch_fixture.hpp"
#include "scripted_origin.hpp"

#include "pkc/base/clock.hpp"

#include <doctest/doctest.h>

#include <netinet/in.h>
#include <sys/socket.h>

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

using pkc::Errc;
using pkc::test::Collector;
using pkc::test::FetchFixture;
using pkc::test::ok;
using pkc::test::Peer;
using pkc::test::ScriptedOrigin;
using pkc::test::url_of;
using std::chrono::milliseconds;

namespace {

/// Long enough that a test which waits for it hangs, for all to see.
constexpr auto kFar = std::chrono::hours(1);
constexpr milliseconds kShort{30};

/// Where a server falls silent: after these bytes of an answer.
constexpr std::string_view kSilences[] = {
    "",
    "HTTP/1.1 2",
    "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r",
    "HTTP/1.1 200 OK\r\n\r\nhalf"};

ScriptedOrigin::Script fall_silent_after(std::string_view text) {
  return [text](Peer& peer, std::size_t /*number*/) {
    peer.read_head();
    peer.send(text);
    peer.wait_for_close();
  };
}

pkc::SteadyTime in(std::chrono::nanoseconds span) {
  return pkc::system_clock().steady_now() + span;
}

/// A port at which the kernel lets connections wait for ever: its queue of them is full.
class FullListener {
 public:
  FullListener() : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in name{};
    name.sin_family = AF_INET;
    name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(name);
    auto* const generic = reinterpret_cast<sockaddr*>(&name);
    REQUIRE(::bind(socket_.get(), generic, size) == 0);
    REQUIRE(::listen(socket_.get(), 0) == 0);
    REQUIRE(::getsockname(socket_.get(), generic, &size) == 0);
    port_ = ntohs(name.sin_port);
    for (int i = 0; i < 4; ++i) {
      fillers_.emplace_back(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
      ::connect(fillers_.back().get(), generic, size);
    }
  }
  [[nodiscard]] std::uint16_t port() const { return port_; }

 private:
  pkc::UniqueFd socket_;
  std::vector<pkc::UniqueFd> fillers_;
  std::uint16_t port_ = 0;
};

/// Answers when it is time to stop, and says when it was asked.
class StuckResolver final : public pkc::net::Resolver {
 public:
  pkc::Result<std::vector<pkc::net::Address>> resolve(const std::string& /*host*/,
                                                      pkc::SteadyTime deadline,
                                                      const std::stop_token& stop) override {
    std::unique_lock lock(mutex_);
    asked_ = true;
    changed_.notify_all();
    changed_.wait_until(lock, stop, deadline, [] { return false; });
    return pkc::fail(Errc::timeout, "not resolved");
  }
  void wait_until_asked() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return asked_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable_any changed_;
  bool asked_ = false;
};

} // namespace

TEST_SUITE("net::HttpClient limits") {
  TEST_CASE("fetch: a server that falls silent is given up after the idle timeout") {
    FetchFixture fixture;
    fixture.options.idle_timeout = kShort;
    for (const std::string_view text : kSilences) {
      CAPTURE(text);
      const ScriptedOrigin origin(fall_silent_after(text));

      const auto answer = fixture.get(url_of(origin.port()));

      REQUIRE_FALSE(answer);
      CHECK(answer.error().code == Errc::timeout);
    }
  }

  TEST_CASE("fetch: the deadline ends it, also while bytes come") {
    FetchFixture fixture;
    const auto drip = [](Peer& peer, std::size_t /*number*/) {
      peer.read_head();
      peer.send("HTTP/1.1 200 OK\r\n\r\n");
      while (peer.send("x")) {
      }
    };
    std::vector<ScriptedOrigin::Script> scripts{drip};
    for (const std::string_view text : kSilences) {
      scripts.push_back(fall_silent_after(text));
    }
    for (const auto& script : scripts) {
      const ScriptedOrigin origin(script);
      Collector sink;

      const auto answer = fixture.client().fetch(
          {.url = pkc::parse_url(url_of(origin.port())).value(), .deadline = in(kShort)}, sink);

      REQUIRE_FALSE(answer);
      CHECK(answer.error().code == Errc::timeout);
    }
  }

  TEST_CASE("fetch: a deadline that has passed sends nothing") {
    const ScriptedOrigin origin(fall_silent_after(""));
    FetchFixture fixture;
    Collector sink;

    const auto answer = fixture.client().fetch(
        {.url = pkc::parse_url(url_of(origin.port())).value(), .deadline = in(-kShort)}, sink);

    REQUIRE_FALSE(answer);
    CHECK(answer.error().code == Errc::timeout);
  }

  TEST_CASE("fetch: no connection in time") {
    const FullListener full;
    FetchFixture fixture;
    fixture.options.connect_timeout = kShort;

    const auto answer = fixture.get(url_of(full.port()));

    REQUIRE_FALSE(answer);
    CHECK(answer.error().code == Errc::timeout);
  }

  TEST_CASE("fetch: an address that lets us wait does not keep the next one waiting") {
    const FullListener full;
    const ScriptedOrigin origin(
        ScriptedOrigin::site([](const std::string&) { return ok("hello"); }),
        "127.0.0.2",
        full.port());
    FetchFixture fixture;
    fixture.allow({"127.0.0.0/8"});
    fixture.options.connect_timeout = kFar;
    fixture.resolver.set("two.test", {{"127.0.0.1", "127.0.0.2"}});
    Collector sink;

    CHECK(fixture.get(url_of(full.port(), "/", "two.test"), sink));

    CHECK(sink.body == "hello");
  }

  TEST_CASE("fetch: no TLS in time") {
    const ScriptedOrigin origin([](Peer& peer, std::size_t /*number*/) { peer.wait_for_close(); });
    FetchFixture fixture;
    fixture.options.connect_timeout = kShort;

    const auto answer = fixture.get(url_of(origin.port(), "/", "origin.test", "https"));

    REQUIRE_FALSE(answer);
    CHECK(answer.error().code == Errc::timeout);
  }

  TEST_CASE("fetch: a stop ends the wait for every part of an answer at once") {
    FetchFixture fixture;
    fixture.options.idle_timeout = kFar;
    for (const std::string_view text : kSilences) {
      CAPTURE(text);
      std::stop_source stop;
      const ScriptedOrigin origin([&](Peer& peer, std::size_t /*number*/) {
        peer.read_head();
        peer.send(text);
        stop.request_stop();
        peer.wait_for_close();
      });
      Collector sink;

      const auto answer = fixture.client().fetch(
          {.url = pkc::parse_url(url_of(origin.port())).value(), .stop = stop.get_token()}, sink);

      REQUIRE_FALSE(answer);
      CHECK(answer.error().code == Errc::unavailable);
    }
  }

  TEST_CASE("fetch: a stop ends the wait for TLS") {
    FetchFixture fixture;
    fixture.options.connect_timeout = kFar;
    std::stop_source stop;
    const ScriptedOrigin origin([&](Peer& peer, std::size_t /*number*/) {
      stop.request_stop();
      peer.wait_for_close();
    });
    Collector sink;

    const auto answer = fixture.client().fetch(
        {.url = pkc::parse_url(url_of(origin.port(), "/", "origin.test", "https")).value(),
         .stop = stop.get_token()},
        sink);

    REQUIRE_FALSE(answer);
    CHECK(answer.error().code == Errc::unavailable);
  }

  TEST_CASE("fetch: a stop ends the wait for a connection") {
    const FullListener full;
    FetchFixture fixture;
    fixture.options.connect_timeout = kFar;
    fixture.client();
    std::stop_source stop;
    // Nothing tells when a connection is being waited for. Too early a stop passes, too.
    const std::jthread stopper([&] {
      std::this_thread::sleep_for(kShort);
      stop.request_stop();
    });
    Collector sink;

    const auto answer = fixture.client().fetch(
        {.url = pkc::parse_url(url_of(full.port())).value(), .stop = stop.get_token()}, sink);

    REQUIRE_FALSE(answer);
    CHECK(answer.error().code == Errc::unavailable);
  }

  TEST_CASE("fetch: a stop ends the wait for a name") {
    StuckResolver resolver;
    const auto client = pkc::net::HttpClient::make({.connect_timeout = kFar}, resolver).value();
    std::stop_source stop;
    const std::jthread stopper([&] {
      resolver.wait_until_asked();
      stop.request_stop();
    });
    Collector sink;

    const auto answer = client->fetch(
        {.url = pkc::parse_url("http://a.test/").value(), .stop = stop.get_token()}, sink);

    REQUIRE_FALSE(answer);
    CHECK(answer.error().code == Errc::unavailable);
  }

  TEST_CASE("fetch: a name that is not resolved in time") {
    StuckResolver resolver;
    const auto client = pkc::net::HttpClient::make({.connect_timeout = kShort}, resolver).value();
    Collector sink;

    const auto answer = client->fetch({.url = pkc::parse_url("http://a.test/").value()}, sink);

    REQUIRE_FALSE(answer);
    CHECK(answer.error().code == Errc::timeout);
  }

  TEST_CASE("fetch: a sink that takes its time does not make the server late") {
    const ScriptedOrigin origin(
        ScriptedOrigin::site([](const std::string&) { return ok("hello"); }));
    FetchFixture fixture;
    fixture.options.idle_timeout = kShort;
    Collector sink;
    sink.on_write = [] {
      const auto until = in(2 * kShort);
      while (pkc::system_clock().steady_now() < until) {
      }
    };

    CHECK(fixture.get(url_of(origin.port()), sink));

    CHECK(sink.body == "hello");
  }
}
