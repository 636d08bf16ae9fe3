#include "pkc/base/result.hpp"

#include <doctest/doctest.h>

#include <cerrno>
#include <memory>

using pkc::Errc;
using pkc::fail;
using pkc::Result;

namespace {

Result<int> half(int number) {
  if (number % 2 != 0) {
    return fail(Errc::invalid_argument, "odd");
  }
  return number / 2;
}

Result<int> quarter(int number) {
  TRY_ASSIGN(const int once, half(number));
  TRY_ASSIGN(const int twice, half(once));
  TRY(half(number));
  return twice;
}

Result<std::unique_ptr<int>> boxed(int number) {
  TRY_ASSIGN(const int value, half(number));
  return std::make_unique<int>(value);
}

} // namespace

TEST_SUITE("base::Result") {
  TEST_CASE("TRY: values pass, the first error returns") {
    CHECK(quarter(8).value() == 2);
    CHECK(quarter(6).error().message == "odd");
    CHECK(quarter(7).error().code == Errc::invalid_argument);
  }

  TEST_CASE("TRY_ASSIGN: works with values that only move") {
    CHECK(*boxed(4).value() == 2);
  }

  TEST_CASE("fail_errno: a full disk is told apart from other failures") {
    CHECK(pkc::fail_errno(ENOSPC, "write").error().code == Errc::no_space);
    CHECK(pkc::fail_errno(EDQUOT, "write").error().code == Errc::no_space);
    CHECK(pkc::fail_errno(EIO, "write").error().code == Errc::io);
    CHECK(pkc::fail_errno(EACCES, "open x").error().message == "open x: Permission denied");
  }

  TEST_CASE("prefixed: puts context in front") {
    CHECK(fail(Errc::io, "inner").error().prefixed("outer").message == "outer: inner");
  }

  TEST_CASE("to_string: names every code") {
    CHECK(pkc::to_string(Errc::no_space) == "no_space");
    CHECK(pkc::to_string(Errc::corrupt) == "corrupt");
    CHECK(pkc::to_string(Errc::unauthorized) == "unauthorized");
  }
}
