#include "pkc/base/digest.hpp"

#include <doctest/doctest.h>

#include <string>
#include <string_view>

using pkc::as_bytes;
using pkc::equal_in_constant_time;
using pkc::Sha256;
using pkc::sha256;
using pkc::Sha256Hasher;

namespace {
// FIPS 180-2, appendix B.1.
constexpr std::string_view kAbc =
    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
} // namespace

TEST_SUITE("base::Sha256") {
  TEST_CASE("sha256: the published vector of abc") {
    CHECK(sha256(as_bytes("abc")).hex() == kAbc);
  }

  TEST_CASE("hasher: pieces give the digest of the whole") {
    Sha256Hasher hasher;
    hasher.update(as_bytes("a"));
    hasher.update({});
    hasher.update(as_bytes("bc"));
    CHECK(hasher.finish().hex() == kAbc);
  }

  TEST_CASE("hasher: finish starts over") {
    Sha256Hasher hasher;
    hasher.update(as_bytes("something else"));
    [[maybe_unused]] const Sha256 first = hasher.finish();
    hasher.update(as_bytes("abc"));
    CHECK(hasher.finish().hex() == kAbc);
  }

  TEST_CASE("from_hex: reads both cases and nothing else") {
    std::string upper(kAbc);
    for (char& c : upper) {
      c = c >= 'a' && c <= 'f' ? static_cast<char>(c - 'a' + 'A') : c;
    }
    CHECK(Sha256::from_hex(kAbc) == sha256(as_bytes("abc")));
    CHECK(Sha256::from_hex(upper) == sha256(as_bytes("abc")));
    CHECK_FALSE(Sha256::from_hex(kAbc.substr(1)));
    CHECK_FALSE(Sha256::from_hex(std::string(kAbc) + "0"));
    CHECK_FALSE(Sha256::from_hex(std::string(63, '0') + "g"));
    CHECK_FALSE(Sha256::from_hex(""));
  }

  TEST_CASE("equal_in_constant_time: tells values apart at every place") {
    const std::string value(32, 'a');
    CHECK(equal_in_constant_time(as_bytes(value), as_bytes(std::string(32, 'a'))));
    for (std::size_t i = 0; i < value.size(); ++i) {
      std::string other = value;
      other[i] = 'b';
      CHECK_FALSE(equal_in_constant_time(as_bytes(value), as_bytes(other)));
    }
    CHECK_FALSE(equal_in_constant_time(as_bytes(value), as_bytes("aaa")));
  }
}
