// Signals: SIGTERM and SIGINT as something to wait for.
#pragma once

#include "pkc/base/result.hpp"
#include "pkc/base/unique_handle.hpp"

namespace pkc::app {

/// Holds SIGTERM and SIGINT back from every thread started after it, and hands them to whoever
/// waits. Make one before the first thread. One thread at a time.
class Signals {
 public:
  static Result<Signals> make();

  /// Blocks until a signal comes and returns its number, or until `event_fd` is readable and
  /// returns 0. Pass -1 to wait for signals only.
  Result<int> wait(int event_fd);

 private:
  explicit Signals(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
};

} // namespace pkc::app
