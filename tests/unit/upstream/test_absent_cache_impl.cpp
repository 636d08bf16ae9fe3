#include "absent_cache.hpp"
#include "support/fake_clock.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <string>

using pkc::test::FakeClock;
using pkc::upstream::AbsentCache;
using pkc::upstream::Failure;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

Failure not_found(int status = 404) {
  return {.kind = Failure::Kind::refused, .status = status, .message = "no"};
}

} // namespace

TEST_SUITE("upstream::AbsentCache") {
  TEST_CASE("find: what was remembered, until its time is over") {
    FakeClock clock;
    AbsentCache cache(clock, seconds(60), 10);
    CHECK_FALSE(cache.find("a"));
    cache.remember("a", not_found());
    CHECK(cache.find("a") == not_found());
    clock.advance(milliseconds(59'999));
    CHECK(cache.find("a"));
    clock.advance(milliseconds(1));
    CHECK_FALSE(cache.find("a"));
  }

  TEST_CASE("remember: the latest counts, for its own time") {
    FakeClock clock;
    AbsentCache cache(clock, seconds(60), 10);
    cache.remember("a", not_found(404));
    clock.advance(seconds(30));
    cache.remember("a", not_found(410));
    clock.advance(seconds(40));
    cache.remember("b", not_found()); // drops what is old
    CHECK(cache.find("a") == not_found(410));
    cache.forget("a");
    CHECK_FALSE(cache.find("a"));
    CHECK(cache.find("b"));
  }

  TEST_CASE("remember: the oldest goes for a new one, and none is kept when told so") {
    FakeClock clock;
    AbsentCache cache(clock, seconds(60), 3);
    for (const char* const key : {"a", "b", "c", "d"}) {
      cache.remember(key, not_found());
      clock.advance(milliseconds(1));
    }
    CHECK_FALSE(cache.find("a"));
    CHECK(cache.find("b"));
    CHECK(cache.find("d"));
    AbsentCache off(clock, seconds(0), 3);
    off.remember("a", not_found());
    CHECK_FALSE(off.find("a"));
  }
}
