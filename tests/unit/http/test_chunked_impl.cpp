// The chunked decoder, by table, whole and in pieces of every size.
#include "chunked.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <string_view>

namespace pkc::http {
namespace {

struct Decoded {
  bool refused = false;
  bool done = false;
  std::string text;
  std::size_t consumed = 0;

  friend bool operator==(const Decoded&, const Decoded&) = default;
};

/// Decodes `input` with at most `step` bytes in and out at a time.
Decoded decode(std::string_view input, std::size_t step) {
  Decoded decoded;
  ChunkedDecoder decoder;
  std::array<std::byte, 64> output{};
  while (decoded.consumed < input.size() && !decoder.done()) {
    const auto progress = decoder.decode(input.substr(decoded.consumed, step),
                                         std::span(output).first(std::min(step, output.size())));
    if (!progress) {
      decoded.refused = true;
      return decoded;
    }
    decoded.consumed += progress->consumed;
    decoded.text += as_text(std::span(output).first(progress->produced));
  }
  decoded.done = decoder.done();
  return decoded;
}

struct Row {
  std::string_view name;
  std::string_view input;
  std::optional<std::string_view> text; ///< nothing: refused
  bool done = true;
};

constexpr Row kRows[] = {
    {"empty", "0\r\n\r\n", ""},
    {"two chunks", "3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n", "abc0123456789"},
    {"leading zeros", "003\r\nabc\r\n000\r\n\r\n", "abc"},
    {"lower-case hex", "a\r\n0123456789\r\n0\r\n\r\n", "0123456789"},
    {"extension", "3;x=\"y\"\r\nabc\r\n0;z\r\n\r\n", "abc"},
    {"blank before an extension", "3 ;x\r\nabc\r\n0\r\n\r\n", "abc"},
    {"trailers", "3\r\nabc\r\n0\r\nA: b\r\nC: d\r\n\r\n", "abc"},
    {"not finished", "3\r\nabc\r\n0\r\n", "abc", false},
    {"no size", "\r\nabc", std::nullopt},
    {"size is no hex", "3x\r\nabc\r\n0\r\n\r\n", std::nullopt},
    {"0x prefix", "0x3\r\nabc\r\n0\r\n\r\n", std::nullopt},
    {"sign", "+3\r\nabc\r\n0\r\n\r\n", std::nullopt},
    {"minus", "-3\r\nabc\r\n0\r\n\r\n", std::nullopt},
    {"blank before the size", " 3\r\nabc\r\n0\r\n\r\n", std::nullopt},
    {"blank behind the size", "3 \r\nabc\r\n0\r\n\r\n", std::nullopt},
    {"size over 64 bits", "FFFFFFFFFFFFFFFFF\r\n", std::nullopt},
    {"bare LF behind the size", "3\nabc\r\n0\r\n\r\n", std::nullopt},
    {"bare LF in an extension", "3;a\nabc\r\n0\r\n\r\n", std::nullopt},
    {"bare CR in an extension", "3;a\rb\r\nabc\r\n0\r\n\r\n", std::nullopt},
    {"longer than announced", "3\r\nabcd\r\n0\r\n\r\n", std::nullopt},
    {"bare LF behind the data", "3\r\nabc\n0\r\n\r\n", std::nullopt},
    {"shorter than announced", "5\r\nabc\r\n0\r\n\r\n", std::nullopt},
    {"bare LF in a trailer", "0\r\nA: b\n\r\n", std::nullopt},
};

TEST_SUITE("http::ChunkedDecoder") {
  TEST_CASE("decode: every row comes out as it says, in pieces of any size") {
    for (const Row& row : kRows) {
      for (const std::size_t step : {1U, 2U, 3U, 7U, 64U}) {
        CAPTURE(row.name);
        CAPTURE(step);

        const Decoded decoded = decode(row.input, step);

        CHECK(decoded.refused == !row.text.has_value());
        if (row.text) {
          CHECK(decoded.text == *row.text);
          CHECK(decoded.done == row.done);
        }
      }
    }
  }

  TEST_CASE("decode: bytes behind the body are left alone") {
    const std::string_view input = "1\r\na\r\n0\r\n\r\nGET / HTTP/1.1";

    CHECK(decode(input, 64).consumed == input.find("GET"));
  }

  TEST_CASE("limits: extensions and trailers of a body have a common limit") {
    std::string extensions;
    for (int i = 0; i < 100; ++i) {
      extensions += "1;" + std::string(100, 'x') + "\r\na\r\n";
    }
    CHECK(decode(extensions, 64).refused);
    CHECK(decode("0\r\nA: " + std::string(9000, 'x') + "\r\n\r\n", 64).refused);
    CHECK_FALSE(decode("0\r\nA: " + std::string(8000, 'x') + "\r\n\r\n", 64).refused);
  }
}

} // namespace
} // namespace pkc::http
