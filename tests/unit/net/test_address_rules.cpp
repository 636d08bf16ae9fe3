#include "pkc/net/address_rules.hpp"

#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

using pkc::Errc;
using pkc::net::AddressClass;
using pkc::net::AddressRules;
using pkc::net::AddressRulesOptions;
using pkc::net::parse_address;
using pkc::net::parse_address_block;

namespace {

AddressRules make(const AddressRulesOptions& options) {
  return AddressRules::make(options).value();
}

bool passes(const AddressRules& rules, std::string_view address) {
  return rules.check_address(parse_address(address).value()).has_value();
}

} // namespace

TEST_SUITE("net::Address") {
  TEST_CASE("parse_address: numeric hosts in every form") {
    const std::pair<std::string_view, std::string_view> rows[] = {
        {"127.0.0.1", "127.0.0.1"},
        {"2130706433", "127.0.0.1"},
        {"0177.1", "127.0.0.1"},
        {"0x7f.1", "127.0.0.1"},
        {"0x7F000001", "127.0.0.1"},
        {"127.0.1", "127.0.0.1"},
        {"10.0.258", "10.0.1.2"},
        {"::1", "::1"},
        {"[::1]", "::1"},
        {"::ffff:10.0.0.1", "10.0.0.1"},
        {"[::ffff:a00:1]", "10.0.0.1"},
        {"2001:DB8:0:0::1", "2001:db8::1"}};
    for (const auto& [host, text] : rows) {
      CAPTURE(host);
      const auto address = parse_address(host);
      REQUIRE(address);
      CHECK(address->text() == text);
    }
    for (const std::string_view host : {"", "localhost", "1.2.3.4.5", "256.1.1.1", "a.1", "::g"}) {
      CAPTURE(host);
      CHECK_FALSE(parse_address(host));
    }
  }

  TEST_CASE("parse_address_block: a prefix of whole and of half bytes, or a lone address") {
    const auto contains = [](std::string_view block, std::string_view address) {
      return parse_address_block(block).value().contains(parse_address(address).value());
    };
    CHECK(contains("10.0.0.0/8", "10.255.255.255"));
    CHECK_FALSE(contains("10.0.0.0/8", "11.0.0.0"));
    CHECK(contains("172.16.0.0/12", "172.31.255.255"));
    CHECK_FALSE(contains("172.16.0.0/12", "172.32.0.0"));
    CHECK(contains("0.0.0.0/0", "255.0.0.1"));
    CHECK_FALSE(contains("0.0.0.0/0", "::1"));
    CHECK(contains("::/0", "fe80::1"));
    CHECK_FALSE(contains("::/0", "127.0.0.1"));
    CHECK(contains("fd00::/9", "fd7f::"));
    CHECK_FALSE(contains("fd00::/9", "fd80::"));
    CHECK(contains("192.0.2.7", "192.0.2.7"));
    CHECK_FALSE(contains("192.0.2.7", "192.0.2.6"));
    CHECK(contains("fd00::1/128", "fd00::1"));
  }

  TEST_CASE("parse_address_block: what is none") {
    for (const std::string_view text : {"",
                                        "/8",
                                        "host/8",
                                        "10.0.0.0/",
                                        "10.0.0.0/33",
                                        "10.0.0.0/-1",
                                        "10.0.0.0/8x",
                                        "10.0.0.1/8",
                                        "fd00::/129",
                                        "fd00::1/64",
                                        "10.0.0.0/8/8"}) {
      CAPTURE(text);
      const auto block = parse_address_block(text);
      REQUIRE_FALSE(block);
      CHECK(block.error().code == Errc::invalid_argument);
    }
  }
}

TEST_SUITE("net::AddressRules") {
  TEST_CASE("class_of: both ends of every range") {
    const std::pair<std::string_view, AddressClass> rows[] = {
        {"0.0.0.0", AddressClass::unspecified},
        {"0.255.255.255", AddressClass::unspecified},
        {"1.0.0.0", AddressClass::global},
        {"9.255.255.255", AddressClass::global},
        {"10.0.0.0", AddressClass::private_use},
        {"10.255.255.255", AddressClass::private_use},
        {"11.0.0.0", AddressClass::global},
        {"100.63.255.255", AddressClass::global},
        {"100.64.0.0", AddressClass::shared},
        {"100.127.255.255", AddressClass::shared},
        {"100.128.0.0", AddressClass::global},
        {"126.255.255.255", AddressClass::global},
        {"127.0.0.1", AddressClass::loopback},
        {"127.255.255.255", AddressClass::loopback},
        {"128.0.0.0", AddressClass::global},
        {"169.253.255.255", AddressClass::global},
        {"169.254.0.0", AddressClass::link_local},
        {"169.254.255.255", AddressClass::link_local},
        {"169.255.0.0", AddressClass::global},
        {"172.15.255.255", AddressClass::global},
        {"172.16.0.0", AddressClass::private_use},
        {"172.31.255.255", AddressClass::private_use},
        {"172.32.0.0", AddressClass::global},
        {"192.0.0.1", AddressClass::reserved},
        {"192.0.1.0", AddressClass::global},
        {"192.0.2.255", AddressClass::documentation},
        {"192.0.3.0", AddressClass::global},
        {"192.88.99.1", AddressClass::reserved},
        {"192.167.255.255", AddressClass::global},
        {"192.168.0.0", AddressClass::private_use},
        {"192.168.255.255", AddressClass::private_use},
        {"192.169.0.0", AddressClass::global},
        {"198.17.255.255", AddressClass::global},
        {"198.18.0.0", AddressClass::documentation},
        {"198.19.255.255", AddressClass::documentation},
        {"198.20.0.0", AddressClass::global},
        {"198.51.100.1", AddressClass::documentation},
        {"203.0.113.1", AddressClass::documentation},
        {"203.0.114.0", AddressClass::global},
        {"223.255.255.255", AddressClass::global},
        {"224.0.0.1", AddressClass::multicast},
        {"239.255.255.255", AddressClass::multicast},
        {"240.0.0.0", AddressClass::reserved},
        {"255.255.255.254", AddressClass::reserved},
        {"255.255.255.255", AddressClass::broadcast},
        {"169.254.169.254", AddressClass::metadata},
        {"169.254.170.2", AddressClass::metadata},
        {"168.63.129.16", AddressClass::metadata},
        {"100.100.100.200", AddressClass::metadata},
        {"192.0.0.192", AddressClass::metadata},
        {"fd00:ec2::254", AddressClass::metadata},
        {"fd20:ce::254", AddressClass::metadata},
        {"::", AddressClass::unspecified},
        {"::1", AddressClass::loopback},
        {"fbff::1", AddressClass::reserved},
        {"fc00::", AddressClass::private_use},
        {"fdff:ffff::1", AddressClass::private_use},
        {"fe00::", AddressClass::reserved},
        {"fe80::1", AddressClass::link_local},
        {"febf::1", AddressClass::link_local},
        {"fec0::1", AddressClass::private_use},
        {"ff02::1", AddressClass::multicast},
        {"2001:db8::1", AddressClass::documentation},
        {"3fff::1", AddressClass::documentation},
        {"3fff:1000::", AddressClass::global},
        {"2001:2::1", AddressClass::documentation},
        {"2001:20::1", AddressClass::reserved},
        {"2001:200::1", AddressClass::global},
        {"2606:4700::1111", AddressClass::global},
        {"2000::", AddressClass::global},
        {"4000::1", AddressClass::reserved},
        {"100::1", AddressClass::reserved},
        {"5f00::1", AddressClass::reserved}};
    for (const auto& [address, value] : rows) {
      CAPTURE(address);
      CHECK(to_string(class_of(parse_address(address).value())) == to_string(value));
    }
  }

  TEST_CASE("class_of: an IPv6 address is what it carries") {
    const std::pair<std::string_view, AddressClass> rows[] = {
        {"::ffff:127.0.0.1", AddressClass::loopback},
        {"::ffff:8.8.8.8", AddressClass::global},
        {"::ffff:169.254.169.254", AddressClass::metadata},
        {"64:ff9b::10.0.0.1", AddressClass::private_use},
        {"64:ff9b::8.8.8.8", AddressClass::global},
        {"64:ff9b:1::8.8.8.8", AddressClass::reserved},
        {"2002:7f00:1::", AddressClass::loopback},
        {"2002:a9fe:a9fe::1", AddressClass::metadata},
        {"2002:808:808::1", AddressClass::global},
        {"2001:0:808:808:0:0:80ff:fffe", AddressClass::loopback}, // Teredo of 127.0.0.1
        {"2001:0:808:808:0:0:f7f7:f7f7", AddressClass::reserved}, // Teredo of 8.8.8.8
        {"::127.0.0.1", AddressClass::loopback},
        {"::8.8.8.8", AddressClass::reserved},
        {"::ffff:0:10.0.0.1", AddressClass::private_use},
        {"::ffff:0:8.8.8.8", AddressClass::reserved}};
    for (const auto& [address, value] : rows) {
      CAPTURE(address);
      CHECK(to_string(class_of(parse_address(address).value())) == to_string(value));
    }
  }

  TEST_CASE("check_address: global ones only, unless a block allows others") {
    const AddressRules strict;
    const AddressRules open = make({.addresses_allowed = {"10.1.0.0/16", "fd12::/16", "::1"}});

    CHECK(passes(strict, "8.8.8.8"));
    CHECK(passes(strict, "2606:4700::1111"));
    CHECK_FALSE(passes(strict, "10.1.2.3"));
    CHECK_FALSE(passes(strict, "::1"));
    CHECK(passes(open, "10.1.2.3"));
    CHECK(passes(open, "::ffff:10.1.2.3"));
    CHECK(passes(open, "fd12:3::4"));
    CHECK(passes(open, "::1"));
    CHECK(passes(open, "8.8.8.8"));
    CHECK_FALSE(passes(open, "10.2.0.0"));
    CHECK_FALSE(passes(open, "127.0.0.1"));
    CHECK_FALSE(passes(open, "64:ff9b::10.1.2.3"));
  }

  TEST_CASE("check_address: a metadata service has to be named itself") {
    const AddressRules wide = make({.addresses_allowed = {"0.0.0.0/0", "::/0"}});
    const AddressRules exact =
        make({.addresses_allowed = {"169.254.169.254", "fd00:ec2::254/128"}});

    CHECK(passes(wide, "169.254.1.1"));
    CHECK(passes(wide, "fe80::1"));
    CHECK_FALSE(passes(wide, "169.254.169.254"));
    CHECK_FALSE(passes(wide, "168.63.129.16"));
    CHECK_FALSE(passes(wide, "fd00:ec2::254"));
    CHECK(passes(exact, "169.254.169.254"));
    CHECK(passes(exact, "fd00:ec2::254"));
    CHECK_FALSE(passes(exact, "100.100.100.200"));
  }

  TEST_CASE("check_host: the lists, in every spelling of a host") {
    const AddressRules rules = make({.hosts_allowed = {"*.example.org", "Mirror.test", "[2606::1]"},
                                     .hosts_denied = {"bad.example.org", "*.bad.example.org"}});
    for (const std::string_view host :
         {"a.example.org", "A.B.EXAMPLE.ORG", "a.example.org.", "mirror.test", "2606:0::0:1"}) {
      CAPTURE(host);
      CHECK(rules.check_host(host));
    }
    for (const std::string_view host : {"example.org",
                                        "xexample.org",
                                        "a.mirror.test",
                                        "other.test",
                                        "bad.example.org",
                                        "BAD.example.org.",
                                        "x.bad.example.org",
                                        "8.8.8.8",
                                        "2606::2"}) {
      CAPTURE(host);
      const auto checked = rules.check_host(host);
      REQUIRE_FALSE(checked);
      CHECK(checked.error().code == Errc::unauthorized);
    }
  }

  TEST_CASE("check_host: a numeric host is judged as its address, allowed or not by name") {
    const AddressRules strict;
    const AddressRules listed = make({.hosts_allowed = {"127.0.0.1"}});
    for (const std::string_view host : {"127.0.0.1",
                                        "2130706433",
                                        "0177.1",
                                        "0x7f.1",
                                        "0x7f000001",
                                        "127.1",
                                        "::1",
                                        "[::1]",
                                        "::ffff:127.0.0.1",
                                        "::ffff:7f00:1",
                                        "0",
                                        "169.254.169.254",
                                        "2852039166"}) {
      CAPTURE(host);
      const auto checked = strict.check_host(host);
      REQUIRE_FALSE(checked);
      CHECK(checked.error().code == Errc::unauthorized);
      CHECK_FALSE(listed.check_host(host));
    }
    CHECK(strict.check_host("8.8.8.8"));
    CHECK(strict.check_host("localhost")); // a name: its addresses are judged
    CHECK(strict.check_host("a b").error().code == Errc::invalid_argument);
  }

  TEST_CASE("check_host: a denied address is denied in every spelling") {
    const AddressRules rules = make({.hosts_denied = {"8.8.8.8"}});
    for (const std::string_view host : {"8.8.8.8", "134744072", "0x8.8.8.8", "::ffff:8.8.8.8"}) {
      CAPTURE(host);
      CHECK_FALSE(rules.check_host(host));
    }
    CHECK(rules.check_host("8.8.8.9"));
  }

  TEST_CASE("make: says which entry is wrong") {
    const std::pair<AddressRulesOptions, std::string_view> rows[] = {
        {{.hosts_allowed = {"ok", "a/b"}}, "\"a/b\""},
        {{.hosts_allowed = {"*"}}, "\"*\""},
        {{.hosts_allowed = {"*."}}, "\"*.\""},
        {{.hosts_allowed = {"a.*"}}, "\"a.*\""},
        {{.hosts_denied = {"*.1.2.3.4"}}, "\"*.1.2.3.4\""},
        {{.hosts_denied = {""}}, "\"\""},
        {{.addresses_allowed = {"10.0.0.0/40"}}, "\"10.0.0.0/40\""}};
    for (const auto& [options, entry] : rows) {
      CAPTURE(entry);
      const auto rules = AddressRules::make(options);
      REQUIRE_FALSE(rules);
      CHECK(rules.error().code == Errc::invalid_argument);
      CHECK(rules.error().message.find(entry) != std::string::npos);
    }
  }
}
