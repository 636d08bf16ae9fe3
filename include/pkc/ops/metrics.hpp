// Metrics: named counters with bounded labels, and their Prometheus text form.
#pragma once

#include "pkc/base/guarded.hpp"

#include <atomic>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>

namespace pkc::ops {

/// A number that only grows. Thread-safe.
class Counter {
 public:
  void add(std::uint64_t amount = 1) { value_.fetch_add(amount, std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

/// The registry. Thread-safe. Counters live as long as the registry; ask for each once, at start,
/// and keep the reference.
class Metrics {
 public:
  /// The counter of that name and label text (e.g. `method="get",status="2xx"`, or empty), made on
  /// first use.
  Counter& counter(std::string_view name, std::string_view help, std::string_view labels = "");

  /// Prometheus text exposition format 0.0.4, families in order of first use.
  [[nodiscard]] std::string render();

 private:
  struct Series {
    std::string name;
    std::string help;
    std::string labels;
    Counter counter;
  };
  Guarded<std::deque<Series>> series_;
};

} // namespace pkc::ops
