#include "pkc/base/clock.hpp"

#include <doctest/doctest.h>

using pkc::format_http_date;
using pkc::parse_http_date;
using pkc::WallTime;
using std::chrono::seconds;

TEST_SUITE("base::utc") {
  TEST_CASE("format: RFC 3339, with leading zeros") {
    CHECK(pkc::format_utc(WallTime(seconds(784'111'777))) == "1994-11-06T08:49:37Z");
    CHECK(pkc::format_utc(WallTime(seconds(951'782'400))) == "2000-02-29T00:00:00Z");
  }

  TEST_CASE("parse: what format writes comes back, and a date is its first second") {
    for (const std::int64_t time : {0LL, 784'111'777LL, 951'782'400LL, 253'402'300'799LL}) {
      CAPTURE(time);
      const WallTime expected{seconds(time)};
      CHECK(pkc::parse_utc(pkc::format_utc(expected)) == expected);
    }
    CHECK(pkc::parse_utc("2000-02-29") == WallTime(seconds(951'782'400)));
  }

  TEST_CASE("parse: anything else is nothing") {
    for (const std::string_view text : {"",
                                        "2000",
                                        "2000-2-29",
                                        "2001-02-29",
                                        "2000-13-01",
                                        "2000-00-01",
                                        "2000-02-29T00:00:00",
                                        "2000-02-29 00:00:00Z",
                                        "2000-02-29T24:00:00Z",
                                        "2000-02-29T00:60:00Z",
                                        "2000-02-29T00:00:60Z",
                                        "2000-02-29T00:00:00z",
                                        "2000-02-29T00:00:00+00:00",
                                        "2000-02-29T0a:00:00Z",
                                        "tomorrowxx"}) {
      CAPTURE(text);
      CHECK_FALSE(pkc::parse_utc(text).has_value());
    }
  }
}

TEST_SUITE("base::http_date") {
  TEST_CASE("format: the example of RFC 9110 section 5.6.7") {
    CHECK(format_http_date(WallTime(seconds(784'111'777))) == "Sun, 06 Nov 1994 08:49:37 GMT");
  }

  TEST_CASE("parse: what format writes comes back") {
    for (const std::int64_t time :
         {0LL, 784'111'777LL, 951'782'400LL, 1'795'175'916LL, 253'402'300'799LL}) {
      CAPTURE(time);
      const WallTime expected{seconds(time)};
      CHECK(parse_http_date(format_http_date(expected)) == expected);
    }
  }

  TEST_CASE("parse: anything else is nothing") {
    for (const std::string_view text : {"",
                                        "Sunday, 06-Nov-94 08:49:37 GMT",
                                        "Sun Nov  6 08:49:37 1994",
                                        "Mon, 06 Nov 1994 08:49:37 GMT",
                                        "Sun, 06 Nov 1994 08:49:37 UTC",
                                        "Sun, 31 Feb 1994 08:49:37 GMT",
                                        "Sun, 06 Nov 1994 24:49:37 GMT",
                                        "Sun, 06 Nov 1994 08:49:61 GMT",
                                        "Sun, +6 Nov 1994 08:49:37 GMT"}) {
      CAPTURE(text);
      CHECK_FALSE(parse_http_date(text));
    }
  }
}
