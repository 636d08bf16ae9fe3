#include "quote.hpp"

#include <cstddef>

namespace pkc::config {

std::string printable(std::string_view text) {
  constexpr std::size_t kLengthMax = 80;
  std::string result;
  for (const char byte : text.substr(0, kLengthMax)) {
    const auto value = static_cast<unsigned char>(byte);
    result += value < 0x20 || value == 0x7f ? '?' : byte;
  }
  if (text.size() > kLengthMax) {
    result += "...";
  }
  return result;
}

std::string quoted(std::string_view text) {
  return '"' + printable(text) + '"';
}

} // namespace pkc::config
