#include "pkc/base/codec.hpp"

#include "pkc/base/http_text.hpp"

#include <algorithm>
#include <array>
#include <cstdint>

namespace pkc {

namespace {

constexpr std::string_view kUrlAlphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

constexpr std::uint8_t kForeign = 64;

constexpr std::array<std::uint8_t, 256> make_values() {
  std::array<std::uint8_t, 256> values{};
  values.fill(kForeign);
  for (std::size_t i = 0; i < kUrlAlphabet.size(); ++i) {
    values[static_cast<unsigned char>(kUrlAlphabet[i])] = static_cast<std::uint8_t>(i);
  }
  values['+'] = values['-'];
  values['/'] = values['_'];
  return values;
}

constexpr std::array<std::uint8_t, 256> kValues = make_values();

/// The text without its padding; nothing when that does not fill up the last group.
std::optional<std::string_view> without_padding(std::string_view text) {
  const std::size_t end = text.find_last_not_of('=') + 1; // 0 when there is nothing else
  const std::size_t padding = text.size() - end;
  if (padding > 2 || (padding > 0 && text.size() % 4 != 0)) {
    return std::nullopt;
  }
  return text.substr(0, end);
}

} // namespace

std::optional<std::string> decode_base64(std::string_view text) {
  const auto digits = without_padding(text);
  const bool both_alphabets = text.find_first_of("+/") != std::string_view::npos &&
                              text.find_first_of("-_") != std::string_view::npos;
  if (!digits || digits->size() % 4 == 1 || both_alphabets) {
    return std::nullopt;
  }
  std::string decoded;
  decoded.reserve(digits->size() * 3 / 4);
  std::uint32_t group = 0;
  unsigned bits = 0;
  for (const char digit : *digits) {
    const std::uint8_t value = kValues[static_cast<unsigned char>(digit)];
    if (value == kForeign) {
      return std::nullopt;
    }
    group = (group << 6U) | value;
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      decoded += static_cast<char>((group >> bits) & 0xFFU);
    }
  }
  const bool rest_is_zero = (group & ((1U << bits) - 1)) == 0;
  return rest_is_zero ? std::optional(std::move(decoded)) : std::nullopt;
}

std::string encode_base64url(ByteSpan bytes) {
  std::string text;
  text.reserve((bytes.size() * 4 + 2) / 3);
  std::uint32_t group = 0;
  unsigned bits = 0;
  for (const std::byte byte : bytes) {
    group = (group << 8U) | std::to_integer<std::uint32_t>(byte);
    bits += 8;
    while (bits >= 6) {
      bits -= 6;
      text += kUrlAlphabet[(group >> bits) & 63U];
    }
  }
  if (bits > 0) {
    text += kUrlAlphabet[(group << (6 - bits)) & 63U];
  }
  return text;
}

std::string encode_base64(ByteSpan bytes) {
  std::string text = encode_base64url(bytes);
  for (char& digit : text) {
    digit = digit == '-' ? '+' : digit == '_' ? '/' : digit;
  }
  text.append((4 - text.size() % 4) % 4, '=');
  return text;
}

std::optional<std::string> decode_percent(std::string_view text) {
  std::string decoded;
  decoded.reserve(text.size());
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (text[at] != '%') {
      decoded += text[at];
      continue;
    }
    const int high = at + 2 < text.size() ? hex_digit(text[at + 1]) : -1;
    const int low = high < 0 ? -1 : hex_digit(text[at + 2]);
    if (low < 0) {
      return std::nullopt;
    }
    decoded += static_cast<char>(high * 16 + low);
    at += 2;
  }
  return decoded;
}

} // namespace pkc
