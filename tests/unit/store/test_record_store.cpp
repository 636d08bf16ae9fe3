#include "support/fault_file_system.hpp"
#include "support/spaces_fixture.hpp"
#include "support/store_fixture.hpp"

#include "pkc/base/zstd.hpp"
#include "pkc/store/record_store.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <map>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

using pkc::kKiB;
using pkc::kMiB;
using pkc::store::disk_size_of;
using pkc::store::Key;
using pkc::store::kRecordSizeMax;
using pkc::test::FaultFileSystem;
using pkc::test::make_key;
using pkc::test::SpacesFixture;
using pkc::test::SpacesOptions;

namespace {

const Key kKey = make_key('a');
const std::string kText = R"({"url":"https://example.org/a","content":"0123456789abcdef"})";

struct World {
  explicit World(const SpacesOptions& options = {}) : fixture(disk, "/cache", options) {
    REQUIRE(fixture.start());
  }
  /// As another process would see it that starts now.
  void restart() {
    disk.restart_process();
    again.emplace(disk, "/cache");
    REQUIRE(again->start());
  }
  FaultFileSystem disk;
  SpacesFixture fixture;
  std::optional<SpacesFixture> again;
};

std::map<std::string, std::string> all_of(pkc::store::RecordStore& records) {
  std::map<std::string, std::string> found;
  REQUIRE(records
              .for_each([&](const Key& key, std::string text) {
                CHECK((found.empty() || found.rbegin()->first < key.id()));
                found[key.id()] = std::move(text);
              })
              .value());
  return found;
}

} // namespace

TEST_SUITE("store::RecordStore") {
  TEST_CASE("put: the text comes back, whatever it is") {
    World world;
    CHECK_FALSE(world.fixture.records().get(kKey).value());
    std::string every;
    for (std::size_t i = 0; i < kRecordSizeMax; ++i) {
      every += static_cast<char>(i * i >> 3);
    }
    for (const std::string& text :
         {kText, std::string(), every, std::string(kRecordSizeMax, 'x')}) {
      CAPTURE(text.size());
      REQUIRE(world.fixture.records().put(kKey, text));
      CHECK((world.fixture.records().get(kKey).value() == text));
    }
    CHECK(world.disk.files("/cache/tmp").empty());
    CHECK(world.disk.files("/cache/fetch").size() == 2);
  }

  TEST_CASE("put: the new text is there after a restart, and the old one is nowhere") {
    World world;
    REQUIRE(world.fixture.records().put(kKey, "old"));
    REQUIRE(world.fixture.records().put(kKey, "new"));
    world.restart();
    CHECK(world.again->records().get(kKey).value() == "new");
  }

  TEST_CASE("put: on the disk lies valid zstd of the text") {
    World world;
    REQUIRE(world.fixture.records().put(kKey, kText));
    class Sink final : public pkc::ByteSink {
     public:
      pkc::Result<void> write(pkc::ByteSpan bytes) override {
        text += pkc::as_text(bytes);
        return {};
      }
      std::string text;
    } sink;
    pkc::ZstdContextPool pool;
    pkc::ZstdDecoder decoder(sink, pool, {});
    const auto files = world.disk.files("/cache/fetch");
    REQUIRE(decoder.write(pkc::as_bytes(files.at(world.fixture.record_path(kKey)))));
    REQUIRE(decoder.finish());
    CHECK(sink.text == kText);
  }

  TEST_CASE("put: room is taken once, however often a record is replaced") {
    SpacesOptions options;
    options.limits.size_max = kMiB;
    options.limits.patience = std::chrono::milliseconds(0);
    World world(options);
    for (int i = 0; i < 500; ++i) {
      REQUIRE(world.fixture.records().put(kKey, kText + std::to_string(i)));
    }
    CHECK(world.fixture.room().taken("fetch") == disk_size_of(1));
    CHECK(world.fixture.index().totals("fetch").value().objects == 1);
    CHECK(world.fixture.records().remove(kKey).value());
    CHECK(world.fixture.room().taken() == 0);
  }

  TEST_CASE("remove: tells whether there was one") {
    World world;
    CHECK_FALSE(world.fixture.records().remove(kKey).value());
    REQUIRE(world.fixture.records().put(kKey, kText));
    CHECK(world.fixture.records().remove(kKey).value());
    CHECK_FALSE(world.fixture.records().get(kKey).value());
  }

  TEST_CASE("get: a damaged record is none, goes to the quarantine and can be put again") {
    World world;
    REQUIRE(world.fixture.records().put(kKey, kText));
    const std::string path = world.fixture.record_path(kKey);
    const std::string stored = world.disk.files("/cache/fetch").at(path);
    for (std::size_t at = 0; at < stored.size(); ++at) {
      CAPTURE(at);
      std::string bytes = stored;
      bytes[at] = static_cast<char>(bytes[at] ^ 1);
      world.disk.overwrite(path, bytes);
      CHECK_FALSE(world.fixture.records().get(kKey).value());
      CHECK(world.disk.files("/cache/fetch").empty());
      CHECK(world.fixture.corrupt_objects() == at + 1);
      REQUIRE(world.fixture.records().put(kKey, kText));
    }
    CHECK(world.fixture.records().get(kKey).value() == kText);
  }

  TEST_CASE("get: a record is verified, however small the limit for that is") {
    SpacesOptions options;
    options.verify_ahead_max = 0;
    World world(options);
    REQUIRE(world.fixture.records().put(kKey, kText));
    CHECK(world.fixture.records().get(kKey).value() == kText);
    const std::string path = world.fixture.record_path(kKey);
    std::string bytes = world.disk.files("/cache/fetch").at(path);
    bytes[20] = static_cast<char>(bytes[20] ^ 1);
    world.disk.overwrite(path, bytes);
    CHECK_FALSE(world.fixture.records().get(kKey).value());
  }

  TEST_CASE("for_each: every whole record, in order, and it counts as nobody's read") {
    World world;
    std::map<std::string, std::string> expected;
    for (const char digit : {'f', '0', '7', 'a'}) {
      for (const std::string tail : {"1", "2"}) {
        const Key key = make_key(digit, tail);
        const std::string text = key.id() + " and more";
        REQUIRE(world.fixture.records().put(key, text));
        expected[key.id()] = text;
      }
    }
    const Key damaged = make_key('b');
    REQUIRE(world.fixture.records().put(damaged, kText));
    world.disk.overwrite(world.fixture.record_path(damaged), "x");
    const Key orphan = make_key('c');
    REQUIRE(world.fixture.records().put(orphan, kText));
    REQUIRE(world.disk.remove(world.fixture.record_path(orphan)).value());

    CHECK(all_of(world.fixture.records()) == expected);
    CHECK(world.fixture.reads("fetch") == 0);
    REQUIRE(world.fixture.records().get(make_key('f', "1")).value());
    CHECK(world.fixture.reads("fetch") == 1);
  }

  TEST_CASE("for_each: stops when it is told") {
    World world;
    REQUIRE(world.fixture.records().put(make_key('a'), kText));
    REQUIRE(world.fixture.records().put(make_key('b'), kText));
    std::stop_source stop;
    std::size_t seen = 0;
    CHECK_FALSE(world.fixture.records()
                    .for_each(
                        [&](const Key&, const std::string&) {
                          ++seen;
                          stop.request_stop();
                        },
                        stop.get_token())
                    .value());
    CHECK(seen == 1);
  }

  TEST_CASE("get and put: readers see one whole text or another while it is replaced") {
    World world;
    const std::vector<std::string> texts{
        std::string(100, 'a'), std::string(50'000, 'b'), std::string(100, 'c')};
    REQUIRE(world.fixture.records().put(kKey, texts[0]));
    std::atomic<std::size_t> wrong = 0;
    std::atomic<bool> ended = false;
    {
      std::vector<std::jthread> readers;
      for (int i = 0; i < 3; ++i) {
        readers.emplace_back([&] {
          while (!ended) {
            const auto text = world.fixture.records().get(kKey);
            const bool known = text && *text && std::ranges::find(texts, **text) != texts.end();
            wrong += known ? 0U : 1U;
          }
        });
      }
      for (std::size_t i = 0; i < 300; ++i) {
        REQUIRE(world.fixture.records().put(kKey, texts[i % texts.size()]));
      }
      ended = true;
    }
    CHECK(wrong == 0);
    CHECK(world.fixture.corrupt_objects() == 0);
  }
}
