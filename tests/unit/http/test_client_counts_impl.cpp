// Connections by peer address: counted up to a limit, forgotten when the last one goes.
#include "client_counts.hpp"

#include <doctest/doctest.h>

namespace pkc::http {
namespace {

TEST_SUITE("http::ClientCounts") {
  TEST_CASE("try_add: up to the limit, for each address by itself") {
    ClientCounts counts;
    CHECK(counts.try_add("10.0.0.1", 2));
    CHECK(counts.try_add("10.0.0.1", 2));
    CHECK_FALSE(counts.try_add("10.0.0.1", 2));
    CHECK(counts.try_add("10.0.0.2", 2));
  }

  TEST_CASE("remove: makes room for one, and what was refused had taken none") {
    ClientCounts counts;
    REQUIRE(counts.try_add("::1", 1));
    REQUIRE_FALSE(counts.try_add("::1", 1));

    counts.remove("::1");

    CHECK(counts.try_add("::1", 1));
    CHECK_FALSE(counts.try_add("::1", 1));
  }

  TEST_CASE("IPv6: the addresses of one network of 64 bits are one client") {
    ClientCounts counts;
    CHECK(counts.try_add("2001:db8::1", 2));
    CHECK(counts.try_add("2001:db8::a:b:c:d", 2));
    CHECK_FALSE(counts.try_add("2001:db8::2", 2));
    CHECK(counts.try_add("2001:db8:0:1::1", 2));
    CHECK(counts.size() == 2);

    counts.remove("2001:db8::1");
    CHECK(counts.try_add("2001:db8::2", 2));
    CHECK_FALSE(counts.try_add("2001:db8::1", 2));
  }

  TEST_CASE("size: an address without a connection is forgotten") {
    ClientCounts counts;
    REQUIRE(counts.try_add("10.0.0.1", 2));
    REQUIRE(counts.try_add("10.0.0.1", 2));
    REQUIRE(counts.try_add("10.0.0.2", 2));
    REQUIRE_FALSE(counts.try_add("10.0.0.3", 0));
    CHECK(counts.size() == 2);

    counts.remove("10.0.0.1");
    CHECK(counts.size() == 2);
    counts.remove("10.0.0.1");
    counts.remove("10.0.0.2");
    CHECK(counts.size() == 0);
  }
}

} // namespace
} // namespace pkc::http
