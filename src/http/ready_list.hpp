// ReadyList: the events a worker has taken from the poller and not looked at yet.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <span>

namespace pkc::http {

/// Taking many events with one call is what makes a small request cheap; the price is that the
/// later ones depend on a worker that may get stuck with an earlier one. So each stands in a slot
/// of its own, and whoever takes it out, the worker or another thread, is the one who has it.
/// fill() and take() belong to the worker; take_rest() is thread-safe.
class ReadyList {
 public:
  static constexpr std::size_t kCapacity = 32;

  /// REQUIRES: take() has returned null; at most kCapacity tags, none of them null.
  void fill(std::span<void* const> tags) {
    for (std::size_t i = 0; i < tags.size(); ++i) {
      slots_[i].store(tags[i], std::memory_order_release);
    }
    next_ = 0;
    end_.store(tags.size(), std::memory_order_release);
  }
  /// The next event, or null when there is none left.
  [[nodiscard]] void* take() {
    const std::size_t end = end_.load(std::memory_order_relaxed);
    while (next_ < end) {
      if (void* tag = slots_[next_++].exchange(nullptr, std::memory_order_acq_rel)) {
        return tag;
      }
    }
    return nullptr;
  }
  /// Calls `with` for every event that is left.
  template <typename Function>
  void take_rest(const Function& with) {
    const std::size_t end = end_.load(std::memory_order_acquire);
    for (std::size_t i = 0; i < end; ++i) {
      if (slots_[i].load(std::memory_order_relaxed) == nullptr) {
        continue;
      }
      if (void* tag = slots_[i].exchange(nullptr, std::memory_order_acq_rel)) {
        with(tag);
      }
    }
  }
  /// Whether events were left when it was looked. Thread-safe.
  [[nodiscard]] bool has_rest() const {
    const std::size_t end = end_.load(std::memory_order_acquire);
    return std::ranges::any_of(std::span(slots_).first(end), [](const std::atomic<void*>& slot) {
      return slot.load(std::memory_order_relaxed) != nullptr;
    });
  }

 private:
  std::array<std::atomic<void*>, kCapacity> slots_{};
  std::atomic<std::size_t> end_ = 0; ///< slots that fill() has set; those behind it are null
  std::size_t next_ = 0;
};

} // namespace pkc::http
