#include "local_request.hpp"

#include <doctest/doctest.h>

#include <string>
#include <utility>
#include <vector>

namespace pkc::http {
namespace {

struct Row {
  bool local;
  std::string client;
  std::vector<std::pair<std::string, std::string>> fields;
};

TEST_SUITE("http::is_local_request") {
  TEST_CASE("is_local_request: straight from this machine, and not from a web page") {
    const std::vector<Row> rows = {
        {true, "127.0.0.1", {}},
        {true, "127.0.0.1", {{"Host", "localhost:8080"}}},
        {true, "127.9.9.9", {{"Host", "127.0.0.1:8080"}}},
        {true, "::1", {{"Host", "[::1]:8080"}}},
        {true, "::1", {{"Host", "LOCALHOST"}}},
        {true, "unix", {{"Host", "anything"}}},
        {true, "127.0.0.1", {{"Host", "localhost:1"}, {"Origin", "http://localhost:1"}}},
        {true, "127.0.0.1", {{"Host", "localhost"}, {"Sec-Fetch-Site", "none"}}},
        {true, "127.0.0.1", {{"Host", "localhost"}, {"Sec-Fetch-Site", "same-origin"}}},

        {false, "10.0.0.1", {{"Host", "localhost"}}},
        {false, "::2", {}},
        {false, "", {}},
        {false, "127.0.0.1.example", {}},
        {false, "128.0.0.1", {}},
        // Passed on by a proxy on this machine, trusted or not.
        {false, "127.0.0.1", {{"X-Forwarded-For", "127.0.0.1"}}},
        {false, "127.0.0.1", {{"forwarded", "for=10.0.0.1"}}},
        {false, "127.0.0.1", {{"X-Real-IP", "10.0.0.1"}}},
        {false, "127.0.0.1", {{"X-Forwarded-Host", "cache"}}},
        {false, "unix", {{"Via", "1.1 proxy"}}},
        // A page whose name was made to point here, and pages from elsewhere.
        {false, "127.0.0.1", {{"Host", "evil.example:8080"}}},
        {false, "127.0.0.1", {{"Host", "127.0.0.1.evil.example"}}},
        {false, "127.0.0.1", {{"Host", "localhost.evil.example"}}},
        {false, "127.0.0.1", {{"Host", "[::2]"}}},
        {false, "127.0.0.1", {{"Host", "["}}},
        {false, "127.0.0.1", {{"Host", ""}}},
        {false, "127.0.0.1", {{"Host", "localhost"}, {"Origin", "http://evil.example"}}},
        {false, "127.0.0.1", {{"Host", "localhost:1"}, {"Origin", "http://localhost:2"}}},
        {false, "127.0.0.1", {{"Host", "localhost"}, {"Origin", "null"}}},
        {false, "127.0.0.1", {{"Host", "localhost"}, {"Sec-Fetch-Site", "cross-site"}}},
        {false, "127.0.0.1", {{"Host", "localhost"}, {"Sec-Fetch-Site", "same-site"}}},
    };
    for (const Row& row : rows) {
      Request request;
      request.client_address = row.client;
      std::string fields;
      for (const auto& [name, value] : row.fields) {
        request.headers.add(name, value);
        fields += name + ": " + value + "; ";
      }
      CAPTURE(row.client);
      CAPTURE(fields);

      CHECK(is_local_request(request) == row.local);
    }
  }
}

} // namespace
} // namespace pkc::http
