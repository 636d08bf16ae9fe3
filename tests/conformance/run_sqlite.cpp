#include "conformance/index_suite.hpp"
#include "support/temp_dir.hpp"

#include "pkc/index/sql_index.hpp"
#include "pkc/ops/log.hpp"
#include "pkc/ops/metrics.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <cstdint>
#include <memory>

namespace {

class SqliteFixture final : public pkc::test::IndexFixture {
 public:
  SqliteFixture() : index_(open()) {}
  pkc::index::Index& index() override { return *index_; }
  bool reopen() override {
    index_.reset();
    index_ = open();
    return true;
  }

 private:
  std::unique_ptr<pkc::index::Index> open() {
    // Only what the test asks for is written, and a slow machine may take its time.
    return pkc::index::make_sql_index(clock,
                                      pkc::ops::null_log(),
                                      metrics_,
                                      {.path = directory_ / "index.db",
                                       .process = 1,
                                       .flush_interval = std::chrono::hours(1),
                                       .query_timeout = std::chrono::minutes(1)})
        .value();
  }

  pkc::test::TempDir directory_;
  pkc::ops::Metrics metrics_;
  std::unique_ptr<pkc::index::Index> index_;
};

} // namespace

TEST_SUITE("index::Index in SQLite") {
  TEST_CASE("notes: change what is known") {
    SqliteFixture fixture;
    pkc::test::check_notes(fixture);
  }
  TEST_CASE("pins: keep an object") {
    SqliteFixture fixture;
    pkc::test::check_pins(fixture);
  }
  TEST_CASE("questions: are answered in their order") {
    SqliteFixture fixture;
    pkc::test::check_questions(fixture);
  }
  TEST_CASE("pages: show everything once") {
    SqliteFixture fixture;
    pkc::test::check_pages(fixture);
  }
  TEST_CASE("facts and state: are kept") {
    SqliteFixture fixture;
    pkc::test::check_facts_and_state(fixture);
  }
  TEST_CASE("sources: belong to their objects") {
    SqliteFixture fixture;
    pkc::test::check_sources(fixture);
  }
  TEST_CASE("sources: are listed in every order") {
    SqliteFixture fixture;
    pkc::test::check_source_pages(fixture);
  }
  TEST_CASE("sources: their totals are the sums, whatever was noted") {
    for (std::uint64_t seed = 1; seed <= 6; ++seed) {
      SqliteFixture fixture;
      pkc::test::check_source_totals(fixture, seed);
    }
  }
  TEST_CASE("model: random notes come to the same") {
    for (std::uint64_t seed = 1; seed <= 6; ++seed) {
      SqliteFixture fixture;
      pkc::test::check_against_model(fixture, seed);
    }
  }
}
