// SourceView: a C++ file taken apart into what the rules look at: code, comments, includes.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace pkc::lint {

/// One #include directive.
struct Include {
  std::size_t line = 0; ///< counted from 1
  std::string path;
  bool angled = false;
};

/// Line by line, with line n of the file at index n - 1. What is inside string and character
/// literals is in neither of the two, so a rule may be named in a message without breaking it.
struct SourceView {
  std::vector<std::string> code;
  std::vector<std::string> comments;
  std::vector<Include> includes;
};

/// Takes a C++ source apart. Total: text that is no C++ gives some view, never a failure.
SourceView view_source(std::string_view text);

} // namespace pkc::lint
