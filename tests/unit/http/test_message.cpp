#include "pkc/http/message.hpp"

#include <doctest/doctest.h>

#include <string>

namespace pkc::http {
namespace {

TEST_SUITE("http::Headers") {
  TEST_CASE("get: names are compared without case and the first value wins") {
    Headers headers;
    headers.add("ETag", "1");
    headers.add("etag", "2");

    CHECK(headers.get("ETAG") == "1");
    CHECK_FALSE(headers.get("ETa").has_value());
  }

  TEST_CASE("set: replaces every field of the name, even by one of their own values") {
    Headers headers;
    headers.add("A", "1");
    headers.add("B", "2");
    headers.add("a", "3");

    headers.set("A", *headers.get("A"));

    REQUIRE(headers.fields().size() == 2);
    CHECK(headers.get("A") == "1");
  }
}

TEST_SUITE("http::format_fields") {
  TEST_CASE("a line for each field, and no value begins a new one") {
    Headers headers;
    headers.add("A", "1");
    headers.add("B", "2\r\nC: 3");
    headers.add("D", std::string_view("4\0", 2));

    CHECK(format_fields(headers) == "A: 1\r\nB: 2  C: 3\r\nD: 4 \r\n");
  }
}

TEST_SUITE("http::make_error") {
  TEST_CASE("body: is JSON whatever the message holds") {
    const Response response = make_error(400, "a \"b\" \\ \n\x01");

    CHECK(std::get<std::string>(response.body) == R"({"error":"a \"b\" \\ \u000a\u0001"})");
    CHECK(response.headers.get("Content-Type") == "application/json");
  }
}

} // namespace
} // namespace pkc::http
