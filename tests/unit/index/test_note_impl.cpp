#include "note.hpp"

#include <doctest/doctest.h>

#include <chrono>

using namespace pkc::index;
using Kind = Note::Kind;

namespace {

Time at(int number) {
  return Time(std::chrono::milliseconds(number));
}

Note read(int time) {
  return {.kind = Kind::read, .hits = 1, .accessed_at = at(time)};
}
Note stored(int time) {
  return {.kind = Kind::stored,
          .size = 10,
          .stored_at = at(time),
          .used_first = at(time),
          .noted_at = at(time),
          .order = static_cast<std::uint64_t>(time)};
}
Note removed(int time) {
  return {.kind = Kind::removed, .noted_at = at(time), .order = static_cast<std::uint64_t>(time)};
}
Note found(int time) {
  return {.kind = Kind::found,
          .size = 20,
          .stored_at = at(1),
          .used_first = at(1),
          .noted_at = at(time),
          .order = static_cast<std::uint64_t>(time)};
}

} // namespace

TEST_SUITE("index::combine") {
  TEST_CASE("combine: reads add up, and count for what they read") {
    CHECK(combine(read(5), read(7)).hits == 2);
    CHECK(combine(read(7), read(5)).accessed_at == at(7));
    Note early = stored(6); // they count if it turns out to be a record
    early.early_hits = 1;
    early.early_at = read(5).accessed_at;
    CHECK(combine(read(5), stored(6)) == early);
    CHECK(combine(stored(6), read(7)).used_at() == at(7));
    CHECK(combine(read(5), removed(6)) == removed(6));
    CHECK(combine(removed(6), read(7)) == removed(6));
  }

  TEST_CASE("combine: what comes after a removal is a new object") {
    const Note again = combine(removed(5), stored(6));
    CHECK(again.afresh);
    CHECK(combine(again, read(7)).afresh);
    CHECK(combine(again, stored(8)).afresh);
    CHECK(combine(removed(5), found(6)).kind == Kind::stored);
    CHECK(combine(removed(5), found(6)).afresh);
    CHECK_FALSE(combine(stored(5), stored(6)).afresh);
  }

  TEST_CASE("combine: an object is as old as its first word") {
    CHECK(combine(stored(5), stored(6)).order == 5);
    CHECK(combine(found(5), stored(6)).order == 5);
    CHECK(combine(stored(5), found(6)).order == 5);
    CHECK(combine(combine(stored(5), removed(6)), stored(7)).order == 7);
  }

  TEST_CASE("combine: what was found has its sizes, and keeps how it was used") {
    const Note note = combine(combine(stored(5), read(6)), found(7));
    CHECK(note.kind == Kind::stored);
    CHECK(note.size == 20);
    CHECK(note.stored_at == at(1));
    CHECK(note.hits == 1);
    CHECK(combine(stored(5), found(7)).used_at() == at(5));
  }

  TEST_CASE("combine: reads before the finding count for a known object only") {
    const Note note = combine(read(5), found(7));
    CHECK(note.hits == 0);
    CHECK(note.early_hits == 1);
    CHECK(combine(note, read(8)).hits == 1);
    CHECK(combine(found(4), note).hits == 1);
  }

  TEST_CASE("combine: is the same whichever pair is put together first") {
    const Note all[] = {read(4), stored(5), removed(6), found(7)};
    for (const Note& a : all) {
      for (const Note& b : all) {
        for (const Note& c : all) {
          CAPTURE(static_cast<int>(a.kind));
          CAPTURE(static_cast<int>(b.kind));
          CAPTURE(static_cast<int>(c.kind));
          CHECK(combine(combine(a, b), c) == combine(a, combine(b, c)));
        }
      }
    }
  }
}
