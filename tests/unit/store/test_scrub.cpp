#include "support/fake_clock.hpp"
#include "support/fault_file_system.hpp"
#include "support/store_fixture.hpp"

#include "pkc/store/scrub.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

using namespace std::chrono_literals;
using pkc::store::Scrub;
using pkc::store::Scrubbed;
using pkc::store::ScrubState;
using pkc::test::make_key;

namespace {

const std::string kRoot = "/cache";

/// Four shards with an object each.
struct World {
  World() {
    REQUIRE(fixture.start());
    for (const char digit : {'a', 'b', 'c', 'd'}) {
      REQUIRE(fixture.put(make_key(digit), content_of(digit)));
    }
  }
  static std::string content_of(char digit) { return std::string(1000, digit); }

  /// As after a restart.
  std::unique_ptr<Scrub> make() {
    return std::make_unique<Scrub>(pkc::store::ScrubTarget{.file_system = disk,
                                                           .spaces = spaces(),
                                                           .clock = clock,
                                                           .log = pkc::ops::null_log(),
                                                           .metrics = metrics},
                                   pkc::store::ScrubOptions{.state_file = kRoot + "/scrub.json",
                                                            .temp_stem = kRoot + "/tmp/1-scrub",
                                                            .interval = 4h});
  }
  [[nodiscard]] std::vector<pkc::store::ScrubSpace> spaces() {
    std::vector<pkc::store::ScrubSpace> spaces = {{"polykit", fixture.backend(), fixture.store()}};
    if (second) {
      spaces.push_back({"cas", *second_backend, *second});
    }
    return spaces;
  }
  /// With two objects.
  void add_second_space() {
    second_backend = fixture.backend().make_space("cas").value();
    second =
        pkc::store::make_content_store(*second_backend, clock, pkc::ops::null_log(), metrics, {});
    for (const char digit : {'a', 'e'}) {
      const auto writer = second->put(make_key(digit)).value();
      REQUIRE(writer->write(pkc::as_bytes(content_of(digit))));
      REQUIRE(writer->commit({.created_at = 1}));
    }
  }
  /// Steps until nothing is due for a while; returns for how long.
  static std::chrono::milliseconds run(Scrub& scrub) {
    for (int step = 0; step < 100; ++step) {
      if (const auto wait = scrub.step([](std::size_t) { return true; }); wait > 0ms) {
        return wait;
      }
    }
    FAIL("the scrub does not rest");
    return 0ms;
  }
  [[nodiscard]] std::uint64_t objects() {
    return metrics.counter("polykit_cache_scrub_objects_total", "").value();
  }
  std::string state_text() { return disk.files(kRoot).at("/cache/scrub.json"); }
  void flip(char digit) {
    disk.overwrite(fixture.blob_path(make_key(digit)), std::string(1000, 'x'));
  }

  pkc::test::FaultFileSystem disk;
  pkc::test::FakeClock clock;
  pkc::ops::Metrics metrics;
  pkc::test::StoreFixture fixture{disk, kRoot};
  std::unique_ptr<pkc::blob::Backend> second_backend;
  std::unique_ptr<pkc::store::ContentStore> second;
};

} // namespace

TEST_SUITE("store::Scrub") {
  TEST_CASE("a round is spread evenly over the interval, and the next one begins behind it") {
    World world;
    const auto scrub = world.make();

    for (const unsigned objects : {1U, 2U, 3U, 4U}) {
      CHECK(World::run(*scrub) > 0ms);
      CHECK(world.objects() == objects);
      world.clock.advance(59min);
      if (objects < 4) {
        CHECK(World::run(*scrub) <= 1min);
        CHECK(world.objects() == objects);
      }
      world.clock.advance(1min);
    }
    World::run(*scrub);
    CHECK(world.objects() == 5); // the first of the next round
    CHECK(scrub->state().completed_at > 0);
    CHECK(world.metrics.gauge("polykit_cache_scrub_last_completed_timestamp_seconds", "").value() ==
          static_cast<double>(scrub->state().completed_at));
    CHECK(world.metrics.counter("polykit_cache_scrub_bytes_total", "").value() == 5000);
  }

  TEST_CASE("a round that is late goes on without rest") {
    World world;
    const auto scrub = world.make();
    World::run(*scrub);
    world.clock.advance(3h + 59min);

    World::run(*scrub);

    CHECK(world.objects() == 4);
  }

  TEST_CASE("a bad object is quarantined and counted as by a read, and the others are not") {
    World world;
    world.flip('b');
    const auto scrub = world.make();
    World::run(*scrub);
    world.clock.advance(3h);
    World::run(*scrub);

    CHECK(world.metrics.counter("polykit_cache_scrub_corrupt_total", "").value() == 1);
    CHECK(world.fixture.corrupt_objects() == 1);
    CHECK(scrub->state().corrupt == 1);
    CHECK(world.disk.files("/cache/quarantine").size() == 3);
    CHECK(world.fixture.get(make_key('b')).value() == std::nullopt);
    CHECK(world.fixture.get(make_key('c')).value() == World::content_of('c'));
  }

  TEST_CASE("also one that was read before and is remembered as good") {
    World world;
    REQUIRE(world.fixture.get(make_key('a')).value() == World::content_of('a'));
    world.flip('a');

    CHECK(world.fixture.store().scrub(make_key('a'), [](std::size_t) { return true; }).value() ==
          Scrubbed::bad);
    CHECK(world.fixture.store().scrub(make_key('a'), [](std::size_t) { return true; }).value() ==
          Scrubbed::missing);
  }

  TEST_CASE("after a restart it goes on where it was") {
    World world;
    {
      const auto scrub = world.make();
      World::run(*scrub);
      world.clock.advance(1h);
      World::run(*scrub);
      scrub->save();
    }
    CHECK(world.objects() == 2);
    world.clock.advance(1h);

    const auto scrub = world.make();
    World::run(*scrub);

    CHECK(world.objects() == 3);
    CHECK(scrub->state().objects == 3);
  }

  TEST_CASE("after a restart between two rounds it waits for the next one") {
    World world;
    {
      const auto scrub = world.make();
      World::run(*scrub);
      world.clock.advance(3h);
      World::run(*scrub);
    }
    CHECK(world.objects() == 4);

    const auto scrub = world.make();
    World::run(*scrub);
    CHECK(world.objects() == 4);
    world.clock.advance(1h);
    World::run(*scrub);
    CHECK(world.objects() == 5);
  }

  TEST_CASE("stopped by its pace, it takes up the shard again") {
    World world;
    const auto scrub = world.make();
    int told = 0;

    CHECK(scrub->step([&](std::size_t) { return ++told < 2; }) == 0ms);
    CHECK(world.objects() == 0);
    CHECK(scrub->state().next_shard == "aaaa");
    CHECK(world.fixture.corrupt_objects() == 0);

    World::run(*scrub);
    CHECK(world.objects() == 1);
  }

  TEST_CASE("a state that is torn, of somebody else or of a time to come counts as none") {
    World world;
    {
      const auto scrub = world.make();
      World::run(*scrub);
    }
    const std::string text = world.state_text();
    ScrubState to_come = pkc::store::parse_scrub_state(text).value();
    to_come.started_at += 1'000'000;
    for (const std::string& bad : {text.substr(0, text.size() / 2),
                                   std::string(),
                                   std::string("[]"),
                                   std::string(5000, ' '),
                                   pkc::store::format_scrub_state(to_come)}) {
      CAPTURE(bad);
      world.disk.overwrite("/cache/scrub.json", bad);
      const auto scrub = world.make();
      CHECK(scrub->state() == ScrubState{});
      const std::uint64_t before = world.objects();
      World::run(*scrub);
      CHECK(world.objects() == before + 1);
    }
  }

  TEST_CASE("state: is read back as it was written, and nothing else is") {
    const ScrubState state{.started_at = 5,
                           .next_shard = "Ab9f",
                           .next_space = "cas",
                           .objects = 6,
                           .bytes = std::numeric_limits<std::uint64_t>::max(),
                           .corrupt = 7,
                           .completed_at = 8};
    CHECK(pkc::store::parse_scrub_state(pkc::store::format_scrub_state(state)) == state);

    for (
        const std::string_view bad :
        {"",
         "{}",
         R"({"version":2,"started_at":1,"next_shard":"","objects":0,"bytes":0,"corrupt":0,"completed_at":0})",
         R"({"version":1,"started_at":-1,"next_shard":"","objects":0,"bytes":0,"corrupt":0,"completed_at":0})",
         R"({"version":1,"started_at":1,"next_shard":"../x","objects":0,"bytes":0,"corrupt":0,"completed_at":0})",
         R"({"version":1,"started_at":1,"next_shard":5,"objects":0,"bytes":0,"corrupt":0,"completed_at":0})"}) {
      CAPTURE(bad);
      CHECK_FALSE(pkc::store::parse_scrub_state(bad));
    }
  }

  TEST_CASE(
      "state: one of a server that knew a single space goes on in the first, and is so named") {
    const std::string old =
        R"({"version":1,"started_at":1,"next_shard":"abcd","objects":2,"bytes":3,"corrupt":0,"completed_at":0})";
    const ScrubState state = pkc::store::parse_scrub_state(old).value();
    CHECK(state.next_space.empty());
    CHECK(pkc::store::format_scrub_state(state) == old + "\n");

    ScrubState other = state;
    other.next_space = "cas";
    CHECK(pkc::store::parse_scrub_state(pkc::store::format_scrub_state(other)) == other);
    for (const std::string_view bad : {R"(5)", R"("../x")", R"("Cas")", R"(null)"}) {
      CAPTURE(bad);
      const std::string text =
          old.substr(0, old.size() - 1) + R"(,"next_space":)" + std::string(bad) + "}";
      CHECK_FALSE(pkc::store::parse_scrub_state(text));
    }
  }

  TEST_CASE("spaces: one after the other in one round, and a restart goes on in the same") {
    World world;
    world.add_second_space();
    {
      const auto scrub = world.make();
      World::run(*scrub);
      world.clock.advance(2h + 41min); // of six shards, the fifth is due
      World::run(*scrub);
      scrub->save();
    }
    CHECK(world.objects() == 5);
    CHECK(world.state_text().find(R"("next_shard":"eeee","next_space":"cas")") !=
          std::string::npos);
    REQUIRE(world.second->remove(make_key('a')).value()); // behind us

    const auto scrub = world.make();
    World::run(*scrub);
    CHECK(world.objects() == 5);
    world.clock.advance(1h + 18min);
    World::run(*scrub);
    CHECK(world.objects() == 6);
    CHECK(scrub->state().completed_at > 0);
    CHECK(world.state_text().find("next_space") == std::string::npos);
  }

  TEST_CASE("spaces: a bad object of another one is found, and where a space is gone all is read") {
    World world;
    world.add_second_space();
    world.disk.overwrite("/cache/cas/aa/aa/" + make_key('a').id() + ".zst", "bad");
    world.disk.overwrite("/cache/cas/ee/ee/" + make_key('e').id() + ".zst", std::string(1000, 'x'));
    REQUIRE(world.disk.create("/cache/scrub.json"));
    world.disk.overwrite(
        "/cache/scrub.json",
        R"({"version":1,"started_at":1,"next_shard":"dddd","next_space":"gone","objects":0,"bytes":0,"corrupt":0,"completed_at":0})");

    const auto scrub = world.make();
    World::run(*scrub);

    // Four and the flipped one, as the short one is no object; and the first of the next round.
    CHECK(world.objects() == 6);
    CHECK(world.metrics.counter("polykit_cache_scrub_corrupt_total", "").value() == 1);
    CHECK(world.disk.files("/cache/quarantine")
              .begin()
              ->first.starts_with("/cache/quarantine/cas-" + make_key('e').id() + '.'));
  }

  TEST_CASE("a clock that is set back does not put the scrub off") {
    World world;
    const auto scrub = world.make();
    World::run(*scrub);
    world.clock.advance(-24h);

    World::run(*scrub);
    world.clock.advance(1h);
    World::run(*scrub);

    CHECK(world.objects() == 2);
  }

  TEST_CASE("an empty store is looked at again later") {
    World world;
    for (const char digit : {'a', 'b', 'c', 'd'}) {
      REQUIRE(world.fixture.backend().remove(make_key(digit).id()).value());
    }
    const auto scrub = world.make();
    world.clock.advance(5h);
    CHECK(World::run(*scrub) > 0ms);
    CHECK(world.objects() == 0);
  }
}
