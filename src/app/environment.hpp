// Environment: variables by which the service manager talks to this process alone.
#pragma once

#include <charconv>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

namespace pkc::app {

/// The value of a variable, which is removed, so that no child inherits it; nothing when it is not
/// set. To be called before any other thread exists.
std::optional<std::string> take_variable(const char* name);

/// A whole decimal number, or nothing.
template <typename Number>
std::optional<Number> parse_decimal(std::string_view text) {
  Number number{};
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const bool whole = error == std::errc{} && rest == text.data() + text.size();
  return whole ? std::optional(number) : std::nullopt;
}

} // namespace pkc::app
