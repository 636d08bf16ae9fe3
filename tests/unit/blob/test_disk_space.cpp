#include "support/fault_file_system.hpp"

#include "pkc/blob/disk.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

using pkc::as_bytes;
using pkc::blob::Backend;
using pkc::blob::make_disk_backend;
using pkc::test::FaultFileSystem;

namespace {

std::unique_ptr<Backend> make_root(FaultFileSystem& disk) {
  return make_disk_backend(disk, {.root = "/cache"}).value();
}

void publish(Backend& backend, std::string_view name, std::string_view content) {
  const auto upload = backend.begin_upload().value();
  REQUIRE(upload->write(as_bytes(content)));
  REQUIRE(upload->publish(name, "{}"));
}

std::string content_of(pkc::File& file) {
  std::array<std::byte, 100> buffer{};
  const std::size_t count = file.read_at(0, buffer).value();
  return std::string(pkc::as_text(pkc::ByteSpan(buffer).first(count)));
}

} // namespace

TEST_SUITE("blob::disk spaces") {
  TEST_CASE("space: one name holds other objects in each space") {
    FaultFileSystem disk;
    const auto root = make_root(disk);
    const auto cas = root->make_space("cas").value();
    const auto fetch = root->make_space("fetch").value();
    publish(*root, "aabbccdd", "of the root");
    publish(*cas, "aabbccdd", "of cas");

    CHECK(content_of(*root->open("aabbccdd").value()) == "of the root");
    CHECK(content_of(*cas->open("aabbccdd").value()) == "of cas");
    CHECK(fetch->open("aabbccdd").value() == nullptr);
    CHECK(cas->remove("aabbccdd").value());
    CHECK(root->stat("aabbccdd").value());
    CHECK(root->list_shards().value() == std::vector<std::string>{"aabb"});
    CHECK(fetch->list_shards().value().empty());
  }

  TEST_CASE("space: uploads of all spaces have names of their own, and are swept together") {
    FaultFileSystem disk;
    const auto root = make_root(disk);
    const auto cas = root->make_space("cas").value();
    const auto first = root->begin_upload().value();
    const auto second = cas->begin_upload().value();
    REQUIRE(first->write(as_bytes("first")));
    REQUIRE(second->write(as_bytes("second")));
    REQUIRE(second->publish("aabbccdd", "{}"));
    REQUIRE(first->publish("aabbccdd", "{}"));
    CHECK(content_of(*root->open("aabbccdd").value()) == "first");
    CHECK(content_of(*cas->open("aabbccdd").value()) == "second");

    REQUIRE(disk.create("/cache/tmp/7-12.tmp"));
    CHECK(cas->sweep_uploads([](std::int64_t) { return false; }).value() == 1);
    CHECK(disk.files("/cache/tmp").empty());
  }

  TEST_CASE("space: what was published survives a power loss, directory and all") {
    for (std::uint64_t seed = 0; seed < 8; ++seed) {
      FaultFileSystem disk;
      {
        const auto cas = make_root(disk)->make_space("cas").value();
        publish(*cas, "aabbccdd", "content");
      }
      disk.lose_power(seed);
      const auto files = disk.files("/cache");
      REQUIRE(files.contains("/cache/cas/aa/bb/aabbccdd.zst"));
      CHECK(files.at("/cache/cas/aa/bb/aabbccdd.zst") == "content");
      CHECK(files.at("/cache/cas/aa/bb/aabbccdd.json") == "{}");
    }
  }

  TEST_CASE("space: the directory stays locked until the last backend has gone") {
    FaultFileSystem disk;
    auto root = make_root(disk);
    auto cas = root->make_space("cas").value();
    root.reset();
    CHECK_FALSE(make_disk_backend(disk, {.root = "/cache"}));
    cas.reset();
    CHECK(make_disk_backend(disk, {.root = "/cache"}));
  }

  TEST_CASE("space: a directory is made with the first object, and is no stranger") {
    FaultFileSystem disk;
    const auto root = make_root(disk);
    const auto cas = root->make_space("cas").value();
    CHECK_FALSE(disk.stat("/cache/cas").value());
    publish(*cas, "aabbccdd", "content");
    CHECK(pkc::blob::make_disk_upkeep(disk, "/cache")->list_strangers("").value().empty());
  }

  TEST_CASE("space: the quarantine keeps objects of one name in two spaces apart") {
    FaultFileSystem disk;
    const auto root = make_root(disk);
    const auto cas = root->make_space("cas").value();
    publish(*root, "aabbccdd", "of the root");
    publish(*cas, "aabbccdd", "of cas");
    REQUIRE(root->quarantine("aabbccdd", "why"));
    REQUIRE(cas->quarantine("aabbccdd", "why"));
    const auto files = disk.files("/cache/quarantine");
    CHECK(files.at("/cache/quarantine/aabbccdd.1.zst") == "of the root");
    CHECK(files.at("/cache/quarantine/cas-aabbccdd.1.zst") == "of cas");
    CHECK(pkc::blob::make_disk_upkeep(disk, "/cache")->list_quarantined().value().size() == 2);
  }

  TEST_CASE("scratch: has no name, and can be written and read back") {
    FaultFileSystem disk;
    const auto root = make_root(disk);
    const auto file = root->make_scratch().value();
    CHECK(disk.files("/cache/tmp").empty());
    REQUIRE(file->write(as_bytes("some")));
    REQUIRE(file->write(as_bytes("thing")));
    CHECK(content_of(*file) == "something");
  }

  TEST_CASE("scratch: whatever call fails, nothing stays behind after the next sweep") {
    for (std::uint64_t n = 0; n < 4; ++n) {
      CAPTURE(n);
      FaultFileSystem disk;
      const auto root = make_root(disk);
      disk.fail_call(n);
      const auto file = root->make_scratch();
      disk.fail_call(std::nullopt);
      if (file) {
        CHECK((*file)->write(as_bytes("something")));
      }
      REQUIRE(root->sweep_uploads([](std::int64_t) { return false; }));
      CHECK(disk.files("/cache/tmp").empty());
    }
  }

  TEST_CASE("upload: others read what was written, whatever becomes of it") {
    FaultFileSystem disk;
    const auto root = make_root(disk);
    std::shared_ptr<pkc::File> published;
    std::shared_ptr<pkc::File> discarded;
    {
      const auto upload = root->begin_upload().value();
      published = upload->file();
      REQUIRE(upload->write(as_bytes("some")));
      CHECK(content_of(*published) == "some");
      REQUIRE(upload->write(as_bytes("thing")));
      REQUIRE(upload->publish("aabbccdd", "{}"));
      const auto other = root->begin_upload().value();
      discarded = other->file();
      REQUIRE(other->write(as_bytes("other")));
    }
    CHECK(content_of(*published) == "something");
    CHECK(content_of(*discarded) == "other");
    CHECK(disk.files("/cache/tmp").empty());
  }
}
