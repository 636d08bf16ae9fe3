// ConnectionPool: connections that wait for one more request.
#pragma once

#include "connection.hpp"

#include "pkc/base/clock.hpp"
#include "pkc/base/guarded.hpp"

#include <chrono>
#include <cstddef>
#include <list>
#include <memory>
#include <string>

namespace pkc::net {

struct ConnectionPoolLimits {
  std::size_t all_max = 0;
  std::size_t per_key_max = 0;
  std::chrono::milliseconds age_max{};
};

/// Thread-safe.
class ConnectionPool {
 public:
  explicit ConnectionPool(const ConnectionPoolLimits& limits) : limits_(limits) {}

  /// The connection for `key` that was used last and that the peer still holds; null when there is
  /// none. Does not block.
  std::unique_ptr<Connection> take(const std::string& key);

  /// Keeps a connection; over a limit the one that waits longest goes.
  void put(const std::string& key, std::unique_ptr<Connection> connection);

 private:
  struct Idle {
    std::string key;
    SteadyTime since;
    std::unique_ptr<Connection> connection;
  };
  using Idles = std::list<Idle>; ///< the oldest first

  /// Moves out what is too old. The caller closes it when it has let go of the lock.
  void retire(Idles& idles, Idles& retired) const;

  const ConnectionPoolLimits limits_;
  Guarded<Idles> idles_;
};

} // namespace pkc::net
