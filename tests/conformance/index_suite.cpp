#include "conformance/index_suite.hpp"

#include "pkc/index/index.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <set>
#include <string>
#include <vector>

namespace pkc::test {
namespace {

using namespace index;
using std::chrono::milliseconds;

constexpr milliseconds kTick{1};

std::vector<std::string> keys(const Result<std::vector<Object>>& objects) {
  REQUIRE(objects);
  std::vector<std::string> found;
  for (const Object& object : *objects) {
    found.push_back(object.key);
  }
  return found;
}

using Keys = std::vector<std::string>;

Object get(Index& index, const std::string& key, const std::string& space = "space") {
  REQUIRE(index.flush());
  const auto found = index.find(space, key);
  REQUIRE(found);
  REQUIRE(found->has_value());
  return **found;
}

bool knows(Index& index, const std::string& key) {
  REQUIRE(index.flush());
  const auto found = index.find("space", key);
  REQUIRE(found);
  return found->has_value();
}

void store(IndexFixture& fixture, const Keys& names, ByteCount size = 100) {
  for (const std::string& key : names) {
    fixture.index().note_stored("space", key, size, size + 10);
    fixture.clock.advance(kTick);
  }
  REQUIRE(fixture.index().flush());
}

/// All keys, page by page.
Keys walk(Index& index, ListQuery query) {
  Keys found;
  for (;;) {
    const auto page = index.list(query);
    REQUIRE(page);
    CHECK(page->objects.size() <= query.limit);
    for (const Object& object : page->objects) {
      found.push_back(object.key);
    }
    if (page->next.empty()) {
      return found;
    }
    CHECK(page->objects.size() == query.limit);
    query.cursor = page->next;
  }
}

} // namespace

void check_notes(IndexFixture& fixture) {
  Index& index = fixture.index();
  const Time start = fixture.clock.wall_now_ms();

  SUBCASE("note_stored: the object is known with its sizes and its time") {
    index.note_stored("space", "a", 100, 110);
    CHECK(get(index, "a") == Object{.space = "space",
                                    .key = "a",
                                    .size = 100,
                                    .disk_size = 110,
                                    .stored_at = start,
                                    .accessed_at = start});
    CHECK(index.totals("space").value() == Totals{.objects = 1, .size = 100, .disk_size = 110});
    CHECK_FALSE(index.find("other", "a").value().has_value());
  }

  SUBCASE("note_stored: an object that is replaced starts anew") {
    store(fixture, {"a"});
    index.note_read("space", "a");
    REQUIRE(index.flush());
    fixture.clock.advance(kTick);
    index.note_stored("space", "a", 7, 8);
    const Object object = get(index, "a");
    CHECK(object.hits == 0);
    CHECK(object.stored_at == fixture.clock.wall_now_ms());
    CHECK(object.accessed_at == object.stored_at);
    CHECK(index.totals("space").value() == Totals{.objects = 1, .size = 7, .disk_size = 8});
  }

  SUBCASE("note_read: hits add up, and the last one counts") {
    index.note_stored("space", "a", 1, 1);
    index.note_read("space", "a");
    fixture.clock.advance(kTick);
    REQUIRE(index.flush());
    index.note_read("space", "a");
    fixture.clock.advance(kTick);
    index.note_read("space", "a");
    const Object object = get(index, "a");
    CHECK(object.hits == 3);
    CHECK(object.accessed_at == start + 2 * kTick);
    CHECK(object.stored_at == start);
  }

  SUBCASE("note_read: of an unknown object nothing is remembered") {
    index.note_read("space", "a");
    CHECK_FALSE(knows(index, "a"));
    CHECK(index.spaces().value().empty());
  }

  SUBCASE("note_removed: the object is gone, whether it was written before or not") {
    store(fixture, {"a"});
    index.note_stored("space", "b", 1, 1);
    index.note_removed("space", "a");
    index.note_removed("space", "b");
    index.note_removed("space", "c");
    index.note_read("space", "a");
    CHECK_FALSE(knows(index, "a"));
    CHECK_FALSE(knows(index, "b"));
    CHECK(index.totals("space").value() == Totals());
  }

  SUBCASE("note_stored: after a removal it is a new object") {
    store(fixture, {"a", "b"});
    index.note_read("space", "a");
    index.note_removed("space", "a");
    index.note_stored("space", "a", 5, 6);
    CHECK(get(index, "a").hits == 0);
    CHECK(index.totals("space").value() == Totals{.objects = 2, .size = 105, .disk_size = 116});
  }

  SUBCASE("note_found: an unknown object comes with the time of its files") {
    const Time stored = start - std::chrono::hours(5);
    index.note_found({"space", "a", 10, 20, stored});
    CHECK(get(index, "a").stored_at == stored);
    CHECK(get(index, "a").accessed_at == stored);
  }

  SUBCASE("note_found: of a known object it corrects the sizes and keeps the use") {
    store(fixture, {"a"});
    index.note_read("space", "a");
    const Time used = fixture.clock.wall_now_ms();
    REQUIRE(index.flush());
    REQUIRE(index.set_pinned("space", "a", Pinned::yes).value());
    fixture.clock.advance(kTick);
    index.note_found({"space", "a", 10, 20, start});
    CHECK(get(index, "a") == Object{.space = "space",
                                    .key = "a",
                                    .size = 10,
                                    .disk_size = 20,
                                    .stored_at = start,
                                    .accessed_at = used,
                                    .hits = 1,
                                    .pinned = true});
    CHECK(index.totals("space").value() == Totals{.objects = 1,
                                                  .size = 10,
                                                  .disk_size = 20,
                                                  .pinned_objects = 1,
                                                  .pinned_disk_size = 20});
  }

  SUBCASE("spaces: by name, each with its own totals") {
    index.note_stored("polykit", "a", 1, 2);
    index.note_stored("cas", "a", 3, 4);
    index.note_stored("nix", "a", 5, 6);
    index.note_removed("nix", "a");
    REQUIRE(index.flush());
    const auto spaces = index.spaces().value();
    REQUIRE(spaces.size() >= 2);
    CHECK(spaces.front() == SpaceTotals{"cas", {.objects = 1, .size = 3, .disk_size = 4}});
    CHECK(spaces.back() == SpaceTotals{"polykit", {.objects = 1, .size = 1, .disk_size = 2}});
    CHECK(index.totals("absent").value() == Totals());
  }

  SUBCASE("reopen: what was noted and not flushed is there") {
    index.note_stored("space", "a", 100, 110);
    index.note_read("space", "a");
    if (fixture.reopen()) {
      CHECK(get(fixture.index(), "a").hits == 1);
    }
  }
  CHECK(fixture.index().check().value().empty());
}

void check_pins(IndexFixture& fixture) {
  Index& index = fixture.index();
  store(fixture, {"a", "b"});

  SUBCASE("set_pinned: sees what was just noted; tells when there is nothing") {
    index.note_stored("space", "c", 1, 1);
    CHECK(index.set_pinned("space", "c", Pinned::yes).value());
    CHECK(get(index, "c").pinned);
    CHECK_FALSE(index.set_pinned("space", "d", Pinned::yes).value());
    CHECK_FALSE(index.set_pinned("absent", "a", Pinned::yes).value());
  }

  SUBCASE("set_pinned: pinned objects are counted, once, and not offered for eviction") {
    REQUIRE(index.set_pinned("space", "a", Pinned::yes).value());
    REQUIRE(index.set_pinned("space", "a", Pinned::yes).value());
    CHECK(index.totals("space").value() == Totals{.objects = 2,
                                                  .size = 200,
                                                  .disk_size = 220,
                                                  .pinned_objects = 1,
                                                  .pinned_disk_size = 110});
    CHECK(keys(index.oldest("space", 10)) == Keys{"b"});
    CHECK(keys(index.stored_before("space", Time::max(), 10)) == Keys{"b"});

    REQUIRE(index.set_pinned("space", "a", Pinned::no).value());
    CHECK(keys(index.oldest("space", 10)) == Keys{"a", "b"});
    CHECK(index.totals("space").value().pinned_objects == 0);
  }

  SUBCASE("set_pinned: a pin outlives a new upload, and not a removal") {
    REQUIRE(index.set_pinned("space", "a", Pinned::yes).value());
    index.note_stored("space", "a", 5, 6);
    CHECK(get(index, "a").pinned);
    CHECK(index.totals("space").value().pinned_disk_size == 6);
    index.note_removed("space", "a");
    index.note_stored("space", "a", 5, 6);
    CHECK_FALSE(get(index, "a").pinned);
    CHECK(index.totals("space").value().pinned_objects == 0);
  }
  CHECK(index.check().value().empty());
}

void check_questions(IndexFixture& fixture) {
  Index& index = fixture.index();
  store(fixture, {"abcd1", "abcd2", "abce1", "abc", "b"});

  SUBCASE("oldest: least recently used first, up to the limit") {
    index.note_read("space", "abcd1");
    fixture.clock.advance(kTick);
    index.note_read("space", "abce1");
    REQUIRE(index.flush());
    CHECK(keys(index.oldest("space", 3)) == Keys{"abcd2", "abc", "b"});
    CHECK(keys(index.oldest("space", 9)) == Keys{"abcd2", "abc", "b", "abcd1", "abce1"});
    CHECK(keys(index.oldest("space", 0)).empty());
    CHECK(keys(index.oldest("absent", 9)).empty());
  }

  SUBCASE("oldest: of one millisecond, the object that is known longer comes first") {
    for (const char* key : {"b", "abce1", "abc", "abcd2", "abcd1"}) {
      index.note_read("space", key);
    }
    index.note_stored("space", "new", 1, 1);
    index.note_stored("space", "newer", 1, 1);
    index.note_stored("space", "abcd1", 1, 1); // the same object, as the index sees it
    REQUIRE(index.flush());
    CHECK(keys(index.oldest("space", 9)) ==
          Keys{"abcd1", "abcd2", "abce1", "abc", "b", "new", "newer"});
  }

  SUBCASE("stored_before: oldest first, not the one of that very time, whenever they were read") {
    index.note_read("space", "abcd1");
    const Time limit = get(index, "abc").stored_at;
    CHECK(keys(index.stored_before("space", limit, 9)) == Keys{"abcd1", "abcd2", "abce1"});
    CHECK(keys(index.stored_before("space", limit, 2)) == Keys{"abcd1", "abcd2"});
  }

  SUBCASE("with_prefix: exactly those, by key") {
    CHECK(keys(index.with_prefix("space", "abcd")) == Keys{"abcd1", "abcd2"});
    CHECK(keys(index.with_prefix("space", "abc")) == Keys{"abc", "abcd1", "abcd2", "abce1"});
    CHECK(keys(index.with_prefix("space", "")).size() == 5);
    CHECK(keys(index.with_prefix("space", "c")).empty());
    CHECK(keys(index.with_prefix("absent", "")).empty());
  }

  SUBCASE("first_key: at or behind") {
    CHECK(index.first_key("space", "").value() == "abc");
    CHECK(index.first_key("space", "abcd1").value() == "abcd1");
    CHECK(index.first_key("space", "abcd3").value() == "abce1");
    CHECK_FALSE(index.first_key("space", "c").value().has_value());
    CHECK_FALSE(index.first_key("absent", "").value().has_value());
  }

  SUBCASE("keys: compared byte by byte") {
    store(fixture, {"A", "Z", "a", "z", "0"});
    CHECK(walk(index, {.space = "space", .limit = 2}) ==
          Keys{"0", "A", "Z", "a", "abc", "abcd1", "abcd2", "abce1", "b", "z"});
    CHECK_FALSE(index.find("space", "B").value().has_value());
  }
}

void check_pages(IndexFixture& fixture) {
  Index& index = fixture.index();
  // Equal sizes and times, so that a page may end among equals; every third is pinned.
  std::set<std::string> all;
  for (int i = 0; i < 40; ++i) {
    const std::string key = (i % 2 == 0 ? "x" : "y") + std::to_string(i);
    index.note_stored("space", key, static_cast<ByteCount>(i % 3), 1);
    if (i % 8 == 7) {
      fixture.clock.advance(kTick);
    }
    all.insert(key);
  }
  int number = 0;
  for (const std::string& key : all) {
    if (++number % 3 == 0) {
      REQUIRE(index.set_pinned("space", key, Pinned::yes).value());
    }
  }

  SUBCASE("list: every order, in pages of every size, shows each object once") {
    for (const Sort sort : {Sort::key, Sort::stored, Sort::accessed, Sort::size}) {
      const Keys up = walk(index, {.space = "space", .sort = sort, .limit = 1000});
      CHECK(std::set(up.begin(), up.end()) == all);
      for (const std::size_t limit : {1U, 3U, 7U, 39U, 40U, 41U}) {
        CHECK(walk(index, {.space = "space", .sort = sort, .limit = limit}) == up);
        CHECK(walk(index,
                   {.space = "space", .sort = sort, .order = Order::descending, .limit = limit}) ==
              Keys(up.rbegin(), up.rend()));
      }
    }
  }

  SUBCASE("list: sorted by what was asked for") {
    const auto page =
        index.list({.space = "space", .sort = Sort::size, .order = Order::descending}).value();
    CHECK(page.objects.front().size == 2);
    CHECK(page.objects.back().size == 0);
    CHECK(page.next.empty());
    index.note_read("space", "x0");
    REQUIRE(index.flush());
    CHECK(walk(index, {.space = "space", .sort = Sort::accessed}).back() == "x0");
  }

  SUBCASE("list: keys with a prefix, in every order") {
    for (const Sort sort : {Sort::key, Sort::stored, Sort::accessed, Sort::size}) {
      for (const Order order : {Order::ascending, Order::descending}) {
        const Keys found = walk(
            index, {.space = "space", .key_prefix = "y", .sort = sort, .order = order, .limit = 3});
        CHECK(found.size() == 20);
        CHECK(std::set(found.begin(), found.end()).size() == 20);
        CHECK(found.front().front() == 'y');
      }
    }
    CHECK(walk(index, {.space = "space", .key_prefix = "x38"}) == Keys{"x38"});
    CHECK(walk(index, {.space = "space", .key_prefix = "z"}).empty());
    CHECK(walk(index, {.space = "absent"}).empty());
  }

  SUBCASE("list: limits and cursors of others are refused") {
    const auto refused = [&](const ListQuery& query) {
      const auto page = index.list(query);
      return !page && page.error().code == Errc::invalid_argument;
    };
    CHECK(refused({.space = "space", .limit = 0}));
    CHECK(refused({.space = "space", .limit = ListQuery::kLimitMax + 1}));
    const std::string cursor = index.list({.space = "space", .sort = Sort::size, .limit = 1})->next;
    CHECK(refused({.space = "space", .sort = Sort::stored, .cursor = cursor}));
    CHECK(refused({.space = "space", .order = Order::descending, .cursor = cursor}));
    for (const char* text :
         {"x", "zu.", "zu.1", "zu.1.", "zu.a.b", "zu.1.2x", "zu.99999999999999999999.1"}) {
      CHECK(refused({.space = "space", .sort = Sort::size, .cursor = text}));
    }
  }
}

void check_facts_and_state(IndexFixture& fixture) {
  Index& index = fixture.index();

  SUBCASE("facts: absent, there, replaced, kept") {
    CHECK_FALSE(index.get_fact("scrub").value().has_value());
    REQUIRE(index.put_fact("scrub", "ab/cd"));
    REQUIRE(index.put_fact("scrub", "ef/01"));
    CHECK(index.get_fact("scrub").value() == "ef/01");
    if (fixture.reopen()) {
      CHECK(fixture.index().get_fact("scrub").value() == "ef/01");
    }
  }

  SUBCASE("facts: the index's own names and what is too long are refused") {
    CHECK(index.put_fact("index.belief", "x").error().code == Errc::invalid_argument);
    CHECK(index.put_fact(std::string(65, 'a'), "x").error().code == Errc::invalid_argument);
    CHECK(index.put_fact("a", std::string(1025, 'x')).error().code == Errc::invalid_argument);
    CHECK(index.put_fact(std::string(64, 'a'), std::string(1024, 'x')));
  }

  SUBCASE("state: a fresh index knows that it does not know") {
    const State state = index.state();
    CHECK(state.available);
    CHECK_FALSE(state.complete);
    CHECK_FALSE(state.since.has_value());
  }

  SUBCASE("mark_complete: holds, also over a clean end") {
    CHECK(index.mark_complete(index.state()).value());
    CHECK(index.state().complete);
    if (fixture.reopen()) {
      CHECK(fixture.index().state().complete);
    }
  }

  SUBCASE("mark_complete: not for what was seen before the last damage") {
    State seen = index.state();
    --seen.damages;
    CHECK_FALSE(index.mark_complete(seen).value());
    CHECK_FALSE(index.state().complete);
  }
}

} // namespace pkc::test
