#include "support/fault_file_system.hpp"
#include "support/store_fixture.hpp"

#include "pkc/store/content_store.hpp"

#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <latch>
#include <string>
#include <thread>
#include <vector>

using pkc::ByteCount;
using pkc::Errc;
using pkc::store::CommitOutcome;
using pkc::store::Key;
using pkc::store::StoreOptions;
using pkc::store::VerifyReads;
using pkc::test::FaultFileSystem;
using pkc::test::make_key;
using pkc::test::StoreFixture;

namespace {

const Key kKey = make_key('a');
const std::string kContent(200'000, 'c');

/// Objects above 1000 bytes are verified while they stream.
constexpr StoreOptions kStreaming{
    .verify_reads = VerifyReads::first, .verify_ahead_max = 1000, .entry_cache_max = 100};

std::string flipped(std::size_t at) {
  std::string content = kContent;
  content[at] = 'X';
  return content;
}

struct World {
  explicit World(StoreOptions options = {}) : fixture(disk, "/cache", options) {
    REQUIRE(fixture.start());
  }
  FaultFileSystem disk;
  StoreFixture fixture;
};

} // namespace

TEST_SUITE("store::ContentStore") {
  TEST_CASE("open: an unknown key is a miss") {
    World world;
    CHECK_FALSE(world.fixture.get(kKey).value());
  }

  TEST_CASE("commit: the object is visible with its facts") {
    World world;
    REQUIRE(world.fixture.put(kKey, kContent).value() == CommitOutcome::stored);
    const auto object = world.fixture.store().open(kKey).value();
    REQUIRE(object);
    CHECK(object->sidecar->hash == pkc::sha256(pkc::as_bytes(kContent)));
    CHECK(object->sidecar->size == kContent.size());
    CHECK(object->sidecar->created_at == 1'700'000'000);
    CHECK(object->sidecar->stored_at.has_value());
    CHECK(world.fixture.get(kKey).value() == kContent);
  }

  TEST_CASE("commit_as: the key may be chosen at the end") {
    World world;
    const auto writer = world.fixture.store().put_unnamed().value();
    REQUIRE(writer->write(pkc::as_bytes(kContent)));
    const auto file = writer->file();
    CHECK(writer->commit_as(kKey, {}).value() == CommitOutcome::stored);
    CHECK(world.fixture.get(kKey).value() == kContent);
    std::array<std::byte, 10> buffer{};
    CHECK(file->read_at(0, buffer).value() == buffer.size());
  }

  TEST_CASE("peek: finds what open finds") {
    World world;
    CHECK_FALSE(world.fixture.store().peek(kKey).value());
    REQUIRE(world.fixture.put(kKey, kContent).value() == CommitOutcome::stored);
    CHECK(world.fixture.store().peek(kKey).value()->verified);
  }

  TEST_CASE("overwrite: the new object takes the place of the old one, which its readers keep") {
    for (const ByteCount ahead : {4 * pkc::kMiB, ByteCount{0}}) {
      CAPTURE(ahead);
      StoreOptions options;
      options.verify_ahead_max = ahead;
      options.overwrite = pkc::store::Overwrite::yes;
      World world(options);
      REQUIRE(world.fixture.put(kKey, kContent).value() == CommitOutcome::stored);
      const auto old = world.fixture.store().open(kKey).value();
      REQUIRE(world.fixture.put(kKey, "new").value() == CommitOutcome::stored);
      CHECK(world.fixture.get(kKey).value() == "new");
      std::string bytes(kContent.size(), '\0');
      REQUIRE(old->file->read_at(0, std::as_writable_bytes(std::span(bytes))));
      CHECK(bytes == kContent);
      // Of the same size: only its digest tells it apart.
      REQUIRE(world.fixture.put(kKey, "wen").value() == CommitOutcome::stored);
      CHECK(world.fixture.get(kKey).value() == "wen");
    }
  }

  TEST_CASE("writer: without commit nothing stays") {
    World world;
    {
      const auto writer = world.fixture.store().put(kKey).value();
      REQUIRE(writer->write(pkc::as_bytes(kContent)));
    }
    CHECK_FALSE(world.fixture.get(kKey).value());
    CHECK(world.disk.files("/cache/tmp").empty());
  }

  TEST_CASE("commit: the first writer wins and the second changes nothing") {
    World world;
    REQUIRE(world.fixture.put(kKey, "first").value() == CommitOutcome::stored);
    const auto before = world.disk.files("/cache/aa");
    CHECK(world.fixture.put(kKey, "second").value() == CommitOutcome::exists);
    CHECK(world.disk.files("/cache/aa") == before);
    CHECK(world.fixture.get(kKey).value() == "first");
  }

  TEST_CASE("commit: of many writers at once exactly one wins, and its pair is whole") {
    World world;
    constexpr int kWriters = 8;
    for (const char digit : {'0', '1', '2', '3', '4', '5', '6', '7'}) {
      const Key key = make_key(digit);
      std::atomic<int> stored{0};
      std::latch start(kWriters);
      {
        std::vector<std::jthread> writers;
        for (int writer = 0; writer < kWriters; ++writer) {
          writers.emplace_back([&, writer] {
            const std::string content(1000, static_cast<char>('a' + writer));
            start.arrive_and_wait();
            const auto outcome = world.fixture.put(key, content);
            stored += outcome && *outcome == CommitOutcome::stored ? 1 : 0;
          });
        }
      }
      CHECK(stored == 1);
      CHECK(world.fixture.get(key).value().has_value());
    }
    CHECK(world.fixture.corrupt_objects() == 0);
  }

  TEST_CASE("open: readers racing with the first writer see a miss or the whole object") {
    World world;
    std::atomic<bool> done{false};
    std::atomic<int> wrong{0};
    {
      std::jthread reader([&] {
        while (!done) {
          for (const char digit : {'0', '1', '2', '3'}) {
            const auto found = world.fixture.get(make_key(digit));
            wrong += !found || (*found && **found != kContent) ? 1 : 0;
          }
        }
      });
      for (const char digit : {'0', '1', '2', '3'}) {
        CHECK(world.fixture.put(make_key(digit), kContent).value() == CommitOutcome::stored);
      }
      done = true;
    }
    CHECK(wrong == 0);
    CHECK(world.fixture.corrupt_objects() == 0);
  }
}

TEST_SUITE("store::ContentStore verification") {
  TEST_CASE(
      "first: a small object with a flipped byte is a miss, quarantined, counted once and healed "
      "by the next writer") {
    World world;
    REQUIRE(world.fixture.put(kKey, kContent));
    world.disk.overwrite(world.fixture.blob_path(kKey), flipped(123'456));
    CHECK_FALSE(world.fixture.get(kKey).value());
    CHECK_FALSE(world.fixture.get(kKey).value());
    CHECK(world.fixture.corrupt_objects() == 1);
    CHECK(world.disk.files("/cache/quarantine").size() == 3);
    CHECK(world.fixture.put(kKey, kContent).value() == CommitOutcome::stored);
    CHECK(world.fixture.get(kKey).value() == kContent);
  }

  TEST_CASE("first: bytes that rot after they were verified are found, because the file changed") {
    World world;
    REQUIRE(world.fixture.put(kKey, kContent));
    REQUIRE(world.fixture.get(kKey).value() == kContent);
    world.disk.overwrite(world.fixture.blob_path(kKey), flipped(5));
    CHECK_FALSE(world.fixture.get(kKey).value());
    CHECK(world.fixture.corrupt_objects() == 1);
  }

  TEST_CASE("first: an object is hashed once") {
    World world;
    REQUIRE(world.fixture.put(kKey, kContent));
    CHECK(world.fixture.store().open(kKey).value()->verified);
    world.disk.fail_call(std::nullopt);
    CHECK(world.fixture.store().open(kKey).value()->verified);
    CHECK(world.disk.calls() == 1); // open: no read
  }

  TEST_CASE("first: a large object is not verified before it streams, and is afterwards") {
    World world(kStreaming);
    REQUIRE(world.fixture.put(kKey, kContent));
    CHECK_FALSE(world.fixture.store().open(kKey).value()->verified);
    CHECK(world.fixture.get(kKey).value() == kContent);
    CHECK(world.fixture.store().open(kKey).value()->verified);
  }

  TEST_CASE("verified_body: never gives the last piece of a bad object, wherever the bad byte is") {
    for (const std::size_t at : {std::size_t{0}, kContent.size() / 2, kContent.size() - 1}) {
      CAPTURE(at);
      World world(kStreaming);
      REQUIRE(world.fixture.put(kKey, kContent));
      world.disk.overwrite(world.fixture.blob_path(kKey), flipped(at));
      const auto object = world.fixture.store().open(kKey).value();
      REQUIRE(object);
      const auto body = world.fixture.store().verified_body(kKey, *object);
      std::size_t received = 0;
      std::string buffer(1000, '\0');
      auto count = body->read(std::as_writable_bytes(std::span(buffer)));
      while (count && *count > 0) {
        received += *count;
        count = body->read(std::as_writable_bytes(std::span(buffer)));
      }
      REQUIRE_FALSE(count);
      CHECK(count.error().code == Errc::corrupt);
      CHECK(received < kContent.size());
      CHECK_FALSE(world.fixture.get(kKey).value());
      CHECK(world.fixture.corrupt_objects() == 1);
    }
  }

  TEST_CASE("verify: tells a good large object from a bad one") {
    World world(kStreaming);
    REQUIRE(world.fixture.put(kKey, kContent));
    auto object = world.fixture.store().open(kKey).value();
    CHECK(world.fixture.store().verify(kKey, *object).value());
    CHECK(object->verified);
    world.disk.overwrite(world.fixture.blob_path(kKey), flipped(7));
    object = world.fixture.store().open(kKey).value();
    CHECK_FALSE(world.fixture.store().verify(kKey, *object).value());
    CHECK_FALSE(world.fixture.get(kKey).value());
  }

  TEST_CASE("always: every read is hashed") {
    World world({.verify_reads = VerifyReads::always, .verify_ahead_max = 1000});
    REQUIRE(world.fixture.put(kKey, kContent));
    REQUIRE(world.fixture.get(kKey).value() == kContent);
    CHECK_FALSE(world.fixture.store().open(kKey).value()->verified);
  }

  TEST_CASE("never: bytes are served as they are") {
    World world({.verify_reads = VerifyReads::never});
    REQUIRE(world.fixture.put(kKey, kContent));
    world.disk.overwrite(world.fixture.blob_path(kKey), flipped(7));
    CHECK(world.fixture.get(kKey).value() == flipped(7));
  }

  TEST_CASE("a sidecar of another key does not vouch for a blob") {
    World world;
    const Key other = make_key('b');
    REQUIRE(world.fixture.put(kKey, "content"));
    REQUIRE(world.fixture.put(other, "content"));
    world.disk.overwrite(world.fixture.sidecar_path(other),
                         world.disk.files("/cache").at(world.fixture.sidecar_path(kKey)));
    world.disk.restart_process();
    StoreFixture again(world.disk, "/cache");
    REQUIRE(again.start());
    CHECK_FALSE(again.get(other).value());
    CHECK(again.get(kKey).value() == "content");
  }

  TEST_CASE("a file that is kept open is not opened again, and only as long as nothing changed") {
    World world;
    REQUIRE(world.fixture.put(kKey, kContent));
    REQUIRE(world.fixture.get(kKey)); // verified
    REQUIRE(world.fixture.get(kKey)); // kept open
    world.disk.fail_call(std::nullopt);
    const auto first = world.fixture.store().open(kKey).value();
    const auto second = world.fixture.store().open(kKey).value();
    CHECK(world.disk.calls() == 2); // stat
    CHECK(first->file == second->file);

    SUBCASE("rot is found") {
      world.disk.overwrite(world.fixture.blob_path(kKey), flipped(5));
      CHECK_FALSE(world.fixture.get(kKey).value());
      CHECK(world.fixture.corrupt_objects() == 1);
    }
    SUBCASE("a removed object is a miss at once, and its file is closed") {
      REQUIRE(world.disk.remove(world.fixture.blob_path(kKey)));
      CHECK_FALSE(world.fixture.get(kKey).value());
      CHECK(first->file.use_count() == 2); // ours
    }
    SUBCASE("a successor is what is read") {
      REQUIRE(world.disk.remove(world.fixture.blob_path(kKey)));
      REQUIRE(world.fixture.put(kKey, "other"));
      CHECK(world.fixture.get(kKey).value() == "other");
    }
  }

  TEST_CASE("the bytes of a small file are kept, and only as long as nothing changed") {
    World world;
    REQUIRE(world.fixture.put(kKey, "content"));
    for (int i = 0; i < 3; ++i) {
      REQUIRE(world.fixture.get(kKey).value() == "content");
    }
    world.disk.fail_call(std::nullopt);
    CHECK(world.fixture.get(kKey).value() == "content");
    CHECK(world.disk.calls() == 1); // stat

    world.disk.overwrite(world.fixture.blob_path(kKey), "cOntent");
    CHECK_FALSE(world.fixture.get(kKey).value());
    CHECK(world.fixture.corrupt_objects() == 1);
  }

  TEST_CASE("always: a file that is kept open is hashed at every read all the same") {
    World world({.verify_reads = VerifyReads::always});
    REQUIRE(world.fixture.put(kKey, kContent));
    for (int i = 0; i < 3; ++i) {
      world.disk.fail_call(std::nullopt);
      CHECK(world.fixture.get(kKey).value() == kContent);
      CHECK(world.disk.calls() > 2);
    }
  }

  TEST_CASE("an empty object is verified too") {
    World world;
    REQUIRE(world.fixture.put(kKey, ""));
    CHECK(world.fixture.get(kKey).value() == "");
    CHECK(world.fixture.corrupt_objects() == 0);
  }
}

TEST_SUITE("store::ContentStore limits") {
  TEST_CASE("entry cache: forgetting is harmless") {
    World world({.entry_cache_max = 0, .open_files_max = 0});
    REQUIRE(world.fixture.put(kKey, kContent));
    CHECK(world.fixture.get(kKey).value() == kContent);
    CHECK(world.fixture.get(kKey).value() == kContent);
  }
}
