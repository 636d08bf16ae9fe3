#include "world.hpp"

#include <doctest/doctest.h>

#include <semaphore>
#include <string>
#include <utility>
#include <vector>

using pkc::parse_url;
using pkc::Result;
using pkc::net::FetchRequest;
using pkc::net::ResponseSink;
using pkc::test::kUrl;
using pkc::test::make_head;
using pkc::test::World;
using pkc::upstream::Checked;

TEST_SUITE("upstream::Downloads checks") {
  TEST_CASE("check: what the origin says, once in a while") {
    struct Case {
      int status;
      std::vector<std::pair<std::string, std::string>> headers;
      Checked checked;
    };
    for (const Case& one : std::vector<Case>{{304, {}, Checked::same},
                                             {200, {{"ETag", "\"v1\""}}, Checked::same},
                                             {200, {{"ETag", "\"v2\""}}, Checked::changed},
                                             {200, {}, Checked::unknown},
                                             {500, {}, Checked::unknown}}) {
      World world;
      world.client.then([&](const FetchRequest&, ResponseSink& sink) -> Result<void> {
        return sink.head(make_head(one.status, 5, one.headers));
      });
      std::binary_semaphore done(0);
      Checked checked{};
      const auto ask = [&] {
        world.downloads->check({.key = kUrl,
                                .url = parse_url(kUrl).value(),
                                .etag = "\"v1\"",
                                .last_modified = "then",
                                .done = [&](Checked said) {
                                  checked = said;
                                  done.release();
                                }});
      };
      ask();
      done.acquire();
      CHECK(checked == one.checked);
      CHECK(world.client.header(0, "If-None-Match") == "\"v1\"");
      CHECK(world.client.header(0, "If-Modified-Since") == "then");
      ask(); // a moment later: nothing happens
      world.downloads.reset();
      CHECK(world.client.requests() == 1);
    }
  }
}
