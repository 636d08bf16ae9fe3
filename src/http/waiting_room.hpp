// WaitingRoom: connections whose answer cannot go on at the moment.
#pragma once

#include "pkc/base/clock.hpp"
#include "pkc/base/guarded.hpp"
#include "pkc/base/result.hpp"
#include "pkc/base/unique_handle.hpp"
#include "pkc/http/message.hpp"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <unordered_map>
#include <utility>

namespace pkc::http {

class Connection;

/// A connection waits here without a thread, for a Wake, for its socket, or for a deadline.
/// Whatever comes first, and any number of them at once, makes it ready, and one worker gets it.
/// Until then it is owned by this room; what is watched has numbers that are never used again, so
/// that a wake or an event that comes late finds nobody. Thread-safe.
class WaitingRoom : public std::enable_shared_from_this<WaitingRoom> {
 public:
  /// What of a socket ends the wait. A reset, and our own shutdown, always does.
  enum class Watch : std::uint8_t {
    reset,
    hang_up, ///< that the peer sends no more, too
    input,
    output,
  };

  /// The right to wait once, given back on destruction: from then on wakes for it do nothing.
  class Seat {
   public:
    Seat() = default;
    Seat(Seat&& other) noexcept
        : room_(std::exchange(other.room_, nullptr)), number_(other.number_) {}
    Seat& operator=(Seat&& other) noexcept {
      std::swap(room_, other.room_);
      std::swap(number_, other.number_);
      return *this;
    }
    Seat(const Seat&) = delete;
    Seat& operator=(const Seat&) = delete;
    ~Seat();

    /// REQUIRES: it is one.
    [[nodiscard]] Wake wake() const;
    /// Gives the connection up until it is ready, or is so already. From here on the connection may
    /// belong to another worker. Errors: io when the kernel has no memory for it; then it is still
    /// the caller's. REQUIRES: the caller owns the connection and is not in need of this.
    Result<void> wait(int socket, Watch watch, SteadyTime deadline);

   private:
    friend class WaitingRoom;
    Seat(WaitingRoom& room, std::uint64_t number) : room_(&room), number_(number) {}
    WaitingRoom* room_ = nullptr;
    std::uint64_t number_ = 0;
  };

  /// A connection that is ready, and why. It may be both or, with news of its socket, neither.
  struct Turn {
    Connection* connection = nullptr;
    bool woken = false;
    bool expired = false; ///< its deadline has passed, without news of its socket
  };

  /// Errors: io.
  static Result<std::shared_ptr<WaitingRoom>> make();

  /// REQUIRES: the room outlives the seat.
  Seat open(Connection& connection);
  /// The next connection that is ready, which the caller owns from then on.
  std::optional<Turn> take();
  /// Makes those ready whose deadline is not after `now`. True when there were such, or will be
  /// before `soon`.
  bool expire_due(SteadyTime now, SteadyTime soon);
  /// Makes all ready, and whoever comes later at once: nothing is worth waiting for any more.
  void end();
  /// Readable while take() may find somebody. For epoll.
  [[nodiscard]] int descriptor() const { return epoll_.get(); }

 private:
  enum class State : std::uint8_t {
    owned, ///< by a worker
    waiting,
    ready,
  };
  struct Wait {
    Connection* connection = nullptr;
    State state = State::owned;
    bool woken = false;
    bool signalled = false; ///< there was news of the socket
    SteadyTime deadline = SteadyTime::max();
  };
  struct Book {
    std::unordered_map<std::uint64_t, Wait> waits; ///< by number
    std::deque<std::uint64_t> ready;               ///< numbers, in the order of their turns
    std::uint64_t last_number = 0;
    bool ended = false;
  };

  WaitingRoom(UniqueFd epoll, UniqueFd bell) : epoll_(std::move(epoll)), bell_(std::move(bell)) {}

  void close(std::uint64_t number);
  void wake(std::uint64_t number);
  void collect_signals();
  Result<void> watch(int socket, std::uint64_t number, Watch watch) const;
  void make_ready(Book& book, std::uint64_t number, Wait& wait) const;

  UniqueFd epoll_;
  UniqueFd bell_; ///< an eventfd, set while Book::ready is not empty
  Guarded<Book> book_;
};

} // namespace pkc::http
