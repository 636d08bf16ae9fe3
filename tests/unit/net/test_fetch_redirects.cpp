// Where the client goes: redirects, and the rules about addresses.
#include "fetch_fixture.hpp"
#include "scripted_origin.hpp"

#include "pkc/base/number.hpp"

#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <utility>

using pkc::Errc;
using pkc::test::Collector;
using pkc::test::FetchFixture;
using pkc::test::header_of;
using pkc::test::ok;
using pkc::test::redirect;
using pkc::test::ScriptedOrigin;
using pkc::test::target_of;
using pkc::test::url_of;

namespace {

/// "/N" leads to "/N-1", and "/0" is the end.
std::string countdown(const std::string& head) {
  const int left = pkc::parse_number<int>(target_of(head).substr(1)).value();
  return left == 0 ? ok("end") : redirect("/" + std::to_string(left - 1));
}

} // namespace

TEST_SUITE("net::HttpClient redirects") {
  TEST_CASE("fetch: every kind, relative and absolute, with the headers of the request") {
    std::string last;
    std::uint16_t port = 0;
    const ScriptedOrigin origin(ScriptedOrigin::site([&](const std::string& head) {
      const std::string target = target_of(head);
      last = head;
      return target == "/a/1"         ? redirect("2?x=%2F#part", 301)
             : target == "/a/2?x=%2F" ? redirect("../3 4", 302)
             : target == "/3%204"     ? redirect("?q", 303)
             : target == "/3%204?q"   ? redirect(url_of(port, "/5"), 307)
             : target == "/5" ? redirect("//origin.test:" + std::to_string(port) + "/6", 308)
                              : ok("end");
    }));
    port = origin.port();
    FetchFixture fixture;
    Collector sink;
    pkc::net::FetchRequest request{.url = pkc::parse_url(url_of(port, "/a/1")).value()};
    request.headers.add("Range", "bytes=3-");

    const auto answer = fixture.client().fetch(request, sink);

    REQUIRE(answer);
    CHECK(answer->url.target == "/6");
    CHECK(sink.heads.size() == 1);
    CHECK(sink.body == "end");
    CHECK(header_of(last, "Range") == "bytes=3-");
    CHECK(origin.connections() == 1);
  }

  TEST_CASE("fetch: ten are followed, eleven are not") {
    const ScriptedOrigin origin(ScriptedOrigin::site(countdown));
    FetchFixture fixture;
    Collector ten;
    Collector eleven;

    const auto good = fixture.get(url_of(origin.port(), "/10"), ten);
    const auto bad = fixture.get(url_of(origin.port(), "/11"), eleven);

    CHECK(good);
    CHECK(ten.body == "end");
    REQUIRE_FALSE(bad);
    CHECK(bad.error().code == Errc::invalid_argument);
    CHECK(bad.error().message.find("more than 10 redirects") != std::string::npos);
    CHECK(eleven.heads.empty());
  }

  TEST_CASE("fetch: a circle ends when it closes") {
    int requests = 0;
    const ScriptedOrigin origin(ScriptedOrigin::site([&](const std::string& head) {
      ++requests;
      return redirect(target_of(head) == "/a" ? "/b" : "/a");
    }));
    FetchFixture fixture;

    const auto answer = fixture.get(url_of(origin.port(), "/a"));

    REQUIRE_FALSE(answer);
    CHECK(answer.error().code == Errc::invalid_argument);
    CHECK(requests == 2);
  }

  TEST_CASE("fetch: a Location that is no URL of ours") {
    FetchFixture fixture;
    for (const std::string_view location :
         {"ftp://a/", "file:///etc/passwd", "http://u:p@a/", "http://", "http://a:99999/", "/%"}) {
      CAPTURE(location);
      const ScriptedOrigin origin(
          ScriptedOrigin::site([&](const std::string& /*head*/) { return redirect(location); }));

      const auto answer = fixture.get(url_of(origin.port()));

      REQUIRE_FALSE(answer);
      CHECK(answer.error().code == Errc::invalid_argument);
    }
  }

  TEST_CASE("fetch: a redirect's body does not get to the sink, whatever its size") {
    FetchFixture fixture;
    for (const std::size_t size : {10U, 1'000'000U}) {
      const ScriptedOrigin origin(ScriptedOrigin::site([&](const std::string& head) {
        return target_of(head) == "/end"
                   ? ok("end")
                   : "HTTP/1.1 302 X\r\nLocation: /end\r\nContent-Length: " + std::to_string(size) +
                         "\r\n\r\n" + std::string(size, 'x');
      }));
      Collector sink;

      CHECK(fixture.get(url_of(origin.port()), sink));

      CHECK(sink.body == "end");
      CHECK(origin.connections() == (size < 1000 ? 1 : 2));
    }
  }

  TEST_CASE("fetch: rules are asked at each hop, whatever the host looks like") {
    FetchFixture fixture;
    fixture.allow({"127.0.0.1"}, {"denied.test"});
    fixture.resolver.set("inside.test", {{"127.0.0.2"}});
    fixture.resolver.set("denied.test", {{"127.0.0.1"}});
    fixture.resolver.set("metadata.test", {{"169.254.169.254"}});
    const ScriptedOrigin inside(ScriptedOrigin::site([](const std::string&) { return ok("no"); }),
                                "127.0.0.2");
    for (const std::string_view host : {"127.0.0.2",
                                        "2130706434",
                                        "0177.2",
                                        "0x7f.2",
                                        "0x7f000002",
                                        "[::ffff:127.0.0.2]",
                                        "[::ffff:7f00:2]",
                                        "[64:ff9b::127.0.0.2]",
                                        "[::1]",
                                        "[fe80::1]",
                                        "169.254.169.254",
                                        "10.0.0.1",
                                        "0.0.0.0",
                                        "0",
                                        "inside.test",
                                        "INSIDE.test.",
                                        "metadata.test",
                                        "denied.test"}) {
      CAPTURE(host);
      const std::string url = url_of(inside.port(), "/", host);
      const ScriptedOrigin origin(
          ScriptedOrigin::site([&](const std::string& /*head*/) { return redirect(url); }));

      const auto direct = fixture.get(url);
      const auto redirected = fixture.get(url_of(origin.port()));

      REQUIRE_FALSE(direct);
      CHECK(direct.error().code == Errc::unauthorized);
      REQUIRE_FALSE(redirected);
      CHECK(redirected.error().code == Errc::unauthorized);
    }
    CHECK(inside.connections() == 0);
    CHECK(fixture.resolver.lookups("denied.test") == 0);
  }

  TEST_CASE("fetch: a name that is bound anew after the check changes nothing") {
    const auto site = [](const char* text) {
      return ScriptedOrigin::site(
          [text](const std::string&) { return ok(text, "Connection: close\r\n"); });
    };
    const ScriptedOrigin outside(site("outside"));
    const ScriptedOrigin inside(site("inside"), "127.0.0.2", outside.port());
    FetchFixture fixture;
    fixture.allow({"127.0.0.1"});
    fixture.resolver.set("rebound.test", {{"127.0.0.1"}, {"127.0.0.2"}});
    Collector sink;

    const auto first = fixture.get(url_of(outside.port(), "/", "rebound.test"), sink);

    CHECK(first);
    CHECK(sink.body == "outside");
    CHECK(fixture.resolver.lookups("rebound.test") == 1);

    const auto second = fixture.get(url_of(outside.port(), "/", "rebound.test"));

    REQUIRE_FALSE(second);
    CHECK(second.error().code == Errc::unauthorized);
    CHECK(outside.connections() == 1);
    CHECK(inside.connections() == 0);
  }

  TEST_CASE("fetch: of several addresses those that may be reached") {
    const ScriptedOrigin outside(
        ScriptedOrigin::site([](const std::string&) { return ok("out"); }));
    const ScriptedOrigin inside(ScriptedOrigin::site([](const std::string&) { return ok("in"); }),
                                "127.0.0.2",
                                outside.port());
    FetchFixture fixture;
    fixture.allow({"127.0.0.1"});
    fixture.resolver.set("both.test", {{"127.0.0.2", "127.0.0.1", "10.0.0.1"}});
    Collector sink;

    CHECK(fixture.get(url_of(outside.port(), "/", "both.test"), sink));

    CHECK(sink.body == "out");
    CHECK(inside.connections() == 0);
  }
}
