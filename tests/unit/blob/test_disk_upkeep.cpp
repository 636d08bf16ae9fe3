#include "support/fault_file_system.hpp"

#include "pkc/blob/disk.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

using pkc::as_bytes;
using pkc::Errc;
using pkc::blob::Backend;
using pkc::test::FaultFileSystem;

namespace {

/// A directory with a server, whose quarantine has room for `objects` or `size`.
struct World {
  explicit World(std::size_t objects = 1000,
                 pkc::ByteCount size = std::numeric_limits<pkc::ByteCount>::max())
      : backend(
            pkc::blob::make_disk_backend(
                disk,
                {.root = "/cache", .quarantine_size_max = size, .quarantine_objects_max = objects})
                .value()),
        upkeep(pkc::blob::make_disk_upkeep(disk, "/cache/")) {}

  void publish(std::string_view name, std::string_view content) const {
    const auto upload = backend->begin_upload().value();
    REQUIRE(upload->write(as_bytes(content)));
    REQUIRE(upload->publish(name, "{}"));
  }
  void quarantine(std::string_view name, std::string_view content) const {
    publish(name, content);
    REQUIRE(backend->quarantine(name, "why"));
  }
  [[nodiscard]] std::vector<std::string> stems() const {
    std::vector<std::string> stems;
    const auto objects = upkeep->list_quarantined().value();
    for (const auto& object : objects) {
      stems.push_back(object.stem);
    }
    return stems;
  }

  FaultFileSystem disk;
  std::unique_ptr<Backend> backend;
  std::unique_ptr<pkc::blob::Upkeep> upkeep;
};

} // namespace

TEST_SUITE("blob::Upkeep") {
  TEST_CASE("quarantine: the oldest objects go when there are too many") {
    const World world(2);

    for (const std::string_view name : {"ccccdddd", "aaaabbbb", "bbbbcccc"}) {
      world.quarantine(name, "content");
    }

    CHECK(world.stems() == std::vector<std::string>{"aaaabbbb.1", "bbbbcccc.1"});
    CHECK(world.upkeep->list_quarantined().value().front().size == 7 + 2 + 3);
  }

  TEST_CASE("quarantine: the oldest objects go when they take too much, with all of their files") {
    World world(1000, 30);

    for (const std::string_view name : {"ccccdddd", "aaaabbbb", "bbbbcccc"}) {
      world.quarantine(name, "content");
    }
    CHECK(world.stems() == std::vector<std::string>{"aaaabbbb.1", "bbbbcccc.1"});

    world.quarantine("ddddeeee", std::string(31, 'x'));
    CHECK(world.disk.files("/cache/quarantine").empty());
  }

  TEST_CASE("quarantine: what nobody of ours put there stays") {
    World world(0);
    world.quarantine("aaaabbbb", "content");
    REQUIRE(world.disk.create("/cache/quarantine/README"));

    world.quarantine("aaaabbbb", "content");

    CHECK(world.disk.files("/cache/quarantine").size() == 1);
  }

  TEST_CASE("quarantine: an older object that cannot be deleted keeps no other one in sight") {
    for (std::uint64_t n = 0; n < 30; ++n) {
      CAPTURE(n);
      World world(0);
      world.quarantine("ccccdddd", "content");
      world.publish("aaaabbbb", "content");
      world.disk.fail_call(n);

      const auto moved = world.backend->quarantine("aaaabbbb", "why");

      world.disk.fail_call(std::nullopt);
      CHECK((world.backend->open("aaaabbbb").value() == nullptr || !moved));
    }
  }

  TEST_CASE("list_uploads: of whom they are") {
    World world;
    REQUIRE(world.disk.create("/cache/tmp/12-3.tmp"));
    REQUIRE(world.disk.create("/cache/tmp/0f8fad5b-d9cb-469f-a165-70867728950e.tmp"));
    REQUIRE(world.disk.create("/cache/tmp/stranger"));

    const auto uploads = world.upkeep->list_uploads().value();

    REQUIRE(uploads.size() == 2);
    CHECK(uploads[0].process == std::nullopt);
    CHECK(uploads[1].process == 12);
    CHECK(world.upkeep->remove_upload(uploads[1].name).value());
    CHECK_FALSE(world.upkeep->remove_upload(uploads[1].name).value());
  }

  TEST_CASE("list_strangers: what is not ours in the two upper levels") {
    World world;
    world.publish("aabbccdd", "content");
    for (const std::string path : {"/cache/lost+found", "/cache/x", "/cache/aa/bbb"}) {
      REQUIRE(world.disk.make_directory(path).value());
    }
    for (const std::string path : {"/cache/keys.lock",
                                   "/cache/scrub.json",
                                   "/cache/token-usage",
                                   "/cache/index.db-wal",
                                   "/cache/notes",
                                   "/cache/aa/notes"}) {
      REQUIRE(world.disk.create(path));
    }

    CHECK(world.upkeep->list_strangers("").value() ==
          std::vector<std::string>{"/cache/aa/bbb", "/cache/aa/notes", "/cache/notes", "/cache/x"});
  }

  TEST_CASE("list_strangers, remove_shard: of a space, where no directory is somebody else's") {
    World world;
    CHECK(world.upkeep->list_strangers("cas").value().empty()); // there is no such space yet
    for (const std::string path :
         {"/cache/cas", "/cache/cas/aa", "/cache/cas/aa/bb", "/cache/cas/other"}) {
      REQUIRE(world.disk.make_directory(path).value());
    }
    REQUIRE(world.disk.create("/cache/cas/lock"));

    CHECK(world.upkeep->list_strangers("").value().empty());
    CHECK(world.upkeep->list_strangers("cas").value() ==
          std::vector<std::string>{"/cache/cas/lock", "/cache/cas/other"});

    CHECK_FALSE(world.upkeep->remove_shard("", "aabb").value());
    CHECK(world.upkeep->remove_shard("cas", "aabb").value());
    CHECK_FALSE(world.disk.stat("/cache/cas/aa").value());
    CHECK(world.disk.stat("/cache/cas").value());
  }

  TEST_CASE("remove_shard: only an empty one, and the directory above it when that is empty too") {
    World world;
    world.publish("aabbccdd", "content");
    world.publish("aaccccdd", "content");
    CHECK_FALSE(world.upkeep->remove_shard("", "aabb").value());

    REQUIRE(world.backend->remove("aabbccdd").value());
    CHECK(world.upkeep->remove_shard("", "aabb").value());
    CHECK_FALSE(world.upkeep->remove_shard("", "aabb").value());
    CHECK(world.disk.files("/cache/aa").contains("/cache/aa/cc/aaccccdd.zst"));

    REQUIRE(world.backend->remove("aaccccdd").value());
    CHECK(world.upkeep->remove_shard("", "aacc").value());
    CHECK_FALSE(world.disk.stat("/cache/aa").value());
  }

  TEST_CASE("try_lock: not while a server uses the directory, and a server not while it is held") {
    World world;
    CHECK(world.upkeep->try_lock().value() == nullptr);

    world.backend.reset();
    auto held = world.upkeep->try_lock().value();
    CHECK(held != nullptr);
    CHECK_FALSE(pkc::blob::make_disk_backend(world.disk, {.root = "/cache"}));

    held.reset();
    CHECK(pkc::blob::make_disk_backend(world.disk, {.root = "/cache"}));
  }

  TEST_CASE("open: beside a server, and creates nothing") {
    World world;
    world.publish("aabbccdd", "content");

    const auto beside = pkc::blob::open_disk_backend(world.disk, {.root = "/cache"}).value();

    CHECK(beside->open("aabbccdd").value() != nullptr);
    CHECK(beside->lock_descriptor() == -1);
    CHECK(pkc::blob::open_disk_backend(world.disk, {.root = "/absent"}).error().code == Errc::io);
    CHECK_FALSE(world.disk.stat("/absent").value());
  }
}
