// How slow is too slow: a least rate, on average over the time that was waited.
#include "pace.hpp"
#include "support/fake_clock.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <cstddef>
#include <string_view>
#include <vector>

namespace pkc::http {
namespace {

using std::chrono_literals::operator""s;

struct Step {
  std::chrono::seconds waited;
  std::size_t moved;
};

/// The number of the wait before which the peer is given up, from 1; 0 when it is not.
std::size_t given_up_before(const std::vector<Step>& steps, ByteCount rate_min) {
  const pkc::test::FakeClock clock;
  Pace pace(clock, 30s, rate_min);
  for (std::size_t i = 0; i < steps.size(); ++i) {
    if (pace.too_slow()) {
      return i + 1;
    }
    pace.waited(steps[i].waited);
    pace.moved(steps[i].moved);
  }
  return pace.too_slow() ? steps.size() + 1 : 0;
}

TEST_SUITE("http::Pace") {
  TEST_CASE("too_slow: below the rate on average over a timeout of waiting") {
    struct Row {
      std::string_view what;
      std::vector<Step> steps;
      ByteCount rate_min;
      std::size_t expected;
    };
    const std::vector<Row> rows{
        {"one byte every 29 s", {{29s, 1}, {29s, 1}, {29s, 1}}, 1024, 3},
        {"the same without a rate", {{29s, 1}, {29s, 1}, {29s, 1}}, 0, 0},
        {"exactly the rate", {{10s, 10240}, {20s, 20480}, {30s, 30720}}, 1024, 0},
        {"a byte less", {{10s, 10240}, {20s, 20479}}, 1024, 3},
        {"not yet for a timeout", {{10s, 0}, {19s, 1}}, 1024, 0},
        {"bursts that are enough", {{29s, 100'000}, {29s, 100'000}, {29s, 100'000}}, 1024, 0},
        {"fast, then slow", {{30s, 1'000'000}, {15s, 1}, {15s, 1}}, 1024, 4},
        {"slow, but not for a timeout", {{29s, 1}, {1s, 100'000}, {29s, 1}}, 1024, 0},
    };
    for (const Row& row : rows) {
      CAPTURE(row.what);
      CHECK(given_up_before(row.steps, row.rate_min) == row.expected);
    }
  }

  TEST_CASE("too_slow: what the peer has not taken yet does not count") {
    const pkc::test::FakeClock clock;
    Pace pace(clock, 30s, 1024);
    pace.moved(1'000'000);
    REQUIRE_FALSE(pace.too_slow(1'000'000));
    pace.waited(30s);

    CHECK(pace.too_slow(999'000));
  }

  TEST_CASE("too_slow: bytes of an earlier answer in the pipe are no debt") {
    const pkc::test::FakeClock clock;
    Pace pace(clock, 30s, 1024);
    REQUIRE_FALSE(pace.too_slow(1'000'000));
    pace.waited(30s);

    CHECK_FALSE(pace.too_slow(900'000));
  }
}

} // namespace
} // namespace pkc::http
