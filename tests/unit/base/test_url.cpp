#include "pkc/base/url.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

using pkc::Errc;
using pkc::normalise_host;
using pkc::parse_url;
using pkc::resolve_reference;
using pkc::Url;
using pkc::UrlScheme;

TEST_SUITE("base::Url") {
  TEST_CASE("parse_url: takes a URL apart") {
    const auto url = parse_url("https://Mirror.Example:8443/a/b.tar.gz?x=1&y=%2F#part");

    REQUIRE(url);
    CHECK(url->scheme == UrlScheme::https);
    CHECK(url->host == "mirror.example");
    CHECK(url->port == 8443);
    CHECK(url->target == "/a/b.tar.gz?x=1&y=%2F");
    CHECK(url->text() == "https://mirror.example:8443/a/b.tar.gz?x=1&y=%2F");
    CHECK(url->origin() == "https://mirror.example:8443");
    CHECK(url->authority() == "mirror.example:8443");
  }

  TEST_CASE("parse_url: writes what means the same in one way") {
    const std::pair<std::string_view, std::string_view> rows[] = {
        {"http://a", "http://a/"},
        {"HTTP://A", "http://a/"},
        {"http://a:80/", "http://a/"},
        {"http://a:/", "http://a/"},
        {"http://a:0080/", "http://a/"},
        {"https://a:443/", "https://a/"},
        {"https://a:80/", "https://a:80/"},
        {"http://a./", "http://a/"},
        {"http://a?q", "http://a/?q"},
        {"http://a#f", "http://a/"},
        {"http://a/#f?/", "http://a/"},
        {"http://a/b/../c/./d", "http://a/c/d"},
        {"http://a/../../b", "http://a/b"},
        {"http://a/b/..", "http://a/"},
        {"http://a/b/c/.", "http://a/b/c/"},
        {"http://a//b//..//c", "http://a//b//c"},
        {"http://a/b?c/../d", "http://a/b?c/../d"},
        {"http://[::1]/", "http://[::1]/"},
        {"http://[0:0:0:0:0:0:0:1]:80/", "http://[::1]/"},
        {"http://[2001:DB8::0:1]:8080/", "http://[2001:db8::1]:8080/"},
        {"http://[::FFFF:127.0.0.1]/", "http://[::ffff:127.0.0.1]/"},
        {"http://2130706433/", "http://127.0.0.1/"},
        {"http://0x7F000001/", "http://127.0.0.1/"},
        {"http://017700000001/", "http://127.0.0.1/"},
        {"http://127.1/", "http://127.0.0.1/"},
        {"http://0177.0.0.01/", "http://127.0.0.1/"},
        {"http://0x7f.1/", "http://127.0.0.1/"},
        {"http://127.0.1./", "http://127.0.0.1/"},
        {"http://0/", "http://0.0.0.0/"},
        {"http://4294967295/", "http://255.255.255.255/"},
        {"http://xn--bcher-kva.example/", "http://xn--bcher-kva.example/"},
        {"http://a_b.example/", "http://a_b.example/"},
        {"http://a/\xC3\xA9", "http://a/%C3%A9"},
        {"http://a/\xE2\x82\xAC?\xF0\x9F\x98\x80", "http://a/%E2%82%AC?%F0%9F%98%80"},
        {"http://a/{x}|\"<>^`?{", "http://a/%7Bx%7D%7C%22%3C%3E%5E%60?%7B"}};
    for (const auto& [given, text] : rows) {
      CAPTURE(given);
      const auto url = parse_url(given);
      REQUIRE(url);
      CHECK(url->text() == text);
    }
  }

  TEST_CASE("parse_url: leaves alone what a server may have signed") {
    for (const std::string_view text : {"http://a/%2f%2F%7e~?x=a+b%20&sig=a%2Bb/c==&=&&",
                                        "http://a/!$&'()*+,;=:@-._~[]?'!$&()*+,;=:@/?[]",
                                        "http://a/%2e%2e/b",
                                        "http://a/b??c",
                                        "http://a/?"}) {
      CAPTURE(text);
      const auto url = parse_url(text);
      REQUIRE(url);
      CHECK(url->text() == text);
    }
  }

  TEST_CASE("parse_url: says which rule a text breaks") {
    const std::string long_label(64, 'a');
    const std::string long_path(pkc::kUrlSizeMax, 'a');
    const std::string growing(pkc::kUrlSizeMax / 2, '{');
    const std::pair<std::string, std::string_view> rows[] = {
        {"", "http:// or https://"},
        {"a", "http:// or https://"},
        {"//a/", "http:// or https://"},
        {"http:a", "http:// or https://"},
        {"http:/a", "http:// or https://"},
        {"ftp://a/", "http:// or https://"},
        {"file:///etc/passwd", "http:// or https://"},
        {"unix:/run/s", "http:// or https://"},
        {"http://", "no host"},
        {"http:///a", "no host"},
        {"http://:80/", "no host"},
        {"http://./", "no host"},
        {"http://?a", "no host"},
        {"http://u@a/", "credentials"},
        {"http://u:p@a/", "credentials"},
        {"http://@a/", "credentials"},
        {"http://a:b@c:80/", "credentials"},
        {"http://a\\@b/", "backslash"},
        {"http://a/\\b", "backslash"},
        {"http://a/ b", "space"},
        {" http://a/", "space"},
        {"http://a/\r\nX: y", "control"},
        {std::string("http://a/\0b", 11), "control"},
        {"http://a/\x7f", "control"},
        {"http://a/%", "two hex digits"},
        {"http://a/%1", "two hex digits"},
        {"http://a/%zz", "two hex digits"},
        {"http://a/?%1g", "two hex digits"},
        {"http://a/\xE9", "UTF-8"},
        {"http://a/\xC0\xAF", "UTF-8"},
        {"http://a/\xED\xA0\x80", "UTF-8"},
        {"http://a/\xF5\x80\x80\x80", "UTF-8"},
        {"http://a/\xE2\x82", "UTF-8"},
        {"http://b\xC3\xBC"
         "cher/",
         "other characters"},
        {"http://a%2eb/", "other characters"},
        {"http://a!b/", "other characters"},
        {"http://a,b/", "other characters"},
        {"http://a..b/", "part of the host"},
        {"http://.a/", "part of the host"},
        {"http://a../", "part of the host"},
        {"http://" + long_label + "/", "part of the host"},
        {"http://" + std::string(127, 'a').replace(1, 126, 126, '.') + "/", "part of the host"},
        {"http://a:0/", "port"},
        {"http://a:65536/", "port"},
        {"http://a:-1/", "port"},
        {"http://a:+1/", "port"},
        {"http://a:80x/", "port"},
        {"http://a:1:2/", "port"},
        {"http://a:99999999999/", "port"},
        {"http://[::1/", "closing bracket"},
        {"http://[::1]x/", "behind the brackets"},
        {"http://[::1]80/", "behind the brackets"},
        {"http://[]/", "IPv6"},
        {"http://[a]/", "IPv6"},
        {"http://[127.0.0.1]/", "IPv6"},
        {"http://[fe80::1%eth0]/", "zone"},
        {"http://[fe80::1%25eth0]/", "zone"},
        {"http://1.2.3.4.5/", "ends in a number"},
        {"http://256.0.0.1/", "ends in a number"},
        {"http://1.2.65536/", "ends in a number"},
        {"http://4294967296/", "ends in a number"},
        {"http://0x/", "ends in a number"},
        {"http://08/", "ends in a number"},
        {"http://a.1/", "ends in a number"},
        {"http://a.0x1/", "ends in a number"},
        {"http://a/" + long_path, "longer than 8192"},
        {"http://a/" + growing, "when it is encoded"}};
    for (const auto& [text, rule] : rows) {
      CAPTURE(text.substr(0, 100));
      const auto url = parse_url(text);
      REQUIRE_FALSE(url);
      CHECK(url.error().code == Errc::invalid_argument);
      CAPTURE(url.error().message);
      CHECK(url.error().message.find(rule) != std::string::npos);
    }
  }

  TEST_CASE("resolve_reference: the examples of RFC 3986 section 5.4") {
    const Url base = parse_url("http://a/b/c/d;p?q").value();
    const std::pair<std::string_view, std::string_view> rows[] = {
        {"g", "http://a/b/c/g"},       {"./g", "http://a/b/c/g"},
        {"g/", "http://a/b/c/g/"},     {"/g", "http://a/g"},
        {"//g", "http://g/"},          {"?y", "http://a/b/c/d;p?y"},
        {"g?y", "http://a/b/c/g?y"},   {"#s", "http://a/b/c/d;p?q"},
        {"g#s", "http://a/b/c/g"},     {"g?y#s", "http://a/b/c/g?y"},
        {";x", "http://a/b/c/;x"},     {"g;x=1/../y", "http://a/b/c/y"},
        {"", "http://a/b/c/d;p?q"},    {".", "http://a/b/c/"},
        {"./", "http://a/b/c/"},       {"..", "http://a/b/"},
        {"../", "http://a/b/"},        {"../g", "http://a/b/g"},
        {"../..", "http://a/"},        {"../../../g", "http://a/g"},
        {"/../g", "http://a/g"},       {"g.", "http://a/b/c/g."},
        {"..g", "http://a/b/c/..g"},   {"g?y/../x", "http://a/b/c/g?y/../x"},
        {"https://h/x", "https://h/x"}};
    for (const auto& [reference, text] : rows) {
      CAPTURE(reference);
      const auto url = resolve_reference(base, reference);
      REQUIRE(url);
      CHECK(url->text() == text);
    }
  }

  TEST_CASE("resolve_reference: what servers write beyond that") {
    const Url base = parse_url("https://a:8443/b/c?d=/e/f").value();
    const std::pair<std::string_view, std::string_view> rows[] = {
        {"g", "https://a:8443/b/g"},
        {"/x y", "https://a:8443/x%20y"},
        {" /x \t", "https://a:8443/x"},
        {"/?u=http://b/", "https://a:8443/?u=http://b/"},
        {"//b", "https://b/"},
        {"HTTP://b", "http://b/"}};
    for (const auto& [reference, text] : rows) {
      CAPTURE(reference);
      const auto url = resolve_reference(base, reference);
      REQUIRE(url);
      CHECK(url->text() == text);
    }
    for (const std::string_view reference :
         {"ftp://b/", "javascript:x", "http:x", "http://u:p@b/", "//", "/\\b", "/\x01", "/%"}) {
      CAPTURE(reference);
      const auto url = resolve_reference(base, reference);
      REQUIRE_FALSE(url);
      CHECK(url.error().code == Errc::invalid_argument);
    }
  }

  TEST_CASE("normalise_host: with brackets or without") {
    CHECK(normalise_host("[::1]") == "::1");
    CHECK(normalise_host("::0:1") == "::1");
    CHECK(normalise_host("LOCALHOST.") == "localhost");
    CHECK_FALSE(normalise_host(""));
    CHECK_FALSE(normalise_host("a/b"));
  }
}
