// Banned calls and words, sizes, registration, names.
#include "rules.hpp"
#include "tree.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstddef>
#include <span>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace pkc::lint {
namespace {

bool is_word(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_';
}

/// True when `line` has `token` as a whole: no longer word at an end of it that is a word.
bool has_token(std::string_view line, std::string_view token) {
  for (std::size_t at = line.find(token); at != std::string_view::npos;
       at = line.find(token, at + 1)) {
    const std::size_t end = at + token.size();
    const bool starts = at == 0 || !is_word(token.front()) || !is_word(line[at - 1]);
    const bool ends = end == line.size() || !is_word(token.back()) || !is_word(line[end]);
    if (starts && ends) {
      return true;
    }
  }
  return false;
}

bool is_under_any(const SourceFile& file, std::span<const std::string_view> folders) {
  return std::ranges::any_of(
      folders, [&](std::string_view folder) { return !folder.empty() && file.is_under(folder); });
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) {
    lines.push_back(line);
  }
  return lines;
}

struct BannedCall {
  std::string_view token;
  std::array<std::string_view, 2> allowed_in; ///< folders
  std::string_view instead;
};

constexpr std::string_view kNumbers = "use std::from_chars: it says where and why it stopped";

constexpr std::array kBannedCalls{
    BannedCall{"filesystem::rename", {"tests/"}, "use FileSystem::rename and sync_directory"},
    BannedCall{"filesystem::remove_all", {"tests/"}, "use FileSystem::remove, entry by entry"},
    BannedCall{"fs::remove_all", {"tests/"}, "use FileSystem::remove, entry by entry"},
    BannedCall{"::now(", {"src/base/"}, "take a Clock, or Deadline::after; tests bring their own"},
    BannedCall{"rand(", {}, "use <random> with a seed that a failure prints"},
    BannedCall{"srand(", {}, "use <random> with a seed that a failure prints"},
    BannedCall{"system(", {}, "no shell: use posix_spawn with an argument vector"},
    BannedCall{"popen(", {}, "no shell: use posix_spawn with an argument vector"},
    BannedCall{"strtol(", {}, kNumbers},
    BannedCall{"strtoul(", {}, kNumbers},
    BannedCall{"strtoll(", {}, kNumbers},
    BannedCall{"strtoull(", {}, kNumbers},
    BannedCall{"strtod(", {}, kNumbers},
    BannedCall{"atoi(", {}, kNumbers},
    BannedCall{"atol(", {}, kNumbers},
    BannedCall{"atof(", {}, kNumbers},
    BannedCall{"stoi(", {}, kNumbers},
    BannedCall{"stoul(", {}, kNumbers},
    BannedCall{"stoull(", {}, kNumbers},
    BannedCall{".detach()", {}, "every thread is a joined std::jthread with an owner"},
    BannedCall{"std::endl", {}, "use '\\n': a flush per line is never wanted"},
};

/// Calls check(file, line number, line) for every line of code.
template <typename Check>
void for_each_line(const Tree& tree, Check check) {
  for (const SourceFile& file : tree.files) {
    for (std::size_t i = 0; i < file.view.code.size(); ++i) {
      check(file, i + 1, file.view.code[i]);
    }
  }
}

void check_banned_calls(const Tree& tree, Findings& findings) {
  for_each_line(tree, [&](const SourceFile& file, std::size_t number, const std::string& line) {
    for (const BannedCall& ban : kBannedCalls) {
      if (has_token(line, ban.token) && !is_under_any(file, ban.allowed_in)) {
        findings.push_back(
            {file.path, number, std::string(ban.token) + ": " + std::string(ban.instead)});
      }
    }
  });
}

/// Words that show one module's knowledge in another.
struct ForeignWord {
  std::string_view word; ///< lower case, anywhere in an identifier
  std::string_view module;
  std::string_view why;
};

constexpr std::array kForeignWords{
    ForeignWord{"httpstatus", "store", "the store knows nothing of HTTP"},
    ForeignWord{"http_status", "store", "the store knows nothing of HTTP"},
    ForeignWord{"sidecar", "http", "http knows nothing of the store"},
    ForeignWord{"narinfo", "store", "protocol words stay inside their protocol"},
};

std::string to_lower(std::string text) {
  std::ranges::transform(
      text, text.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

void check_foreign_words(const Tree& tree, Findings& findings) {
  for_each_line(tree, [&](const SourceFile& file, std::size_t number, const std::string& line) {
    const std::string lower = to_lower(line);
    for (const ForeignWord& foreign : kForeignWords) {
      const std::string folder = std::string(foreign.module) + "/";
      if (lower.find(foreign.word) != std::string::npos &&
          (file.is_under("src/" + folder) || file.is_under("include/pkc/" + folder))) {
        findings.push_back(
            {file.path, number, std::string(foreign.word) + ": " + std::string(foreign.why)});
      }
    }
  });
}

void check_headers(const Tree& tree, Findings& findings) {
  for (const SourceFile& file : tree.files) {
    if (!file.is_header()) {
      continue;
    }
    bool once = false;
    for (std::size_t i = 0; i < file.view.code.size(); ++i) {
      once = once || file.view.code[i] == "#pragma once";
      if (has_token(file.view.code[i], "using namespace")) {
        findings.push_back({file.path, i + 1, "using namespace in a header: name what is used"});
      }
    }
    if (!once) {
      findings.push_back({file.path, 0, "no #pragma once"});
    }
  }
}

/// Work to be done later may be named with the number of its issue behind it, as (#12).
bool is_open_end(std::string_view text) {
  if (has_token(text, "FIXME")) {
    return true;
  }
  const std::size_t at = text.find("TODO");
  if (at == std::string_view::npos || !has_token(text, "TODO")) {
    return false;
  }
  const std::string_view rest = text.substr(at + 4);
  return !rest.starts_with("(#") || rest.size() < 4 ||
         std::isdigit(static_cast<unsigned char>(rest[2])) == 0;
}

void check_open_ends(const Tree& tree, Findings& findings) {
  for (const SourceFile& file : tree.files) {
    const std::vector<std::string> lines = file.is_cpp() ? file.view.comments : lines_of(file.text);
    for (std::size_t i = 0; i < lines.size(); ++i) {
      if (is_open_end(lines[i])) {
        findings.push_back({file.path, i + 1, "open end: do it, or name its issue in (#…)"});
      }
    }
  }
}

void check_sizes(const Tree& tree, Findings& findings) {
  for (const SourceFile& file : tree.files) {
    const bool counted = file.is_cpp() || file.path.ends_with(".py") || file.path.ends_with(".rs");
    const std::size_t limit = file.is_header() ? 300 : 600;
    const auto lines = static_cast<std::size_t>(std::ranges::count(file.text, '\n'));
    if (counted && lines > limit) {
      findings.push_back({file.path,
                          0,
                          std::to_string(lines) + " lines, the limit is " + std::to_string(limit) +
                              ": split it by role"});
    }
  }
}

void check_white_space(const Tree& tree, Findings& findings) {
  for (const SourceFile& file : tree.files) {
    const std::vector<std::string> lines = lines_of(file.text);
    const bool tabs = file.path.ends_with("/Caddyfile"); // Caddy warns of anything else
    for (std::size_t i = 0; i < lines.size(); ++i) {
      if (!tabs && lines[i].find('\t') != std::string::npos) {
        findings.push_back({file.path, i + 1, "tab"});
      }
      if (lines[i].ends_with(' ') || lines[i].ends_with('\r')) {
        findings.push_back({file.path, i + 1, "white space at the end of the line"});
      }
    }
    if (!file.text.empty() && !file.text.ends_with('\n')) {
      findings.push_back({file.path, 0, "no line end at the end of the file"});
    }
  }
}

void check_readme(const Tree& tree, Findings& findings) {
  const SourceFile* readme = tree.find("README.md");
  std::size_t titles = 0;
  bool in_fence = false;
  for (const std::string& line :
       readme == nullptr ? std::vector<std::string>{} : lines_of(readme->text)) {
    in_fence = in_fence != line.starts_with("```");
    titles += static_cast<std::size_t>(!in_fence && line.starts_with("# "));
  }
  if (titles != 1) {
    findings.push_back({"README.md", 0, "exactly one title, it has " + std::to_string(titles)});
  }
}

/// True when a CMakeLists.txt in the folder of `file`, or above it, has its path as a word, or
/// makes a fuzz target of it, which goes by the bare name.
bool is_registered(const Tree& tree, const SourceFile& file) {
  for (std::size_t slash = file.path.rfind('/'); slash != std::string::npos;
       slash = file.path.rfind('/', slash - 1)) {
    const SourceFile* list = tree.find(file.path.substr(0, slash + 1) + "CMakeLists.txt");
    if (list == nullptr) {
      continue;
    }
    const std::string name = file.path.substr(slash + 1);
    const std::string target = "pkc_fuzz(" + name.substr(0, name.rfind('.'));
    for (const std::string& line : lines_of(list->text)) {
      const std::string code = line.substr(0, line.find('#'));
      if (has_token(code, name) || has_token(code, target)) {
        return true;
      }
    }
  }
  return false;
}

void check_registration(const Tree& tree, Findings& findings) {
  for (const SourceFile& file : tree.files) {
    if (file.is_source() && !is_registered(tree, file)) {
      findings.push_back({file.path, 0, "in no CMakeLists.txt: what is not built does not exist"});
    }
  }
}

void check_names(const Tree& tree, Findings& findings) {
  static constexpr std::array<std::string_view, 18> kTopLevel{"CMakeLists.txt",
                                                              "README.md",
                                                              "LICENSE.md",
                                                              "Dockerfile",
                                                              "docker-compose.yml",
                                                              "include",
                                                              "src",
                                                              "tests",
                                                              "packaging",
                                                              "systemd",
                                                              "dev",
                                                              ".ci",
                                                              ".clang-format",
                                                              ".clang-tidy",
                                                              ".editorconfig",
                                                              ".gitignore",
                                                              ".dockerignore",
                                                              ".gitattributes"};
  for (const std::string& name : tree.top_level) {
    if (std::ranges::find(kTopLevel, name) == kTopLevel.end()) {
      findings.push_back({name, 0, "the list of names at the top is closed"});
    }
  }
  for (const SourceFile& file : tree.files) {
    for (const std::string_view base : {"src/", "include/pkc/"}) {
      if (!file.is_under(base)) {
        continue;
      }
      const std::string rest = file.path.substr(base.size());
      if (!tree.layers.contains(rest.substr(0, rest.find('/')))) {
        findings.push_back({file.path, 0, "in the folder of no module: CMakeLists.txt lists them"});
      }
    }
  }
}

constexpr std::array kRules{
    Rule{"banned calls are not made", check_banned_calls},
    Rule{"no module speaks the words of another", check_foreign_words},
    Rule{"headers are guarded and open no namespace", check_headers},
    Rule{"open ends name their issue", check_open_ends},
    Rule{"files keep to their size", check_sizes},
    Rule{"no tabs and no white space at the end", check_white_space},
    Rule{"the README has one title", check_readme},
    Rule{"every source is built", check_registration},
    Rule{"names at the top and of modules are closed lists", check_names},
};

} // namespace

std::string to_string(const Finding& finding) {
  return finding.path + ":" + std::to_string(finding.line) + ": " + finding.message;
}

std::span<const Rule> text_rules() {
  return kRules;
}

} // namespace pkc::lint
