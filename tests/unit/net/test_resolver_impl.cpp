#include "resolver_pool.hpp"

#include "pkc/net/resolver.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <semaphore>
#include <string>
#include <thread>
#include <vector>

using pkc::Errc;
using pkc::SteadyTime;
using pkc::net::Address;
using pkc::net::parse_address;
using pkc::net::ResolverPool;

namespace {

constexpr SteadyTime kNever = SteadyTime::max();

pkc::Result<std::vector<Address>> one() {
  return std::vector{parse_address("192.0.2.1").value()};
}

SteadyTime soon() {
  return pkc::system_clock().steady_now() + std::chrono::milliseconds(20);
}

/// Lookups that begin and end when the test says.
struct Gate {
  std::counting_semaphore<> begun{0};
  std::counting_semaphore<> may_end{0};
  std::atomic<int> lookups = 0;

  pkc::net::Lookup lookup() {
    return [this](const std::string& /*host*/) {
      ++lookups;
      begun.release();
      may_end.acquire();
      return one();
    };
  }
};

} // namespace

TEST_SUITE("net::Resolver") {
  TEST_CASE("system resolver: localhost is this machine, and what is no name is nothing") {
    const auto resolver = pkc::net::make_system_resolver();

    const auto found = resolver->resolve("localhost", kNever, {});
    const auto missing = resolver->resolve(std::string(300, 'a'), kNever, {});

    REQUIRE(found);
    CHECK(std::ranges::all_of(*found, [](const Address& address) {
      return address.text() == "127.0.0.1" || address.text() == "::1";
    }));
    REQUIRE_FALSE(missing);
    CHECK(missing.error().code == Errc::unavailable);
  }

  TEST_CASE("resolve: what the lookup says, good or bad") {
    ResolverPool pool({}, [](const std::string& host) {
      return host == "good" ? one() : pkc::fail(Errc::unavailable, "bad " + host);
    });

    CHECK(pool.resolve("good", kNever, {})->front().text() == "192.0.2.1");
    CHECK(pool.resolve("x", kNever, {}).error().message == "bad x");
  }

  TEST_CASE("resolve: a deadline and a stop end the wait and not the lookup") {
    Gate gate;
    ResolverPool pool({.threads = 1}, gate.lookup());
    std::stop_source stop;
    {
      const std::jthread stopper([&] {
        gate.begun.acquire();
        stop.request_stop();
      });
      CHECK(pool.resolve("a", kNever, stop.get_token()).error().code == Errc::unavailable);
    }
    CHECK(pool.resolve("a", soon(), {}).error().code == Errc::timeout);
    gate.may_end.release(2);
    CHECK(pool.resolve("b", kNever, {}));
  }

  TEST_CASE("resolve: one lookup for all who ask for a name meanwhile") {
    Gate gate;
    {
      ResolverPool pool({.threads = 4}, gate.lookup());
      const std::jthread first([&] { CHECK(pool.resolve("a", kNever, {})); });
      gate.begun.acquire();
      // It is under way, and this one waits for it: a lookup of its own would be counted.
      CHECK(pool.resolve("a", soon(), {}).error().code == Errc::timeout);
      gate.may_end.release();
    }
    CHECK(gate.lookups == 1);
  }

  TEST_CASE("resolve: no more names wait than may, and those nobody waits for are dropped") {
    Gate gate;
    {
      ResolverPool pool({.threads = 1, .waiting_max = 1}, gate.lookup());
      const std::jthread first([&] { CHECK(pool.resolve("a", kNever, {})); });
      gate.begun.acquire();
      // "b" waits and gives up, which makes room for "c".
      CHECK(pool.resolve("b", soon(), {}).error().code == Errc::timeout);
      std::stop_source stop;
      {
        const std::jthread second([&] {
          // "d" may have taken the place for a moment.
          while (pool.resolve("c", kNever, stop.get_token()).error().message != "stopped") {
          }
        });
        while (pool.resolve("d", soon(), {}).error().code != Errc::unavailable) {
        }
        stop.request_stop();
      }
      gate.may_end.release();
    }
    CHECK(gate.lookups == 1);
  }
}
