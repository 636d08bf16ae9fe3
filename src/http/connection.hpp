// Connection: one client's socket, what it has sent and we have not used, and who may touch it now.
#pragma once

#include "pending_answer.hpp"
#include "socket.hpp"

#include "pkc/base/bytes.hpp"
#include "pkc/base/clock.hpp"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pkc::http {

/// Bytes that were received and not used yet. One thread at a time.
class InputBuffer {
 public:
  [[nodiscard]] bool empty() const { return begin_ == end_; }
  [[nodiscard]] std::string_view text() const { return {memory_.data() + begin_, end_ - begin_}; }
  void consume(std::size_t count) {
    begin_ += count;
    if (begin_ == end_) {
      begin_ = end_ = 0;
    }
  }
  /// The free part of a memory of at least `capacity` bytes. Moves the bytes, so views of them end.
  MutableByteSpan room(std::size_t capacity) {
    if (memory_.size() < capacity) {
      memory_.resize(capacity);
    }
    if (begin_ > 0) {
      std::memmove(memory_.data(), memory_.data() + begin_, end_ - begin_);
      end_ -= begin_;
      begin_ = 0;
    }
    return std::as_writable_bytes(std::span(memory_)).subspan(end_);
  }
  /// `count` bytes were put into room().
  void commit(std::size_t count) { end_ += count; }
  /// Lends the memory of this buffer to `other` and keeps other's bytes. An idle connection holds
  /// no memory this way: a worker lends its own to the connection it serves.
  void lend_to(InputBuffer& other) {
    const std::string_view bytes = other.text();
    std::ranges::copy(as_bytes(bytes), room(bytes.size()).begin());
    commit(bytes.size());
    std::swap(*this, other);
    *this = InputBuffer{};
  }
  /// Takes the memory back from `other` and leaves it a copy of its bytes, as large as they are.
  void take_back(InputBuffer& other) {
    InputBuffer rest;
    rest.memory_.assign(other.text().begin(), other.text().end());
    rest.end_ = rest.memory_.size();
    *this = std::exchange(other, std::move(rest));
    begin_ = end_ = 0;
  }

 private:
  std::vector<char> memory_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};

enum class Phase : std::uint8_t {
  handshaking,  ///< TLS is not agreed on yet
  reading_head, ///< idle, or part of a head has come
  waiting,      ///< its answer waits in the WaitingRoom
  lingering,    ///< answered and half closed: input is dropped until the client has read the answer
};

/// A connection is either *parked* (in epoll, no thread) or *owned* by the one worker that took it,
/// or by the WaitingRoom; everything but the parking word belongs to the owner. The housekeeper
/// sees parked connections only through expire_if_due().
class Connection {
 public:
  Connection(Socket accepted, std::string address)
      : socket(std::move(accepted)), peer(std::move(address)) {}

  Socket socket;
  const std::string peer; ///< numeric address
  InputBuffer input;
  std::size_t scanned = 0;    ///< bytes of input that are known to hold no complete head
  ByteCount discard_left = 0; ///< rest of an answered request's body, to be dropped
  std::optional<SteadyTime>
      head_deadline; ///< set while part of a head has come, and for a handshake
  SteadyTime linger_deadline;
  std::unique_ptr<PendingAnswer> pending;         ///< null: no answer waits
  std::atomic<Phase> phase = Phase::reading_head; ///< written by the owner
  std::atomic<bool> answered = false;             ///< it has had an answer; written by the owner
  bool turned_away = false;                       ///< it has got its 503 and is in nobody's way
  bool counted = false;                           ///< it is one of its peer's in ClientCounts
  std::size_t slot = 0;                           ///< place in the ConnectionTable

  /// Gives the connection up until it has an event or `deadline` passes. REQUIRES: owned.
  void park(SteadyTime deadline) {
    parked_until_.store(deadline.time_since_epoch().count(), std::memory_order_release);
  }
  /// For whoever got the event of a parked connection and gives it back without taking it: after
  /// this the connection is not to be touched. What was read of it happens before unpark().
  void leave_parked() { parked_until_.fetch_add(0, std::memory_order_release); }
  /// Takes a parked connection; true when its deadline had passed.
  bool unpark() { return parked_until_.exchange(kOwned, std::memory_order_acq_rel) == kExpired; }

  [[nodiscard]] bool is_owned() const {
    return parked_until_.load(std::memory_order_acquire) == kOwned;
  }
  /// Marks a connection that is parked since before `now` or longer; true when this call did it.
  bool expire_if_due(SteadyTime now) {
    std::int64_t until = parked_until_.load(std::memory_order_acquire);
    // The exchange fails when a worker takes the connection at this moment: then it is alive.
    return until > kExpired && until <= now.time_since_epoch().count() &&
           parked_until_.compare_exchange_strong(until, kExpired, std::memory_order_acq_rel);
  }

 private:
  static constexpr std::int64_t kOwned = 0;
  static constexpr std::int64_t kExpired = 1;
  /// kOwned, kExpired, or the deadline in ticks of the steady clock.
  std::atomic<std::int64_t> parked_until_{kOwned};
};

} // namespace pkc::http
