#include "source_view.hpp"

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

namespace pkc::lint {
namespace {

bool is_hex_digit(char c) {
  return std::isxdigit(static_cast<unsigned char>(c)) != 0;
}

/// One pass over the text; each read_… takes what begins at at_ and leaves at_ behind it.
class Splitter {
 public:
  explicit Splitter(std::string_view text) : text_(text) { new_line(); }

  SourceView run() {
    while (at_ < text_.size()) {
      if (starts_with("//")) {
        read_line_comment();
      } else if (starts_with("/*")) {
        read_block_comment();
      } else if (starts_with("R\"")) {
        read_raw_string();
      } else if (text_[at_] == '"') {
        read_literal('"');
      } else if (text_[at_] == '\'' && !is_digit_separator()) {
        read_literal('\'');
      } else if (text_[at_] == '#' && is_first_on_line() && read_include()) {
        continue;
      } else {
        take(view_.code.back());
      }
    }
    return std::move(view_);
  }

 private:
  bool starts_with(std::string_view token) const { return text_.substr(at_).starts_with(token); }

  void new_line() {
    view_.code.emplace_back();
    view_.comments.emplace_back();
  }

  /// Moves one character to `line`, or begins the next line.
  void take(std::string& line) {
    if (text_[at_] == '\n') {
      new_line();
    } else {
      line += text_[at_];
    }
    ++at_;
  }

  /// Drops one character; only line ends count.
  void drop() {
    if (text_[at_] == '\n') {
      new_line();
    }
    ++at_;
  }

  bool is_digit_separator() const {
    return at_ > 0 && at_ + 1 < text_.size() && is_hex_digit(text_[at_ - 1]) &&
           is_hex_digit(text_[at_ + 1]);
  }

  bool is_first_on_line() const {
    return view_.code.back().find_first_not_of(' ') == std::string::npos;
  }

  void read_line_comment() {
    while (at_ < text_.size() && text_[at_] != '\n') {
      take(view_.comments.back());
    }
  }

  void read_block_comment() {
    while (at_ < text_.size() && !starts_with("*/")) {
      take(view_.comments.back());
    }
    at_ = std::min(at_ + 2, text_.size());
  }

  void read_literal(char quote) {
    drop();
    while (at_ < text_.size() && text_[at_] != quote && text_[at_] != '\n') {
      if (text_[at_] == '\\' && at_ + 1 < text_.size()) {
        drop();
      }
      drop();
    }
    if (at_ < text_.size() && text_[at_] == quote) {
      ++at_;
    }
    view_.code.back() += "\"\"";
  }

  void read_raw_string() {
    const std::size_t open = text_.find('(', at_);
    if (open == std::string_view::npos) {
      at_ = text_.size();
      return;
    }
    const std::string end = ")" + std::string(text_.substr(at_ + 2, open - at_ - 2)) + "\"";
    const std::size_t stop = std::min(text_.find(end, open), text_.size() - end.size());
    while (at_ < stop + end.size()) {
      drop();
    }
    view_.code.back() += "\"\"";
  }

  /// True when an include was read; its quotes are no literal.
  bool read_include() {
    const std::string_view line = text_.substr(at_, text_.find('\n', at_) - at_);
    const std::size_t open = line.find_first_of("<\"");
    if (!line.starts_with("#include ") || open == std::string_view::npos) {
      return false;
    }
    const bool angled = line[open] == '<';
    const std::size_t close = line.find(angled ? '>' : '"', open + 1);
    if (close == std::string_view::npos) {
      return false;
    }
    view_.includes.push_back({.line = view_.code.size(),
                              .path = std::string(line.substr(open + 1, close - open - 1)),
                              .angled = angled});
    at_ += close + 1;
    return true;
  }

  std::string_view text_;
  std::size_t at_ = 0;
  SourceView view_;
};

} // namespace

SourceView view_source(std::string_view text) {
  return Splitter(text).run();
}

} // namespace pkc::lint
