#include "conformance/index_suite.hpp"

#include "pkc/index/memory_index.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <memory>

namespace {

class MemoryFixture final : public pkc::test::IndexFixture {
 public:
  pkc::index::Index& index() override { return *index_; }
  bool reopen() override { return false; }

 private:
  std::unique_ptr<pkc::index::Index> index_ = pkc::index::make_memory_index(clock);
};

} // namespace

TEST_SUITE("index::Index in memory") {
  TEST_CASE("notes: change what is known") {
    MemoryFixture fixture;
    pkc::test::check_notes(fixture);
  }
  TEST_CASE("pins: keep an object") {
    MemoryFixture fixture;
    pkc::test::check_pins(fixture);
  }
  TEST_CASE("questions: are answered in their order") {
    MemoryFixture fixture;
    pkc::test::check_questions(fixture);
  }
  TEST_CASE("pages: show everything once") {
    MemoryFixture fixture;
    pkc::test::check_pages(fixture);
  }
  TEST_CASE("facts and state: are kept") {
    MemoryFixture fixture;
    pkc::test::check_facts_and_state(fixture);
  }
  TEST_CASE("sources: belong to their objects") {
    MemoryFixture fixture;
    pkc::test::check_sources(fixture);
  }
  TEST_CASE("sources: are listed in every order") {
    MemoryFixture fixture;
    pkc::test::check_source_pages(fixture);
  }
  TEST_CASE("sources: their totals are the sums, whatever was noted") {
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
      MemoryFixture fixture;
      pkc::test::check_source_totals(fixture, seed);
    }
  }
  TEST_CASE("model: random notes come to the same") {
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
      MemoryFixture fixture;
      pkc::test::check_against_model(fixture, seed);
    }
  }
}
