// Random notes about downloads, and their totals against the sums over what is listed.
#include "conformance/index_suite.hpp"

#include "pkc/index/index.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <random>
#include <string>

namespace pkc::test {
namespace {

using namespace index;

constexpr std::array<const char*, 2> kSpaces{"fetch", "other"};
constexpr int kKeys = 12;

class Player {
 public:
  Player(IndexFixture& fixture, std::uint64_t seed) : fixture_(fixture), random_(seed) {}

  void step() {
    Index& index = fixture_.index();
    const std::string space = kSpaces[below(kSpaces.size())];
    const std::string key = "key" + std::to_string(below(kKeys));
    switch (below(14)) {
      case 0:
      case 1:
        index.note_stored(space, key, below(1000), below(1000));
        break;
      case 2:
      case 3:
      case 4:
        index.note_stored(space, key, below(1000), below(1000));
        tell_source(space, key);
        break;
      case 5:
        tell_source(space, key);
        break;
      case 6:
        index.note_removed(space, key);
        break;
      case 7:
        find_again(space, key);
        break;
      case 8:
        rebuild(space);
        break;
      case 9:
        REQUIRE(index.set_pinned(space, key, below(2) == 0 ? Pinned::yes : Pinned::no));
        break;
      case 10:
        fixture_.clock.advance(std::chrono::milliseconds(below(3)));
        break;
      case 11:
        write_or_begin_anew();
        break;
      default:
        index.note_read(space, key);
        break;
    }
  }

  void compare() {
    Index& index = fixture_.index();
    REQUIRE(index.flush());
    for (const char* space : kSpaces) {
      CAPTURE(space);
      const SourceTotals totals = index.source_totals(space).value();
      CHECK(totals == listed(space));
      CHECK(totals == found_one_by_one(space));
      most_.sources = std::max(most_.sources, totals.sources);
      most_.accesses = std::max(most_.accesses, totals.accesses);
    }
    CHECK(index.check().value().empty());
  }

  /// The greatest that was compared.
  [[nodiscard]] const SourceTotals& most() const { return most_; }

 private:
  std::uint64_t below(std::uint64_t limit) {
    return std::uniform_int_distribution<std::uint64_t>(0, limit - 1)(random_);
  }

  void tell_source(const std::string& space, const std::string& key) {
    fixture_.index().note_source(space,
                                 key,
                                 {.source_url = "http://a.example/" + key,
                                  .content_hash = std::to_string(below(3)),
                                  .storage_path = "path",
                                  .file_size = below(1000),
                                  .content_type = ""});
  }

  void find_again(const std::string& space, const std::string& key) {
    fixture_.index().note_found({.space = space,
                                 .key = key,
                                 .size = below(3),
                                 .disk_size = below(3),
                                 .stored_at = fixture_.clock.wall_now_ms()});
  }

  /// As after a start without the database: all files are looked at, then the records among them.
  void rebuild(const std::string& space) {
    for (int i = 0; i < kKeys; ++i) {
      find_again(space, "key" + std::to_string(i));
    }
    REQUIRE(fixture_.index().flush());
    const auto unknown = fixture_.index().without_source(space, "", kKeys).value();
    for (const std::string& key : unknown) {
      tell_source(space, key);
    }
  }

  void write_or_begin_anew() {
    if (below(3) == 0) {
      REQUIRE(fixture_.index().flush());
    } else if (below(10) == 0) {
      fixture_.reopen();
    } else if (below(10) == 0) {
      REQUIRE(fixture_.index().repair());
    }
  }

  static void add(SourceTotals& sums, const SourceRow& row) {
    ++sums.sources;
    sums.file_size += row.source.file_size;
    sums.accesses += row.access_count;
  }

  SourceTotals listed(const std::string& space) {
    SourceTotals sums;
    const auto page = fixture_.index().list_sources({.space = space, .limit = kKeys}).value();
    CHECK(page.next.empty());
    for (const SourceRow& row : page.sources) {
      add(sums, row);
    }
    return sums;
  }

  SourceTotals found_one_by_one(const std::string& space) {
    SourceTotals sums;
    for (int i = 0; i < kKeys; ++i) {
      const auto row = fixture_.index().find_source(space, "key" + std::to_string(i)).value();
      if (row) {
        add(sums, *row);
      }
    }
    return sums;
  }

  IndexFixture& fixture_;
  std::mt19937_64 random_;
  SourceTotals most_;
};

} // namespace

void check_source_totals(IndexFixture& fixture, std::uint64_t seed) {
  CAPTURE(seed);
  Player player(fixture, seed);
  for (int round = 0; round < 40; ++round) {
    for (int step = 0; step < 25; ++step) {
      player.step();
    }
    player.compare();
  }
  CHECK(player.most().sources > 2);
  CHECK(player.most().accesses > 2);
}

} // namespace pkc::test
