#include "rate_limit.hpp"

#include "pkc/base/clock.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <stop_token>
#include <thread>

using pkc::kKiB;
using pkc::kMiB;
using pkc::SteadyTime;
using pkc::system_clock;
using pkc::upstream::RateLimit;
using pkc::upstream::RateLimits;
using std::chrono::milliseconds;

TEST_SUITE("upstream::RateLimit") {
  TEST_CASE("take: what passes takes at least its time, but for what may come at once") {
    RateLimit limit(system_clock(), 1 * kMiB);
    const SteadyTime begun = system_clock().steady_now();
    for (int i = 0; i < 8; ++i) {
      CHECK(limit.take(64 * kKiB, {}));
    }
    // Half a second's worth, of which a quarter comes at once.
    CHECK(system_clock().steady_now() - begun >= milliseconds(250));
  }

  TEST_CASE("take: a stop ends the wait") {
    RateLimit limit(system_clock(), 1); // a byte in a second
    std::stop_source stop;
    std::jthread stopper([&] { stop.request_stop(); });
    CHECK_FALSE(limit.take(1 * kMiB, stop.get_token()));
  }

  TEST_CASE("of_origin: one for each origin that is in use, none without a limit") {
    RateLimits limits(system_clock(), 0, 5);
    CHECK_FALSE(limits.all());
    auto one = limits.of_origin("http://a:80");
    REQUIRE(one);
    CHECK(limits.of_origin("http://a:80") == one);
    CHECK(limits.of_origin("http://b:80") != one);
    const RateLimit* const before = one.get();
    one.reset();
    CHECK((limits.of_origin("http://a:80") != nullptr || before != nullptr));
    RateLimits all(system_clock(), 5, 0);
    CHECK(all.all());
    CHECK_FALSE(all.of_origin("http://a:80"));
  }
}
