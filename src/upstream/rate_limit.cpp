#include "rate_limit.hpp"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>

namespace pkc::upstream {

namespace {
constexpr std::chrono::milliseconds kAtOnce{250};
} // namespace

bool RateLimit::take(ByteCount bytes, const std::stop_token& stop) {
  using std::chrono::duration;
  using std::chrono::duration_cast;
  const auto price = duration_cast<SteadyTime::duration>(
      duration<double>(static_cast<double>(bytes) / static_cast<double>(rate_)));
  const SteadyTime now = clock_.steady_now();
  SteadyTime until;
  {
    const auto paid = paid_until_.lock();
    *paid = std::max(*paid, now) + price;
    until = *paid - kAtOnce;
  }
  if (until > now) {
    std::mutex mutex;
    std::condition_variable_any never;
    std::unique_lock lock(mutex);
    never.wait_for(lock, stop, until - now, [] { return false; });
  }
  return !stop.stop_requested();
}

RateLimits::RateLimits(const Clock& clock, ByteCount rate, ByteCount rate_per_origin)
    : clock_(clock),
      rate_per_origin_(rate_per_origin),
      all_(rate == 0 ? nullptr : std::make_shared<RateLimit>(clock, rate)) {}

RateLimits::Share RateLimits::of_origin(const std::string& origin) {
  if (rate_per_origin_ == 0) {
    return nullptr;
  }
  const auto origins = origins_.lock();
  std::erase_if(*origins, [](const auto& entry) { return entry.second.expired(); });
  auto& entry = (*origins)[origin];
  Share share = entry.lock();
  if (!share) {
    share = std::make_shared<RateLimit>(clock_, rate_per_origin_);
    entry = share;
  }
  return share;
}

} // namespace pkc::upstream
