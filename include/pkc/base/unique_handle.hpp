// UniqueHandle: the one owner of any C handle. Hand-written move operations are banned elsewhere.
#pragma once

#include <utility>

namespace pkc {

/// Owns one handle and releases it exactly once. `Traits` gives `Type`, `static constexpr Type
/// kInvalid` and `static void close(Type) noexcept`. One thread at a time.
template <typename Traits>
class UniqueHandle {
 public:
  using Type = typename Traits::Type;

  UniqueHandle() = default;
  explicit UniqueHandle(Type handle) : handle_(handle) {}
  UniqueHandle(const UniqueHandle&) = delete;
  UniqueHandle& operator=(const UniqueHandle&) = delete;
  UniqueHandle(UniqueHandle&& other) noexcept : handle_(other.release()) {}
  UniqueHandle& operator=(UniqueHandle&& other) noexcept {
    if (this != &other) {
      reset(other.release());
    }
    return *this;
  }
  ~UniqueHandle() { reset(); }

  [[nodiscard]] Type get() const { return handle_; }
  explicit operator bool() const { return handle_ != Traits::kInvalid; }

  /// Gives the handle up without releasing it.
  [[nodiscard]] Type release() { return std::exchange(handle_, Traits::kInvalid); }

  /// Releases what is held and takes `handle` instead.
  void reset(Type handle = Traits::kInvalid) {
    const Type old = std::exchange(handle_, handle);
    if (old != Traits::kInvalid) {
      Traits::close(old);
    }
  }

 private:
  Type handle_ = Traits::kInvalid;
};

struct FdTraits {
  using Type = int;
  static constexpr int kInvalid = -1;
  static void close(int fd) noexcept;
};

/// An owned file descriptor.
using UniqueFd = UniqueHandle<FdTraits>;

} // namespace pkc
