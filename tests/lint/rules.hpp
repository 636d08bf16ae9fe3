// The rules of the house that a compiler does not know, each a pure function over the tree.
#pragma once

#include "tree.hpp"

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pkc::lint {

/// One broken rule at one place.
struct Finding {
  std::string path;
  std::size_t line = 0; ///< 0: the file as a whole
  std::string message;  ///< what is wrong and what to do instead
};

/// "path:line: message".
std::string to_string(const Finding& finding);

using Findings = std::vector<Finding>;

struct Rule {
  std::string_view name; ///< a sentence that is true of a clean tree
  void (*check)(const Tree& tree, Findings& findings);
};

/// Who may include whom (include_rules.cpp).
std::span<const Rule> include_rules();

/// Banned calls, sizes, registration, names (text_rules.cpp).
std::span<const Rule> text_rules();

} // namespace pkc::lint
