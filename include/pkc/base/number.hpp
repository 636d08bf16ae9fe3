// Numbers in text that has to be nothing but the number.
#pragma once

#include <charconv>
#include <optional>
#include <string_view>
#include <system_error>

namespace pkc {

/// The number that all of `text` is; nothing for any other text, an empty one, a sign "+" and a
/// number that does not fit. Pure.
template <typename Number>
std::optional<Number> parse_number(std::string_view text, int base = 10) {
  Number number = 0;
  const char* const begin = text.data();
  const char* const end = begin + text.size();
  const auto [rest, error] = std::from_chars(begin, end, number, base);
  return error == std::errc{} && rest == end ? std::optional<Number>(number) : std::nullopt;
}

} // namespace pkc
