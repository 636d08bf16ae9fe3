#include "conformance/index_suite.hpp"

#include "pkc/index/index.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace pkc::test {
namespace {

using namespace index;
using std::chrono::milliseconds;
using Texts = std::vector<std::string>;

Source source_of(const std::string& url, const std::string& hash = "aa11", ByteCount size = 5) {
  return {.source_url = url,
          .content_hash = hash,
          .storage_path = "cas/aa/11/" + hash + ".zst",
          .file_size = size,
          .content_type = "text/plain",
          .first_cached_at = Time(milliseconds(1234567))};
}

void store(IndexFixture& fixture, const std::string& key, const Source& source) {
  fixture.index().note_stored("space", key, 10, 20);
  fixture.index().note_source("space", key, source);
}

std::optional<SourceRow> find(IndexFixture& fixture, const std::string& key) {
  REQUIRE(fixture.index().flush());
  const auto found = fixture.index().find_source("space", key);
  REQUIRE(found);
  return *found;
}

Texts without(IndexFixture& fixture) {
  REQUIRE(fixture.index().flush());
  return fixture.index().without_source("space", "", 100).value();
}

Texts urls(const std::vector<SourceRow>& rows) {
  Texts found;
  for (const SourceRow& row : rows) {
    found.push_back(row.source.source_url);
  }
  return found;
}

/// All URLs, page by page.
Texts walk(Index& index, SourceQuery query) {
  Texts found;
  for (;;) {
    const auto page = index.list_sources(query);
    REQUIRE(page);
    CHECK(page->sources.size() <= query.limit);
    std::ranges::move(urls(page->sources), std::back_inserter(found));
    if (page->next.empty()) {
      return found;
    }
    CHECK(page->sources.size() == query.limit);
    query.cursor = page->next;
  }
}

/// What the test wants to see once must not depend on when it was written.
enum class Flush : bool {
  no,
  yes,
};

void maybe(IndexFixture& fixture, Flush flush) {
  if (flush == Flush::yes) {
    REQUIRE(fixture.index().flush());
  }
}

void check_life(IndexFixture& fixture, Flush flush) {
  Index& index = fixture.index();
  const Time start = fixture.clock.wall_now_ms();
  const Source source = source_of("http://a.example/1");

  index.note_source("space", "k", source); // not known: forgotten
  maybe(fixture, flush);
  index.note_stored("space", "k", 10, 20);
  CHECK_FALSE(find(fixture, "k"));
  CHECK(without(fixture) == Texts{"k"});

  index.note_source("space", "k", source);
  maybe(fixture, flush);
  fixture.clock.advance(milliseconds(1));
  index.note_read("space", "k");
  CHECK(find(fixture, "k") == SourceRow{.key = "k",
                                        .source = source,
                                        .last_accessed_at = start + milliseconds(1),
                                        .access_count = 1});
  CHECK(without(fixture).empty());

  const Source other = source_of("http://a.example/1", "bb22", 6);
  index.note_source("space", "k", other);
  CHECK(find(fixture, "k")->source == other);
  CHECK(find(fixture, "k")->access_count == 1);

  fixture.clock.advance(milliseconds(1));
  index.note_stored("space", "k", 11, 21); // what was said is of the file that was there
  maybe(fixture, flush);
  CHECK_FALSE(find(fixture, "k"));
  CHECK(without(fixture) == Texts{"k"});

  index.note_source("space", "k", source);
  maybe(fixture, flush);
  index.note_removed("space", "k");
  maybe(fixture, flush);
  index.note_source("space", "k", source); // whoever came too late
  CHECK_FALSE(find(fixture, "k"));
  CHECK(without(fixture).empty());
  CHECK(index.list_sources({.space = "space"}).value().sources.empty());

  store(fixture, "k", source);
  maybe(fixture, flush);
  index.note_removed("space", "k");
  index.note_stored("space", "k", 1, 1); // another one, of the same name
  CHECK_FALSE(find(fixture, "k"));
  CHECK(index.check().value().empty());
}

/// A record that is written again, with reads before and after, and one that is removed between.
void check_use(IndexFixture& fixture, Flush before, Flush between, Flush after) {
  Index& index = fixture.index();
  const Time start = fixture.clock.wall_now_ms();
  const Source source = source_of("http://a.example/1");
  store(fixture, "k", source);
  maybe(fixture, before);
  fixture.clock.advance(milliseconds(1));
  index.note_read("space", "k");
  maybe(fixture, between);
  fixture.clock.advance(milliseconds(1));
  store(fixture, "k", source);
  maybe(fixture, after);
  store(fixture, "k", source);
  CHECK(find(fixture, "k")->access_count == 1);
  CHECK(find(fixture, "k")->last_accessed_at == start + milliseconds(1));
  index.note_read("space", "k");
  maybe(fixture, after);
  store(fixture, "k", source);
  CHECK(find(fixture, "k")->access_count == 2);
  CHECK(find(fixture, "k")->last_accessed_at == start + milliseconds(2));
  CHECK(index.find("space", "k").value()->stored_at == start + milliseconds(2));

  index.note_read("space", "k");
  maybe(fixture, between);
  index.note_removed("space", "k");
  maybe(fixture, after);
  store(fixture, "k", source);
  CHECK(find(fixture, "k")->access_count == 0);

  index.note_stored("space", "plain", 1, 1);
  maybe(fixture, before);
  index.note_read("space", "plain");
  maybe(fixture, between);
  index.note_stored("space", "plain", 2, 2);
  REQUIRE(index.flush());
  CHECK(index.find("space", "plain").value()->hits == 0);
}

} // namespace

void check_sources(IndexFixture& fixture) {
  Index& index = fixture.index();

  SUBCASE("note_source: lives as long as what was stored") {
    check_life(fixture, Flush::no);
  }
  SUBCASE("note_source: the same, with all that was noted written in between") {
    check_life(fixture, Flush::yes);
  }

  SUBCASE("note_stored: a record keeps its use, whenever it was written") {
    for (int way = 0; way < 8; ++way) {
      CAPTURE(way);
      const auto bit = [way](int place) { return Flush{((way >> place) & 1) != 0}; };
      check_use(fixture, bit(0), bit(1), bit(2));
      for (const char* key : {"k", "plain"}) {
        index.note_removed("space", key);
      }
    }
  }

  SUBCASE("note_found: what the files say ends it, too") {
    store(fixture, "k", source_of("http://a.example/1"));
    REQUIRE(index.flush());
    index.note_found({.space = "space", .key = "k", .size = 11, .disk_size = 20});
    CHECK_FALSE(find(fixture, "k"));
    index.note_source("space", "k", source_of("http://a.example/1"));
    CHECK(find(fixture, "k"));
  }

  SUBCASE("find_source: neither of another space nor of another key") {
    store(fixture, "k", source_of("http://a.example/1"));
    index.note_stored("other", "k", 1, 1);
    CHECK(find(fixture, "k"));
    CHECK_FALSE(index.find_source("other", "k").value());
    CHECK_FALSE(index.find_source("absent", "k").value());
    CHECK_FALSE(find(fixture, "j"));
    CHECK(index.without_source("other", "", 9).value() == Texts{"k"});
  }

  SUBCASE("without_source: in pages, behind a key") {
    for (const char* key : {"a", "b", "c", "d"}) {
      index.note_stored("space", key, 1, 1);
    }
    index.note_source("space", "c", source_of("http://a.example/1"));
    REQUIRE(index.flush());
    CHECK(index.without_source("space", "", 2).value() == Texts{"a", "b"});
    CHECK(index.without_source("space", "b", 2).value() == Texts{"d"});
    CHECK(index.without_source("absent", "", 2).value().empty());
  }

  SUBCASE("sources_of: those with the content, up to the limit, the longest known first") {
    store(fixture, "3", source_of("http://a.example/1", "aa"));
    store(fixture, "2", source_of("http://a.example/2", "bb"));
    store(fixture, "1", source_of("http://b.example/1", "aa"));
    REQUIRE(index.flush());
    CHECK(urls(index.sources_of("space", "aa", 9).value()) ==
          Texts{"http://a.example/1", "http://b.example/1"});
    CHECK(index.sources_of("space", "aa", 1).value().size() == 1);
    CHECK(index.sources_of("space", "cc", 9).value().empty());
    CHECK(index.sources_of("other", "aa", 9).value().empty());
  }

  SUBCASE("source_totals: what was noted last of each") {
    store(fixture, "1", source_of("http://a.example/1", "aa", 5));
    store(fixture, "2", source_of("http://a.example/2", "aa", 7));
    index.note_stored("space", "3", 100, 100);
    index.note_read("space", "1");
    index.note_read("space", "1");
    index.note_read("space", "2");
    index.note_read("space", "3");
    REQUIRE(index.flush());
    CHECK(index.source_totals("space").value() ==
          SourceTotals{.sources = 2, .file_size = 12, .accesses = 3});
    CHECK(index.source_totals("absent").value() == SourceTotals());
  }

  SUBCASE("reopen: is there again") {
    store(fixture, "k", source_of("http://a.example/1"));
    if (fixture.reopen()) {
      CHECK(find(fixture, "k")->source == source_of("http://a.example/1"));
    }
  }
}

void check_source_pages(IndexFixture& fixture) {
  Index& index = fixture.index();
  // URLs that begin alike for longer than any index of an engine looks at.
  const std::string longer = "http://long.example/" + std::string(600, 'x');
  std::set<std::string> all;
  for (int i = 0; i < 40; ++i) {
    const std::string number = std::to_string(i);
    const std::string url = (i % 4 == 0 ? longer : "http://host" + std::to_string(i % 3)) + number;
    // Keys in another order than URLs.
    const std::string key = std::to_string((i * 7) % 40);
    Source source = source_of(url, "aa", static_cast<ByteCount>(i % 3));
    source.first_cached_at = Time(milliseconds(i % 5));
    store(fixture, key, source);
    all.insert(url);
    if (i % 8 == 7) {
      fixture.clock.advance(milliseconds(1));
    }
  }
  REQUIRE(index.flush());
  for (int i = 0; i < 40; i += 3) {
    REQUIRE(index.set_pinned("space", std::to_string(i), Pinned::yes).value());
  }
  constexpr std::array kSorts{
      SourceSort::url, SourceSort::size, SourceSort::age, SourceSort::access};

  SUBCASE("list_sources: every order, in pages of every size, shows each once") {
    for (const SourceSort sort : kSorts) {
      const Texts up = walk(index, {.space = "space", .sort = sort, .limit = 1000});
      CHECK(std::set(up.begin(), up.end()) == all);
      for (const std::size_t limit : {1U, 3U, 7U, 39U, 40U, 41U}) {
        CAPTURE(limit);
        CHECK(walk(index, {.space = "space", .sort = sort, .limit = limit}) == up);
        CHECK(walk(index,
                   {.space = "space", .sort = sort, .order = Order::descending, .limit = limit}) ==
              Texts(up.rbegin(), up.rend()));
      }
    }
  }

  SUBCASE("list_sources: sorted by what was asked for") {
    CHECK(walk(index, {.space = "space"}) == Texts(all.begin(), all.end()));
    const auto by = [&](SourceSort sort, const auto& value) {
      const auto rows = index.list_sources({.space = "space", .sort = sort}).value().sources;
      return rows.size() == all.size() && std::ranges::is_sorted(rows, {}, value) &&
             value(rows.front()) != value(rows.back());
    };
    CHECK(by(SourceSort::size, [](const SourceRow& row) { return row.source.file_size; }));
    CHECK(by(SourceSort::age, [](const SourceRow& row) { return row.source.first_cached_at; }));
    CHECK(by(SourceSort::access, [](const SourceRow& row) { return row.last_accessed_at; }));
  }

  SUBCASE("list_sources: URLs with a prefix, in every order") {
    for (const SourceSort sort : kSorts) {
      for (const Order order : {Order::ascending, Order::descending}) {
        const auto with = [&](const std::string& prefix) {
          const Texts found = walk(
              index,
              {.space = "space", .url_prefix = prefix, .sort = sort, .order = order, .limit = 3});
          return std::set(found.begin(), found.end()).size() == found.size() &&
                         std::ranges::all_of(
                             found, [&](const auto& url) { return url.starts_with(prefix); })
                     ? static_cast<int>(found.size())
                     : -1;
        };
        CHECK(with("http://host1") == 10);
        CHECK(with("http://long") == 10);
        CHECK(with(longer) == 10);
        CHECK(with(longer + "1") == 2); // 12 and 16
        CHECK(with(longer + "36") == 1);
        CHECK(with("http://none") == 0);
      }
    }
    CHECK(walk(index, {.space = "absent"}).empty());
  }

  SUBCASE("list_sources: limits and cursors of others are refused") {
    const auto refused = [&](const SourceQuery& query) {
      const auto page = index.list_sources(query);
      return !page && page.error().code == Errc::invalid_argument;
    };
    CHECK(refused({.space = "space", .limit = 0}));
    CHECK(refused({.space = "space", .limit = SourceQuery::kLimitMax + 1}));
    const std::string cursor =
        index.list_sources({.space = "space", .sort = SourceSort::size, .limit = 1})->next;
    CHECK(refused({.space = "space", .sort = SourceSort::age, .cursor = cursor}));
    CHECK(refused({.space = "space", .order = Order::descending, .cursor = cursor}));
    CHECK(refused({.space = "space", .cursor = "Uu.!"}));
    CHECK(refused({.space = "space", .cursor = index.list({.space = "space", .limit = 1})->next}));
    for (const char* text : {"x", "Zu.", "Zu.1", "Zu.1.", "Zu.a.b", "Zu.1.2x"}) {
      CHECK(refused({.space = "space", .sort = SourceSort::size, .cursor = text}));
    }
  }
}

} // namespace pkc::test
