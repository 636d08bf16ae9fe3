// Notifier: tells the service manager how we are.
#pragma once

#include "pkc/base/result.hpp"
#include "pkc/base/unique_handle.hpp"
#include "pkc/ops/log.hpp"

#include <sys/types.h>

#include <chrono>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

namespace pkc::app {

/// Where and how often the service manager wants to hear from us.
struct NotifyOptions {
  std::string socket;                   ///< a path, or @ and an abstract name; empty: nowhere
  std::chrono::microseconds watchdog{}; ///< the longest silence; 0: any
};

/// What NOTIFY_SOCKET and, when WATCHDOG_PID is us or not set, WATCHDOG_USEC say. All are removed,
/// so that no child speaks for us. To be called before any other thread exists.
NotifyOptions take_notify_options();

/// Speaks the protocol of systemd's Type=notify. Without a socket it does nothing. What cannot be
/// told is logged as a warning, and the server goes on. Thread-safe. Telling blocks for up to five
/// seconds when the manager does not read.
class Notifier {
 public:
  /// `log` outlives it.
  Notifier(NotifyOptions options, ops::Log& log) : options_(std::move(options)), log_(log) {}

  /// The start is done; `address` is what is listened on. From now on the manager expects signs of
  /// life, if it wants any: see watch().
  void ready(std::string_view address);
  /// The end has begun.
  void stopping();
  /// From now on another process is the service; the manager listens to it and no more to us. To be
  /// called without a thread of watch(). Errors: invalid_argument and io, when the manager does not
  /// know: it would take our end for the end of the service.
  [[nodiscard]] Result<void> handed_over_to(pid_t process) const;

  /// Tells the manager twice in each of its watchdog's periods that the process runs; a worker
  /// that hangs does not end them. The thread ends with the value, which this outlives; without a
  /// watchdog there is none. Errors: io when there is no thread.
  [[nodiscard]] Result<std::jthread> watch();

 private:
  void tell(std::string_view state);
  [[nodiscard]] Result<void> send(std::string_view state) const;

  const NotifyOptions options_;
  ops::Log& log_;
};

} // namespace pkc::app
