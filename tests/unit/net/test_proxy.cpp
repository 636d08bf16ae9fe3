#include "pkc/net/proxy.hpp"

#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <utility>

using pkc::Errc;
using pkc::parse_url;
using pkc::net::ProxyOptions;
using pkc::net::ProxyTable;

namespace {

bool uses_proxy(const ProxyTable& table, std::string_view url) {
  return table.find(parse_url(url).value()) != nullptr;
}

} // namespace

TEST_SUITE("net::ProxyTable") {
  TEST_CASE("make: a proxy in every form that the variables have") {
    const std::pair<std::string, std::string> rows[] = {
        {"http://proxy.test:3128", "proxy.test:3128"},
        {"http://proxy.test:3128/", "proxy.test:3128"},
        {"HTTP://Proxy.test", "proxy.test:1080"},
        {"proxy.test:8080", "proxy.test:8080"},
        {"10.0.0.1:8080", "10.0.0.1:8080"},
        {"http://[::1]:8080", "::1:8080"},
        {"[::1]", "::1:1080"}};
    for (const auto& [text, place] : rows) {
      CAPTURE(text);
      const auto table = ProxyTable::make({.http = text});
      REQUIRE(table);
      const auto* const proxy = table->find(parse_url("http://a.test/").value());
      REQUIRE(proxy != nullptr);
      CHECK(proxy->host + ":" + std::to_string(proxy->port) == place);
      CHECK(proxy->authorization.empty());
      CHECK_FALSE(uses_proxy(*table, "https://a.test/"));
    }
  }

  TEST_CASE("make: credentials, which may hold what a URL cannot") {
    const std::pair<std::string, std::string_view> rows[] = {
        {"http://user:secret@p.test", "Basic dXNlcjpzZWNyZXQ="},
        {"http://user@p.test", "Basic dXNlcjo="},
        {"http://user:a%40b%3Ac@p.test", "Basic dXNlcjphQGI6Yw=="},
        {"http://user:a@b@p.test", "Basic dXNlcjphQGI="}};
    for (const auto& [text, authorization] : rows) {
      CAPTURE(text);
      const auto table = ProxyTable::make({.https = text});
      REQUIRE(table);
      const auto* const proxy = table->find(parse_url("https://a.test/").value());
      REQUIRE(proxy != nullptr);
      CHECK(proxy->host == "p.test");
      CHECK(proxy->authorization == authorization);
    }
  }

  TEST_CASE("make: anything else is refused, and no password is shown") {
    for (const std::string text : {"https://user:secret@p.test",
                                   "socks5://user:secret@p.test",
                                   "http://user:secret%zz@p.test",
                                   "http://user:secret@",
                                   "http://user:secret@p.test:0",
                                   "http://user:secret@p.test:http",
                                   "http://user:secret@p.test/path",
                                   "http://user:secret@a b"}) {
      CAPTURE(text);
      const auto table = ProxyTable::make({.http = text});
      REQUIRE_FALSE(table);
      CHECK(table.error().code == Errc::invalid_argument);
      CHECK(table.error().message.starts_with("http_proxy: "));
      CHECK(table.error().message.find("secret") == std::string::npos);
    }
    CHECK_FALSE(ProxyTable::make({.none = "a b"}));
  }

  TEST_CASE("find: who is asked directly") {
    const auto table =
        ProxyTable::make({.http = "p.test",
                          .https = "p.test",
                          .none = "example.org, .dot.test,*.star.test,port.test:8080,"
                                  "10.0.0.0/8,192.0.2.1,fd00::/8,,"});
    REQUIRE(table);
    for (const std::string_view url : {"http://example.org/",
                                       "https://a.example.org/",
                                       "http://EXAMPLE.org./",
                                       "http://dot.test/",
                                       "http://a.dot.test/",
                                       "http://a.star.test/",
                                       "http://port.test:8080/",
                                       "http://10.1.2.3/",
                                       "http://192.0.2.1/",
                                       "http://0xC0000201/",
                                       "http://[fd00::1]/",
                                       "http://localhost/",
                                       "http://a.localhost/",
                                       "http://127.0.0.2/",
                                       "http://[::1]/",
                                       "http://[::ffff:127.0.0.1]/"}) {
      CAPTURE(url);
      CHECK_FALSE(uses_proxy(*table, url));
    }
    for (const std::string_view url : {"http://xexample.org/",
                                       "http://port.test/",
                                       "http://11.0.0.1/",
                                       "http://192.0.2.2/",
                                       "http://[fc00::1]/",
                                       "http://notlocalhost/"}) {
      CAPTURE(url);
      CHECK(uses_proxy(*table, url));
    }
  }

  TEST_CASE("find: none of a star, none of nothing") {
    const auto never = ProxyTable::make({.http = "p.test", .none = "*"});

    REQUIRE(never);
    CHECK_FALSE(uses_proxy(*never, "http://a.test/"));
    CHECK_FALSE(uses_proxy(ProxyTable(), "http://a.test/"));
  }
}
