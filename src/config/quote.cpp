#include "quote.hpp"

#include <cstddef>

namespace pkc::config {

namespace {

std::string shortened(std::string_view text, std::size_t length_max) {
  std::string result;
  for (const char byte : text.substr(0, length_max)) {
    const auto value = static_cast<unsigned char>(byte);
    result += value < 0x20 || value == 0x7f ? '?' : byte;
  }
  if (text.size() > length_max) {
    result += "...";
  }
  return result;
}

} // namespace

std::string printable(std::string_view text) {
  return shortened(text, 80);
}

std::string printable_message(std::string_view text) {
  return shortened(text, 300);
}

std::string quoted(std::string_view text) {
  return '"' + printable(text) + '"';
}

} // namespace pkc::config
