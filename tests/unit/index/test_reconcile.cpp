#include "support/fake_clock.hpp"

#include "pkc/index/memory_index.hpp"
#include "pkc/index/reconcile.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using namespace pkc::index;

namespace {

std::vector<Object> rows(const std::vector<std::string>& keys) {
  std::vector<Object> all;
  for (const std::string& key : keys) {
    all.push_back({.space = "space", .key = key, .size = 10, .disk_size = 20});
  }
  return all;
}

std::vector<FileFacts> files(const std::vector<std::string>& keys) {
  std::vector<FileFacts> all;
  for (const std::string& key : keys) {
    all.push_back({.key = key, .size = 10, .disk_size = 20});
  }
  return all;
}

} // namespace

TEST_SUITE("index::compare") {
  TEST_CASE("compare: finds what only one side has, at both ends and between") {
    const Drift drift = compare(rows({"a", "c", "d", "f"}), files({"b", "c", "e", "g"}));
    CHECK(drift.gone == std::vector<std::string>{"a", "d", "f"});
    REQUIRE(drift.unknown.size() == 3);
    CHECK(drift.unknown[0].key == "b");
    CHECK(drift.unknown[2].key == "g");
    CHECK(drift.changed.empty());
  }

  TEST_CASE("compare: sizes tell, times do not") {
    std::vector<FileFacts> all = files({"a", "b", "c"});
    all[0].size = 11;
    all[1].disk_size = 21;
    all[2].stored_at += std::chrono::hours(1);
    const Drift drift = compare(rows({"a", "b", "c"}), all);
    REQUIRE(drift.changed.size() == 2);
    CHECK(drift.changed[1].key == "b");
    CHECK_FALSE(drift.is_none());
    CHECK(compare(rows({"a"}), files({"a"})).is_none());
    CHECK(compare({}, {}).is_none());
  }
}

TEST_SUITE("index::Reconciler") {
  TEST_CASE("shards_with_rows: each once, in order, short keys too") {
    const pkc::test::FakeClock clock;
    const auto index = make_memory_index(clock);
    for (const char* key : {"ffff1", "00001", "00002", "0000", "abcd9", "ab"}) {
      index->note_stored("space", key, 1, 1);
    }
    CHECK(shards_with_rows(*index, "space", 4).value() ==
          std::vector<std::string>{"0000", "ab", "ffff"});
  }

  TEST_CASE("found and gone: bring the index into line") {
    const pkc::test::FakeClock clock;
    const auto index = make_memory_index(clock);
    index->note_stored("space", "a", 1, 1);
    Reconciler reconciler(*index, "space");

    REQUIRE(reconciler.found({.key = "b", .size = 10, .disk_size = 20}));
    REQUIRE(reconciler.gone("a"));
    REQUIRE(reconciler.finish());

    CHECK(index->totals("space").value() == Totals{.objects = 1, .size = 10, .disk_size = 20});
  }
}
