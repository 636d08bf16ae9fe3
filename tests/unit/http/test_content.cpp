#include "pkc/http/content.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pkc::http {
namespace {

using Fields = std::vector<std::pair<std::string_view, std::string_view>>;

constexpr std::string_view kDate = "Sun, 06 Nov 1994 08:49:37 GMT";

Representation representation(ByteCount size = 100) {
  return {size, "\"tag\"", parse_http_date(kDate)};
}

ContentPlan plan(Method method, const Fields& fields, ByteCount size = 100) {
  Request request;
  request.method = method;
  for (const auto& [name, value] : fields) {
    request.headers.add(name, value);
  }
  return plan_content(request, representation(size));
}

TEST_SUITE("http::plan_content") {
  TEST_CASE("range: every form is answered as RFC 9110 says") {
    struct {
      std::string_view range;
      int status;
      ByteCount offset;
      ByteCount length;
    } const rows[] = {
        {"bytes=0-0", 206, 0, 1},
        {"bytes=0-99", 206, 0, 100},
        {"bytes=10-19", 206, 10, 10},
        {"bytes=90-", 206, 90, 10},
        {"bytes=90-1000", 206, 90, 10},
        {"bytes=-10", 206, 90, 10},
        {"bytes=-1000", 206, 0, 100},
        {"Bytes=0-0", 206, 0, 1},
        {"bytes= 0-0 ", 206, 0, 1},
        {"bytes=0-99999999999999999999999", 206, 0, 100},
        {"bytes=100-", 416, 0, 0},
        {"bytes=100-200", 416, 0, 0},
        {"bytes=99999999999999999999999-", 416, 0, 0},
        {"bytes=-0", 416, 0, 0},
        {"bytes=5-2", 200, 0, 100},
        {"bytes=", 200, 0, 100},
        {"bytes=-", 200, 0, 100},
        {"bytes", 200, 0, 100},
        {"bytes=a-b", 200, 0, 100},
        {"bytes=1-b", 200, 0, 100},
        {"bytes=+1-2", 200, 0, 100},
        {"bytes=--1", 200, 0, 100},
        {"bytes=1 - 2", 200, 0, 100},
        {"bytes=0-0,5-6", 200, 0, 100},
        {"items=0-0", 200, 0, 100},
        {"", 200, 0, 100},
    };
    for (const auto& row : rows) {
      CAPTURE(row.range);

      const ContentPlan result = plan(Method::get, {{"Range", row.range}});

      CHECK(result.status == row.status);
      CHECK(result.range.offset == row.offset);
      CHECK(result.range.length == row.length);
    }
  }

  TEST_CASE("range: of nothing is 416, but its last bytes are the whole") {
    CHECK(plan(Method::get, {{"Range", "bytes=0-"}}, 0).status == 416);
    CHECK(plan(Method::get, {{"Range", "bytes=-5"}}, 0).status == 200);
  }

  TEST_CASE("conditions: validators decide before the range") {
    struct {
      std::string_view name;
      Method method;
      Fields fields;
      int status;
    } const rows[] = {
        {"same tag", Method::get, {{"If-None-Match", "\"tag\""}}, 304},
        {"same tag, HEAD", Method::head, {{"If-None-Match", "\"tag\""}}, 304},
        {"same tag, PUT", Method::put, {{"If-None-Match", "\"tag\""}}, 200},
        {"weak tag", Method::get, {{"If-None-Match", "W/\"tag\""}}, 304},
        {"other tag", Method::get, {{"If-None-Match", "\"other\""}}, 200},
        {"list", Method::get, {{"If-None-Match", "\"a,b\", W/\"c\" ,\"tag\""}}, 304},
        {"two fields",
         Method::get,
         {{"If-None-Match", "\"a\""}, {"If-None-Match", "\"tag\""}},
         304},
        {"star", Method::get, {{"If-None-Match", " * "}}, 304},
        {"unquoted", Method::get, {{"If-None-Match", "tag"}}, 200},
        {"unclosed", Method::get, {{"If-None-Match", "\"tag"}}, 200},
        {"not since", Method::get, {{"If-Modified-Since", kDate}}, 304},
        {"since later", Method::get, {{"If-Modified-Since", "Mon, 07 Nov 1994 08:49:37 GMT"}}, 304},
        {"since before",
         Method::get,
         {{"If-Modified-Since", "Sat, 05 Nov 1994 08:49:37 GMT"}},
         200},
        {"bad date", Method::get, {{"If-Modified-Since", "yesterday"}}, 200},
        {"tag beats date",
         Method::get,
         {{"If-None-Match", "\"other\""}, {"If-Modified-Since", kDate}},
         200},
        {"304 beats range",
         Method::get,
         {{"If-None-Match", "\"tag\""}, {"Range", "bytes=0-0"}},
         304},
        {"if-range same tag", Method::get, {{"If-Range", "\"tag\""}, {"Range", "bytes=0-0"}}, 206},
        {"if-range other tag", Method::get, {{"If-Range", "\"x\""}, {"Range", "bytes=0-0"}}, 200},
        {"if-range weak tag",
         Method::get,
         {{"If-Range", "W/\"tag\""}, {"Range", "bytes=0-0"}},
         200},
        {"if-range same date", Method::get, {{"If-Range", kDate}, {"Range", "bytes=0-0"}}, 206},
        {"if-range other date",
         Method::get,
         {{"If-Range", "Mon, 07 Nov 1994 08:49:37 GMT"}, {"Range", "bytes=0-0"}},
         200},
        {"if-range beats 416", Method::get, {{"If-Range", "\"x\""}, {"Range", "bytes=500-"}}, 200},
        {"match same tag", Method::get, {{"If-Match", "\"a\", \"tag\""}}, 200},
        {"match star", Method::get, {{"If-Match", "*"}}, 200},
        {"match other tag", Method::get, {{"If-Match", "\"x\""}}, 412},
        {"match weak tag", Method::get, {{"If-Match", "W/\"tag\""}}, 412},
        {"unmodified", Method::head, {{"If-Unmodified-Since", kDate}}, 200},
        {"unmodified before",
         Method::get,
         {{"If-Unmodified-Since", "Sat, 05 Nov 1994 08:49:37 GMT"}},
         412},
        {"match beats unmodified",
         Method::get,
         {{"If-Match", "*"}, {"If-Unmodified-Since", "Sat, 05 Nov 1994 08:49:37 GMT"}},
         200},
        {"412 beats 304", Method::get, {{"If-Match", "\"x\""}, {"If-None-Match", "*"}}, 412},
        {"range on HEAD", Method::head, {{"Range", "bytes=0-0"}}, 200},
    };
    for (const auto& row : rows) {
      CAPTURE(row.name);

      CHECK(plan(row.method, row.fields).status == row.status);
    }
  }
}

TEST_SUITE("http::apply_content_headers") {
  TEST_CASE("headers: 206 names its range, 416 the size, every answer its validators") {
    Response partial;
    apply_content_headers(partial, {206, {10, 20}}, representation());
    CHECK(partial.status == 206);
    CHECK(partial.headers.get("Content-Range") == "bytes 10-29/100");
    CHECK(partial.headers.get("ETag") == "\"tag\"");
    CHECK(partial.headers.get("Last-Modified") == kDate);
    CHECK(partial.headers.get("Accept-Ranges") == "bytes");

    Response refused;
    apply_content_headers(refused, {416, {}}, representation());
    CHECK(refused.headers.get("Content-Range") == "bytes */100");

    Response whole;
    apply_content_headers(whole, {200, {0, 100}}, representation());
    CHECK_FALSE(whole.headers.get("Content-Range").has_value());
  }
}

} // namespace
} // namespace pkc::http
