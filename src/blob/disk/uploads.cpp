#include "uploads.hpp"

#include <charconv>
#include <cstddef>
#include <iterator>
#include <system_error>

namespace pkc::blob {

std::string temp_name(std::int64_t process, std::uint64_t number) {
  return std::to_string(process) + '-' + std::to_string(number) + std::string(kTempSuffix);
}

std::optional<std::int64_t> owner_of(std::string_view temp_name) {
  std::int64_t process = 0;
  const std::size_t digits = temp_name.find('-');
  if (digits == std::string_view::npos) {
    return std::nullopt;
  }
  const char* const begin = temp_name.data();
  const char* const end = std::next(begin, static_cast<std::ptrdiff_t>(digits));
  const auto [rest, error] = std::from_chars(begin, end, process);
  const bool ours = error == std::errc{} && rest == end;
  return ours ? std::optional(process) : std::nullopt;
}

} // namespace pkc::blob
