// Pace: how slow the peer of one transfer may be.
#pragma once

#include "pkc/base/bytes.hpp"
#include "pkc/base/clock.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace pkc::http {

/// Two bounds on a peer: `timeout` for one step without a byte, and a least number of bytes per
/// second, on average over at least `timeout` of waiting for it. Only time spent waiting counts:
/// while a handler or a disk is what is slow, the peer owes nothing. One thread at a time.
class Pace {
 public:
  /// `rate_min` in bytes per second; 0: any. The clock must outlive this.
  Pace(const Clock& clock, std::chrono::milliseconds timeout, ByteCount rate_min = 0)
      : clock_(&clock), timeout_(timeout), rate_min_(rate_min) {}

  [[nodiscard]] std::chrono::milliseconds timeout() const { return timeout_; }
  [[nodiscard]] SteadyTime now() const { return clock_->steady_now(); }

  /// Bytes went from or to the kernel.
  void moved(std::size_t count) { moved_ += static_cast<std::int64_t>(count); }
  /// It was waited for the peer.
  void waited(SteadyTime::duration time) { waited_ += time; }

  /// Whether the peer fell below the rate in the span that is over now; asked before each wait, so
  /// that bytes which have come are never thrown away. `pending`: how many of the moved bytes the
  /// peer has not taken yet.
  [[nodiscard]] bool too_slow(std::int64_t pending = 0) {
    const std::int64_t taken = moved_ - pending;
    if (!waited_before_) { // the first wait: what came before it was not waited for
      waited_before_ = true;
      taken_before_ = taken;
    }
    if (waited_ < timeout_) {
      return false;
    }
    const double seconds = std::chrono::duration<double>(waited_).count();
    const bool slow =
        static_cast<double>(taken - taken_before_) < static_cast<double>(rate_min_) * seconds;
    taken_before_ = taken;
    waited_ = {};
    return rate_min_ > 0 && slow;
  }

 private:
  const Clock* clock_;
  std::chrono::milliseconds timeout_;
  ByteCount rate_min_;
  std::int64_t moved_ = 0;        ///< since the start
  std::int64_t taken_before_ = 0; ///< by the peer, until the span began
  bool waited_before_ = false;
  SteadyTime::duration waited_{}; ///< in this span
};

} // namespace pkc::http
