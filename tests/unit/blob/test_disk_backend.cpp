#include "support/fault_file_system.hpp"

#include "pkc/blob/disk.hpp"

#include <doctest/doctest.h>

#include <fcntl.h>

#include <cstdint>
#include <memory>
#include <string>

using pkc::as_bytes;
using pkc::Errc;
using pkc::blob::Backend;
using pkc::blob::make_disk_backend;
using pkc::test::FaultFileSystem;

namespace {

std::unique_ptr<Backend> make_backend(FaultFileSystem& disk) {
  return make_disk_backend(disk, {.root = "/cache"}).value();
}

/// Where names lie: every claim about them holds in each of these.
struct Place {
  std::string space;
  std::string directory;
  std::string quarantine_prefix;

  [[nodiscard]] std::unique_ptr<Backend> make_backend(FaultFileSystem& disk) const {
    auto root = ::make_backend(disk);
    return space.empty() ? std::move(root) : root->make_space(space).value();
  }
};

/// Runs the rest of the case for each.
Place any_place() {
  Place place{.space = "", .directory = "/cache", .quarantine_prefix = ""};
  SUBCASE("in the root") {}
  SUBCASE("in a space") {
    place = {.space = "cas", .directory = "/cache/cas", .quarantine_prefix = "cas-"};
  }
  return place;
}

/// Started by the process that made the first one.
std::unique_ptr<Backend> make_successor(FaultFileSystem& disk) {
  return make_disk_backend(disk,
                           {.root = "/cache",
                            .durability = pkc::blob::Durability::full,
                            .process = 1,
                            .inherited_lock = pkc::UniqueFd(::open("/dev/null", O_RDONLY))})
      .value();
}

void publish(Backend& backend, std::string_view name, std::string_view content) {
  const auto upload = backend.begin_upload().value();
  REQUIRE(upload->write(as_bytes(content)));
  REQUIRE(upload->publish(name, "{}"));
}

} // namespace

TEST_SUITE("blob::disk") {
  TEST_CASE("make: a second backend on one directory is refused until the first is gone") {
    FaultFileSystem disk;
    auto first = make_backend(disk);
    const auto second = make_disk_backend(disk, {.root = "/cache"});
    REQUIRE_FALSE(second);
    CHECK(second.error().code == Errc::unavailable);
    first.reset();
    CHECK(make_disk_backend(disk, {.root = "/cache"}));
  }

  TEST_CASE("publish: the pair lies where the original server puts it") {
    const Place place = any_place();
    FaultFileSystem disk;
    const auto backend = place.make_backend(disk);
    publish(*backend, "aabbccdd", "content");
    const auto files = disk.files("/cache");
    CHECK(files.at(place.directory + "/aa/bb/aabbccdd.zst") == "content");
    CHECK(files.at(place.directory + "/aa/bb/aabbccdd.json") == "{}");
  }

  TEST_CASE("root: is made with the directories above it, durably") {
    FaultFileSystem disk;
    {
      const auto backend = make_disk_backend(disk, {.root = "/var/cache/polykit"}).value();
      publish(*backend, "aabbccdd", "content");
    }
    disk.lose_power(1);
    CHECK(disk.files("/var").at("/var/cache/polykit/aa/bb/aabbccdd.zst") == "content");
  }

  TEST_CASE("root: trailing slashes mean the same directory") {
    FaultFileSystem disk;
    const auto backend = make_disk_backend(disk, {.root = "/cache//"}).value();
    publish(*backend, "aabbccdd", "content");
    CHECK(disk.files("/cache").contains("/cache/aa/bb/aabbccdd.zst"));
  }

  TEST_CASE("upload: one that is not published leaves nothing") {
    const Place place = any_place();
    FaultFileSystem disk;
    const auto backend = place.make_backend(disk);
    {
      const auto upload = backend->begin_upload().value();
      REQUIRE(upload->write(as_bytes("half")));
      CHECK(disk.files("/cache/tmp").size() == 1);
    }
    CHECK(disk.files("/cache/tmp").empty());
    CHECK(backend->open("aabbccdd").value() == nullptr);
  }

  TEST_CASE("upload: works although somebody emptied the directory under us") {
    const Place place = any_place();
    FaultFileSystem disk;
    const auto backend = place.make_backend(disk);
    publish(*backend, "aabbccdd", "content");
    REQUIRE(backend->remove("aabbccdd").value());
    for (const std::string& path :
         {place.directory + "/aa/bb", place.directory + "/aa", std::string("/cache/tmp")}) {
      REQUIRE(disk.remove(path).value());
    }
    if (!place.space.empty()) {
      REQUIRE(disk.remove(place.directory).value());
    }

    publish(*backend, "aabbccdd", "again");

    disk.lose_power(1);
    CHECK(disk.files("/cache").at(place.directory + "/aa/bb/aabbccdd.zst") == "again");
    CHECK(disk.files("/cache").at(place.directory + "/aa/bb/aabbccdd.json") == "{}");
  }

  TEST_CASE("sweep: removes every .tmp file, the original server's too, and nothing else") {
    FaultFileSystem disk;
    {
      const auto backend = make_backend(disk);
      publish(*backend, "aabbccdd", "content");
    }
    REQUIRE(disk.create("/cache/tmp/0f8fad5b-d9cb-469f-a165-70867728950e.tmp"));
    REQUIRE(disk.create("/cache/tmp/12.tmp"));
    REQUIRE(disk.create("/cache/tmp/7-12.tmp"));
    REQUIRE(disk.create("/cache/tmp/keep"));
    const auto backend = make_backend(disk);
    CHECK(backend->sweep_uploads([](std::int64_t) { return false; }).value() == 3);
    CHECK(disk.files("/cache/tmp").size() == 1);
    CHECK(disk.files("/cache").contains("/cache/aa/bb/aabbccdd.zst"));
  }

  TEST_CASE("lock: a successor joins it, and everybody else is refused until both are gone") {
    FaultFileSystem disk;
    auto first = make_backend(disk);
    auto second = make_successor(disk);
    CHECK_FALSE(make_disk_backend(disk, {.root = "/cache"}));

    first.reset();
    CHECK_FALSE(make_disk_backend(disk, {.root = "/cache"}));
    second.reset();
    CHECK(make_disk_backend(disk, {.root = "/cache"}));
  }

  TEST_CASE("sweep: a successor spares the uploads of the living, and they are published") {
    FaultFileSystem disk;
    const auto first = make_backend(disk);
    const auto theirs = first->begin_upload().value();
    REQUIRE(theirs->write(as_bytes("theirs")));
    const auto second = make_successor(disk);
    REQUIRE(disk.create("/cache/tmp/3-0.tmp"));

    CHECK(second->sweep_uploads([](std::int64_t process) { return process == 0; }).value() == 1);

    const auto ours = second->begin_upload().value();
    REQUIRE(ours->write(as_bytes("ours")));
    REQUIRE(ours->publish("aabbccdd", "{}"));
    REQUIRE(theirs->publish("aabbccee", "{}"));
    const auto files = disk.files("/cache/aa");
    CHECK(files.at("/cache/aa/bb/aabbccdd.zst") == "ours");
    CHECK(files.at("/cache/aa/bb/aabbccee.zst") == "theirs");
    CHECK(disk.files("/cache/tmp").empty());
  }

  TEST_CASE("read_sidecar: absent, present, over the limit") {
    const Place place = any_place();
    FaultFileSystem disk;
    const auto backend = place.make_backend(disk);
    CHECK_FALSE(backend->read_sidecar("aabbccdd", 100).value());
    publish(*backend, "aabbccdd", "content");
    CHECK(backend->read_sidecar("aabbccdd", 100).value() == "{}");
    CHECK(backend->read_sidecar("aabbccdd", 1).error().code == Errc::too_large);
  }

  TEST_CASE("quarantine: keeps every generation of blob, sidecar and note apart") {
    const Place place = any_place();
    FaultFileSystem disk;
    const auto backend = place.make_backend(disk);
    for (const std::string_view content : {"first", "second"}) {
      publish(*backend, "aabbccdd", content);
      REQUIRE(backend->quarantine("aabbccdd", "why"));
      CHECK(backend->open("aabbccdd").value() == nullptr);
    }
    const auto files = disk.files("/cache/quarantine");
    CHECK(files.size() == 6);
    CHECK(files.at("/cache/quarantine/" + place.quarantine_prefix + "aabbccdd.1.zst") == "first");
    CHECK(files.at("/cache/quarantine/" + place.quarantine_prefix + "aabbccdd.2.zst") == "second");
    CHECK(files.at("/cache/quarantine/" + place.quarantine_prefix + "aabbccdd.2.txt") == "why");
    CHECK(files.at("/cache/quarantine/" + place.quarantine_prefix + "aabbccdd.2.json") == "{}");
  }

  TEST_CASE("remove: both files go, the blob first, and what is not there is told") {
    const Place place = any_place();
    FaultFileSystem disk;
    const auto backend = place.make_backend(disk);
    publish(*backend, "aabbccdd", "content");

    disk.fail_call(1);
    CHECK_FALSE(backend->remove("aabbccdd"));
    CHECK(backend->open("aabbccdd").value() == nullptr);
    CHECK(backend->remove("aabbccdd").value());
    CHECK_FALSE(backend->remove("aabbccdd").value());

    CHECK_FALSE(disk.files("/cache").contains(place.directory + "/aa/bb/aabbccdd.json"));
  }

  TEST_CASE("list: every name of ours in order, and strangers apart") {
    const Place place = any_place();
    FaultFileSystem disk;
    const auto backend = place.make_backend(disk);
    for (const std::string name : {"aabbccee", "aabbccdd", "ffeeddcc", "AAbbccdd"}) {
      publish(*backend, name, "content");
    }
    REQUIRE(disk.remove(place.directory + "/aa/bb/aabbccee.json").value());
    REQUIRE(disk.remove(place.directory + "/ff/ee/ffeeddcc.zst").value());
    for (const std::string name : {"aabbccdd.txt", "ccddaabb.zst", ".zst", "aabb_cdd.zst"}) {
      REQUIRE(disk.create(place.directory + "/aa/bb/" + name));
    }
    REQUIRE(disk.make_directory(place.directory + "/aa/bb/aabbccff.zst"));
    REQUIRE(disk.make_directory(place.directory + "/nix").value());
    REQUIRE(disk.make_directory(place.directory + "/nix/aa").value());
    REQUIRE(disk.create(place.directory + "/bb"));

    const auto shards = backend->list_shards().value();
    const auto listing = backend->list_shard("aabb").value();

    CHECK(shards == std::vector<std::string>{"AAbb", "aabb", "ffee"});
    using Names = std::vector<pkc::blob::ListedName>;
    CHECK(listing.names == Names{{"aabbccdd", true, true}, {"aabbccee", true, false}});
    CHECK(listing.strangers == std::vector<std::string>{place.directory + "/aa/bb/.zst",
                                                        place.directory + "/aa/bb/aabb_cdd.zst",
                                                        place.directory + "/aa/bb/aabbccdd.txt",
                                                        place.directory + "/aa/bb/aabbccff.zst",
                                                        place.directory + "/aa/bb/ccddaabb.zst"});
    CHECK(backend->list_shard("ffee").value().names == Names{{"ffeeddcc", false, true}});
    CHECK(backend->list_shard("0000").value().names.empty());
    CHECK_FALSE(backend->stat_shard("0000").value());
  }

  TEST_CASE("list: a shard's time moves when a name comes or goes") {
    const Place place = any_place();
    FaultFileSystem disk;
    const auto backend = place.make_backend(disk);
    publish(*backend, "aabbccdd", "content");
    const auto before = backend->stat_shard("aabb").value();

    publish(*backend, "aabbccee", "content");
    const auto between = backend->stat_shard("aabb").value();
    REQUIRE(backend->remove("aabbccee").value());

    REQUIRE(before);
    CHECK(before->mtime_ns < between->mtime_ns);
    CHECK(between->mtime_ns < backend->stat_shard("aabb").value()->mtime_ns);
  }
}
