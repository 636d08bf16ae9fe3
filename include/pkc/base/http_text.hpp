// Small ASCII helpers that the grammar of HTTP needs everywhere: no locale, no allocation.
#pragma once

#include <array>
#include <cstddef>
#include <string_view>

namespace pkc {

constexpr char to_lower_ascii(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
}

constexpr bool equals_ignoring_case(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) {
    return false;
  }
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (to_lower_ascii(a[i]) != to_lower_ascii(b[i])) {
      return false;
    }
  }
  return true;
}

/// Without spaces and tabs at either end (the OWS of RFC 9110 section 5.6.3).
constexpr std::string_view trim_ows(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) {
    text.remove_prefix(1);
  }
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) {
    text.remove_suffix(1);
  }
  return text;
}

/// One set of byte values, looked up in one load.
class CharSet {
 public:
  constexpr explicit CharSet(std::string_view members) {
    for (const char c : members) {
      add(c);
    }
  }
  [[nodiscard]] constexpr CharSet with_range(unsigned char first, unsigned char last) const {
    CharSet set = *this;
    for (unsigned c = first; c <= last; ++c) {
      set.add(static_cast<char>(c));
    }
    return set;
  }
  [[nodiscard]] constexpr bool has(char c) const { return members_[static_cast<unsigned char>(c)]; }
  [[nodiscard]] constexpr bool has_all(std::string_view text) const {
    for (const char c : text) {
      if (!has(c)) {
        return false;
      }
    }
    return true;
  }

 private:
  constexpr void add(char c) { members_[static_cast<unsigned char>(c)] = true; }
  std::array<bool, 256> members_{};
};

constexpr CharSet kAlphanumeric =
    CharSet("").with_range('0', '9').with_range('A', 'Z').with_range('a', 'z');
/// tchar of RFC 9110 section 5.6.2.
constexpr CharSet kTokenChars =
    CharSet("!#$%&'*+-.^_`|~").with_range('0', '9').with_range('A', 'Z').with_range('a', 'z');

constexpr bool is_token(std::string_view text) {
  return !text.empty() && kTokenChars.has_all(text);
}

/// The value of a hex digit, or -1.
constexpr int hex_digit(char c) {
  if (c >= '0' && c <= '9') {
    return c - '0';
  }
  const char lower = to_lower_ascii(c);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/// Takes the next element of a comma-separated list off `list`, trimmed. Empty elements are legal
/// and come out empty.
constexpr std::string_view take_list_element(std::string_view& list) {
  const std::size_t comma = list.find(',');
  const std::string_view element = list.substr(0, comma);
  list = comma == std::string_view::npos ? std::string_view{} : list.substr(comma + 1);
  return trim_ows(element);
}

} // namespace pkc
