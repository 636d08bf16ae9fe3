// The client against a server that does what each test says.
#include "fetch_fixture.hpp"
#include "scripted_origin.hpp"

#include "pkc/net/http_client.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <string>
#include <string_view>
#include <utility>

using pkc::Errc;
using pkc::fail;
using pkc::net::FetchMethod;
using pkc::test::Collector;
using pkc::test::FetchFixture;
using pkc::test::header_of;
using pkc::test::ok;
using pkc::test::Peer;
using pkc::test::ScriptedOrigin;
using pkc::test::url_of;

namespace {

/// Sends one text to every client, and nothing more.
ScriptedOrigin::Script say(std::string text) {
  return [text = std::move(text)](Peer& peer, std::size_t /*number*/) {
    peer.read_head();
    peer.send(text);
    peer.end();
  };
}

ScriptedOrigin::Script always(std::string text) {
  return ScriptedOrigin::site(
      [text = std::move(text)](const std::string& /*head*/) { return text; });
}

} // namespace

TEST_SUITE("net::HttpClient") {
  TEST_CASE("fetch: a body, its head, and what was asked") {
    std::string asked;
    const ScriptedOrigin origin(ScriptedOrigin::site([&](const std::string& head) {
      asked = head;
      return ok("hello", "Content-Type: text/plain\r\nETag: \"1\"\r\n");
    }));
    FetchFixture fixture;
    Collector sink;
    pkc::net::FetchRequest request{
        .url = pkc::parse_url(url_of(origin.port(), "/a%2Fb?x=%2f+c&y")).value()};
    request.headers.add("Range", "bytes=0-");
    request.headers.add("If-Range", "\"1\"");
    for (const std::string_view name : {"Authorization",
                                        "Cookie",
                                        "Proxy-Authorization",
                                        "host",
                                        "connection",
                                        "accept-encoding",
                                        "Content-Length",
                                        "Transfer-Encoding",
                                        "user-agent"}) {
      request.headers.add(name, "secret");
    }

    const auto answer = fixture.client().fetch(request, sink);

    REQUIRE(answer);
    CHECK(answer->status == 200);
    CHECK(answer->content_length == 5);
    CHECK(answer->headers.get("content-type") == "text/plain");
    CHECK(answer->url == request.url);
    REQUIRE(sink.heads.size() == 1);
    CHECK(sink.heads.front().headers.get("etag") == "\"1\"");
    CHECK(sink.body == "hello");
    // The target is what was asked for, byte by byte: servers sign it.
    CHECK(asked.starts_with("GET /a%2Fb?x=%2f+c&y HTTP/1.1\r\n"));
    CHECK(header_of(asked, "Host") == "origin.test:" + std::to_string(origin.port()));
    CHECK(header_of(asked, "User-Agent") == "test/1");
    CHECK(header_of(asked, "Accept-Encoding") == "identity");
    CHECK(header_of(asked, "Accept") == "*/*");
    CHECK(header_of(asked, "Range") == "bytes=0-");
    CHECK(header_of(asked, "If-Range") == "\"1\"");
    CHECK(asked.find("secret") == std::string::npos);
  }

  TEST_CASE("fetch: a header of the caller that is none is refused before anything is sent") {
    const ScriptedOrigin origin(always(ok("")));
    FetchFixture fixture;
    Collector sink;
    for (const auto& [name, value] :
         {std::pair("X: y", "z"), std::pair("X", "a\r\nY: b"), std::pair("", "z")}) {
      pkc::net::FetchRequest request{.url = pkc::parse_url(url_of(origin.port())).value()};
      request.headers.add(name, value);

      const auto answer = fixture.client().fetch(request, sink);

      REQUIRE_FALSE(answer);
      CHECK(answer.error().code == Errc::invalid_argument);
    }
    CHECK(origin.connections() == 0);
  }

  TEST_CASE("fetch: a large body comes whole, by length, in chunks and until the end") {
    FetchFixture fixture;
    std::string body;
    for (int i = 0; body.size() < 1'000'000; ++i) {
      body += std::to_string(i) + ' ';
    }
    std::string chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n";
    for (std::size_t at = 0, size = 1; at < body.size(); at += size, size = size * 2 % 70'001 + 1) {
      const std::string piece = body.substr(at, size);
      char hex[20];
      std::snprintf(hex, sizeof(hex), "%zx", piece.size());
      chunked += std::string(hex) + ";x=y\r\n" + piece + "\r\n";
    }
    chunked += "0\r\nX-Trailer: 1\r\n\r\n";
    for (const std::string& text : {ok(body), chunked, "HTTP/1.0 200 OK\r\n\r\n" + body}) {
      CAPTURE(text.substr(0, 60));
      const ScriptedOrigin origin(say(text));
      Collector sink;

      const auto answer = fixture.get(url_of(origin.port()), sink);

      REQUIRE(answer);
      CHECK(answer->content_length.has_value() == (text.find("Content-Length") == 17));
      CHECK(sink.body == body);
    }
  }

  TEST_CASE("fetch: answers that have no body whatever they announce") {
    FetchFixture fixture;
    const std::pair<FetchMethod, std::string> rows[] = {
        {FetchMethod::head, "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n"},
        {FetchMethod::head, "HTTP/1.1 404 No\r\nTransfer-Encoding: chunked\r\n\r\n"},
        {FetchMethod::get, "HTTP/1.1 204 Nothing\r\n\r\n"},
        {FetchMethod::get, "HTTP/1.1 304 Same\r\nContent-Length: 7\r\n\r\n"}};
    for (const auto& [method, text] : rows) {
      CAPTURE(text);
      const ScriptedOrigin origin(always(text));
      Collector sink;

      for (int i = 0; i < 2; ++i) { // the second one on the same connection
        const auto answer = fixture.client().fetch(
            {.method = method, .url = pkc::parse_url(url_of(origin.port())).value()}, sink);
        REQUIRE(answer);
        const bool announces = text.find("Content-Length") != std::string::npos;
        CHECK(answer->content_length.has_value() == announces);
      }

      CHECK(sink.body.empty());
      CHECK(origin.connections() == 1);
    }
  }

  TEST_CASE("fetch: whatever the status is, it is an answer") {
    FetchFixture fixture;
    for (const int status : {200, 206, 300, 302, 400, 404, 500, 503, 599}) {
      CAPTURE(status);
      const ScriptedOrigin origin(
          always("HTTP/1.1 " + std::to_string(status) + "\r\nContent-Length: 2\r\n\r\nno"));
      Collector sink;

      const auto answer = fixture.get(url_of(origin.port()), sink);

      REQUIRE(answer);
      CHECK(answer->status == status);
      CHECK(sink.body == "no");
    }
  }

  TEST_CASE("fetch: interim answers are passed over") {
    const ScriptedOrigin origin(
        always("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
               "HTTP/1.1 100 Continue\r\n\r\n" +
               ok("hello")));
    FetchFixture fixture;
    Collector sink;

    const auto answer = fixture.get(url_of(origin.port()), sink);

    REQUIRE(answer);
    CHECK(answer->status == 200);
    CHECK_FALSE(answer->headers.get("Link"));
    CHECK(sink.heads.size() == 1);
    CHECK(sink.body == "hello");
  }

  TEST_CASE("fetch: a content coding is reported and not undone") {
    const ScriptedOrigin origin(always(ok("\x1f\x8b\x08junk", "Content-Encoding: gzip\r\n")));
    FetchFixture fixture;
    Collector sink;

    const auto answer = fixture.get(url_of(origin.port()), sink);

    REQUIRE(answer);
    CHECK(answer->headers.get("Content-Encoding") == "gzip");
    CHECK(sink.body == "\x1f\x8b\x08junk");
  }

  TEST_CASE("fetch: a body that is cut short is an error after what came") {
    FetchFixture fixture;
    const std::pair<std::string, std::string> rows[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", "half"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", ""},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", "half"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhalf", "half"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\n", "half"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalfX", ""},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", ""}};
    for (const auto& [text, body] : rows) {
      CAPTURE(text);
      const ScriptedOrigin origin(say(text));
      Collector sink;

      const auto answer = fixture.get(url_of(origin.port()), sink);

      REQUIRE_FALSE(answer);
      CHECK(answer.error().code == Errc::unavailable);
      CHECK(sink.heads.size() == 1);
      CHECK(sink.body == body);
    }
  }

  TEST_CASE("fetch: a reset is an error, also where the end of the connection is the end") {
    FetchFixture fixture;
    for (const std::string_view text :
         {"HTTP/1.1 200 OK\r\n\r\nhalf", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"}) {
      std::atomic<bool> arrived = false;
      const ScriptedOrigin origin([&](Peer& peer, std::size_t /*number*/) {
        peer.read_head();
        peer.send(text);
        arrived.wait(false); // what is on its way when a reset comes is lost
        peer.reset();
      });
      Collector sink;
      sink.on_write = [&] {
        arrived = true;
        arrived.notify_one();
      };

      const auto answer = fixture.get(url_of(origin.port()), sink);

      REQUIRE_FALSE(answer);
      CHECK(answer.error().code == Errc::unavailable);
      CHECK(sink.body == "half");
    }
  }

  TEST_CASE("fetch: what is no HTTP answer never gets to the sink") {
    FetchFixture fixture;
    const std::string many_headers = [] {
      std::string text = "HTTP/1.1 200 OK\r\n";
      for (int i = 0; i < 201; ++i) {
        text += "A: b\r\n";
      }
      return text + "\r\n";
    }();
    for (const std::string& text :
         {std::string(""),
          std::string("HTTP/1.1 200 OK\r\nContent-Le"),
          std::string("SSH-2.0-OpenSSH\r\n\r\n"),
          std::string("HTTP/2 200 OK\r\n\r\n"),
          std::string("HTTP/1.1 099 Low\r\n\r\n"),
          std::string("HTTP/1.1 2000 High\r\n\r\n"),
          std::string("HTTP/1.1 101 Switching\r\n\r\n"),
          std::string("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"),
          std::string("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"),
          std::string("HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n"),
          std::string("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"),
          std::string("HTTP/1.1 200 OK\r\nTransfer-Encoding:\r\n\r\n"),
          std::string("HTTP/1.1 200 OK\r\nno colon\r\n\r\n"),
          "HTTP/1.1 200 " + std::string(500'000, 'x') + "\r\n\r\n",
          "HTTP/1.1 200 OK\r\nX: " + std::string(70'000, 'x') + "\r\n\r\n",
          many_headers}) {
      CAPTURE(text.substr(0, 80));
      const ScriptedOrigin origin(say(text));
      Collector sink;

      const auto answer = fixture.get(url_of(origin.port()), sink);

      REQUIRE_FALSE(answer);
      CHECK(answer.error().code == Errc::unavailable);
      CHECK(sink.heads.empty());
      CHECK(sink.body.empty());
    }
  }

  TEST_CASE("fetch: interim answers without end are given up") {
    const ScriptedOrigin origin([](Peer& peer, std::size_t /*number*/) {
      peer.read_head();
      for (int i = 0; i < 100; ++i) {
        peer.send("HTTP/1.1 102 Processing\r\n\r\n");
      }
      peer.wait_for_close();
    });
    FetchFixture fixture;

    const auto answer = fixture.get(url_of(origin.port()));

    REQUIRE_FALSE(answer);
    CHECK(answer.error().code == Errc::unavailable);
  }

  TEST_CASE("fetch: what the sink says comes out unchanged") {
    const ScriptedOrigin origin(always(ok("hello")));
    FetchFixture fixture;
    Collector at_head;
    at_head.head_error = fail(Errc::too_large, "not that").error();
    Collector at_write;
    at_write.write_error = fail(Errc::no_space, "full").error();

    const auto first = fixture.get(url_of(origin.port()), at_head);
    const auto second = fixture.get(url_of(origin.port()), at_write);

    REQUIRE_FALSE(first);
    CHECK(first.error().code == Errc::too_large);
    CHECK(first.error().message == "not that");
    CHECK(at_head.body.empty());
    REQUIRE_FALSE(second);
    CHECK(second.error().code == Errc::no_space);
    CHECK(second.error().message == "full");
    CHECK(fixture.get(url_of(origin.port()))); // on a connection where nothing is left over
  }

  TEST_CASE("fetch: connections are used again") {
    const ScriptedOrigin origin(always(ok("hello")));
    FetchFixture fixture;

    for (int i = 0; i < 5; ++i) {
      CHECK(fixture.get(url_of(origin.port(), "/" + std::to_string(i))));
    }

    CHECK(origin.connections() == 1);
  }

  TEST_CASE("fetch: not when the server says so, or more came than was announced") {
    FetchFixture fixture;
    for (const std::string& text : {ok("hello", "Connection: foo, Close\r\n"),
                                    ok("hello") + "rest",
                                    std::string("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n")}) {
      CAPTURE(text);
      const ScriptedOrigin origin(always(text));

      CHECK(fixture.get(url_of(origin.port())));
      CHECK(fixture.get(url_of(origin.port())));

      CHECK(origin.connections() == 2);
    }
  }

  TEST_CASE("fetch: no more connections wait than may") {
    std::atomic<int> waiting = 0;
    const ScriptedOrigin origin(ScriptedOrigin::site([&](const std::string& /*head*/) {
      // Both requests are under way before one is answered, so there are two connections.
      ++waiting;
      waiting.notify_all();
      for (int seen = waiting; seen < 2; seen = waiting) {
        waiting.wait(seen);
      }
      return ok("");
    }));
    FetchFixture fixture;
    fixture.options.idle_connections_per_origin_max = 1;
    fixture.client();
    {
      const std::jthread other([&] { CHECK(fixture.get(url_of(origin.port()))); });
      CHECK(fixture.get(url_of(origin.port())));
    }
    CHECK(origin.connections() == 2);

    waiting = 0;
    {
      const std::jthread other([&] { CHECK(fixture.get(url_of(origin.port()))); });
      CHECK(fixture.get(url_of(origin.port())));
    }

    CHECK(origin.connections() == 3);
  }

  TEST_CASE("fetch: a kept connection that dies under the request is replaced, once") {
    const ScriptedOrigin origin([](Peer& peer, std::size_t number) {
      peer.read_head();
      peer.send(ok("hello"));
      if (number == 0) {
        peer.read_head(); // the second request arrives, and nothing comes back
        peer.end();
      } else {
        peer.wait_for_close();
      }
    });
    FetchFixture fixture;
    Collector sink;

    CHECK(fixture.get(url_of(origin.port())));
    CHECK(fixture.get(url_of(origin.port()), sink));

    CHECK(sink.body == "hello");
    CHECK(origin.connections() == 2);
  }

  TEST_CASE("fetch: nothing is asked twice once an answer began, or on a new connection") {
    const ScriptedOrigin origin([](Peer& peer, std::size_t number) {
      peer.read_head();
      if (number == 0) {
        peer.send(ok("hello"));
        peer.read_head();
        peer.send("HTTP/1.1 200 OK\r\n");
      }
      peer.end();
    });
    FetchFixture fixture;

    CHECK(fixture.get(url_of(origin.port())));
    const auto begun = fixture.get(url_of(origin.port()));
    const auto fresh = fixture.get(url_of(origin.port()));

    REQUIRE_FALSE(begun);
    CHECK(begun.error().code == Errc::unavailable);
    REQUIRE_FALSE(fresh);
    CHECK(fresh.error().code == Errc::unavailable);
    CHECK(origin.connections() == 2);
  }

  TEST_CASE("fetch: nobody listens, no such name") {
    std::uint16_t port = 0;
    {
      const ScriptedOrigin gone(always(ok("")));
      port = gone.port();
    }
    FetchFixture fixture;

    const auto refused = fixture.get(url_of(port));
    const auto unknown = fixture.get(url_of(port, "/", "nowhere.test"));

    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == Errc::unavailable);
    CHECK(refused.error().message.starts_with("http://origin.test:" + std::to_string(port)));
    REQUIRE_FALSE(unknown);
    CHECK(unknown.error().code == Errc::unavailable);
  }

  TEST_CASE("fetch: by IPv6, and the next address when one refuses") {
    const ScriptedOrigin v6(always(ok("six")), "::1");
    const ScriptedOrigin v4(always(ok("four")), "127.0.0.2");
    FetchFixture fixture;
    fixture.allow({"127.0.0.0/8", "::1"});
    fixture.resolver.set("six.test", {{"::1"}});
    fixture.resolver.set("four.test", {{"127.0.0.1", "::1", "127.0.0.2"}});
    Collector six;
    Collector numeric;
    Collector four;

    CHECK(fixture.get(url_of(v6.port(), "/", "six.test"), six));
    CHECK(fixture.get(url_of(v6.port(), "/", "[::1]"), numeric));
    CHECK(fixture.get(url_of(v4.port(), "/", "four.test"), four));

    CHECK(six.body == "six");
    CHECK(numeric.body == "six");
    CHECK(four.body == "four");
  }

  TEST_CASE("make: a CA file that is none, a proxy that is none") {
    FetchFixture fixture;
    auto no_file = fixture.options;
    no_file.ca_file = "/nonexistent";
    auto no_proxy = fixture.options;
    no_proxy.proxy.http = "ftp://x";

    CHECK(pkc::net::HttpClient::make(no_file, fixture.resolver).error().code ==
          Errc::invalid_argument);
    CHECK(pkc::net::HttpClient::make(no_proxy, fixture.resolver).error().code ==
          Errc::invalid_argument);
  }
}
