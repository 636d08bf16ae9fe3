#include "pkc/base/clock.hpp"

#include <array>
#include <charconv>

namespace pkc {

namespace {

using std::chrono::floor;
using std::chrono::seconds;
using std::chrono::steady_clock;

class SystemClock final : public Clock {
 public:
  [[nodiscard]] SteadyTime steady_now() const override { return steady_clock::now(); }
  [[nodiscard]] WallTime wall_now() const override {
    return floor<seconds>(std::chrono::system_clock::now());
  }
  [[nodiscard]] WallTimeMs wall_now_ms() const override {
    return floor<std::chrono::milliseconds>(std::chrono::system_clock::now());
  }
};

constexpr std::array<std::string_view, 7> kDays = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
constexpr std::array<std::string_view, 12> kMonths = {
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

void append_padded(std::string& text, unsigned value, int width) {
  std::array<char, 8> digits{};
  const auto [end, error] = std::to_chars(digits.data(), digits.data() + digits.size(), value);
  for (auto have = end - digits.data(); have < width; ++have) {
    text += '0';
  }
  text.append(digits.data(), end);
}

void append_time_of_day(std::string& text, const std::chrono::hh_mm_ss<seconds>& clock) {
  append_padded(text, static_cast<unsigned>(clock.hours().count()), 2);
  text += ':';
  append_padded(text, static_cast<unsigned>(clock.minutes().count()), 2);
  text += ':';
  append_padded(text, static_cast<unsigned>(clock.seconds().count()), 2);
}

/// The number in text[at, at + width), digits only.
std::optional<unsigned> digits_at(std::string_view text, std::size_t at, std::size_t width) {
  unsigned value = 0;
  for (const char c : text.substr(at, width)) {
    if (c < '0' || c > '9') {
      return std::nullopt;
    }
    value = value * 10 + static_cast<unsigned>(c - '0');
  }
  return value;
}

} // namespace

const Clock& system_clock() {
  static const SystemClock clock;
  return clock;
}

std::string format_http_date(WallTime time) {
  const auto day = floor<std::chrono::days>(time);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(time - day);
  std::string text(kDays[std::chrono::weekday(day).c_encoding()]);
  text += ", ";
  append_padded(text, static_cast<unsigned>(date.day()), 2);
  text += ' ';
  text += kMonths[static_cast<unsigned>(date.month()) - 1];
  text += ' ';
  append_padded(text, static_cast<unsigned>(static_cast<int>(date.year())), 4);
  text += ' ';
  append_time_of_day(text, clock);
  text += " GMT";
  return text;
}

std::string format_utc(WallTime time) {
  const auto day = floor<std::chrono::days>(time);
  const std::chrono::year_month_day date(day);
  std::string text;
  append_padded(text, static_cast<unsigned>(static_cast<int>(date.year())), 4);
  text += '-';
  append_padded(text, static_cast<unsigned>(date.month()), 2);
  text += '-';
  append_padded(text, static_cast<unsigned>(date.day()), 2);
  text += 'T';
  append_time_of_day(text, std::chrono::hh_mm_ss(time - day));
  text += 'Z';
  return text;
}

std::optional<WallTime> parse_utc(std::string_view text) {
  const std::string whole(text.size() == 10 ? std::string(text) + "T00:00:00Z" : std::string(text));
  if (whole.size() != 20) {
    return std::nullopt;
  }
  const auto year = digits_at(whole, 0, 4);
  const auto month = digits_at(whole, 5, 2);
  const auto day = digits_at(whole, 8, 2);
  const auto hour = digits_at(whole, 11, 2);
  const auto minute = digits_at(whole, 14, 2);
  const auto second = digits_at(whole, 17, 2);
  if (!year || !month || !day || !hour || !minute || !second) {
    return std::nullopt;
  }
  const std::chrono::year_month_day date(std::chrono::year(static_cast<int>(*year)),
                                         std::chrono::month(*month),
                                         std::chrono::day(*day));
  if (!date.ok() || *hour > 23 || *minute > 59 || *second > 59) {
    return std::nullopt;
  }
  const WallTime time = std::chrono::sys_days(date) + std::chrono::hours(*hour) +
                        std::chrono::minutes(*minute) + seconds(*second);
  return format_utc(time) == whole ? std::optional(time) : std::nullopt;
}

std::optional<WallTime> parse_http_date(std::string_view text) {
  // "Sun, 06 Nov 1994 08:49:37 GMT": fixed width, so the whole form is checked by writing the time
  // back.
  if (text.size() != 29) {
    return std::nullopt;
  }
  unsigned month = 0;
  while (month < kMonths.size() && kMonths[month] != text.substr(8, 3)) {
    ++month;
  }
  const auto day = digits_at(text, 5, 2);
  const auto year = digits_at(text, 12, 4);
  const auto hour = digits_at(text, 17, 2);
  const auto minute = digits_at(text, 20, 2);
  const auto second = digits_at(text, 23, 2);
  if (month == kMonths.size() || !day || !year || !hour || !minute || !second) {
    return std::nullopt;
  }
  const std::chrono::year_month_day date(std::chrono::year(static_cast<int>(*year)),
                                         std::chrono::month(month + 1),
                                         std::chrono::day(*day));
  if (!date.ok() || *hour > 23 || *minute > 59 || *second > 59) {
    return std::nullopt;
  }
  const WallTime time = std::chrono::sys_days(date) + std::chrono::hours(*hour) +
                        std::chrono::minutes(*minute) + seconds(*second);
  return format_http_date(time) == text ? std::optional(time) : std::nullopt;
}

} // namespace pkc
