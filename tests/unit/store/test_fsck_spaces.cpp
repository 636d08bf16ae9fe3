// fsck and the spaces beside the root: each object as its own space stores it.
#include "support/damage.hpp"
#include "support/fake_clock.hpp"
#include "support/fault_file_system.hpp"
#include "support/spaces_fixture.hpp"
#include "support/store_fixture.hpp"

#include "pkc/base/digest.hpp"
#include "pkc/index/memory_index.hpp"
#include "pkc/locks/key_locks.hpp"
#include "pkc/ops/log.hpp"
#include "pkc/store/archive.hpp"
#include "pkc/store/fsck.hpp"
#include "pkc/store/sidecar.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

using pkc::as_bytes;
using pkc::sha256;
using pkc::store::Archive;
using pkc::store::ArchivedSource;
using pkc::store::Fault;
using pkc::store::FsckSummary;
using pkc::store::Key;
using pkc::store::Outcome;
using pkc::store::Repair;
using pkc::store::VerifyContent;
using pkc::test::Damage;
using pkc::test::damages;
using pkc::test::FakeClock;
using pkc::test::FaultFileSystem;
using pkc::test::FsckNotes;
using pkc::test::make_key;
using pkc::test::SpacesFixture;
using pkc::test::StoreFixture;

namespace {

const std::string kRoot = "/cache";
const std::string kUrl = "https://example.org/a";
const std::string kOtherUrl = "https://example.org/b";
const std::string kText = "some content";
const std::string kOtherText = "other content, which is longer";

ArchivedSource source_of(const std::string& url, const std::string& text) {
  ArchivedSource source;
  source.source_url = url;
  source.content = sha256(as_bytes(text));
  source.size = text.size();
  return source;
}

Key content_key(const std::string& text) {
  return Key::of(sha256(as_bytes(text)));
}

/// One object in the root, two contents and two records that name them.
struct World {
  World() {
    {
      StoreFixture polykit(disk, kRoot);
      REQUIRE(polykit.start());
      REQUIRE(polykit.put(make_key('a'), "artifact"));
    }
    SpacesFixture fixture(disk, kRoot);
    REQUIRE(fixture.start());
    Archive archive({.records = fixture.records(),
                     .contents = fixture.cas(),
                     .clock = clock,
                     .log = pkc::ops::null_log()});
    for (const auto& [url, text] : {std::pair(kUrl, kText), std::pair(kOtherUrl, kOtherText)}) {
      REQUIRE(fixture.put(text));
      REQUIRE(archive.publish(source_of(url, text)));
    }
  }

  FsckSummary check(Repair repair, VerifyContent verify = VerifyContent::yes) {
    notes = {};
    return pkc::test::run_fsck(disk,
                               kRoot,
                               {.repair = repair, .verify_content = verify, .jobs = 1},
                               notes,
                               key_locks,
                               {},
                               index.get())
        .value();
  }
  /// Of one kind only.
  [[nodiscard]] std::vector<pkc::store::Finding> found(Fault fault) const {
    std::vector<pkc::store::Finding> found = notes.findings;
    std::erase_if(found, [fault](const auto& finding) { return finding.fault != fault; });
    return found;
  }
  /// The one finding that there is.
  [[nodiscard]] const pkc::store::Finding& only() const {
    REQUIRE(notes.findings.size() == 1);
    return notes.findings.front();
  }
  [[nodiscard]] std::string blob_of(const std::string& space, const Key& key) const {
    const std::string& id = key.id();
    return kRoot + '/' + space + '/' + id.substr(0, 2) + '/' + id.substr(2, 2) + '/' + id + ".zst";
  }
  [[nodiscard]] std::string sidecar_of(const std::string& space, const Key& key) const {
    const std::string blob = blob_of(space, key);
    return blob.substr(0, blob.size() - 4) + ".json";
  }
  std::string read(const std::string& path) { return disk.files(kRoot).at(path); }
  pkc::store::Sidecar facts(const std::string& space, const Key& key) {
    return pkc::store::parse_sidecar(read(sidecar_of(space, key))).value();
  }
  void write_facts(const std::string& space, const Key& key, const pkc::store::Sidecar& facts) {
    disk.overwrite(sidecar_of(space, key), format_sidecar(facts));
  }
  /// What else there is, is served as before.
  void check_others(const std::string& damaged_space, const std::string& damaged_key) {
    SpacesFixture fixture(disk, kRoot);
    REQUIRE(fixture.start());
    for (const std::string& text : {kText, kOtherText}) {
      const bool damaged = damaged_space == "cas" && damaged_key == content_key(text).id();
      CHECK(fixture.get(sha256(as_bytes(text))).value().has_value() != damaged);
    }
    for (const std::string& url : {kUrl, kOtherUrl}) {
      const Key key = Archive::key_of(url);
      const bool damaged = damaged_space == "fetch" && damaged_key == key.id();
      CHECK(fixture.records().get(key).value().has_value() != damaged);
    }
  }

  FaultFileSystem disk;
  FakeClock clock;
  pkc::locks::KeyLocks key_locks;
  FsckNotes notes;
  std::unique_ptr<pkc::index::Index> index;
};

} // namespace

TEST_SUITE("store::fsck spaces") {
  TEST_CASE("a healthy store: all spaces are counted, and nothing changes") {
    World world;
    const auto before = world.disk.files(kRoot);

    for (const Repair repair : {Repair::no, Repair::yes}) {
      const FsckSummary summary = world.check(repair);

      CHECK(world.notes.findings.empty());
      CHECK(summary.seen.objects == 5);
      REQUIRE(summary.spaces.size() == 3);
      CHECK(summary.spaces[0].space == "polykit");
      CHECK(summary.spaces[0].objects == 1);
      CHECK(summary.spaces[1].objects == 2);
      CHECK(summary.spaces[2].objects == 2);
      CHECK(summary.spaces[0].size + summary.spaces[1].size + summary.spaces[2].size ==
            summary.seen.size);
      CHECK(world.disk.files(kRoot) == before);
    }
  }

  TEST_CASE("each kind of damage in each space: told with its space, healed, all else untouched") {
    for (const auto& [space, key] : {std::pair(std::string("cas"), content_key(kText)),
                                     std::pair(std::string("fetch"), Archive::key_of(kUrl))}) {
      for (const Damage& damage : damages()) {
        CAPTURE(space);
        CAPTURE(damage.name);
        World world;
        damage.apply(world.disk, kRoot + '/' + space, key);

        const FsckSummary told = world.check(Repair::no);
        CHECK(world.found(damage.fault).size() == 1);
        for (const auto& finding : world.notes.findings) {
          CHECK(finding.space == space);
        }
        CHECK(told.left() > 0);
        CHECK(told.spaces[space == "cas" ? 1 : 2].damages == told.seen.damages);

        CHECK(world.check(Repair::yes).left() == 0);
        world.check_others(space, key.id());
        CHECK(world.check(Repair::no).seen.objects == 4);
        CHECK(world.check(Repair::no).left() == 0);
      }
    }
  }

  TEST_CASE("content that is not that of the key: told by the sidecar, or by what it decodes to") {
    World world;
    const Key key = content_key(kText);
    const Key other = content_key(kOtherText);
    pkc::store::Sidecar facts = world.facts("cas", key);

    facts.content->hash = sha256(as_bytes(kOtherText));
    world.write_facts("cas", key, facts);
    world.check(Repair::no, VerifyContent::no);
    CHECK(world.only().fault == Fault::foreign_sidecar);

    facts.content.reset();
    world.write_facts("cas", key, facts);
    world.check(Repair::no, VerifyContent::no);
    CHECK(world.only().fault == Fault::foreign_sidecar);

    // The blob of the other content, and a sidecar that fits its bytes.
    facts = world.facts("cas", other);
    facts.key = key.id();
    facts.content->hash = sha256(as_bytes(kText));
    world.write_facts("cas", key, facts);
    world.disk.overwrite(world.blob_of("cas", key), world.read(world.blob_of("cas", other)));
    CHECK(world.check(Repair::no, VerifyContent::no).left() == 0);
    const FsckSummary summary = world.check(Repair::yes);
    CHECK(world.notes.findings.front().fault == Fault::wrong_content);
    CHECK(world.notes.findings.front().space == "cas");
    CHECK(summary.left() == 0);
    CHECK(summary.quarantined == 1);
    const auto quarantined = world.disk.files("/cache/quarantine");
    REQUIRE(quarantined.size() == 3);
    CHECK(quarantined.begin()->first.starts_with("/cache/quarantine/cas-" + key.id() + '.'));
    world.check_others("cas", key.id());
  }

  TEST_CASE("content of another size than the sidecar says is wrong content") {
    for (const int change : {-1, 1}) {
      World world;
      const Key key = content_key(kText);
      pkc::store::Sidecar facts = world.facts("cas", key);
      facts.content->size = kText.size() + static_cast<std::size_t>(change);
      world.write_facts("cas", key, facts);

      world.check(Repair::no);

      CHECK(world.only().fault == Fault::wrong_content);
    }
  }

  TEST_CASE("a record that is whole and says nothing, or is of another URL, goes to quarantine") {
    for (const std::string& text :
         {std::string("{}"), pkc::store::format_source(source_of(kOtherUrl, kText)).value()}) {
      CAPTURE(text);
      World world;
      const Key key = Archive::key_of(kUrl);
      {
        SpacesFixture fixture(world.disk, kRoot);
        REQUIRE(fixture.start());
        REQUIRE(fixture.records().put(key, text));
      }
      CHECK(world.check(Repair::no, VerifyContent::no).left() == 0);

      CHECK(world.check(Repair::yes).left() == 0);

      CHECK(world.only().fault == Fault::wrong_content);
      CHECK(world.only().space == "fetch");
      world.check_others("fetch", key.id());
    }
  }

  TEST_CASE("a record whose content is gone: told, no damage, and the record stays") {
    World world;
    {
      SpacesFixture fixture(world.disk, kRoot);
      REQUIRE(fixture.start());
      REQUIRE(fixture.cas().remove(sha256(as_bytes(kText))).value());
    }
    const auto before = world.disk.files(kRoot);

    CHECK(world.check(Repair::no, VerifyContent::no).seen.objects == 4);
    CHECK(world.found(Fault::content_gone).empty()); // the record was not read
    const FsckSummary summary = world.check(Repair::yes);

    const auto gone = world.found(Fault::content_gone);
    REQUIRE(gone.size() == 1);
    CHECK(gone.front().subject == Archive::key_of(kUrl).id());
    CHECK(gone.front().space == "fetch");
    CHECK(gone.front().outcome == Outcome::left);
    CHECK(summary.left() == 0);
    CHECK(summary.seen.objects == 4);
    CHECK(world.disk.files(kRoot) == before);
  }

  TEST_CASE("strangers and empty shards of a space; of spaces that nobody gave, nothing") {
    World world;
    for (const std::string path : {"/cache/cas/zz",
                                   "/cache/cas/zz/zz",
                                   "/cache/other",
                                   "/cache/other/zz",
                                   "/cache/other/zz/zz"}) {
      REQUIRE(world.disk.make_directory(path).value());
    }
    REQUIRE(world.disk.create("/cache/fetch/notes"));
    REQUIRE(world.disk.create("/cache/other/notes"));

    const FsckSummary summary = world.check(Repair::yes);

    REQUIRE(world.notes.findings.size() == 2);
    CHECK(world.notes.findings[0].fault == Fault::stranger);
    CHECK(world.notes.findings[0].space == "fetch");
    CHECK(world.notes.findings[0].subject == "/cache/fetch/notes");
    CHECK(world.notes.findings[1].fault == Fault::empty_shard);
    CHECK(world.notes.findings[1].space == "cas");
    CHECK(world.notes.findings[1].outcome == Outcome::repaired);
    CHECK(summary.left() == 0);
    CHECK_FALSE(world.disk.stat("/cache/cas/zz").value());
    CHECK(world.disk.files(kRoot).contains("/cache/fetch/notes"));
    CHECK(world.disk.stat("/cache/other/zz/zz").value());
  }

  TEST_CASE("the index: rows of one space say nothing of another's objects") {
    World world;
    world.index = pkc::index::make_memory_index(world.clock);
    REQUIRE(world.index->mark_complete(world.index->state()).value());
    world.clock.advance(std::chrono::hours(1));
    // The artifact as if it were content, and the content as if it were an artifact.
    world.index->note_stored("cas", make_key('a').id(), 8, 4096);
    world.index->note_stored("polykit", content_key(kText).id(), 8, 4096);

    const FsckSummary told = world.check(Repair::no);

    CHECK(told.found.at(static_cast<std::size_t>(Fault::only_in_index)) == 2);
    CHECK(told.found.at(static_cast<std::size_t>(Fault::not_in_index)) == 5);
    CHECK(world.check(Repair::yes).left() == 0);
    CHECK(world.index->find("polykit", make_key('a').id()).value());
    CHECK_FALSE(world.index->find("cas", make_key('a').id()).value());
    CHECK(world.index->find("cas", content_key(kText).id()).value());
    CHECK_FALSE(world.index->find("polykit", content_key(kText).id()).value());
    CHECK(world.index->find("fetch", Archive::key_of(kUrl).id()).value());
    CHECK(world.check(Repair::no).seen.damages == 0);
  }
}
