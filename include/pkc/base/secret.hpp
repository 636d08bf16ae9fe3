// Secret<T>: a value that no log line, message or core file is to show.
#pragma once

#include <cstddef>
#include <ostream>
#include <string>
#include <string_view>
#include <utility>

namespace pkc {

/// Overwrites `size` bytes in a way that the compiler does not leave out.
void wipe(void* memory, std::size_t size) noexcept;

/// What stands for a secret wherever it would be printed.
constexpr std::string_view kHiddenSecret = "***";

/// Text that only reveal() gives away. Prints as ***; its memory is overwritten when it is
/// destroyed, moved from or assigned to. Copies cannot be made by accident. One thread at a time.
template <typename T>
class Secret;

template <>
class Secret<std::string> {
 public:
  Secret() = default;
  /// `value` itself, if it is a named object, is left to its owner: move it in.
  explicit Secret(std::string value) : value_(std::move(value)) { wipe_string(value); }
  Secret(const Secret&) = delete;
  Secret& operator=(const Secret&) = delete;
  Secret(Secret&& other) noexcept : value_(std::move(other.value_)) { wipe_string(other.value_); }
  Secret& operator=(Secret&& other) noexcept {
    if (this != &other) {
      wipe_string(value_);
      value_ = std::move(other.value_);
      wipe_string(other.value_);
    }
    return *this;
  }
  ~Secret() { wipe_string(value_); }

  /// The text; lives as long as the secret is neither assigned nor moved.
  [[nodiscard]] std::string_view reveal() const { return value_; }
  [[nodiscard]] bool empty() const { return value_.empty(); }

  friend std::ostream& operator<<(std::ostream& out, const Secret& /*secret*/) {
    return out << kHiddenSecret;
  }

 private:
  /// All of its capacity: what a longer value left behind, and the characters that a short string
  /// keeps inside itself after it was moved from.
  static void wipe_string(std::string& text) noexcept {
    text.clear(); // what a move left is any text
    text.resize(text.capacity());
    wipe(text.data(), text.size());
    text.clear();
  }

  std::string value_;
};

} // namespace pkc
