#include "pkc/base/bytes.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

namespace pkc {
namespace {

struct Row {
  std::string text;
  ByteCount bytes;
};

TEST_SUITE("base::ByteCount") {
  TEST_CASE("parse: every spelling of a unit means the power of 1024") {
    const std::vector<Row> rows = {
        {"0", 0},
        {"1", 1},
        {"7B", 7},
        {"5368709120", 5 * kGiB},
        {"5G", 5 * kGiB},
        {"5Gi", 5 * kGiB},
        {"5GB", 5 * kGiB},
        {"5GiB", 5 * kGiB},
        {"3K", 3 * kKiB},
        {"64KiB", 64 * kKiB},
        {"2M", 2 * kMiB},
        {"2T", 2048 * kGiB},
        {"007M", 7 * kMiB},
        {"18446744073709551615", ~ByteCount{0}},
        {"16777215TiB", ByteCount{16777215} * 1024 * kGiB},
    };

    for (const Row& row : rows) {
      CAPTURE(row.text);
      const auto parsed = parse_byte_count(row.text);
      REQUIRE(parsed.has_value());
      CHECK(*parsed == row.bytes);
    }
  }

  TEST_CASE("parse: anything else is an invalid argument") {
    const std::vector<std::string> rows = {"",
                                           " ",
                                           "G",
                                           "-1",
                                           "+1",
                                           "1.5G",
                                           "1 G",
                                           "1g",
                                           "1KiBs",
                                           "1iB",
                                           "1BiB",
                                           "1GiBB",
                                           "0x1",
                                           "1e3",
                                           " 1",
                                           "1 ",
                                           "ten",
                                           "1P",
                                           "1GG",
                                           std::string("1\0", 2),
                                           "18446744073709551616",
                                           "16777216T",
                                           "18014398509481984K"};

    for (const std::string& text : rows) {
      CAPTURE(text);
      const auto parsed = parse_byte_count(text);
      REQUIRE_FALSE(parsed.has_value());
      CHECK(parsed.error().code == Errc::invalid_argument);
    }
  }

  TEST_CASE("format: the largest unit that loses nothing") {
    const std::vector<Row> rows = {
        {"0", 0},
        {"1", 1},
        {"1023", 1023},
        {"1KiB", 1024},
        {"1500", 1500},
        {"1536", 1536},
        {"5GiB", 5368709120},
        {"1025MiB", 1025 * kMiB},
        {"2TiB", 2048 * kGiB},
        {"18446744073709551615", ~ByteCount{0}},
    };

    for (const Row& row : rows) {
      CHECK(format_byte_count(row.bytes) == row.text);
    }
  }

  TEST_CASE("format: what it prints parses back") {
    for (const ByteCount bytes : {ByteCount{0}, ByteCount{999}, 3 * kKiB, 7 * kMiB + 1, 9 * kGiB}) {
      CHECK(parse_byte_count(format_byte_count(bytes)).value() == bytes);
    }
  }
}

} // namespace
} // namespace pkc
