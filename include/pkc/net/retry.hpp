// When to try again. Pure: time and randomness are parameters.
#pragma once

#include "pkc/base/clock.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>

namespace pkc::net {

struct RetryOptions {
  std::chrono::milliseconds base{500};       ///< the longest wait before the first retry
  std::chrono::milliseconds ceiling{30'000}; ///< the longest wait before any retry
};

/// A number of 64 random bits. Need not be secret.
using RandomBits = std::function<std::uint64_t()>;

/// How long to wait before retry `attempt` (0 is the first one): anything from nothing to
/// base * 2^attempt, but never more than the ceiling ("full jitter": clients that failed together
/// do not come back together). When the server named a time in Retry-After, that is the least, up
/// to the ceiling, and the jitter comes on top of it, up to `base`.
std::chrono::milliseconds retry_delay(unsigned attempt,
                                      const RetryOptions& options,
                                      std::optional<std::chrono::seconds> retry_after,
                                      const RandomBits& random);

/// The value of a Retry-After header (RFC 9110 section 10.2.3): seconds, or the time from `now`
/// until an HTTP date; 0 for a date that has passed. Nothing for any other text.
std::optional<std::chrono::seconds> parse_retry_after(std::string_view value, WallTime now);

} // namespace pkc::net
