#include "pkc/base/random.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <functional>

namespace pkc {
namespace {

TEST_SUITE("base::random") {
  TEST_CASE("fill_random: fills every byte, differently each time") {
    std::array<std::byte, 32> all_of_them{};
    std::array<std::byte, 32> previous{};
    for (int round = 0; round < 20; ++round) {
      std::array<std::byte, 32> bytes{};

      REQUIRE(fill_random(bytes));

      CHECK(bytes != previous);
      previous = bytes;
      std::ranges::transform(all_of_them, bytes, all_of_them.begin(), std::bit_or<>());
    }

    // A byte that was zero in each of twenty rounds was not filled: chance is 2^-160 a byte.
    CHECK(std::ranges::count(all_of_them, std::byte{0}) == 0);
  }
}

} // namespace
} // namespace pkc
