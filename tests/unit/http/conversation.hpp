// Conversation: what a client says to a server and hears of it, byte by byte.
#pragma once

#include "pkc/base/clock.hpp"
#include "pkc/base/unique_handle.hpp"
#include "pkc/http/server.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <charconv>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

namespace pkc::http::test {

using std::chrono_literals::operator""h;
using std::chrono_literals::operator""s;
using std::chrono_literals::operator""ms;

/// How long a test waits for what must come; far beyond what a loaded machine needs.
constexpr std::chrono::milliseconds kPatience{20'000};

inline SteadyTime deadline() {
  return system_clock().steady_now() + kPatience;
}

/// Polls until `condition` holds; false when it does not within the patience.
inline bool eventually(const std::function<bool()>& condition) {
  const SteadyTime end = deadline();
  while (!condition()) {
    if (system_clock().steady_now() > end) {
      return false;
    }
    std::this_thread::yield();
  }
  return true;
}

struct Answer {
  int status = 0;
  std::string head; ///< status line and fields
  std::string body;

  [[nodiscard]] bool has(std::string_view text) const {
    return head.find(text) != std::string::npos;
  }
};

/// Requests and answers on a connection, however the bytes travel. Every wait ends with the
/// patience.
class Conversation {
 public:
  Conversation() = default;
  Conversation(const Conversation&) = delete;
  Conversation& operator=(const Conversation&) = delete;
  Conversation(Conversation&&) = default;
  Conversation& operator=(Conversation&&) = default;
  virtual ~Conversation() = default;

  /// False when the server has closed.
  virtual bool send(std::string_view bytes) = 0;

  /// Reads one answer; its body by Content-Length or in chunks, none when `has_body` is false.
  /// Status 0 when the connection ended before the end of the head.
  Answer read(bool has_body = true) {
    Answer answer;
    std::size_t end = 0;
    while ((end = buffer_.find("\r\n\r\n")) == std::string::npos) {
      if (!receive()) {
        return answer;
      }
    }
    answer.head = buffer_.substr(0, end + 2);
    buffer_.erase(0, end + 4);
    const std::string_view digits = std::string_view(answer.head).substr(9, 3);
    std::from_chars(digits.data(), digits.data() + digits.size(), answer.status);
    if (has_body && answer.has("\r\nTransfer-Encoding: chunked\r\n")) {
      answer.body = take_chunks();
      return answer;
    }
    const std::size_t length = has_body ? content_length(answer.head) : 0;
    while (buffer_.size() < length && receive()) {
    }
    answer.body = buffer_.substr(0, length);
    buffer_.erase(0, length);
    return answer;
  }

  Answer request(std::string_view bytes, bool has_body = true) {
    send(bytes);
    return read(has_body);
  }

  /// The next bytes, whatever they are; less when the connection ends before.
  std::string take_exactly(std::size_t count) {
    while (buffer_.size() < count && receive()) {
    }
    const std::string taken = buffer_.substr(0, count);
    buffer_.erase(0, count);
    return taken;
  }

  /// How the connection ended, after whatever data was left.
  enum class End {
    closed,
    reset,
    truncated, ///< closed, but the TLS in it was not
    open,      ///< it has not, within the patience
  };
  End read_to_end() {
    while (receive()) {
    }
    return end_;
  }

  [[nodiscard]] const std::string& unread() const { return buffer_; }

 protected:
  /// Waits for more bytes in buffer_; false at the end, which end_ tells.
  virtual bool receive() = 0;

  std::string buffer_;
  End end_ = End::open;

 private:
  /// Up to and with the last chunk; less when the connection ends before.
  std::string take_chunks() {
    std::string body;
    for (;;) {
      std::size_t line = 0;
      while ((line = buffer_.find("\r\n")) == std::string::npos) {
        if (!receive()) {
          return body;
        }
      }
      std::size_t size = 0;
      std::from_chars(buffer_.data(), buffer_.data() + line, size, 16);
      while (buffer_.size() < line + 2 + size + 2) {
        if (!receive()) {
          return body;
        }
      }
      body += buffer_.substr(line + 2, size);
      buffer_.erase(0, line + 2 + size + 2);
      if (size == 0) {
        return body;
      }
    }
  }

  static std::size_t content_length(std::string_view head) {
    constexpr std::string_view kName = "\r\nContent-Length: ";
    const std::size_t field = head.find(kName);
    std::size_t length = 0;
    if (field != std::string_view::npos) {
      const std::string_view rest = head.substr(field + kName.size());
      std::from_chars(rest.data(), rest.data() + rest.size(), length);
    }
    return length;
  }
};

} // namespace pkc::http::test
