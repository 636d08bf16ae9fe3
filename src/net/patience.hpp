// Patience: how long a fetch waits, and for what.
#pragma once

#include "pkc/base/clock.hpp"
#include "pkc/base/result.hpp"
#include "pkc/base/unique_handle.hpp"

#include <poll.h>

#include <functional>
#include <optional>
#include <span>
#include <stop_token>
#include <string_view>

namespace pkc::net {

/// The end of a fetch: its deadline, or that it is asked to stop. Every wait for a socket goes
/// through here, so that both end it at once. One thread at a time; not movable.
class Patience {
 public:
  Patience(SteadyTime deadline, std::stop_token stop);

  /// Waits until a socket is ready, or `until`. False: that time passed. Errors: timeout (the
  /// deadline passed), unavailable (stopped), io.
  [[nodiscard]] Result<bool> wait(std::span<const pollfd> sockets, SteadyTime until) const;

  /// The same for one socket; when `until` passes that is an error, too: timeout, "<what>".
  [[nodiscard]] Result<void> wait_for(int socket,
                                      short events,
                                      SteadyTime until,
                                      std::string_view what) const;

  /// Errors: timeout, unavailable, as above.
  [[nodiscard]] Result<void> check() const;

  [[nodiscard]] SteadyTime deadline() const { return deadline_; }
  [[nodiscard]] const std::stop_token& stop() const { return stop_; }
  /// `span` from now, or the deadline if that is earlier.
  [[nodiscard]] SteadyTime in(std::chrono::milliseconds span) const;

 private:
  SteadyTime deadline_;
  std::stop_token stop_;
  UniqueFd alarm_; ///< readable when it is time to stop
  std::optional<std::stop_callback<std::function<void()>>> callback_; ///< last: it uses the alarm
};

} // namespace pkc::net
