#include "support/fake_clock.hpp"
#include "token_usage.hpp"

#include <doctest/doctest.h>

#include <chrono>

namespace pkc::http {
namespace {

using namespace std::chrono_literals;

TokenLimits rate(std::uint32_t per_second, std::uint32_t burst) {
  return {.requests_per_second = per_second,
          .requests_burst = burst,
          .read_bytes_per_second = 0,
          .write_bytes_per_second = 0,
          .write_bytes_per_day = 0};
}

TokenLimits quota(ByteCount bytes) {
  return {.requests_per_second = 0,
          .requests_burst = 0,
          .read_bytes_per_second = 0,
          .write_bytes_per_second = 0,
          .write_bytes_per_day = bytes};
}

int requests_at(TokenUsage& usage, const TokenLimits& limits, SteadyTime now) {
  int count = 0;
  while (count < 1000 && !usage.count_request(limits, now)) {
    ++count;
  }
  return count;
}

TEST_SUITE("http::TokenUsage") {
  TEST_CASE("rate: a burst passes, then as many as the rate allows") {
    TokenUsage usage;
    const TokenLimits limits = rate(10, 30);
    const SteadyTime start{1h};

    CHECK(requests_at(usage, limits, start) == 30);
    CHECK(usage.count_request(limits, start) == 100ms);
    CHECK(usage.count_request(limits, start + 40ms) == 60ms);
    CHECK(requests_at(usage, limits, start + 100ms) == 1);
    CHECK(requests_at(usage, limits, start + 1s) == 9);
    CHECK(requests_at(usage, limits, start + 1h) == 30); // a pause saves up no more than a burst
  }

  TEST_CASE("rate: without a burst of its own it is what a second allows") {
    TokenUsage usage;

    CHECK(requests_at(usage, rate(7, 0), SteadyTime{1h}) == 7);
  }

  TEST_CASE("rate: refused requests do not count") {
    TokenUsage usage;
    CHECK(requests_at(usage, rate(1, 1), SteadyTime{1h}) == 1);
    for (int i = 0; i < 100; ++i) {
      CHECK(usage.count_request(rate(1, 1), SteadyTime{1h}).has_value());
    }

    CHECK_FALSE(usage.count_request(rate(1, 1), SteadyTime{1h} + 1s).has_value());
  }

  TEST_CASE("rate: no limit is no limit") {
    TokenUsage usage;

    CHECK(requests_at(usage, rate(0, 5), SteadyTime{}) == 1000);
  }

  TEST_CASE("quota: takes until it is used up, and again on the next day") {
    const pkc::test::FakeClock clock;
    const WallTime midnight{std::chrono::floor<std::chrono::days>(clock.wall_now())};
    TokenUsage usage;
    QuotaShare first;
    QuotaShare second;

    CHECK(usage.take(first, 60, quota(100), midnight));
    CHECK_FALSE(usage.take(second, 41, quota(100), midnight + 23h));
    CHECK(usage.take(second, 40, quota(100), midnight + 23h));
    CHECK(usage.take(second, 0, quota(100), midnight + 23h));
    CHECK_FALSE(usage.take(second, 1, quota(100), midnight + 24h - 1s));
    CHECK(usage.take(second, 100, quota(100), midnight + 24h));
  }

  TEST_CASE("quota: what was not used is given back, but not to another day") {
    const WallTime midnight{};
    TokenUsage usage;
    QuotaShare share;
    QuotaShare later;
    CHECK(usage.take(share, 100, quota(100), midnight));

    usage.settle(share, 30);
    CHECK_FALSE(usage.take(later, 71, quota(100), midnight));
    CHECK(usage.take(later, 70, quota(100), midnight));

    QuotaShare tomorrow;
    CHECK(usage.take(tomorrow, 100, quota(100), midnight + 24h));
    usage.settle(later, 0);
    CHECK_FALSE(usage.take(tomorrow, 1, quota(100), midnight + 24h));
  }

  TEST_CASE("quota: one that was lowered below what is used takes nothing more") {
    TokenUsage usage;
    QuotaShare share;
    CHECK(usage.take(share, 100, quota(100), WallTime{}));

    CHECK_FALSE(usage.take(share, 1, quota(50), WallTime{}));
  }

  TEST_CASE("quota: of what others count, what has changed since the last time counts") {
    const std::chrono::sys_days today{std::chrono::days(1)};
    const WallTime now = today;
    TokenUsage usage;
    QuotaShare share;
    CHECK(usage.take(share, 10, quota(100), now));

    usage.add_written({.day = today, .bytes = 10}, {.day = today, .bytes = 60});
    CHECK(usage.written().bytes == 60);
    usage.add_written({.day = today, .bytes = 60}, {.day = today, .bytes = 40}); // one has failed
    CHECK(usage.written().bytes == 40);
    usage.add_written({}, {.day = today - std::chrono::days(1), .bytes = 90});
    CHECK(usage.written().bytes == 40);
    usage.add_written({.day = today, .bytes = 90}, {.day = today, .bytes = 0});
    CHECK(usage.written().bytes == 0);
    usage.settle(share, 0); // of which nothing is left
    CHECK(usage.written().bytes == 0);

    usage.add_written({.day = today, .bytes = 90},
                      {.day = today + std::chrono::days(1), .bytes = 30});
    QuotaShare tomorrow;
    CHECK_FALSE(usage.take(tomorrow, 71, quota(100), now + 24h));
    CHECK(usage.take(tomorrow, 70, quota(100), now + 24h));
  }
}

} // namespace
} // namespace pkc::http
