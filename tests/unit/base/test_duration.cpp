#include "pkc/base/clock.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace pkc {
namespace {

using namespace std::chrono_literals;

struct Row {
  std::string text;
  std::chrono::milliseconds duration;
};

TEST_SUITE("base::duration") {
  TEST_CASE("parse: a number with a unit, or seconds") {
    const std::vector<Row> rows = {
        {"0", 0ms},
        {"0ms", 0ms},
        {"5", 5s},
        {"250ms", 250ms},
        {"30s", 30s},
        {"10m", 10min},
        {"2h", 2h},
        {"7d", 168h},
        {"9223372036854775807ms", std::chrono::milliseconds(INT64_MAX)},
    };

    for (const Row& row : rows) {
      CAPTURE(row.text);
      const auto parsed = parse_duration(row.text);
      REQUIRE(parsed.has_value());
      CHECK(*parsed == row.duration);
    }
  }

  TEST_CASE("parse: anything else is an invalid argument") {
    const std::vector<std::string> rows = {"",
                                           "s",
                                           "-1s",
                                           "+1s",
                                           "1.5s",
                                           "1 s",
                                           " 1s",
                                           "1s ",
                                           "1S",
                                           "1m30s",
                                           "1min",
                                           "1us",
                                           "forever",
                                           "9223372036854775808ms",
                                           "9223372036854776s",
                                           "18446744073709551616"};

    for (const std::string& text : rows) {
      CAPTURE(text);
      const auto parsed = parse_duration(text);
      REQUIRE_FALSE(parsed.has_value());
      CHECK(parsed.error().code == Errc::invalid_argument);
    }
  }

  TEST_CASE("format: the largest unit that loses nothing") {
    const std::vector<Row> rows = {
        {"0s", 0ms},
        {"1ms", 1ms},
        {"1500ms", 1500ms},
        {"90s", 90s},
        {"10m", 600s},
        {"1h", 60min},
        {"1d", 24h},
        {"25h", 25h},
    };

    for (const Row& row : rows) {
      CHECK(format_duration(row.duration) == row.text);
    }
  }
}

} // namespace
} // namespace pkc
