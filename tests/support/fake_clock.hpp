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
    return SteadyTime(std::chrono::milliseconds(elapsed_ms_.load()));
  }
  [[nodiscard]] WallTime wall_now() const override {
    return std::chrono::floor<std::chrono::seconds>(wall_now_ms());
  }
  [[nodiscard]] WallTimeMs wall_now_ms() const override {
    return WallTime(std::chrono::seconds(kStart)) + std::chrono::milliseconds(elapsed_ms_.load());
  }
  void advance(std::chrono::milliseconds by) { elapsed_ms_ += by.count(); }

 private:
  static constexpr std::int64_t kStart = 1'767'225'600;
  std::atomic<std::int64_t> elapsed_ms_{0};
};

} // namespace pkc::test
