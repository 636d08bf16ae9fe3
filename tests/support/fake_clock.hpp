// FakeClock: time that moves only when a test says so.
#pragma once

#include "pkc/base/clock.hpp"

#include <atomic>
#include <chrono>

namespace pkc::test {

/// Starts at 2026-01-01 00:00:00 UTC. Thread-safe.
class FakeClock final : public Clock {
 public:
  [[nodiscard]] SteadyTime steady_now() const override {
    return SteadyTime(std::chrono::seconds(elapsed_.load()));
  }
  [[nodiscard]] WallTime wall_now() const override {
    return WallTime(std::chrono::seconds(kStart + elapsed_.load()));
  }
  void advance(std::chrono::seconds by) { elapsed_ += by.count(); }

 private:
  static constexpr std::int64_t kStart = 1'767'225'600;
  std::atomic<std::int64_t> elapsed_{0};
};

} // namespace pkc::test
