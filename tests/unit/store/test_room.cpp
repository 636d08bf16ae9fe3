#include "pkc/store/room.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <future>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

using namespace std::chrono_literals;
using pkc::ByteCount;
using pkc::Errc;
using pkc::kKiB;
using pkc::store::Demand;
using pkc::store::disk_size_of;
using pkc::store::Room;
using pkc::store::RoomLimits;

namespace {

constexpr std::string_view kSpace = "polykit";

/// Nothing goes before the limit itself.
RoomLimits limit_of(ByteCount size) {
  return {.size_max = size, .evict_above = 100, .evict_to = 100};
}

std::optional<Demand> demand_now(Room& room) {
  return room.wait_for_demand(std::stop_token(), 0ms);
}

/// An upload on a thread of its own, which has to wait.
class Upload {
 public:
  Upload(Room& room, ByteCount bytes)
      : taken_(std::async(std::launch::async, [&room, bytes] {
          Room::Share share(room, kSpace);
          return share.take(bytes);
        })) {}
  [[nodiscard]] pkc::Result<void> result() { return taken_.get(); }
  [[nodiscard]] bool waits() { return taken_.wait_for(0ms) == std::future_status::timeout; }

 private:
  std::future<pkc::Result<void>> taken_;
};

} // namespace

TEST_SUITE("store::Room") {
  TEST_CASE("disk size: blob and sidecar in whole blocks") {
    CHECK(disk_size_of(0) == 4096);
    CHECK(disk_size_of(1) == 8192);
    CHECK(disk_size_of(4096) == 8192);
    CHECK(disk_size_of(4097) == 12288);
  }

  TEST_CASE("share: what is not kept is given back") {
    Room room(RoomLimits{});
    {
      Room::Share kept(room, kSpace);
      REQUIRE(kept.take(100));
      Room::Share dropped(room, kSpace);
      REQUIRE(dropped.take(50));
      CHECK(room.taken() == 150);
      kept.keep(60);
      CHECK(room.taken() == 110);
    }
    CHECK(room.taken() == 60);
    CHECK(room.taken(kSpace) == 60);
    CHECK(room.taken("nix") == 0);
    room.release(kSpace, 60);
    CHECK(room.taken() == 0);
  }

  TEST_CASE("correct: a count is taken over, but not when something came or went meanwhile") {
    Room room(RoomLimits{});
    room.add(kSpace, 100);
    room.add("nix", 10);
    Room::Share share(room, kSpace);
    REQUIRE(share.take(5));
    const std::uint64_t then = room.changes();

    CHECK(room.correct(kSpace, 70, then));
    CHECK(room.taken(kSpace) == 75);
    CHECK(room.taken() == 85);
    share.keep(5);
    CHECK_FALSE(room.correct(kSpace, 1, then));
    CHECK(room.taken() == 85);
  }

  TEST_CASE("limit: up to the last byte without demand, and not one more") {
    Room room(limit_of(100));
    room.add(kSpace, 60);
    Room::Share share(room, kSpace);
    REQUIRE(share.take(40));
    CHECK_FALSE(demand_now(room));

    Upload upload(room, 10);
    const auto demand = room.wait_for_demand(std::stop_token(), 60s);

    REQUIRE(demand);
    CHECK(demand->bytes == 10);
    CHECK(demand->space.empty());
    CHECK(upload.waits());
    CHECK(room.taken() == 100);
    room.release(kSpace, 10);
    CHECK(upload.result());
  }

  TEST_CASE("limit: whoever wants more than all of it is told at once") {
    Room room(limit_of(100));
    Room::Share share(room, kSpace);
    const auto taken = share.take(101);
    REQUIRE_FALSE(taken);
    CHECK(taken.error().code == Errc::no_space);
  }

  TEST_CASE("limit: of a space, beside that of all") {
    RoomLimits limits = limit_of(100);
    limits.space_size_max = {{"polykit", 50}};
    Room room(limits);
    room.add("nix", 30);
    room.add("polykit", 45);

    Upload upload(room, 10);
    const auto demand = room.wait_for_demand(std::stop_token(), 60s);

    REQUIRE(demand);
    CHECK(demand->space == "polykit");
    CHECK(demand->bytes == 5);
    Room::Share other(room, "nix");
    CHECK(other.take(20));
    room.release("polykit", 5);
    CHECK(upload.result());
  }

  TEST_CASE("watermarks: eviction begins above the first and is asked for down to the second") {
    Room room({.size_max = 1000, .evict_above = 90, .evict_to = 80});
    room.add(kSpace, 900);
    CHECK_FALSE(demand_now(room));
    room.add(kSpace, 1);
    const auto demand = demand_now(room);
    REQUIRE(demand);
    CHECK(demand->bytes == 101);
    room.release(kSpace, 50); // below the first again: whoever was asked has done it
    CHECK_FALSE(demand_now(room));
  }

  TEST_CASE("give up: those who wait fail") {
    Room room(limit_of(100));
    room.add(kSpace, 100);
    Upload upload(room, 10);
    const auto demand = room.wait_for_demand(std::stop_token(), 60s);
    REQUIRE(demand);

    room.give_up(*demand);

    const auto taken = upload.result();
    REQUIRE_FALSE(taken);
    CHECK(taken.error().code == Errc::no_space);
    CHECK_FALSE(demand_now(room));
  }

  TEST_CASE("give up: nobody is asked again until something comes, goes or waits") {
    Room room({.size_max = 100, .evict_above = 90, .evict_to = 80});
    room.add(kSpace, 95);
    const auto first = demand_now(room);
    REQUIRE(first);

    room.give_up(*first);
    CHECK_FALSE(demand_now(room));

    room.release(kSpace, 1);
    const auto second = demand_now(room);
    REQUIRE(second);
    room.give_up(*second);
    Upload upload(room, 10);
    CHECK(room.wait_for_demand(std::stop_token(), 60s));
    room.release(kSpace, 10);
    CHECK(upload.result());
  }

  TEST_CASE("patience: an upload does not wait for ever") {
    RoomLimits limits = limit_of(100);
    limits.patience = 1ms;
    Room room(limits);
    room.add(kSpace, 100);
    Room::Share share(room, kSpace);
    const auto taken = share.take(1);
    REQUIRE_FALSE(taken);
    CHECK(taken.error().code == Errc::no_space);
  }

  TEST_CASE("disk: what has to stay free is asked for, and counts what was taken since") {
    Room room({.disk_free_min = 1000});
    CHECK(room.watches_disk());
    room.set_disk_available(1100);
    Room::Share share(room, kSpace);
    REQUIRE(share.take(100));
    CHECK_FALSE(demand_now(room));

    Upload upload(room, 30);
    const auto demand = room.wait_for_demand(std::stop_token(), 60s);

    REQUIRE(demand);
    CHECK(demand->bytes == 30);
    room.set_disk_available(1030);
    CHECK(upload.result());
  }

  TEST_CASE("stop: ends the wait for demand") {
    Room room(limit_of(100));
    std::stop_source source;
    auto waiting = std::async(std::launch::async,
                              [&] { return room.wait_for_demand(source.get_token(), 1h); });
    source.request_stop();
    CHECK_FALSE(waiting.get());
  }

  TEST_CASE("many uploads at once: the limit holds at every moment") {
    constexpr ByteCount kMax = 64 * kKiB;
    Room room(limit_of(kMax));
    std::atomic<bool> exceeded{false};
    std::jthread evictor([&](const std::stop_token& stop) {
      while (const auto demand = room.wait_for_demand(stop, 1h)) {
        const ByteCount kept = room.taken("kept");
        room.release("kept", std::min(kept, demand->bytes));
      }
    });
    {
      std::vector<std::jthread> uploads;
      for (int n = 0; n < 4; ++n) {
        uploads.emplace_back([&] {
          for (int upload = 0; upload < 500; ++upload) {
            Room::Share share(room, "kept");
            for (int piece = 0; piece < 4; ++piece) {
              if (!share.take(4 * kKiB)) {
                exceeded = true;
              }
            }
            exceeded = exceeded || room.taken() > kMax;
            share.keep(16 * kKiB);
          }
        });
      }
    }
    evictor.request_stop();
    CHECK_FALSE(exceeded);
    CHECK(room.taken() <= kMax);
  }
}
