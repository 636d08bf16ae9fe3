// ConnectionTable: all connections of a server.
#pragma once

#include "connection.hpp"

#include "pkc/base/clock.hpp"
#include "pkc/base/guarded.hpp"

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <memory>
#include <vector>

namespace pkc::http {

class CutOff;

/// Owns the connections. A descriptor is closed only after its connection has left the table, so
/// whoever sees a connection here may shut its socket down without hitting a reused number.
/// Thread-safe.
class ConnectionTable {
 public:
  /// The caller owns (in the sense of Connection) what it gets.
  Connection& add(std::unique_ptr<Connection> connection);
  /// Closes it. REQUIRES: the caller owns it.
  void remove(Connection& connection);

  [[nodiscard]] std::size_t size() const { return size_.load(std::memory_order_relaxed); }

  /// What the connections are at; the rest of all is idle.
  struct Census {
    std::size_t all = 0;
    std::size_t active = 0;  ///< owned by a worker or the waiting room
    std::size_t waiting = 0; ///< of those, by the latter
    std::size_t handshaking = 0;
    std::size_t lingering = 0;
  };
  [[nodiscard]] Census count();

  /// Wakes every parked connection whose deadline is not after `now`, for its worker to see that it
  /// has expired.
  void expire_due(SteadyTime now);
  /// How long a server that stops waits for requests on the connections it has.
  struct Patience {
    SteadyTime first_request; ///< where none has been answered yet
    SteadyTime next_request;
  };
  /// As expire_due(), for the connections that have waited for a request longer than `patience`.
  void expire_waiting(SteadyTime now, const Patience& patience);
  /// Ends all connections: `cut_off` those that are owned, by their owners, and a shutdown those
  /// that are not. Returns how many the first are.
  std::size_t cut_off(CutOff& cut_off);
  /// Blocks until no connection is left; false when `deadline` came first.
  bool wait_until_empty(SteadyTime deadline);
  void wait_until_empty();

 private:
  Guarded<std::vector<std::unique_ptr<Connection>>> connections_;
  std::condition_variable changed_;
  std::atomic<std::size_t> size_ = 0;
};

} // namespace pkc::http
