// Signals: SIGTERM, SIGINT, SIGHUP and SIGUSR2 as something to wait for.
#pragma once

#include "pkc/base/result.hpp"
#include "pkc/base/unique_handle.hpp"

#include <chrono>
#include <initializer_list>
#include <optional>
#include <utility>

namespace pkc::app {

/// What ended a wait: one of the two, or neither when the time was up.
struct Wakeup {
  int signal = 0;
  int descriptor = -1;
};

/// Holds SIGTERM, SIGINT, SIGHUP and SIGUSR2 back from every thread started after it, and hands
/// them to whoever waits. Make one before the first thread. One thread at a time.
class Signals {
 public:
  static Result<Signals> make();

  /// Blocks until a signal comes, or one of `descriptors` is readable or has ended, or `timeout`
  /// has passed, if there is one. A signal comes before a descriptor; descriptors of -1 are left
  /// out.
  Result<Wakeup> wait(std::initializer_list<int> descriptors,
                      std::optional<std::chrono::milliseconds> timeout = std::nullopt);

 private:
  explicit Signals(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
};

} // namespace pkc::app
