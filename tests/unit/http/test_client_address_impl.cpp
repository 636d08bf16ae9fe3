// Who the client is, with and without trusted proxies.
#include "client_address.hpp"

#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <vector>

namespace pkc::http {
namespace {

TEST_SUITE("http::limited_client") {
  TEST_CASE("IPv4 by address, IPv6 by its network of 64 bits") {
    struct {
      std::string_view address;
      std::string_view client;
    } const rows[] = {
        {"192.0.2.1", "192.0.2.1"},
        {"::ffff:192.0.2.1", "192.0.2.1"},
        {"::FFFF:c000:201", "192.0.2.1"},
        {"2001:db8:1:2::3", "2001:db8:1:2::/64"},
        {"2001:db8:1:2:ffff:ffff:ffff:ffff", "2001:db8:1:2::/64"},
        {"2001:DB8:1:2:0:0:0:0", "2001:db8:1:2::/64"},
        {"2001:db8:1:3::3", "2001:db8:1:3::/64"},
        {"2001:db8::192.0.2.1", "2001:db8::/64"},
        {"::1", "::/64"},
        {kUnixPeer, kUnixPeer},
        {"", ""},
        {"no address", "no address"},
    };
    for (const auto& row : rows) {
      CAPTURE(row.address);
      CHECK(limited_client(row.address) == row.client);
    }
  }
}

TEST_SUITE("http::TrustedProxies") {
  TEST_CASE("parse: an entry that is neither address nor block is named in the error") {
    for (const std::string entry : {"",
                                    "x",
                                    "10.0.0.0/33",
                                    "10.0.0/8",
                                    "::/129",
                                    "1.2.3.4/",
                                    "/8",
                                    "1.2.3.4/-1",
                                    "1.2.3.4/8x"}) {
      CAPTURE(entry);

      const auto proxies = TrustedProxies::parse({entry});

      REQUIRE_FALSE(proxies.has_value());
      CHECK(proxies.error().code == Errc::invalid_argument);
      CHECK(proxies.error().message.find('"' + entry + '"') != std::string::npos);
    }
  }

  TEST_CASE("trusts: addresses and blocks of both families") {
    const auto proxies =
        TrustedProxies::parse({"127.0.0.1", "10.16.0.0/12", "::1", "fd00::/9", "192.0.2.128/25"});
    REQUIRE(proxies.has_value());
    struct {
      std::string_view address;
      bool trusted;
    } const rows[] = {
        {"127.0.0.1", true},
        {"127.0.0.2", false},
        {"::ffff:127.0.0.1", true},
        {"10.16.0.0", true},
        {"10.31.255.255", true},
        {"10.32.0.0", false},
        {"10.15.255.255", false},
        {"::1", true},
        {"::2", false},
        {"fd7f::1", true},
        {"fd80::1", false},
        {"192.0.2.128", true},
        {"192.0.2.127", false},
        {"nonsense", false},
    };
    for (const auto& row : rows) {
      CAPTURE(row.address);

      CHECK(proxies->trusts(row.address) == row.trusted);
    }
  }

  TEST_CASE("client_address: the rightmost address that is no trusted proxy") {
    const auto proxies = TrustedProxies::parse({"127.0.0.1", "10.0.0.0/8"});
    REQUIRE(proxies.has_value());
    struct {
      std::string_view name;
      std::string_view peer;
      std::vector<std::string_view> forwarded_for;
      std::string_view client;
    } const rows[] = {
        {"no field", "127.0.0.1", {}, "127.0.0.1"},
        {"untrusted peer", "192.0.2.1", {"198.51.100.7"}, "192.0.2.1"},
        {"one hop", "127.0.0.1", {"198.51.100.7"}, "198.51.100.7"},
        {"a forged left end", "127.0.0.1", {"1.1.1.1, 198.51.100.7"}, "198.51.100.7"},
        {"two hops", "127.0.0.1", {"198.51.100.7, 10.1.1.1"}, "198.51.100.7"},
        {"two fields", "127.0.0.1", {"198.51.100.7", "10.1.1.1"}, "198.51.100.7"},
        {"all trusted", "127.0.0.1", {"10.2.2.2, 10.1.1.1"}, "10.2.2.2"},
        {"garbage", "127.0.0.1", {"198.51.100.7, unknown"}, "127.0.0.1"},
        {"garbage further left", "127.0.0.1", {"unknown, 10.1.1.1"}, "10.1.1.1"},
        {"empty elements", "127.0.0.1", {" , 198.51.100.7 ,"}, "198.51.100.7"},
        {"with port", "127.0.0.1", {"198.51.100.7:1234"}, "198.51.100.7"},
        {"IPv6", "127.0.0.1", {"2001:db8::1"}, "2001:db8::1"},
        {"IPv6 with port", "127.0.0.1", {"[2001:db8::1]:1234"}, "2001:db8::1"},
    };
    for (const auto& row : rows) {
      CAPTURE(row.name);

      CHECK(proxies->client_address(row.peer, row.forwarded_for) == row.client);
    }
  }
}

} // namespace
} // namespace pkc::http
