#include "pkc/store/key.hpp"

#include <algorithm>

namespace pkc::store {

namespace {

constexpr std::size_t kHexLengthMin = 32;
constexpr std::size_t kHexLengthMax = 128;

bool is_hex_digit(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

} // namespace

std::optional<Key> Key::parse_hex(std::string_view id) {
  if (id.size() < kHexLengthMin || id.size() > kHexLengthMax ||
      !std::ranges::all_of(id, is_hex_digit)) {
    return std::nullopt;
  }
  return Key(std::string(id));
}

} // namespace pkc::store
