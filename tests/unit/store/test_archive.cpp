#include "support/fake_clock.hpp"
#include "support/fault_file_system.hpp"
#include "support/spaces_fixture.hpp"

#include "pkc/ops/log.hpp"
#include "pkc/store/archive.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

using pkc::as_bytes;
using pkc::Checksum;
using pkc::ChecksumAlgorithm;
using pkc::Errc;
using pkc::Sha256;
using pkc::sha256;
using pkc::WallTime;
using pkc::store::Archive;
using pkc::store::ArchivedSource;
using pkc::store::format_source;
using pkc::store::kPreviousContentsMax;
using pkc::store::parse_source;
using pkc::test::FakeClock;
using pkc::test::FaultFileSystem;
using pkc::test::SpacesFixture;
using std::chrono::seconds;

namespace {

const std::string kUrl = "https://example.org/a.tar.gz?x=1";

ArchivedSource make_source(const Sha256& content, std::uint64_t size) {
  ArchivedSource source;
  source.source_url = kUrl;
  source.content = content;
  source.size = size;
  source.content_type = "application/gzip";
  source.etag = "\"v1\"";
  return source;
}

struct World {
  Sha256 store(const std::string& content) {
    REQUIRE(fixture.put(content));
    return sha256(as_bytes(content));
  }

  FaultFileSystem disk;
  SpacesFixture fixture{disk, "/cache"};
  [[nodiscard]] SpacesFixture& started() {
    REQUIRE(fixture.start());
    return fixture;
  }

  FakeClock clock;
  std::unique_ptr<pkc::ops::Log> log =
      pkc::ops::make_stderr_log({.level = pkc::ops::LogLevel::error});
  Archive archive{
      {.records = started().records(), .contents = fixture.cas(), .clock = clock, .log = *log}};
};

} // namespace

TEST_SUITE("store::ArchivedSource") {
  TEST_CASE("format_source, parse_source: everything comes back") {
    ArchivedSource source = make_source(sha256(as_bytes("content")), 7);
    source.content_encoding = "gzip";
    source.last_modified = "Sun, 06 Nov 1994 08:49:37 GMT";
    source.first_cached_at = WallTime(seconds(1));
    source.fetched_at = WallTime(seconds(2));
    source.checked_at = WallTime(seconds(3));
    source.changed_at = WallTime(seconds(4));
    source.checksums = {{ChecksumAlgorithm::md5, std::string(32, 'a')},
                        {ChecksumAlgorithm::sha512, std::string(128, 'b')}};
    source.previous = {std::string(64, 'c'), std::string(64, 'd')};
    const std::string text = format_source(source).value();
    const ArchivedSource parsed = parse_source(text).value();
    CHECK(format_source(parsed) == text);
    CHECK(parsed.source_url == kUrl);
    CHECK(parsed.content == source.content);
    CHECK(parsed.size == 7);
    CHECK(parsed.content_type == "application/gzip");
    CHECK(parsed.content_encoding == "gzip");
    CHECK(parsed.etag == "\"v1\"");
    CHECK(parsed.last_modified == source.last_modified);
    CHECK(parsed.first_cached_at == source.first_cached_at);
    CHECK(parsed.fetched_at == source.fetched_at);
    CHECK(parsed.checked_at == source.checked_at);
    CHECK(parsed.changed_at == source.changed_at);
    CHECK(parsed.checksums == source.checksums);
    CHECK(parsed.previous == source.previous);
  }

  TEST_CASE("parse_source: members of later versions are ignored, anything else is corrupt") {
    const std::string hash(64, 'a');
    const std::string good = R"({"version":1,"source_url":"u","content_hash":")" + hash +
                             R"(","file_size":1,"first_cached_at":1,"fetched_at":1,"checked_at":1)";
    CHECK(parse_source(good + R"(,"later":[{}]})"));
    const std::vector<std::string> all = {
        std::string(),
        good,
        std::string("[]"),
        std::string("null"),
        good + R"(,"etag":5})",
        good + R"(,"changed_at":"x"})",
        good + R"(,"previous":["x"]})",
        good + R"(,"checksums":{"md5":"x"}})",
        R"({"version":2)" + good.substr(12) + '}',
        R"({"version":1,"source_url":"u","content_hash":"ab","file_size":1})",
        R"({"version":1,"content_hash":")" + hash + R"(","file_size":1})"};
    for (const std::string& bad : all) {
      CAPTURE(bad);
      const auto parsed = parse_source(bad);
      REQUIRE_FALSE(parsed);
      CHECK(parsed.error().code == Errc::corrupt);
    }
  }

  TEST_CASE("format_source: what no record can hold is refused, and strange bytes do no harm") {
    ArchivedSource source = make_source(Sha256{}, 1);
    source.etag = "\xff\xfe";
    CHECK(parse_source(format_source(source).value()));
    source.etag = std::string(pkc::store::kRecordSizeMax, 'x');
    CHECK_FALSE(format_source(source));
  }
}

TEST_SUITE("store::Archive") {
  TEST_CASE("publish: the URL has the content from then on") {
    World world;
    CHECK_FALSE(world.archive.find(kUrl).value());
    const Sha256 content = world.store("one");
    REQUIRE(world.archive.publish(make_source(content, 3)));
    const auto found = world.archive.find(kUrl).value();
    REQUIRE(found);
    CHECK(found->source.content == content);
    CHECK(found->content->digest() == content);
    CHECK(found->source.fetched_at == world.clock.wall_now());
    CHECK_FALSE(world.archive.find(kUrl + '2').value());
  }

  TEST_CASE("publish: content that is not there is not kept") {
    World world;
    const auto published = world.archive.publish(make_source(sha256(as_bytes("gone")), 4));
    REQUIRE_FALSE(published);
    CHECK(published.error().code == Errc::unavailable);
    CHECK_FALSE(world.archive.find(kUrl).value());
  }

  TEST_CASE("publish: other content takes its place, and the earlier is remembered") {
    World world;
    const Sha256 first = world.store("one");
    REQUIRE(world.archive.publish(make_source(first, 3)));
    const WallTime begun = world.clock.wall_now();
    world.clock.advance(seconds(10));
    const Sha256 second = world.store("two");
    REQUIRE(world.archive.publish(make_source(second, 3)));
    auto found = world.archive.find(kUrl).value();
    CHECK(found->source.content == second);
    CHECK(found->source.first_cached_at == begun);
    CHECK(found->source.fetched_at == begun + seconds(10));
    CHECK(found->source.previous == std::vector{first.hex()});
    REQUIRE(world.archive.publish(make_source(first, 3)));
    found = world.archive.find(kUrl).value();
    CHECK(found->source.previous == std::vector{second.hex()});
    CHECK(world.fixture.get(second).value() == "two"); // archived bytes stay
    for (std::size_t i = 0; i < 2 * kPreviousContentsMax; ++i) {
      REQUIRE(world.archive.publish(make_source(world.store(std::to_string(i)), 1)));
    }
    CHECK(world.archive.find(kUrl).value()->source.previous.size() == kPreviousContentsMax);
  }

  TEST_CASE("amend: only what has the content still is changed") {
    World world;
    const Sha256 content = world.store("one");
    const auto change = [](ArchivedSource& source) { source.etag = "\"v2\""; };
    REQUIRE(world.archive.amend(kUrl, content, change));
    CHECK_FALSE(world.archive.find(kUrl).value());
    REQUIRE(world.archive.publish(make_source(content, 3)));
    REQUIRE(world.archive.amend(kUrl, sha256(as_bytes("other")), change));
    CHECK(world.archive.find(kUrl).value()->source.etag == "\"v1\"");
    REQUIRE(world.archive.amend(kUrl, content, change));
    CHECK(world.archive.find(kUrl).value()->source.etag == "\"v2\"");
  }

  TEST_CASE("find: without content, or with a record that says something else, it is a miss") {
    World world;
    const Sha256 content = world.store("one");
    REQUIRE(world.archive.publish(make_source(content, 3)));
    REQUIRE(world.fixture.cas().remove(content).value());
    CHECK_FALSE(world.archive.find(kUrl).value());

    const std::string other = "https://example.org/other";
    world.store("one");
    REQUIRE(world.archive.find(kUrl).value());
    REQUIRE(world.fixture.records().put(Archive::key_of(other),
                                        format_source(make_source(content, 3)).value()));
    CHECK_FALSE(world.archive.find(other).value());
    REQUIRE(world.fixture.records().put(Archive::key_of(other), "{"));
    CHECK_FALSE(world.archive.find(other).value());
  }
}

namespace {

/// The same with books: what is in them is what other processes are told.
struct Listed : World {
  Archive archive{{.records = fixture.records(),
                   .contents = fixture.cas(),
                   .clock = clock,
                   .log = *log,
                   .index = &fixture.index()}};

  Listed() { complete(); }
  void complete() { REQUIRE(fixture.index().mark_complete(fixture.index().state()).value()); }

  Sha256 publish(const std::string& url, const std::string& content) {
    const Sha256 digest = store(content);
    ArchivedSource source = make_source(digest, content.size());
    source.source_url = url;
    REQUIRE(archive.publish(source));
    return digest;
  }
  bool remove(const std::string& url) { return archive.remove(Archive::key_of(url)).value(); }
  bool has(const Sha256& digest) { return fixture.get(digest).value().has_value(); }
  std::optional<pkc::index::SourceRow> row(const std::string& url) {
    return fixture.index().find_source("fetch", Archive::key_of(url).id()).value();
  }
  std::vector<std::string> undescribed() {
    return fixture.index().without_source("fetch", "", 10).value();
  }
};

} // namespace

TEST_SUITE("store::Archive with an index") {
  TEST_CASE("publish: the index has the row of the URL") {
    Listed world;
    const Sha256 digest = world.publish(kUrl, "content");
    const auto row = world.row(kUrl);
    REQUIRE(row);
    CHECK(row->source.source_url == kUrl);
    CHECK(row->source.content_hash == digest.hex());
    CHECK("/cache/" + row->source.storage_path == world.fixture.blob_path(digest));
    CHECK(row->source.file_size == 7);
    CHECK(row->source.content_type == "application/gzip");
    CHECK(row->source.first_cached_at == world.clock.wall_now());
  }

  TEST_CASE("find: is a use of the record, and nothing else is") {
    Listed world;
    const Sha256 digest = world.publish(kUrl, "content");
    CHECK(world.archive.get(Archive::key_of(kUrl)).value());
    CHECK(world.row(kUrl)->access_count == 0);
    CHECK(world.archive.find(kUrl).value());
    CHECK(world.archive.find(kUrl).value());
    CHECK(world.row(kUrl)->access_count == 2);
    CHECK(world.archive.find("https://example.org/other").value() == std::nullopt);
    REQUIRE(world.archive.amend(kUrl, digest, [](ArchivedSource& source) { source.etag = "e"; }));
    CHECK(world.row(kUrl)->access_count == 2);
  }

  TEST_CASE("changes: every change of a record shows, and nothing else does") {
    World world;
    const Sha256 digest = world.store("content");
    std::uint64_t before = world.archive.changes();
    const auto changed = [&] {
      return std::exchange(before, world.archive.changes()) != world.archive.changes();
    };
    REQUIRE(world.archive.publish(make_source(digest, 7)));
    CHECK(changed());
    REQUIRE(world.archive.find(kUrl).value());
    CHECK_FALSE(changed());
    REQUIRE(world.archive.amend(kUrl, digest, [](auto& source) { source.etag = "new"; }));
    CHECK(changed());
    REQUIRE(world.archive.remove(Archive::key_of(kUrl)).value());
    CHECK(changed());
  }

  TEST_CASE("note_use: counts as a find()") {
    World world;
    REQUIRE(world.archive.publish(make_source(world.store("content"), 7)));
    const std::uint64_t before = world.fixture.reads("fetch");
    world.archive.note_use(Archive::key_of(kUrl));
    CHECK(world.fixture.reads("fetch") == before + 1);
  }

  TEST_CASE("remove: record and content go, and so does the row") {
    Listed world;
    const Sha256 digest = world.publish(kUrl, "content");
    CHECK(world.remove(kUrl));
    CHECK_FALSE(world.archive.find(kUrl).value());
    CHECK_FALSE(world.has(digest));
    CHECK_FALSE(world.row(kUrl));
    CHECK_FALSE(world.remove(kUrl));
  }

  TEST_CASE("remove: content that another URL has stays until that goes, too") {
    Listed world;
    const Sha256 digest = world.publish(kUrl, "content");
    world.publish("https://example.org/b", "content");
    CHECK(world.remove(kUrl));
    CHECK(world.archive.find("https://example.org/b").value());
    CHECK(world.remove("https://example.org/b"));
    CHECK_FALSE(world.has(digest));
  }

  TEST_CASE("remove: earlier contents go, but not one that another URL has now") {
    Listed world;
    const Sha256 shared = world.publish("https://example.org/b", "shared");
    const Sha256 first = world.publish(kUrl, "first");
    world.publish(kUrl, "shared");
    const Sha256 last = world.publish(kUrl, "last");
    CHECK(world.remove(kUrl));
    CHECK_FALSE(world.has(first));
    CHECK_FALSE(world.has(last));
    CHECK(world.has(shared));
  }

  TEST_CASE("remove: content stays while nobody can tell who has it") {
    Listed world;
    const Sha256 digest = world.publish(kUrl, "content");
    REQUIRE(world.fixture.index().mark_incomplete(world.clock.wall_now_ms()));
    CHECK(world.remove(kUrl));
    CHECK(world.has(digest));

    world.complete();
    world.publish(kUrl, "content");
    world.publish("https://example.org/b", "other");
    // As if the process had died before it could say what the record is of.
    const std::string key = Archive::key_of("https://example.org/b").id();
    world.fixture.index().note_stored("fetch", key, 1, 1);
    CHECK(world.remove(kUrl));
    CHECK(world.has(digest));
  }

  TEST_CASE("remove: pinned content stays") {
    Listed world;
    const Sha256 digest = world.publish(kUrl, "content");
    REQUIRE(world.fixture.index().set_pinned("cas", digest.hex(), pkc::index::Pinned::yes).value());
    CHECK(world.remove(kUrl));
    CHECK(world.has(digest));
  }

  TEST_CASE("remove: a file that is being read is read to its end") {
    Listed world;
    world.publish(kUrl, "content");
    const auto found = world.archive.find(kUrl).value();
    CHECK(world.remove(kUrl));
    const auto source = found->content->content(0, 7).value();
    std::string text(7, ' ');
    CHECK(source->read(std::as_writable_bytes(std::span(text))).value() == 7);
    CHECK(text == "content");
  }

  TEST_CASE("publish: of content that a removal has just taken away, it has to come again") {
    Listed world;
    const Sha256 digest = world.publish(kUrl, "content");
    CHECK(world.remove(kUrl));
    const auto published = world.archive.publish(make_source(digest, 7));
    REQUIRE_FALSE(published);
    CHECK(published.error().code == Errc::unavailable);
    CHECK_FALSE(world.archive.find(kUrl).value());
  }

  TEST_CASE("describe: an index that knows the objects only learns what they are records of") {
    Listed world;
    const auto digest = world.publish(kUrl, "content");
    world.publish("https://example.org/b", "other");
    for (const std::string& url : {kUrl, std::string("https://example.org/b")}) {
      world.fixture.index().note_found({.space = "fetch",
                                        .key = Archive::key_of(url).id(),
                                        .size = 1,
                                        .disk_size = 1,
                                        .stored_at = world.clock.wall_now_ms()});
    }
    REQUIRE(world.undescribed().size() == 2);
    // Of an object whose file is gone, nothing can be said, and it is in nobody's way.
    world.fixture.index().note_stored("fetch", std::string(64, '0'), 1, 1);

    CHECK(world.archive.describe().value());

    CHECK(world.undescribed() == std::vector<std::string>{std::string(64, '0')});
    CHECK(world.row(kUrl)->source.content_hash == digest.hex());
    CHECK(world.row("https://example.org/b")->source.source_url == "https://example.org/b");
  }
}
