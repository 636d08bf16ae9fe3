// The contract of Index, written once and run over every implementation.
#pragma once

#include "support/fake_clock.hpp"

#include "pkc/index/index.hpp"

#include <cstdint>

namespace pkc::test {

/// An empty index to begin with, on a clock of the test's.
class IndexFixture {
 public:
  virtual ~IndexFixture() = default;
  virtual index::Index& index() = 0;
  /// Ends the index cleanly and opens it again; false when it keeps nothing.
  virtual bool reopen() = 0;

  FakeClock clock;
};

/// Each is to be called in a test case of its own with a fresh fixture. They have subcases.
void check_notes(IndexFixture& fixture);
void check_pins(IndexFixture& fixture);
void check_questions(IndexFixture& fixture);
void check_pages(IndexFixture& fixture);
void check_facts_and_state(IndexFixture& fixture);
void check_sources(IndexFixture& fixture);
void check_source_pages(IndexFixture& fixture);
/// Random notes about downloads: their totals are the sums over what is listed, after any of them;
/// `seed` is printed by a failure.
void check_source_totals(IndexFixture& fixture, std::uint64_t seed);
/// Random notes and questions against a simple model; `seed` is printed by a failure.
void check_against_model(IndexFixture& fixture, std::uint64_t seed);

} // namespace pkc::test
