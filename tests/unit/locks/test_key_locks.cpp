#include "pkc/locks/key_locks.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <latch>
#include <string_view>
#include <thread>
#include <vector>

using pkc::locks::KeyLocks;

namespace {

struct Wish {
  std::string_view name;
  KeyLocks::Mode mode;
};

/// Two threads that each let go only when both hold their lock; returns how many got that far.
int held_together(KeyLocks& locks, Wish first, Wish second) {
  std::latch both(2);
  std::atomic<int> reached{0};
  const auto hold = [&](Wish wish) {
    const auto held = locks.acquire(wish.name, wish.mode);
    both.arrive_and_wait();
    ++reached;
  };
  {
    const std::jthread one(hold, first);
    const std::jthread other(hold, second);
  }
  return reached;
}

} // namespace

TEST_SUITE("locks::KeyLocks") {
  TEST_CASE("acquire: readers of one name hold it together") {
    KeyLocks locks;
    CHECK(held_together(locks, {"a", KeyLocks::Mode::shared}, {"a", KeyLocks::Mode::shared}) == 2);
  }

  TEST_CASE("acquire: writers of different names do not wait for each other") {
    KeyLocks locks;
    CHECK(held_together(
              locks, {"a", KeyLocks::Mode::exclusive}, {"b", KeyLocks::Mode::exclusive}) == 2);
  }

  TEST_CASE("acquire: writers of one name exclude each other and all readers") {
    constexpr int kThreads = 8;
    constexpr int kRounds = 500;
    KeyLocks locks;
    std::latch start(kThreads);
    std::atomic<int> writers{0};
    std::atomic<int> readers{0};
    std::atomic<int> violations{0};
    int unguarded = 0; // only the lock protects it
    {
      std::vector<std::jthread> threads;
      threads.reserve(kThreads);
      for (int thread = 0; thread < kThreads; ++thread) {
        threads.emplace_back([&, thread] {
          start.arrive_and_wait();
          for (int round = 0; round < kRounds; ++round) {
            if ((round + thread) % 3 == 0) {
              const auto held = locks.acquire("a", KeyLocks::Mode::shared);
              ++readers;
              violations += writers.load() > 0 ? 1 : 0;
              --readers;
            } else {
              const auto held = locks.acquire("a", KeyLocks::Mode::exclusive);
              violations += ++writers > 1 || readers.load() > 0 ? 1 : 0;
              ++unguarded;
              --writers;
            }
          }
        });
      }
    }
    CHECK(violations == 0);
    int expected = 0;
    for (int thread = 0; thread < kThreads; ++thread) {
      for (int round = 0; round < kRounds; ++round) {
        expected += (round + thread) % 3 == 0 ? 0 : 1;
      }
    }
    CHECK(unguarded == expected);
  }
}
