#include "pkc/base/codec.hpp"

#include <doctest/doctest.h>

#include <optional>
#include <string>
#include <string_view>

namespace pkc {
namespace {

using namespace std::string_view_literals;

TEST_SUITE("base::codec") {
  TEST_CASE("decode_base64: takes both alphabets, padded or not") {
    struct {
      std::string_view text;
      std::string_view decoded;
    } const rows[] = {
        {"", ""},
        {"Zg==", "f"},
        {"Zg", "f"},
        {"Zm8=", "fo"},
        {"Zm8", "fo"},
        {"Zm9v", "foo"},
        {"Zm9vYmFy", "foobar"},
        {"+/+/", "\xfb\xff\xbf"},
        {"-_-_", "\xfb\xff\xbf"},
        {"AAAA", "\0\0\0"sv},
        {"dXNlcjpw+A==", "user:p\xf8"},
        {"dXNlcjpw-A", "user:p\xf8"},
    };
    for (const auto& row : rows) {
      CAPTURE(row.text);

      CHECK(decode_base64(row.text) == std::string(row.decoded));
    }
  }

  TEST_CASE("decode_base64: anything else is nothing") {
    for (const std::string_view text : {"="sv,
                                        "===="sv,
                                        "Z"sv,
                                        "Zm9vY"sv,
                                        "Zg="sv,
                                        "Zg==="sv,
                                        "Zm8=="sv,
                                        "Zm9v="sv,
                                        "Zh=="sv, // bits left over
                                        "Zm9="sv,
                                        "Zm 9v"sv,
                                        "Zm9v\n"sv,
                                        "Zm=v"sv,
                                        "+_+_"sv, // a mixture
                                        "Zm9\0"sv,
                                        "Zm9\xc3"sv}) {
      CAPTURE(text);

      CHECK_FALSE(decode_base64(text).has_value());
    }
  }

  TEST_CASE("encode_base64: the test vectors of RFC 4648 section 10, and the other two digits") {
    const std::pair<std::string_view, std::string_view> rows[] = {{"", ""},
                                                                  {"f", "Zg=="},
                                                                  {"fo", "Zm8="},
                                                                  {"foo", "Zm9v"},
                                                                  {"foob", "Zm9vYg=="},
                                                                  {"\xfb\xff\xbf\xf0", "+/+/8A=="}};
    for (const auto& [bytes, text] : rows) {
      CHECK(pkc::encode_base64(as_bytes(bytes)) == text);
    }
  }

  TEST_CASE("encode_base64url: decode_base64 gives the bytes back, for every length") {
    std::string bytes;
    for (int i = 0; i < 300; ++i) {
      const std::string text = encode_base64url(as_bytes(bytes));

      CHECK(text.find_first_of("+/=") == std::string::npos);
      CHECK(decode_base64(text) == bytes);
      bytes += static_cast<char>(i * 37);
    }
    CHECK(encode_base64url(as_bytes("\xfb\xff\xbf\xf0")) == "-_-_8A");
  }
}

} // namespace
} // namespace pkc
