#include "support/counting_file_system.hpp"
#include "support/fault_file_system.hpp"
#include "support/spaces_fixture.hpp"
#include "support/store_fixture.hpp"
#include "support/temp_dir.hpp"

#include "pkc/store/content_addressed_store.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

using pkc::as_bytes;
using pkc::ByteCount;
using pkc::Errc;
using pkc::kKiB;
using pkc::kMiB;
using pkc::Sha256;
using pkc::sha256;
using pkc::store::CommitOutcome;
using pkc::store::disk_size_of;
using pkc::store::GrowingContent;
using pkc::test::FaultFileSystem;
using pkc::test::read_growing;
using pkc::test::SpacesFixture;
using pkc::test::SpacesOptions;

namespace {

constexpr std::size_t kLargest = 2 * kMiB + 150'000;

const std::string& noise() {
  static const std::string text = [] {
    std::mt19937_64 random(11);
    std::string made(kLargest, '\0');
    std::ranges::generate(made, [&] { return static_cast<char>(random()); });
    return made;
  }();
  return text;
}

const std::string& prose() {
  static const std::string text = [] {
    std::string made;
    for (std::size_t i = 0; made.size() < kLargest; ++i) {
      made += "step " + std::to_string(i * i) + " is done\n";
    }
    made.resize(kLargest);
    return made;
  }();
  return text;
}

/// A frame of noise, one of text, and the rest noise.
const std::string& both() {
  static const std::string text =
      noise().substr(0, kMiB) + prose().substr(0, kMiB) + noise().substr(2 * kMiB);
  return text;
}

/// Text, noise, and text again: what is spooled is not all in one piece.
const std::string& alternating() {
  static const std::string text =
      prose().substr(0, kMiB) + noise().substr(0, kMiB) + prose().substr(kMiB, 150'000);
  return text;
}

Sha256 digest_of(std::string_view content) {
  return sha256(as_bytes(content));
}

SpacesOptions with_limit(ByteCount size_max) {
  SpacesOptions options;
  options.limits.size_max = size_max;
  options.limits.patience = std::chrono::milliseconds(0);
  return options;
}

/// Verified while they stream.
SpacesOptions streaming() {
  SpacesOptions options;
  options.verify_ahead_max = 100;
  return options;
}

struct World {
  explicit World(SpacesOptions options = {}) : fixture(disk, "/cache", std::move(options)) {
    REQUIRE(fixture.start());
  }
  FaultFileSystem disk;
  SpacesFixture fixture;
};

} // namespace

TEST_SUITE("store::ContentAddressedStore") {
  TEST_CASE("commit: content comes back whole, as it is and as zstd, with its facts") {
    for (const std::string& content : {std::string(),
                                       std::string("x"),
                                       noise(),
                                       prose(),
                                       both(),
                                       noise().substr(0, 128 * kKiB)}) {
      CAPTURE(content.size());
      World world;
      CHECK_FALSE(world.fixture.get(digest_of(content)).value());
      REQUIRE(world.fixture.put(content).value() == CommitOutcome::stored);

      const auto object = world.fixture.cas().open(digest_of(content)).value();
      REQUIRE(object);
      CHECK(object->digest() == digest_of(content));
      CHECK(object->size() == content.size());
      CHECK(object->content_type() == "text/plain");
      CHECK(object->stored_at());
      CHECK(object->verified());
      CHECK((world.fixture.get(digest_of(content)).value() == content));
      const std::string stored = world.fixture.get_stored(digest_of(content)).value().value();
      CHECK(stored.size() == object->stored().sidecar->size);
      CHECK(digest_of(stored) == object->stored().sidecar->hash);
      CHECK(world.disk.files("/cache/tmp").empty());
    }
  }

  TEST_CASE("commit: the same content is stored once, and the first facts stay") {
    World world;
    REQUIRE(world.fixture.put(prose()).value() == CommitOutcome::stored);
    const auto writer = world.fixture.cas().put(prose().size()).value();
    REQUIRE(writer->write(as_bytes(prose())));
    const auto commit = writer->commit({.content_type = "text/html", .created_at = 1}).value();
    CHECK(commit.outcome == CommitOutcome::exists);
    CHECK(commit.digest == digest_of(prose()));
    CHECK(world.fixture.cas().open(digest_of(prose())).value()->content_type() == "text/plain");
    CHECK(world.disk.files("/cache/cas").size() == 2);
  }

  TEST_CASE("commit: works after finish, which tells the digest before") {
    World world;
    const auto writer = world.fixture.cas().put().value();
    REQUIRE(writer->write(as_bytes(prose())));
    CHECK(writer->finish().value() == digest_of(prose()));
    CHECK_FALSE(world.fixture.get(digest_of(prose())).value());
    CHECK(writer->finish().value() == digest_of(prose()));
    REQUIRE(writer->commit({}));
    CHECK((world.fixture.get(digest_of(prose())).value() == prose()));
    CHECK(world.fixture.cas().open(digest_of(prose())).value()->content_type().empty());
  }

  TEST_CASE("commit: a content type that cannot be kept is refused, and can be given again") {
    World world;
    const auto writer = world.fixture.cas().put().value();
    REQUIRE(writer->write(as_bytes("content")));
    for (const std::string& type : {std::string("a\r\nb"), std::string(256, 'x')}) {
      const auto refused = writer->commit({.content_type = type});
      REQUIRE_FALSE(refused);
      CHECK(refused.error().code == Errc::invalid_argument);
    }
    CHECK(writer->commit({.content_type = std::string(255, 'x')}));
  }

  TEST_CASE("writer: without commit nothing stays, neither on the disk nor in the room") {
    for (const std::string& content : {noise(), prose(), both()}) {
      World world(with_limit(100 * kMiB));
      {
        const auto writer = world.fixture.cas().put().value();
        const auto growing = writer->growing();
        REQUIRE(writer->write(as_bytes(content)));
        CHECK(world.fixture.room().taken() > kMiB);
      }
      CHECK(world.disk.files("/cache/cas").empty());
      CHECK(world.disk.files("/cache/tmp").empty());
      CHECK(world.fixture.room().taken() == 0);
    }
  }

  TEST_CASE("writer: after a failure nothing can be committed") {
    World world(with_limit(300 * kKiB));
    const auto writer = world.fixture.cas().put().value();
    const auto written = writer->write(as_bytes(noise()));
    REQUIRE_FALSE(written);
    CHECK(written.error().code == Errc::no_space);
    CHECK(writer->commit({}).error().code == Errc::no_space);
    CHECK(world.disk.files("/cache/cas").empty());
  }

  TEST_CASE("put: content that is known to be too large is refused at once") {
    World world(with_limit(kMiB));
    CHECK(world.fixture.cas().put(kMiB));
    CHECK(world.fixture.cas().put(kMiB + 1).error().code == Errc::no_space);
    SpacesOptions options;
    options.limits.space_size_max["cas"] = kMiB;
    World other(options);
    CHECK(other.fixture.cas().put(kMiB + 1).error().code == Errc::no_space);
  }

  TEST_CASE("room: an object takes what its files take, and gives it back") {
    World world(with_limit(100 * kMiB));
    REQUIRE(world.fixture.put(prose()).value() == CommitOutcome::stored);
    const ByteCount stored =
        world.fixture.cas().open(digest_of(prose())).value()->stored().sidecar->size;
    CHECK(stored < prose().size() / 2);
    CHECK(world.fixture.room().taken("cas") == disk_size_of(stored));
    CHECK(world.fixture.cas().remove(digest_of(prose())).value());
    CHECK(world.fixture.room().taken() == 0);
    CHECK_FALSE(world.fixture.cas().remove(digest_of(prose())).value());
    CHECK_FALSE(world.fixture.get(digest_of(prose())).value());
  }

  TEST_CASE("room: at no moment do the files take more than what was taken for them") {
    for (const std::string& content : {noise(), prose(), both()}) {
      FaultFileSystem disk;
      pkc::test::CountingFileSystem counted(disk);
      SpacesFixture fixture(counted, "/cache", with_limit(100 * kMiB));
      REQUIRE(fixture.start());
      const auto writer = fixture.cas().put().value();
      const auto growing = writer->growing();
      for (std::size_t at = 0; at < content.size(); at += 50'000) {
        REQUIRE(writer->write(as_bytes(std::string_view(content).substr(at, 50'000))));
        CHECK(counted.now() <= fixture.room().taken());
      }
      // What readers have no name for is not counted by the disk above.
      if (content == prose()) {
        CHECK(fixture.room().taken() > content.size());
      }
      REQUIRE(writer->commit({}));
    }
  }

  TEST_CASE("growing: everything that was written can be read, but for the last 128 KiB") {
    for (const std::string& content : {noise(), prose(), both(), alternating()}) {
      World world;
      const auto writer = world.fixture.cas().put().value();
      const auto growing = writer->growing();
      for (std::size_t at = 0; at < content.size(); at += 30'000) {
        REQUIRE(writer->write(as_bytes(std::string_view(content).substr(at, 30'000))));
        CHECK(writer->size() - growing->size() <= 128 * kKiB);
        const std::string read = read_growing(*growing);
        REQUIRE((content.compare(0, read.size(), read) == 0));
      }
      REQUIRE(writer->finish());
      CHECK((read_growing(*growing) == content));
      REQUIRE(writer->commit({}));
      CHECK((read_growing(*growing) == content));
      CHECK((world.fixture.get(digest_of(content)).value() == content));
      for (const ByteCount offset : {ByteCount{1}, kMiB - 1, kMiB, 2 * kMiB + 1}) {
        const auto piece = growing->piece(offset);
        CHECK(piece.length >= 1);
        CHECK(piece.length <= content.size() - offset);
        std::array<std::byte, 1> byte{};
        REQUIRE(piece.file->read_at(piece.file_offset, byte).value() == 1);
        CHECK(std::to_integer<char>(byte[0]) == content[offset]);
      }
    }
  }

  TEST_CASE("growing: after a flush nothing is held back") {
    for (const std::string& content : {noise(), prose()}) {
      World world;
      const auto writer = world.fixture.cas().put().value();
      const auto growing = writer->growing();
      std::size_t at = 0;
      for (std::size_t size = 1; at < 300'000; size += 777) {
        REQUIRE(writer->write(as_bytes(std::string_view(content).substr(at, size))));
        at += size;
        REQUIRE(writer->flush());
        CHECK(growing->size() == at);
        REQUIRE((read_growing(*growing) == content.substr(0, at)));
      }
      REQUIRE(writer->commit({}));
      CHECK((world.fixture.get(digest_of(content.substr(0, at))).value() == content.substr(0, at)));
    }
  }

  TEST_CASE("growing: noise is read from the upload; only what is compressed is spooled") {
    World world(with_limit(100 * kMiB));
    const auto first = world.fixture.cas().put().value();
    const auto growing = first->growing();
    REQUIRE(first->write(as_bytes(noise())));
    CHECK(world.fixture.room().taken() < disk_size_of(noise().size()) + 8 * kKiB);
    const auto second = world.fixture.cas().put().value();
    const ByteCount before = world.fixture.room().taken();
    REQUIRE(second->write(as_bytes(prose()))); // nobody reads it meanwhile
    CHECK(world.fixture.room().taken() - before < prose().size() / 2);
  }

  TEST_CASE("growing: lives on after a failure, with its room, until its last holder has gone") {
    for (const std::string& content : {noise(), prose(), both()}) {
      World world(with_limit(100 * kMiB));
      std::shared_ptr<GrowingContent> growing;
      ByteCount size = 0;
      {
        const auto writer = world.fixture.cas().put().value();
        growing = writer->growing();
        REQUIRE(writer->write(as_bytes(content)));
        size = growing->size();
      }
      CHECK(growing->size() == size);
      CHECK((read_growing(*growing) == content.substr(0, size)));
      CHECK(world.disk.files("/cache/tmp").empty());
      CHECK(world.fixture.room().taken() >= size);
      auto piece = growing->piece(0);
      growing.reset();
      CHECK(world.fixture.room().taken() > 0);
      piece = {};
      CHECK(world.fixture.room().taken() == 0);
    }
  }

  TEST_CASE("growing: many read while one writes, on a real disk") {
    const pkc::test::TempDir directory;
    for (const std::string& content : {noise(), prose(), both(), alternating()}) {
      SpacesFixture fixture(pkc::posix_file_system(), directory / "cache");
      REQUIRE(fixture.start());
      auto writer = fixture.cas().put().value();
      const auto growing = writer->growing();
      std::atomic<bool> ended = false;
      std::vector<std::string> read(4);
      {
        std::vector<std::jthread> readers;
        for (std::string& text : read) {
          readers.emplace_back([&text, &ended, &growing, &content] {
            while (!ended || text.size() < content.size()) {
              if (text.size() == growing->size()) {
                std::this_thread::yield();
                continue;
              }
              const auto piece = growing->piece(text.size());
              std::string part(std::min<ByteCount>(piece.length, 50'000), '\0');
              const auto count =
                  piece.file->read_at(piece.file_offset, std::as_writable_bytes(std::span(part)));
              text += part.substr(0, count.value_or(0));
            }
          });
        }
        for (std::size_t at = 0; at < content.size(); at += 10'000) {
          REQUIRE(writer->write(as_bytes(std::string_view(content).substr(at, 10'000))));
        }
        REQUIRE(writer->commit({}));
        writer.reset();
        ended = true;
      }
      for (const std::string& text : read) {
        CHECK((text == content));
      }
    }
  }

  TEST_CASE("content: any part, once the object is verified") {
    World world(streaming());
    REQUIRE(world.fixture.put(both()).value() == CommitOutcome::stored);
    const auto object = world.fixture.cas().open(digest_of(both())).value();
    REQUIRE_FALSE(object->verified());
    REQUIRE(world.fixture.cas().verify(*object).value());
    REQUIRE(object->verified());
    for (const auto& [offset, length] :
         {std::pair<ByteCount, ByteCount>{0, 10}, {kMiB - 5, 10}, {2 * kMiB - 1, 1'000}, {7, 0}}) {
      CAPTURE(offset);
      const auto part = object->content(offset, length).value();
      CHECK(pkc::test::read_all(*part).value() == both().substr(offset, length));
    }
    CHECK(object->raw_piece(0).value());
    CHECK_FALSE(object->raw_piece(kMiB + 1).value());
    CHECK(world.fixture.cas().open(digest_of(both())).value()->verified());
  }

  TEST_CASE("verified_content: whoever reads it to the end verifies the object") {
    World world(streaming());
    REQUIRE(world.fixture.put(both()).value() == CommitOutcome::stored);
    const auto object = world.fixture.cas().open(digest_of(both())).value();
    const auto source = world.fixture.cas().verified_content(*object);
    CHECK((pkc::test::read_all(*source).value() == both()));
    CHECK(world.fixture.cas().open(digest_of(both())).value()->verified());
  }

  TEST_CASE("scrub: tells good from bad, and from nothing") {
    World world;
    const auto go_on = [](std::size_t) { return true; };
    const Sha256 digest = digest_of(prose());
    CHECK(world.fixture.cas().scrub(digest, go_on).value() == pkc::store::Scrubbed::missing);
    REQUIRE(world.fixture.put(prose()).value() == CommitOutcome::stored);
    CHECK(world.fixture.cas().scrub(digest, go_on).value() == pkc::store::Scrubbed::good);
    std::string bytes = world.disk.files("/cache/cas").at(world.fixture.blob_path(digest));
    bytes[100] = static_cast<char>(bytes[100] ^ 1);
    world.disk.overwrite(world.fixture.blob_path(digest), bytes);
    CHECK(world.fixture.cas().scrub(digest, go_on).value() == pkc::store::Scrubbed::bad);
    CHECK_FALSE(world.fixture.get(digest).value());
    CHECK(world.disk.files("/cache/quarantine")
              .contains("/cache/quarantine/cas-" + digest.hex() + ".1.zst"));
  }

  TEST_CASE("open: an object that does not tell its content, or another's, is a miss and heals") {
    for (const bool other : {false, true}) {
      CAPTURE(other);
      World world;
      REQUIRE(world.fixture.put(prose()).value() == CommitOutcome::stored);
      const std::string path = world.fixture.sidecar_path(digest_of(prose()));
      std::string sidecar = world.disk.files("/cache/cas").at(path);
      const std::size_t at = sidecar.find("\"content_hash\":\"") + 16;
      REQUIRE(at > 16);
      sidecar.replace(at, other ? 64 : 63, std::string(other ? 64 : 63, 'a'));
      if (!other) {
        sidecar.replace(sidecar.find("zstd-seekable"), 4, "abcd");
      }
      world.disk.overwrite(path, sidecar);
      SpacesFixture again(world.disk, "/cache");
      world.disk.restart_process();
      REQUIRE(again.start());
      CHECK_FALSE(again.get(digest_of(prose())).value());
      CHECK(again.put(prose()).value() == CommitOutcome::stored);
      CHECK((again.get(digest_of(prose())).value() == prose()));
    }
  }
}

namespace {

/// A region of a stored file.
struct Region {
  std::string_view name;
  std::size_t (*place)(const std::string& stored) = nullptr;
};

constexpr std::array kRegions{
    Region{"header of a frame", [](const std::string&) { return std::size_t{4}; }},
    Region{"magic", [](const std::string&) { return std::size_t{0}; }},
    Region{"header of a block", [](const std::string&) { return std::size_t{7}; }},
    Region{"first block", [](const std::string&) { return std::size_t{500}; }},
    Region{"middle", [](const std::string& stored) { return stored.size() / 2; }},
    Region{"last block", [](const std::string& stored) { return stored.size() - 60; }},
    Region{"magic of the table",
           [](const std::string& stored) { return stored.size() - (8 + 17); }},
    Region{"entry of the table", [](const std::string& stored) { return stored.size() - 9 - 12; }},
    Region{"footer", [](const std::string& stored) { return stored.size() - 1; }},
};

} // namespace

TEST_SUITE("store::ContentAddressedStore damage") {
  TEST_CASE("a flipped byte anywhere is a miss or a broken transfer, quarantined, and heals") {
    for (const std::string& content : {noise().substr(0, 200'000),
                                       prose().substr(0, 200'000),
                                       both().substr(0, kMiB + 50'000)}) {
      for (const Region& region : kRegions) {
        for (const SpacesOptions& options : {SpacesOptions{}, streaming()}) {
          for (const bool as_zstd : {false, true}) {
            CAPTURE(region.name);
            CAPTURE(options.verify_ahead_max);
            CAPTURE(as_zstd);
            World world(options);
            const Sha256 digest = digest_of(content);
            REQUIRE(world.fixture.put(content).value() == CommitOutcome::stored);
            const std::string path = world.fixture.blob_path(digest);
            std::string stored = world.disk.files("/cache/cas").at(path);
            const std::size_t at = region.place(stored);
            stored[at] = static_cast<char>(stored[at] ^ 0x10);
            world.disk.overwrite(path, stored);

            const auto got = as_zstd ? world.fixture.get_stored(digest) : world.fixture.get(digest);

            CHECK((got ? !*got : got.error().code == Errc::corrupt));
            CHECK(world.fixture.corrupt_objects() == 1);
            CHECK(world.disk.files("/cache/cas").empty());
            CHECK(world.disk.files("/cache/quarantine").size() == 3);
            CHECK_FALSE(world.fixture.get(digest).value());
            REQUIRE(world.fixture.put(content).value() == CommitOutcome::stored);
            CHECK((world.fixture.get(digest).value() == content));
          }
        }
      }
    }
  }

  TEST_CASE("verified_content: never gives the last piece of what is wrong") {
    for (const std::string& content : {noise(), prose(), both()}) {
      World world(streaming());
      const Sha256 digest = digest_of(content);
      REQUIRE(world.fixture.put(content).value() == CommitOutcome::stored);
      const std::string path = world.fixture.blob_path(digest);
      std::string stored = world.disk.files("/cache/cas").at(path);
      stored[stored.size() - 1] = static_cast<char>(stored.back() ^ 1); // content decodes well
      world.disk.overwrite(path, stored);

      const auto object = world.fixture.cas().open(digest).value();
      const auto source = world.fixture.cas().verified_content(*object);
      std::array<std::byte, 50'000> buffer{};
      ByteCount given = 0;
      auto count = source->read(buffer);
      for (; count && *count > 0; count = source->read(buffer)) {
        given += *count;
      }

      REQUIRE_FALSE(count);
      CHECK(count.error().code == Errc::corrupt);
      CHECK(given < content.size());
      CHECK(world.disk.files("/cache/cas").empty());
    }
  }

  TEST_CASE("a damaged sidecar is a miss and heals") {
    World world;
    const std::string content = prose().substr(0, 5'000) + noise().substr(0, 5'000);
    const Sha256 digest = digest_of(content);
    REQUIRE(world.fixture.put(content).value() == CommitOutcome::stored);
    const std::string path = world.fixture.sidecar_path(digest);
    const std::string whole = world.disk.files("/cache/cas").at(path);
    for (std::size_t at = 0; at < whole.size(); ++at) {
      CAPTURE(at);
      std::string sidecar = whole;
      sidecar[at] = static_cast<char>(sidecar[at] ^ 2);
      world.disk.overwrite(path, sidecar);
      world.disk.restart_process();
      SpacesFixture again(world.disk, "/cache");
      REQUIRE(again.start());
      const auto got = again.get(digest);
      REQUIRE(((got && !*got) || (got && **got == content)));
      REQUIRE(again.put(content));
      REQUIRE((again.get(digest).value() == content));
    }
  }
}
