// Guarded<T>: data and its mutex in one object, so that neither is reached without the other.
#pragma once

#include <mutex>
#include <utility>

namespace pkc {

/// Data shared by threads. Thread-safe. No lock is held over I/O, a callback or another module's
/// call.
template <typename T>
class Guarded {
 public:
  /// The data while locked; unlocks on destruction.
  class Access {
   public:
    T* operator->() const { return data_; }
    T& operator*() const { return *data_; }
    /// The lock itself, for waiting on a condition variable.
    std::unique_lock<std::mutex>& lock() { return lock_; }

   private:
    friend class Guarded;
    Access(std::mutex& mutex, T* data) : lock_(mutex), data_(data) {}
    std::unique_lock<std::mutex> lock_;
    T* data_;
  };

  Guarded() = default;
  explicit Guarded(T data) : data_(std::move(data)) {}

  [[nodiscard]] Access lock() { return Access(mutex_, &data_); }

 private:
  std::mutex mutex_;
  T data_ = T();
};

} // namespace pkc
