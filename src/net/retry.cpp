#include "pkc/net/retry.hpp"

#include "pkc/base/http_text.hpp"
#include "pkc/base/number.hpp"

#include <algorithm>

namespace pkc::net {

namespace {

using std::chrono::milliseconds;

/// Anything from nothing to `longest`, both included.
milliseconds jitter(milliseconds longest, const RandomBits& random) {
  const auto choices =
      static_cast<std::uint64_t>(std::max<milliseconds::rep>(longest.count(), 0)) + 1;
  return milliseconds(static_cast<milliseconds::rep>(random() % choices));
}

/// base * 2^attempt, or the ceiling where that is less.
milliseconds backoff(unsigned attempt, const RetryOptions& options) {
  milliseconds longest = std::min(options.base, options.ceiling);
  for (; attempt > 0 && longest < options.ceiling && longest.count() > 0; --attempt) {
    longest = longest > options.ceiling / 2 ? options.ceiling : longest * 2;
  }
  return longest;
}

} // namespace

milliseconds retry_delay(unsigned attempt,
                         const RetryOptions& options,
                         std::optional<std::chrono::seconds> retry_after,
                         const RandomBits& random) {
  if (!retry_after) {
    return jitter(backoff(attempt, options), random);
  }
  const bool is_far = *retry_after >= std::chrono::ceil<std::chrono::seconds>(options.ceiling);
  const milliseconds asked =
      is_far ? options.ceiling : std::min<milliseconds>(*retry_after, options.ceiling);
  return asked + jitter(std::min(options.base, options.ceiling), random);
}

std::optional<std::chrono::seconds> parse_retry_after(std::string_view value, WallTime now) {
  const std::string_view text = trim_ows(value);
  if (const auto date = parse_http_date(text)) {
    return std::max(*date - now, std::chrono::seconds{0});
  }
  // More than a century is no time to wait for.
  const auto seconds = parse_number<std::uint32_t>(text);
  return seconds ? std::optional(std::chrono::seconds(*seconds)) : std::nullopt;
}

} // namespace pkc::net
