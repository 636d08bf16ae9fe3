#include "pkc/config/settings.hpp"

#include <doctest/doctest.h>

#include <array>
#include <string_view>

namespace pkc::config {
namespace {

TEST_SUITE("config::parse_address") {
  TEST_CASE("an address, with or without a port") {
    struct Row {
      std::string_view text;
      std::string_view bind;
      std::uint16_t port;
    };
    constexpr std::array kRows = {
        Row{"127.0.0.1", "127.0.0.1", 7},
        Row{"127.0.0.1:9000", "127.0.0.1", 9000},
        Row{"cache.example:0", "cache.example", 0},
        Row{"::", "::", 7},
        Row{"fe80::1", "fe80::1", 7},
        Row{"[::1]", "::1", 7},
        Row{"[::1]:65535", "::1", 65535},
        Row{"unix:/run/x:1", "unix:/run/x:1", 0},
    };
    for (const Row& row : kRows) {
      CAPTURE(row.text);
      const auto address = parse_address(row.text, 7);
      REQUIRE(address);
      CHECK(address->bind == row.bind);
      CHECK(address->port == row.port);
    }
  }

  TEST_CASE("nothing else") {
    for (const std::string_view text :
         {"", ":9000", "a:", "a:x", "a:65536", "a:-1", "a:1x", "[::1", "[]", "[::1]9", "[::1]:"}) {
      CAPTURE(text);
      const auto address = parse_address(text, 7);
      REQUIRE_FALSE(address);
      CHECK(address.error().code == Errc::invalid_argument);
    }
  }
}

} // namespace
} // namespace pkc::config
