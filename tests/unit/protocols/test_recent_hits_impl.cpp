#include "fetch/recent_hits.hpp"

#include "pkc/base/bytes.hpp"
#include "pkc/base/digest.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <memory>
#include <string>

namespace pkc::test {

namespace {

using protocols::fetch::RecentHit;
using protocols::fetch::RecentHits;
using protocols::fetch::Repeatable;
using std::chrono::milliseconds;

constexpr SteadyTime kNow{std::chrono::hours(1)};

RecentHit hit_of(const std::string& url, std::uint64_t changes = 7) {
  const store::Key key = store::Key::of(sha256(as_bytes(url)));
  return {.source_url = url,
          .record = key,
          .answer = std::make_shared<const Repeatable>(Repeatable{.content = key,
                                                                  .identity = {},
                                                                  .size = 0,
                                                                  .encoded = false,
                                                                  .runs = {},
                                                                  .field_lines = nullptr}),
          .changes = changes,
          .looked_at = kNow};
}

} // namespace

TEST_SUITE("protocols::fetch::RecentHits") {
  TEST_CASE("find: what was kept, for the same query") {
    RecentHits hits;
    hits.keep("url=a", hit_of("a"));

    REQUIRE(hits.find("url=a", 7, kNow));
    CHECK(hits.find("url=a", 7, kNow)->source_url == "a");
    CHECK_FALSE(hits.find("url=b", 7, kNow));
    CHECK_FALSE(hits.find("url=a&", 7, kNow));
  }

  TEST_CASE("find: not after a change, and not for long") {
    RecentHits hits;
    hits.keep("url=a", hit_of("a"));

    CHECK_FALSE(hits.find("url=a", 8, kNow));
    CHECK(hits.find("url=a", 7, kNow + RecentHits::kBelieved - milliseconds(1)));
    CHECK_FALSE(hits.find("url=a", 7, kNow + RecentHits::kBelieved));

    hits.keep("url=a", hit_of("a", 8));
    CHECK(hits.find("url=a", 8, kNow));
  }

  TEST_CASE("keep: the latest stay, a bounded number, and none of a long query") {
    RecentHits hits;
    constexpr int kMany = 10'000;
    for (int i = 0; i < kMany; ++i) {
      hits.keep("url=" + std::to_string(i), hit_of("a"));
    }
    int found = 0;
    for (int i = 0; i < kMany; ++i) {
      found += hits.find("url=" + std::to_string(i), 7, kNow) ? 1 : 0;
    }
    CHECK(found == 1'024);
    CHECK(hits.find("url=" + std::to_string(kMany - 1), 7, kNow));

    const std::string longest = "url=" + std::string(2'044, 'x');
    hits.keep(longest, hit_of("a"));
    hits.keep(longest + "x", hit_of("a"));
    CHECK(hits.find(longest, 7, kNow));
    CHECK_FALSE(hits.find(longest + "x", 7, kNow));
  }
}

} // namespace pkc::test
