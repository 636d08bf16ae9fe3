// Every system call of the life of a content-addressed and a record store fails once, or is the
// last before the process dies or the power goes. Afterwards both are opened again: no wrong byte,
// nothing acknowledged is lost, nothing is left behind, and whatever is missing can be put again.
#include "support/fault_file_system.hpp"
#include "support/spaces_fixture.hpp"
#include "support/store_fixture.hpp"

#include "pkc/store/content_addressed_store.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <optional>
#include <random>
#include <set>
#include <string>

using pkc::as_bytes;
using pkc::Errc;
using pkc::sha256;
using pkc::store::CommitOutcome;
using pkc::store::Key;
using pkc::test::FaultFileSystem;
using pkc::test::make_key;
using pkc::test::SpacesFixture;

namespace {

constexpr std::uint64_t kPowerLossSeeds = 8;
const std::string kRoot = "/cache";

const std::string kOldContent(500, 'o'); // compressed
const std::string kNewContent(700, 'n'); // compressed, and spooled while it comes
const std::string kNoise = [] {
  std::mt19937_64 random(5);
  std::string text(700, '\0');
  std::ranges::generate(text, [&] { return static_cast<char>(random()); });
  return text;
}();

const Key kOldRecord = make_key('a');
const Key kNewRecord = make_key('b');
const std::string kOldText = "the old text";
const std::string kNewText = "the new text"; // as long as the old one

/// What the world was told while calls failed.
struct Promises {
  std::set<std::string> contents;
  std::set<std::string> records; // keys that hold kNewText
};

/// Stores content that somebody reads meanwhile.
pkc::Result<CommitOutcome> put_growing(SpacesFixture& fixture, const std::string& content) {
  TRY_ASSIGN(const auto writer, fixture.cas().put(content.size()));
  const auto growing = writer->growing();
  TRY(writer->write(as_bytes(std::string_view(content).substr(0, 300))));
  TRY(writer->flush());
  TRY(writer->write(as_bytes(std::string_view(content).substr(300))));
  TRY_ASSIGN(const auto commit, writer->commit({.content_type = "text/plain"}));
  CHECK(growing->size() == content.size());
  CHECK(commit.digest == sha256(as_bytes(content)));
  return commit.outcome;
}

void check_hit(SpacesFixture& fixture, const std::string& content) {
  const auto got = fixture.get(sha256(as_bytes(content)));
  if (got && *got) {
    CHECK(**got == content);
  }
}

void check_record(SpacesFixture& fixture, const Key& key) {
  const auto got = fixture.records().get(key);
  if (got && *got) {
    CHECK((**got == kNewText || (**got == kOldText && key == kOldRecord)));
  }
}

/// A server's life. Any of it may fail; nothing of it may lie.
void live(FaultFileSystem& disk, Promises& promises) {
  SpacesFixture fixture(disk, kRoot);
  if (!fixture.start()) {
    return;
  }
  check_hit(fixture, kOldContent);
  for (const std::string& content : {kNewContent, kNoise, kOldContent}) {
    const auto outcome = put_growing(fixture, content);
    if (outcome) {
      promises.contents.insert(content);
    }
    check_hit(fixture, content);
  }
  for (const Key& key : {kOldRecord, kNewRecord}) {
    check_record(fixture, key);
    if (fixture.records().put(key, kNewText)) {
      promises.records.insert(key.id());
    }
    check_record(fixture, key);
  }
}

void check_contents(SpacesFixture& fixture, const Promises& promises) {
  for (const std::string& content : {kOldContent, kNewContent, kNoise}) {
    const auto found = fixture.get(sha256(as_bytes(content))).value();
    if (found) {
      CHECK(*found == content);
    }
    CHECK((found || (content != kOldContent && !promises.contents.contains(content))));
    const auto outcome = fixture.put(content).value();
    CHECK(outcome == (found ? CommitOutcome::exists : CommitOutcome::stored));
    CHECK(fixture.get(sha256(as_bytes(content))).value() == content);
  }
}

void check_records(SpacesFixture& fixture, const Promises& promises) {
  for (const Key& key : {kOldRecord, kNewRecord}) {
    const auto found = fixture.records().get(key).value();
    if (promises.records.contains(key.id())) {
      CHECK(found == kNewText);
    } else if (found) {
      CHECK((*found == kNewText || (*found == kOldText && key == kOldRecord)));
    }
    REQUIRE(fixture.records().put(key, kNewText));
    CHECK(fixture.records().get(key).value() == kNewText);
  }
}

/// The promises, seen by a server that starts on what is left.
void check_after(FaultFileSystem& disk, const Promises& promises) {
  SpacesFixture fixture(disk, kRoot);
  REQUIRE(fixture.start());
  CHECK(disk.files(kRoot + "/tmp").empty());
  check_contents(fixture, promises);
  check_records(fixture, promises);
  CHECK(disk.files(kRoot + "/tmp").empty());
  CHECK(disk.files(kRoot + "/cas").size() == 6);
  CHECK(disk.files(kRoot + "/fetch").size() == 4);
}

/// A disk with an old object and an old record, written in peace.
void prepare(FaultFileSystem& disk) {
  SpacesFixture fixture(disk, kRoot);
  REQUIRE(fixture.start());
  REQUIRE(fixture.put(kOldContent).value() == CommitOutcome::stored);
  REQUIRE(fixture.records().put(kOldRecord, kOldText));
}

/// The number of calls of an undisturbed life.
std::uint64_t calls_of_a_life() {
  FaultFileSystem disk;
  prepare(disk);
  disk.restart_process();
  Promises promises;
  live(disk, promises);
  REQUIRE(promises.contents.size() == 3);
  REQUIRE(promises.records.size() == 2);
  return disk.calls();
}

} // namespace

TEST_SUITE("store spaces under faults") {
  TEST_CASE("one failing call: every promise holds, before and after a restart") {
    const std::uint64_t calls = calls_of_a_life();
    REQUIRE(calls > 60);
    for (const Errc code : {Errc::io, Errc::no_space}) {
      for (std::uint64_t n = 0; n < calls; ++n) {
        CAPTURE(n);
        FaultFileSystem disk;
        prepare(disk);
        disk.restart_process();
        disk.fail_call(n, code);
        Promises promises;
        live(disk, promises);
        disk.restart_process();
        check_after(disk, promises);
      }
    }
  }

  TEST_CASE("kill -9 at every call: every promise holds after the restart") {
    const std::uint64_t calls = calls_of_a_life();
    for (std::uint64_t n = 0; n < calls; ++n) {
      CAPTURE(n);
      FaultFileSystem disk;
      prepare(disk);
      disk.restart_process();
      disk.stop_at_call(n);
      Promises promises;
      live(disk, promises);
      disk.restart_process();
      check_after(disk, promises);
    }
  }

  TEST_CASE("power loss at every call: every promise holds, whatever the disk kept") {
    const std::uint64_t calls = calls_of_a_life();
    for (std::uint64_t n = 0; n <= calls; ++n) {
      for (std::uint64_t seed = 0; seed < kPowerLossSeeds; ++seed) {
        CAPTURE(n);
        CAPTURE(seed);
        FaultFileSystem disk;
        prepare(disk);
        disk.restart_process();
        disk.stop_at_call(n);
        Promises promises;
        live(disk, promises);
        disk.lose_power(seed);
        check_after(disk, promises);
      }
    }
  }
}
