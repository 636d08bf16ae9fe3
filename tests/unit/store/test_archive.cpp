#include "support/fake_clock.hpp"
#include "support/fault_file_system.hpp"
#include "support/spaces_fixture.hpp"

#include "pkc/ops/log.hpp"
#include "pkc/store/archive.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <optional>
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

  TEST_CASE("remove: the record goes, and its contents with it, earlier ones too") {
    World world;
    const Sha256 first = world.store("one");
    REQUIRE(world.archive.publish(make_source(first, 3)));
    const Sha256 second = world.store("two");
    REQUIRE(world.archive.publish(make_source(second, 3)));
    const Sha256 stranger = world.store("of nobody");

    CHECK(world.archive.remove(Archive::key_of(kUrl)).value());

    CHECK_FALSE(world.archive.get(Archive::key_of(kUrl)).value());
    CHECK_FALSE(world.fixture.get(first).value());
    CHECK_FALSE(world.fixture.get(second).value());
    CHECK(world.fixture.get(stranger).value() == "of nobody");
    CHECK_FALSE(world.archive.remove(Archive::key_of(kUrl)).value());
  }

  TEST_CASE("remove: what another record names stays, whether it has it now or had it once") {
    World world;
    const Sha256 shared = world.store("shared");
    const Sha256 own = world.store("own");
    ArchivedSource other = make_source(shared, 6);
    other.source_url = "https://example.org/other";
    REQUIRE(world.archive.publish(other));
    REQUIRE(world.archive.publish(make_source(shared, 6)));
    REQUIRE(world.archive.publish(make_source(own, 3))); // `shared` is an earlier one of kUrl

    CHECK(world.archive.remove(Archive::key_of(other.source_url)).value());
    CHECK(world.fixture.get(shared).value() == "shared");

    CHECK(world.archive.remove(Archive::key_of(kUrl)).value());
    CHECK_FALSE(world.fixture.get(shared).value());
    CHECK_FALSE(world.fixture.get(own).value());
  }

  TEST_CASE("remove: a damaged record goes as well; with too many records contents stay") {
    World world;
    const Sha256 content = world.store("one");
    REQUIRE(world.archive.publish(make_source(content, 3)));
    const auto damaged = Archive::key_of("https://example.org/damaged");
    REQUIRE(world.fixture.records().put(damaged, "{"));
    CHECK(world.archive.remove(damaged).value());
    CHECK_FALSE(world.fixture.records().get(damaged).value());

    for (std::size_t n = 0; n < Archive::kRecordsAsked; ++n) {
      REQUIRE(world.fixture.records().put(Archive::key_of(std::to_string(n)), "{}"));
    }
    CHECK(world.archive.remove(Archive::key_of(kUrl)).value());
    CHECK_FALSE(world.archive.get(Archive::key_of(kUrl)).value());
    CHECK(world.fixture.get(content).value() == "one");
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
