// RateLimits: how fast downloads may go, together and from each origin.
#pragma once

#include "pkc/base/bytes.hpp"
#include "pkc/base/clock.hpp"
#include "pkc/base/guarded.hpp"

#include <memory>
#include <stop_token>
#include <string>
#include <unordered_map>

namespace pkc::upstream {

/// Lets so many bytes pass in a second, and as many as a quarter of a second brings at once. One
/// who took more than that waits until it is paid for. Thread-safe.
class RateLimit {
 public:
  RateLimit(const Clock& clock, ByteCount rate) : clock_(clock), rate_(rate) {}
  /// Blocks. False when it was told to stop.
  bool take(ByteCount bytes, const std::stop_token& stop);

 private:
  const Clock& clock_;
  const ByteCount rate_;
  Guarded<SteadyTime> paid_until_;
};

/// Of all downloads together, and of each origin. Thread-safe.
class RateLimits {
 public:
  RateLimits(const Clock& clock, ByteCount rate, ByteCount rate_per_origin);

  /// What one download takes from. Null: there is no limit.
  using Share = std::shared_ptr<RateLimit>;
  [[nodiscard]] const Share& all() const { return all_; }
  /// Those of one origin that are in use at the same time share it.
  [[nodiscard]] Share of_origin(const std::string& origin);

 private:
  const Clock& clock_;
  const ByteCount rate_per_origin_;
  Share all_;
  Guarded<std::unordered_map<std::string, std::weak_ptr<RateLimit>>> origins_;
};

} // namespace pkc::upstream
