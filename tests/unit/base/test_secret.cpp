#include "pkc/base/secret.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <memory>
#include <sstream>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace pkc {
namespace {

using Text = Secret<std::string>;

TEST_SUITE("base::Secret") {
  TEST_CASE("print: shows stars") {
    std::ostringstream out;

    out << Text("token");

    CHECK(out.str() == "***");
  }

  TEST_CASE("reveal: gives the value, and a secret is moved but never copied") {
    Text first(std::string("short"));
    Text second(std::move(first));
    Text third;
    third = std::move(second);

    CHECK(third.reveal() == "short");
    CHECK_FALSE(third.empty());
    CHECK(second.empty()); // NOLINT(bugprone-use-after-move): that is the claim
    CHECK_FALSE(std::is_copy_constructible_v<Text>);
    CHECK_FALSE(std::is_copy_assignable_v<Text>);
  }

  TEST_CASE("destroy: a short secret is not left in the memory of the object") {
    alignas(Text) std::array<char, sizeof(Text)> memory{};
    auto* const secret =
        std::construct_at(reinterpret_cast<Text*>(memory.data()), std::string("hunter2"));
    const auto holds = [&memory](std::string_view text) {
      return std::ranges::search(memory, text).begin() != memory.end();
    };
    CHECK(holds("hunter2"));

    const Text taken(std::move(*secret));
    const bool left_by_move = holds("hunter2");
    std::destroy_at(secret);

    CHECK_FALSE(left_by_move);
    CHECK_FALSE(holds("hunter2"));
    CHECK(taken.reveal() == "hunter2");
  }

  TEST_CASE("wipe: overwrites all it is given") {
    std::array<char, 8> memory{};
    memory.fill('x');

    wipe(memory.data(), memory.size());

    CHECK(std::ranges::count(memory, '\0') == 8);
  }
}

} // namespace
} // namespace pkc
