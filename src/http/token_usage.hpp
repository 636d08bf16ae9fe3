// TokenUsage: what a token has used of its limits.
#pragma once

#include "throttle.hpp"

#include "pkc/base/bytes.hpp"
#include "pkc/base/clock.hpp"
#include "pkc/base/guarded.hpp"
#include "pkc/http/auth.hpp"

#include <chrono>
#include <optional>

namespace pkc::http {

/// Bytes of today's quota that an upload holds until it is settled.
struct QuotaShare {
  std::chrono::sys_days day;
  ByteCount bytes = 0;
};

/// Counts requests and written bytes of one token, in memory. Thread-safe. The limits are passed
/// in, as a reload may change them.
class TokenUsage {
 public:
  /// How fast its bytes may go, in each direction.
  Throttle reads;
  Throttle writes;

  /// Nothing when a request may go on; else how long to wait before the next one, at least 1 ms.
  std::optional<std::chrono::milliseconds> count_request(const TokenLimits& limits, SteadyTime now);

  /// Takes `bytes` more into `share`; false, and nothing is taken, beyond the quota. REQUIRES:
  /// there is one.
  bool take(QuotaShare& share, ByteCount bytes, const TokenLimits& limits, WallTime now);

  /// Gives back what of `share` is beyond `used`.
  void settle(const QuotaShare& share, ByteCount used);

  struct Written {
    std::chrono::sys_days day;
    ByteCount bytes = 0;
  };
  /// What was written on the last day of which anything is known.
  [[nodiscard]] Written written();
  /// Adds what others have made of `before`; what is of an earlier day does not matter.
  void add_written(const Written& before, const Written& after);

 private:
  struct State {
    /// When the allowance would be full again (the "theoretical arrival time" of the generic cell
    /// rate algorithm): one number holds all of a token bucket.
    SteadyTime full_again;
    std::chrono::sys_days day;
    ByteCount written = 0; ///< on that day
  };

  Guarded<State> state_;
};

} // namespace pkc::http
