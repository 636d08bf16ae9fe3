#include "pkc/store/key.hpp"

#include <doctest/doctest.h>

#include <string>

using pkc::store::Key;

TEST_SUITE("store::Key") {
  TEST_CASE("parse_hex: 32 to 128 hex digits of either case, kept as they are") {
    for (const std::size_t length : {32U, 40U, 64U, 128U}) {
      const std::string text = "aA" + std::string(length - 2, '0');
      CAPTURE(length);
      REQUIRE(Key::parse_hex(text));
      CHECK(Key::parse_hex(text)->id() == text);
    }
    CHECK(Key::parse_hex(std::string(32, 'a')) != Key::parse_hex(std::string(32, 'A')));
  }

  TEST_CASE("parse_hex: everything else is no key") {
    using namespace std::string_literals;
    for (const std::string& text : {""s,
                                    std::string(31, 'a'),
                                    std::string(129, 'a'),
                                    std::string(31, 'a') + "g",
                                    std::string(31, 'a') + "/",
                                    std::string(31, 'a') + "\0"s,
                                    "../../" + std::string(32, 'a'),
                                    std::string(30, 'a') + "\xc3\xa9"s}) {
      CAPTURE(text);
      CHECK_FALSE(Key::parse_hex(text));
    }
  }
}
