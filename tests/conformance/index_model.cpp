// Random notes against the simplest index that can be: a list.
#include "conformance/index_suite.hpp"

#include "pkc/index/index.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <tuple>
#include <vector>

namespace pkc::test {
namespace {

using namespace index;

struct Known {
  Object object;
  int age = 0; ///< the smaller, the longer known
};

class Model {
 public:
  void stored(Object object) {
    if (Known* const known = find(object.key); known != nullptr) {
      object.pinned = known->object.pinned;
      known->object = std::move(object);
    } else {
      all_.push_back({std::move(object), ++ages_});
    }
  }
  void found(const Object& object) {
    if (Known* const known = find(object.key); known != nullptr) {
      known->object.size = object.size;
      known->object.disk_size = object.disk_size;
      known->object.stored_at = object.stored_at;
    } else {
      all_.push_back({object, ++ages_});
    }
  }
  void removed(const std::string& key) {
    std::erase_if(all_, [&](const Known& known) { return known.object.key == key; });
  }
  Known* find(const std::string& key) {
    const auto at =
        std::ranges::find_if(all_, [&](const Known& known) { return known.object.key == key; });
    return at == all_.end() ? nullptr : &*at;
  }

  [[nodiscard]] Totals totals() const {
    Totals totals;
    for (const Known& known : all_) {
      totals.objects += 1;
      totals.size += known.object.size;
      totals.disk_size += known.object.disk_size;
      totals.pinned_objects += known.object.pinned ? 1 : 0;
      totals.pinned_disk_size += known.object.pinned ? known.object.disk_size : 0;
    }
    return totals;
  }

  template <typename Rank>
  [[nodiscard]] std::vector<Object> sorted(const Rank& rank, bool with_pinned) const {
    std::vector<Known> copy = all_;
    std::ranges::sort(
        copy, {}, [&](const Known& known) { return std::tuple(rank(known.object), known.age); });
    std::vector<Object> objects;
    for (Known& known : copy) {
      if (with_pinned || !known.object.pinned) {
        objects.push_back(std::move(known.object));
      }
    }
    return objects;
  }

 private:
  std::vector<Known> all_;
  int ages_ = 0;
};

class Player {
 public:
  Player(IndexFixture& fixture, std::uint64_t seed) : fixture_(fixture), random_(seed) {}

  void step() {
    const std::string key = "key" + std::to_string(below(25));
    const Time now = fixture_.clock.wall_now_ms();
    Object object{.space = "space",
                  .key = key,
                  .size = below(1000),
                  .disk_size = below(1000),
                  .stored_at = now,
                  .accessed_at = now};
    switch (below(9)) {
      case 0:
      case 1:
        fixture_.index().note_stored("space", key, object.size, object.disk_size);
        model_.stored(std::move(object));
        break;
      case 2:
        fixture_.index().note_removed("space", key);
        model_.removed(key);
        break;
      case 3:
        object.stored_at = object.accessed_at = now - std::chrono::milliseconds(below(50));
        fixture_.index().note_found(
            {"space", key, object.size, object.disk_size, object.stored_at});
        model_.found(object);
        break;
      case 4:
        pin(key);
        break;
      case 5:
        fixture_.clock.advance(std::chrono::milliseconds(below(3)));
        break;
      case 6:
        if (below(4) == 0) {
          REQUIRE(fixture_.index().flush());
        } else if (below(20) == 0) {
          fixture_.reopen();
        }
        break;
      default:
        fixture_.index().note_read("space", key);
        if (Known* const known = model_.find(key); known != nullptr) {
          ++known->object.hits;
          known->object.accessed_at = std::max(known->object.accessed_at, now);
        }
        break;
    }
  }

  void compare() {
    Index& index = fixture_.index();
    REQUIRE(index.flush());
    CHECK(index.totals("space").value() == model_.totals());
    CHECK(index.oldest("space", 100).value() ==
          model_.sorted([](const Object& object) { return object.accessed_at; }, false));
    CHECK(index.stored_before("space", Time::max(), 100).value() ==
          model_.sorted([](const Object& object) { return object.stored_at; }, false));
    CHECK(index.with_prefix("space", "key").value() ==
          model_.sorted([](const Object& object) { return object.key; }, true));
    CHECK(pages(Sort::size) ==
          model_.sorted([](const Object& object) { return object.size; }, true));
    CHECK(pages(Sort::accessed) ==
          model_.sorted([](const Object& object) { return object.accessed_at; }, true));
    CHECK(index.check().value().empty());
  }

 private:
  std::uint64_t below(std::uint64_t limit) {
    return std::uniform_int_distribution<std::uint64_t>(0, limit - 1)(random_);
  }

  void pin(const std::string& key) {
    const bool pinned = below(2) == 0;
    Known* const known = model_.find(key);
    CHECK(fixture_.index().set_pinned("space", key, pinned ? Pinned::yes : Pinned::no).value() ==
          (known != nullptr));
    if (known != nullptr) {
      known->object.pinned = pinned;
    }
  }

  std::vector<Object> pages(Sort sort) {
    ListQuery query{.space = "space", .sort = sort, .limit = 1 + below(9)};
    std::vector<Object> all;
    for (;;) {
      Page page = fixture_.index().list(query).value();
      std::ranges::move(page.objects, std::back_inserter(all));
      if (page.next.empty()) {
        return all;
      }
      query.cursor = page.next;
    }
  }

  IndexFixture& fixture_;
  std::mt19937_64 random_;
  Model model_;
};

} // namespace

void check_against_model(IndexFixture& fixture, std::uint64_t seed) {
  CAPTURE(seed);
  Player player(fixture, seed);
  for (int round = 0; round < 30; ++round) {
    for (int step = 0; step < 40; ++step) {
      player.step();
    }
    player.compare();
  }
}

} // namespace pkc::test
