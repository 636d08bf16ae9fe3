// LineCounter: on which line a JSON parser is.
#pragma once

#include <cstddef>
#include <iterator>
#include <string>
#include <string_view>

namespace pkc::config {

/// Walks over the text and counts the lines it has left behind; copies share the count. The parser
/// tells its callbacks no position, so this does.
class LineCounter {
 public:
  // NOLINTBEGIN(readability-identifier-naming): the standard's names.
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;
  // NOLINTEND(readability-identifier-naming)

  LineCounter(const char* position, std::size_t* line) : position_(position), line_(line) {}

  reference operator*() const { return *position_; }
  LineCounter& operator++() {
    if (*position_ == '\n') {
      ++*line_;
    }
    ++position_;
    return *this;
  }
  void operator++(int) { ++*this; }
  friend bool operator==(const LineCounter& left, const LineCounter& right) {
    return left.position_ == right.position_;
  }

 private:
  const char* position_;
  std::size_t* line_;
};

/// What went wrong, without the name and number that the parser puts in front of it:
/// "[json.exception.parse_error.101] parse error at line 1, column 2: …".
inline std::string_view json_message(std::string_view text) {
  const std::size_t prefix = text.find("] ");
  return prefix == std::string_view::npos ? text : text.substr(prefix + 2);
}

} // namespace pkc::config
