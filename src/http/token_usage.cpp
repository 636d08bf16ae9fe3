#include "token_usage.hpp"

#include "pkc/base/assert.hpp"

#include <algorithm>

namespace pkc::http {

std::optional<std::chrono::milliseconds> TokenUsage::count_request(const TokenLimits& limits,
                                                                   SteadyTime now) {
  if (limits.requests_per_second == 0) {
    return std::nullopt;
  }
  constexpr std::chrono::nanoseconds kSecond = std::chrono::seconds(1);
  const std::chrono::nanoseconds interval = kSecond / limits.requests_per_second;
  const std::uint32_t burst =
      limits.requests_burst == 0 ? limits.requests_per_second : limits.requests_burst;
  const auto state = state_.lock();
  const SteadyTime full_again = std::max(state->full_again, now) + interval;
  const std::chrono::nanoseconds over = (full_again - now) - interval * burst;
  if (over > std::chrono::nanoseconds::zero()) {
    return std::chrono::ceil<std::chrono::milliseconds>(over);
  }
  state->full_again = full_again;
  return std::nullopt;
}

bool TokenUsage::take(QuotaShare& share, ByteCount bytes, const TokenLimits& limits, WallTime now) {
  PKC_ASSERT(limits.write_bytes_per_day > 0);
  const auto today = std::chrono::floor<std::chrono::days>(now);
  const auto state = state_.lock();
  if (state->day != today) {
    state->day = today;
    state->written = 0;
  }
  if (share.day != today) { // an upload over midnight counts where it ends
    share = {.day = today, .bytes = 0};
  }
  const ByteCount left =
      limits.write_bytes_per_day - std::min(limits.write_bytes_per_day, state->written);
  if (bytes > left) {
    return false;
  }
  state->written += bytes;
  share.bytes += bytes;
  return true;
}

void TokenUsage::settle(const QuotaShare& share, ByteCount used) {
  const auto state = state_.lock();
  if (state->day == share.day && used < share.bytes) {
    state->written -= std::min(share.bytes - used, state->written); // others may have lowered it
  }
}

TokenUsage::Written TokenUsage::written() {
  const auto state = state_.lock();
  return {.day = state->day, .bytes = state->written};
}

void TokenUsage::add_written(const Written& before, const Written& after) {
  const auto state = state_.lock();
  if (state->day < after.day) {
    state->day = after.day;
    state->written = 0;
  }
  if (state->day != after.day) {
    return;
  }
  const ByteCount base = before.day == after.day ? before.bytes : 0;
  if (base <= after.bytes) {
    state->written += std::min(after.bytes - base, ~ByteCount{0} - state->written);
  } else { // an upload has failed and gave its share back
    state->written -= std::min(base - after.bytes, state->written);
  }
}

} // namespace pkc::http
