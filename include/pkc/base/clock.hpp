// Time enters the program here and nowhere else.
#pragma once

#include "pkc/base/result.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace pkc {

using SteadyTime = std::chrono::steady_clock::time_point;
using WallTime = std::chrono::sys_seconds;
using WallTimeMs = std::chrono::sys_time<std::chrono::milliseconds>;

/// Where times come from; tests bring their own. Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  [[nodiscard]] virtual SteadyTime steady_now() const = 0;
  [[nodiscard]] virtual WallTime wall_now() const = 0;
  [[nodiscard]] virtual WallTimeMs wall_now_ms() const = 0;
};

/// The machine's clocks. The returned object lives as long as the program and holds no state.
const Clock& system_clock();

/// Parses a duration: a number followed by ms, s, m, h or d; a bare number is seconds. Errors:
/// invalid_argument.
Result<std::chrono::milliseconds> parse_duration(std::string_view text);

/// The shortest exact form: 90000 ms is "90s", 600000 ms is "10m".
std::string format_duration(std::chrono::milliseconds duration);

/// RFC 9110 section 5.6.7 IMF-fixdate, e.g. "Sun, 06 Nov 1994 08:49:37 GMT".
std::string format_http_date(WallTime time);

/// RFC 3339 in UTC, e.g. "1994-11-06T08:49:37Z".
std::string format_utc(WallTime time);

/// Parses that form, or a date alone, which is its first second; nothing for any other form.
std::optional<WallTime> parse_utc(std::string_view text);

/// Parses an IMF-fixdate; nothing for any other form.
std::optional<WallTime> parse_http_date(std::string_view text);

} // namespace pkc
