// MetricsListener: /metrics at an address of its own.
#pragma once

#include "pkc/base/result.hpp"
#include "pkc/http/server.hpp"
#include "pkc/ops/log.hpp"
#include "pkc/ops/metrics.hpp"

#include <memory>
#include <optional>

namespace pkc::app {

/// A small server beside the real one, so that a firewall can tell apart who may read metrics from
/// who may use the cache. One thread at a time; destruction stops it.
class MetricsListener {
 public:
  /// Where it listens; nothing: it does nothing at all. All that the arguments refer to outlives
  /// it.
  MetricsListener(std::optional<http::ServerOptions> options,
                  ops::Metrics& metrics,
                  http::AccessLog access_log,
                  ops::Log& log);

  /// Listens. Errors: those of http::Server::start(), with the setting named.
  Result<void> start();
  /// The address is free when it returns.
  void stop() { server_.reset(); }

  /// What a server of that address allows itself: a few connections, two threads.
  static http::ServerOptions options_for(std::string bind, std::uint16_t port);

 private:
  const std::optional<http::ServerOptions> options_;
  ops::Metrics& metrics_;
  const http::AccessLog access_log_;
  ops::Log& log_;
  std::unique_ptr<http::Server> server_;
};

} // namespace pkc::app
