#include "pkc/base/checksum.hpp"

#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <utility>

using pkc::as_bytes;
using pkc::Checksum;
using pkc::ChecksumAlgorithm;
using pkc::ChecksumHasher;
using pkc::Errc;
using pkc::kChecksumAlgorithms;
using pkc::parse_checksum;

namespace {

// RFC 1321 appendix A.5, FIPS 180-2 appendices A.1, B.1 and C.1, each for "abc".
constexpr std::pair<ChecksumAlgorithm, std::string_view> kAbc[] = {
    {ChecksumAlgorithm::md5, "900150983cd24fb0d6963f7d28e17f72"},
    {ChecksumAlgorithm::sha1, "a9993e364706816aba3e25717850c26c9cd0d89d"},
    {ChecksumAlgorithm::sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    {ChecksumAlgorithm::sha512,
     "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
     "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"}};

std::string upper(std::string_view text) {
  std::string result(text);
  for (char& c : result) {
    c = c >= 'a' ? static_cast<char>(c - 'a' + 'A') : c;
  }
  return result;
}

} // namespace

TEST_SUITE("base::Checksum") {
  TEST_CASE("hasher: the published vectors, in pieces") {
    for (const auto& [algorithm, expected] : kAbc) {
      auto hasher = ChecksumHasher::make(algorithm);
      REQUIRE(hasher);
      hasher->update(as_bytes("a"));
      hasher->update(as_bytes("bc"));
      CHECK(hasher->finish() == Checksum{algorithm, std::string(expected)});
    }
  }

  TEST_CASE("parse_checksum: either case, and nothing but as many hex digits as there must be") {
    for (const auto& [algorithm, text] : kAbc) {
      CAPTURE(to_string(algorithm));
      CHECK(parse_checksum(algorithm, upper(text)).value() ==
            Checksum{algorithm, std::string(text)});
      for (const std::string& wrong : {std::string(),
                                       std::string(text.substr(1)),
                                       std::string(text) + "0",
                                       'g' + std::string(text.substr(1)),
                                       "sha256:" + std::string(text)}) {
        const auto parsed = parse_checksum(algorithm, wrong);
        REQUIRE_FALSE(parsed);
        CHECK(parsed.error().code == Errc::invalid_argument);
        CHECK(parsed.error().message.contains(std::to_string(text.size())));
      }
    }
  }

  TEST_CASE("to_string: tells all algorithms apart") {
    std::string all;
    for (const ChecksumAlgorithm algorithm : kChecksumAlgorithms) {
      all += std::string(to_string(algorithm)) + ' ';
    }
    CHECK(all == "md5 sha1 sha256 sha512 ");
  }
}
