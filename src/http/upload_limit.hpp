// UploadLimit: how many request bodies may be on their way at once.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace pkc::http {

/// Places for requests with a body. Each holds a worker for as long as its client takes to send, so
/// there are fewer places than workers: the rest is left to those who only read. Thread-safe.
class UploadLimit {
 public:
  explicit UploadLimit(std::size_t max) : max_(max) {}

  /// A place, given back on destruction; or none. Must not outlive the UploadLimit.
  class Place {
   public:
    Place() = default;
    Place(Place&& other) noexcept : limit_(std::exchange(other.limit_, nullptr)) {}
    Place& operator=(Place&& other) noexcept {
      std::swap(limit_, other.limit_);
      return *this;
    }
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;
    ~Place() {
      if (limit_ != nullptr) {
        limit_->taken_.fetch_sub(1, std::memory_order_relaxed);
      }
    }
    explicit operator bool() const { return limit_ != nullptr; }

   private:
    friend class UploadLimit;
    explicit Place(UploadLimit& limit) : limit_(&limit) {}
    UploadLimit* limit_ = nullptr;
  };

  [[nodiscard]] Place try_take() {
    std::size_t taken = taken_.load(std::memory_order_relaxed);
    while (taken < max_) {
      if (taken_.compare_exchange_weak(taken, taken + 1, std::memory_order_relaxed)) {
        return Place(*this);
      }
    }
    refused_.fetch_add(1, std::memory_order_relaxed);
    return {};
  }

  [[nodiscard]] std::size_t max() const { return max_; }
  [[nodiscard]] std::size_t taken() const { return taken_.load(std::memory_order_relaxed); }
  /// How often there was none, ever.
  [[nodiscard]] std::uint64_t refused() const { return refused_.load(std::memory_order_relaxed); }

 private:
  const std::size_t max_;
  std::atomic<std::size_t> taken_ = 0;
  std::atomic<std::uint64_t> refused_ = 0;
};

} // namespace pkc::http
