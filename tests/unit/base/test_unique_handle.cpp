#include "pkc/base/unique_handle.hpp"

#include <doctest/doctest.h>

#include <utility>
#include <vector>

namespace {

std::vector<int>& closed() {
  static std::vector<int> handles;
  return handles;
}

struct CountingTraits {
  using Type = int;
  static constexpr int kInvalid = -1;
  static void close(int handle) noexcept { closed().push_back(handle); }
};
using Handle = pkc::UniqueHandle<CountingTraits>;

} // namespace

TEST_SUITE("base::UniqueHandle") {
  TEST_CASE("destruction: closes once") {
    closed().clear();
    {
      const Handle handle(7);
    }
    CHECK(closed() == std::vector{7});
  }

  TEST_CASE("move construction: the source no longer owns") {
    closed().clear();
    {
      Handle source(7);
      const Handle target(std::move(source));
      CHECK(target.get() == 7);
    }
    CHECK(closed() == std::vector{7});
  }

  TEST_CASE("move assignment: releases what it held") {
    closed().clear();
    {
      Handle target(1);
      target = Handle(2);
      CHECK(closed() == std::vector{1});
    }
    CHECK(closed() == std::vector{1, 2});
  }

  TEST_CASE("move assignment: to itself keeps the handle") {
    closed().clear();
    {
      Handle handle(3);
      Handle& alias = handle;
      handle = std::move(alias);
      CHECK(handle.get() == 3);
    }
    CHECK(closed() == std::vector{3});
  }

  TEST_CASE("release: gives up without closing") {
    closed().clear();
    {
      Handle handle(5);
      CHECK(handle.release() == 5);
    }
    CHECK(closed().empty());
  }
}
