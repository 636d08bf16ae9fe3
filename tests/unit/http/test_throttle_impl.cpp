#include "throttle.hpp"

#include "pkc/http/client_throttles.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace pkc::http {
namespace {

using namespace std::chrono_literals;

constexpr SteadyTime kStart{1h};

/// When a transfer of `bytes` that begins at `now` has had its last turn.
SteadyTime end_of(Throttle& throttle, ByteCount bytes, SteadyTime now) {
  while (bytes > 0) {
    const Throttle::Turn turn = throttle.next_turn(bytes, now);
    REQUIRE(turn.bytes > 0);
    REQUIRE(turn.bytes <= bytes);
    bytes -= turn.bytes;
    now = std::max(now, turn.when);
  }
  return now;
}

bool is_near(SteadyTime::duration found, SteadyTime::duration expected) {
  return std::chrono::abs(found - expected) < 1us;
}

TEST_SUITE("http::ClientThrottles") {
  TEST_CASE("one for each address, and none without a limit") {
    ClientThrottles none(0);
    CHECK(none.of("192.0.2.1") == nullptr);
    ClientThrottles clients(100);

    const auto first = clients.of("192.0.2.1");
    CHECK(first->try_pass(100, kStart));

    CHECK(clients.of("192.0.2.1") == first);
    CHECK_FALSE(clients.of("192.0.2.1")->try_pass(1, kStart));
    CHECK(clients.of("192.0.2.2")->try_pass(100, kStart));
  }

  TEST_CASE("one for an IPv6 network of 64 bits, and for an IPv4 address however it is written") {
    ClientThrottles clients(100);

    CHECK(clients.of("2001:db8::1") == clients.of("2001:db8::2:3:4:5"));
    CHECK(clients.of("2001:db8::1") != clients.of("2001:db8:0:1::1"));
    CHECK(clients.of("192.0.2.1") == clients.of("::ffff:192.0.2.1"));
    CHECK(clients.size() == 3);
  }

  TEST_CASE("those that nobody uses are not kept for ever, those in use are") {
    ClientThrottles clients(100);
    const auto used = clients.of("used");
    for (int i = 0; i < 20'000; ++i) {
      REQUIRE(clients.of(std::to_string(i)) != nullptr);
    }

    CHECK(clients.size() <= 1 + ClientThrottles::kUnusedMax);
    CHECK(clients.of("used") == used);
  }
}

TEST_SUITE("http::Throttle") {
  TEST_CASE("both: the slower one decides, and both have paid for what went") {
    for (const bool slow_first : {true, false}) {
      CAPTURE(slow_first);
      const auto slow = std::make_shared<Throttle>();
      const auto fast = std::make_shared<Throttle>();
      slow->set_rate(64 * kKiB);
      fast->set_rate(1 * kMiB);
      const auto both = slow_first ? Throttle::of_both(slow, fast) : Throttle::of_both(fast, slow);

      CHECK_FALSE(both->try_pass(65 * kKiB, kStart)); // and nothing is taken of either
      CHECK(is_near(end_of(*both, 11 * 64 * kKiB, kStart) - kStart, 10s));
      CHECK_FALSE(slow->try_pass(1, kStart + 10s));
      CHECK(fast->try_pass(1 * kMiB - 64 * kKiB, kStart + 10s));
    }
  }

  TEST_CASE("both: one or none may be missing") {
    const auto one = std::make_shared<Throttle>();

    CHECK(Throttle::of_both(one, nullptr) == one);
    CHECK(Throttle::of_both(nullptr, one) == one);
    CHECK(Throttle::of_both(nullptr, nullptr) == nullptr);
  }

  TEST_CASE("without a rate nobody waits") {
    Throttle throttle;

    CHECK(throttle.try_pass(1'000'000 * kGiB, kStart));
    const Throttle::Turn turn = throttle.next_turn(kGiB, kStart);
    CHECK(turn.bytes == kGiB);
    CHECK(turn.when == kStart);
  }

  TEST_CASE("a transfer takes as long as the rate says, less the second that was saved up") {
    for (const ByteCount rate : {1 * kKiB, 100 * kKiB, 64 * kMiB}) {
      CAPTURE(rate);
      Throttle throttle;
      throttle.set_rate(rate);

      CHECK(is_near(end_of(throttle, 11 * rate, kStart) - kStart, 10s));
      CHECK(is_near(end_of(throttle, rate, kStart + 10s) - kStart, 11s)); // nothing is saved
      CHECK(is_near(end_of(throttle, 3 * rate, kStart + 1h) - kStart, 1h + 2s));
    }
  }

  TEST_CASE("what fits into the saved second passes as a whole, and then no more") {
    Throttle throttle;
    throttle.set_rate(100);

    CHECK_FALSE(throttle.try_pass(101, kStart));
    CHECK(throttle.try_pass(60, kStart));
    CHECK(throttle.try_pass(40, kStart));
    CHECK_FALSE(throttle.try_pass(1, kStart));
    CHECK(throttle.try_pass(10, kStart + 100ms));
    CHECK_FALSE(throttle.try_pass(1, kStart + 100ms));
    CHECK_FALSE(throttle.try_pass(~ByteCount{0}, kStart + 24h));
  }

  TEST_CASE("transfers at once share the rate evenly") {
    constexpr ByteCount kRate = 160 * kKiB;
    Throttle throttle;
    throttle.set_rate(kRate);
    REQUIRE(throttle.try_pass(kRate, kStart)); // nothing is saved up
    std::array<ByteCount, 5> moved{};
    std::array<SteadyTime, 5> ready{};
    ready.fill(kStart);

    for (;;) { // always the one whose turn comes first
      const auto next = static_cast<std::size_t>(std::ranges::min_element(ready) - ready.begin());
      if (ready.at(next) > kStart + 10s) {
        break;
      }
      const Throttle::Turn turn = throttle.next_turn(kGiB, ready.at(next));
      moved.at(next) += turn.bytes;
      ready.at(next) = std::max(ready.at(next), turn.when);
    }

    for (const ByteCount bytes : moved) {
      CHECK(bytes >= 2 * kRate - kRate / 8); // a fifth of ten seconds
      CHECK(bytes <= 2 * kRate + kRate / 8);
    }
  }

  TEST_CASE("what is given back can be taken again") {
    Throttle throttle;
    throttle.set_rate(100);
    CHECK(throttle.try_pass(100, kStart));

    throttle.give_back(30);

    CHECK_FALSE(throttle.try_pass(31, kStart));
    CHECK(throttle.try_pass(29, kStart)); // not 30: prices are rounded
  }

  TEST_CASE("another rate begins without debts; the same one changes nothing") {
    Throttle throttle;
    throttle.set_rate(1);
    CHECK(end_of(throttle, 1000, kStart) > kStart + 900s);
    throttle.set_rate(1);
    CHECK_FALSE(throttle.try_pass(1, kStart + 900s));

    throttle.set_rate(1000);
    CHECK(throttle.try_pass(1000, kStart));

    throttle.set_rate(0);
    CHECK(throttle.try_pass(kGiB, kStart));
  }

  TEST_CASE("threads together take what the rate gives") {
    constexpr int kThreads = 4;
    constexpr ByteCount kEach = 1 * kMiB;
    Throttle throttle;
    throttle.set_rate(100 * kKiB);
    std::vector<SteadyTime> ends(kThreads);
    {
      std::vector<std::jthread> threads;
      for (SteadyTime& end : ends) {
        threads.emplace_back([&] { end = end_of(throttle, kEach, kStart); });
      }
    }

    constexpr auto kSeconds = std::chrono::duration_cast<SteadyTime::duration>(
        std::chrono::duration<double>(kThreads * kEach / (100.0 * kKiB) - 1.0));
    CHECK(std::chrono::abs(*std::ranges::max_element(ends) - kStart - kSeconds) < 1ms);
  }
}

} // namespace
} // namespace pkc::http
