#include "pkc/base/clock.hpp"

#include <array>
#include <charconv>
#include <limits>
#include <system_error>

namespace pkc {
namespace {

struct Unit {
  std::string_view suffix;
  std::int64_t milliseconds;
};

// Largest first: formatting takes the first one that divides.
constexpr std::array kUnits = {Unit{"d", 86'400'000},
                               Unit{"h", 3'600'000},
                               Unit{"m", 60'000},
                               Unit{"s", 1'000},
                               Unit{"ms", 1}};

/// The milliseconds that a suffix stands for, or 0 for a suffix that is none.
std::int64_t unit_factor(std::string_view suffix) {
  if (suffix.empty()) {
    return 1'000;
  }
  for (const Unit& unit : kUnits) {
    if (suffix == unit.suffix) {
      return unit.milliseconds;
    }
  }
  return 0;
}

} // namespace

Result<std::chrono::milliseconds> parse_duration(std::string_view text) {
  // Unsigned, so that a sign is refused by the parser.
  std::uint64_t number = 0;
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error == std::errc::result_out_of_range) {
    return fail(Errc::invalid_argument, "the duration is too long");
  }
  const std::int64_t factor =
      error == std::errc{} ? unit_factor(text.substr(static_cast<std::size_t>(rest - text.data())))
                           : 0;
  if (factor == 0) {
    return fail(Errc::invalid_argument,
                "not a duration; write a whole number with ms, s, m, h or d, as in 30s");
  }
  constexpr auto kLongest = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  if (number > kLongest / static_cast<std::uint64_t>(factor)) {
    return fail(Errc::invalid_argument, "the duration is too long");
  }
  return std::chrono::milliseconds(static_cast<std::int64_t>(number) * factor);
}

std::string format_duration(std::chrono::milliseconds duration) {
  const std::int64_t count = duration.count();
  if (count == 0) {
    return "0s";
  }
  for (const Unit& unit : kUnits) {
    if (count % unit.milliseconds == 0) {
      return std::to_string(count / unit.milliseconds).append(unit.suffix);
    }
  }
  std::unreachable();
}

} // namespace pkc
