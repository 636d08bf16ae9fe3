// The places for uploads: never more than there are, and all of them free in the end.
#include "upload_limit.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <thread>
#include <utility>
#include <vector>

namespace pkc::http {
namespace {

TEST_SUITE("http::UploadLimit") {
  TEST_CASE("try_take: up to the limit; a moved place counts once") {
    UploadLimit limit(1);
    {
      UploadLimit::Place place = limit.try_take();
      CHECK(place);
      const UploadLimit::Place moved = std::move(place);
      CHECK(moved);
      CHECK_FALSE(limit.try_take());
    }
    CHECK(limit.try_take());
  }

  TEST_CASE("try_take: many threads at once hold no more than there are") {
    constexpr int kPlaces = 3;
    UploadLimit limit(kPlaces);
    std::atomic<int> held = 0;
    std::atomic<bool> exceeded = false;
    {
      std::vector<std::jthread> threads;
      for (int i = 0; i < 8; ++i) {
        threads.emplace_back([&] {
          for (int round = 0; round < 2000; ++round) {
            const UploadLimit::Place place = limit.try_take();
            if (place) {
              exceeded = exceeded || ++held > kPlaces;
              --held;
            }
          }
        });
      }
    }

    CHECK_FALSE(exceeded);
    std::vector<UploadLimit::Place> all;
    for (int i = 0; i < kPlaces; ++i) {
      all.push_back(limit.try_take());
      CHECK(all.back());
    }
    CHECK_FALSE(limit.try_take());
  }
}

} // namespace
} // namespace pkc::http
