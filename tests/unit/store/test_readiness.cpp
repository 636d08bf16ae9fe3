#include "support/fake_clock.hpp"
#include "support/fault_file_system.hpp"

#include "pkc/blob/disk.hpp"
#include "pkc/ops/log.hpp"
#include "pkc/store/readiness.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <cstdint>
#include <future>
#include <latch>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

using pkc::Errc;
using pkc::Result;
using pkc::store::Readiness;
using pkc::test::FakeClock;
using pkc::test::FaultFileSystem;

namespace {

/// Counts the lines of the two changes.
class CountingLog final : public pkc::ops::Log {
 public:
  [[nodiscard]] bool enabled(pkc::ops::LogLevel /*level*/) const override { return true; }
  void write(pkc::ops::LogLevel level,
             std::string_view /*message*/,
             std::initializer_list<pkc::ops::Field> /*fields*/) override {
    (level == pkc::ops::LogLevel::error ? errors : others)++;
  }
  void flush() override {}

  int errors = 0;
  int others = 0;
};

/// A disk in memory, watched.
struct Watched {
  Watched() : backend(pkc::blob::make_disk_backend(disk, {.root = "/cache"}).value()) {
    disk.fail_call(std::nullopt);
  }

  FaultFileSystem disk;
  FakeClock clock;
  CountingLog log;
  std::unique_ptr<pkc::blob::Backend> backend;
  Readiness readiness{*backend, clock, log};
};

/// A backend whose disk answers when the test lets it.
class HungBackend final : public pkc::blob::Backend {
 public:
  Result<void> probe() override {
    reached.count_down();
    released.wait();
    return {};
  }
  Result<std::unique_ptr<pkc::blob::Upload>> begin_upload() override { return none(); }
  Result<std::shared_ptr<pkc::File>> make_scratch() override { return none(); }
  Result<std::unique_ptr<pkc::blob::Backend>> make_space(std::string_view /*space*/) override {
    return none();
  }
  Result<std::unique_ptr<pkc::File>> open(std::string_view /*name*/) override { return none(); }
  Result<std::optional<pkc::FileStat>> stat(std::string_view /*name*/) override { return none(); }
  Result<std::optional<std::string>> read_sidecar(std::string_view /*name*/,
                                                  pkc::ByteCount /*limit*/) override {
    return none();
  }
  Result<void> quarantine(std::string_view /*name*/, std::string_view /*note*/) override {
    return none();
  }
  Result<bool> remove(std::string_view /*name*/) override { return none(); }
  Result<std::vector<std::string>> list_shards() override { return none(); }
  Result<pkc::blob::ShardListing> list_shard(std::string_view /*shard*/) override { return none(); }
  Result<std::optional<pkc::FileStat>> stat_shard(std::string_view /*shard*/) override {
    return none();
  }
  Result<pkc::DiskSpace> space() override { return none(); }
  Result<std::size_t> sweep_uploads(const Uploads& /*alive*/) override { return none(); }
  [[nodiscard]] int lock_descriptor() const override { return -1; }

  std::latch reached{1};
  std::latch released{1};

 private:
  static std::unexpected<pkc::Error> none() { return pkc::fail(Errc::io, "not for this test"); }
};

} // namespace

TEST_SUITE("store::Readiness") {
  TEST_CASE("trouble: none where a block can be written, and nothing is left of it") {
    Watched watched;

    CHECK_FALSE(watched.readiness.trouble());

    CHECK(watched.disk.calls() > 0);
    CHECK(watched.disk.files("/cache/tmp").empty());
    CHECK(watched.log.errors + watched.log.others == 0);
  }

  TEST_CASE("trouble: each call that fails is noticed, and told apart by its kind") {
    Watched counting;
    REQUIRE_FALSE(counting.readiness.trouble());
    const std::uint64_t calls = counting.disk.calls();
    REQUIRE(calls == 4); // create, write, sync, remove

    for (std::uint64_t n = 0; n < calls - 1; ++n) { // the last one removes the file
      CAPTURE(n);
      Watched broken;
      broken.disk.stop_at_call(n);
      CHECK(broken.readiness.trouble() == "the storage directory cannot be written");
      Watched full;
      full.disk.fail_call(n, Errc::no_space);
      CHECK(full.readiness.trouble() == "the disk is full");
    }
  }

  TEST_CASE("trouble: the disk is asked once in an interval, however many ask") {
    Watched watched;
    REQUIRE_FALSE(watched.readiness.trouble());
    const std::uint64_t calls = watched.disk.calls();

    watched.clock.advance(Readiness::kInterval - std::chrono::seconds(1));
    for (int i = 0; i < 100; ++i) {
      CHECK_FALSE(watched.readiness.trouble());
    }

    CHECK(watched.disk.calls() == calls);
    watched.clock.advance(std::chrono::seconds(1));
    CHECK_FALSE(watched.readiness.trouble());
    CHECK(watched.disk.calls() == 2 * calls);
  }

  TEST_CASE("trouble: comes and goes with the disk's, and each change is logged once") {
    Watched watched;
    watched.disk.stop_at_call(0);
    CHECK(watched.readiness.trouble());
    watched.clock.advance(Readiness::kInterval);
    CHECK(watched.readiness.trouble());
    CHECK(watched.log.errors == 1);

    watched.disk.fail_call(std::nullopt);
    CHECK(watched.readiness.trouble()); // the last result, for the interval
    watched.clock.advance(Readiness::kInterval);
    CHECK_FALSE(watched.readiness.trouble());

    CHECK(watched.log.errors == 1);
    CHECK(watched.log.others == 1);
  }

  TEST_CASE("trouble: a disk that hangs holds one caller, and the others hear of it in time") {
    HungBackend backend;
    FakeClock clock;
    Readiness readiness(backend, clock, pkc::ops::null_log());
    auto first = std::async(std::launch::async, [&] { return readiness.trouble(); });
    backend.reached.wait();

    CHECK_FALSE(readiness.trouble());
    clock.advance(Readiness::kPatience);
    CHECK(readiness.trouble() == "the disk does not answer");

    backend.released.count_down();
    CHECK_FALSE(first.get());
    CHECK_FALSE(readiness.trouble());
  }

  TEST_CASE("stop: is trouble at once, and the disk is not asked any more") {
    Watched watched;

    watched.readiness.stop();

    CHECK(watched.readiness.trouble() == "the server is shutting down");
    CHECK(watched.disk.calls() == 0);
  }
}
