#include "pkc/net/retry.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <cstdint>
#include <string_view>

using pkc::net::parse_retry_after;
using pkc::net::retry_delay;
using pkc::net::RetryOptions;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

constexpr RetryOptions kOptions{.base = milliseconds(100), .ceiling = milliseconds(1000)};

/// The delay for one roll of the dice.
milliseconds delay(unsigned attempt,
                   std::uint64_t roll,
                   std::optional<seconds> retry_after = std::nullopt) {
  return retry_delay(attempt, kOptions, retry_after, [roll] { return roll; });
}

} // namespace

TEST_SUITE("net::retry_delay") {
  TEST_CASE("from nothing to a limit that doubles up to the ceiling") {
    CHECK(delay(0, 0) == milliseconds(0));
    CHECK(delay(0, 100) == milliseconds(100));
    CHECK(delay(0, 101) == milliseconds(0));
    CHECK(delay(1, 200) == milliseconds(200));
    CHECK(delay(1, 201) == milliseconds(0));
    CHECK(delay(3, 800) == milliseconds(800));
    CHECK(delay(4, 1000) == milliseconds(1000));
    CHECK(delay(4, 1001) == milliseconds(0));
    CHECK(delay(4'000'000'000U, 1000) == milliseconds(1000));
    CHECK(delay(63, ~std::uint64_t{0}) <= milliseconds(1000));
  }

  TEST_CASE("what a server asks for is the least, up to the ceiling") {
    CHECK(delay(0, 0, seconds(0)) == milliseconds(0));
    CHECK(delay(5, 0, seconds(0)) == milliseconds(0));
    CHECK(delay(0, 0, seconds(1)) == milliseconds(1000));
    CHECK(delay(0, 100, seconds(1)) == milliseconds(1100));
    CHECK(delay(0, 7, seconds::max()) == milliseconds(1007));
  }

  TEST_CASE("no base, no wait") {
    const RetryOptions none{.base = milliseconds(0), .ceiling = milliseconds(1000)};
    CHECK(retry_delay(9, none, std::nullopt, [] { return std::uint64_t{12345}; }) ==
          milliseconds(0));
  }
}

TEST_SUITE("net::parse_retry_after") {
  TEST_CASE("seconds, or the time until a date") {
    const pkc::WallTime now = pkc::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").value();

    CHECK(parse_retry_after("120", now) == seconds(120));
    CHECK(parse_retry_after(" 0 ", now) == seconds(0));
    CHECK(parse_retry_after("Sun, 06 Nov 1994 08:50:37 GMT", now) == seconds(60));
    CHECK(parse_retry_after("Sun, 06 Nov 1994 08:49:36 GMT", now) == seconds(0));
    for (const std::string_view text : {"", "-1", "+1", "1.5", "1s", "soon", "99999999999"}) {
      CAPTURE(text);
      CHECK_FALSE(parse_retry_after(text, now));
    }
  }
}
