// Editing: lines in, lines out. The lines are those we write ourselves; whether that was enough to
// understand the file shows when the result is read.
#include "auth_lines.hpp"
#include "quote.hpp"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pkc::config {
namespace {

constexpr std::string_view kPreamble =
    "# The tokens of polykit-cache, by their hashes. `polykit-cache token create`, `list` and\n"
    "# `revoke` edit this file; a running server reads it again at SIGHUP.\n";
constexpr std::string_view kTokensKey = "tokens:";

/// With their line ends.
std::vector<std::string> lines_of(std::string_view text) {
  std::vector<std::string> lines;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size() - 1) + 1;
    lines.emplace_back(text.substr(0, end));
    text.remove_prefix(end);
  }
  return lines;
}

std::string joined(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) {
    text += line;
  }
  return text;
}

/// "[a, b]" of values that need no escaping.
std::string bracketed(const std::vector<std::string>& values) {
  std::string text = "[";
  for (const std::string& value : values) {
    text.append(text.size() > 1 ? ", " : "").append("\"").append(value).append("\"");
  }
  return text + "]";
}

/// One token as a member of a list whose dashes stand behind `indent`.
class TokenText {
 public:
  TokenText(const AuthToken& token, std::string_view indent) : indent_(indent) {
    add("- ", "name", '"' + token.name + '"');
    add("  ", "hash", "\"sha256:" + token.digest.hex() + '"');
    add("  ", "grants", "");
    for (const AuthGrant& grant : token.grants) {
      add_grant(grant);
    }
    if (token.expires) {
      add("  ", "expires", '"' + format_utc(*token.expires) + '"');
    }
    if (!token.user.empty()) {
      add("  ", "user", '"' + token.user + '"');
    }
    add_number("requests_per_second", token.limits.requests_per_second);
    add_number("requests_burst", token.limits.requests_burst);
    add_size("read_bytes_per_second", token.limits.read_bytes_per_second);
    add_size("write_bytes_per_second", token.limits.write_bytes_per_second);
    add_size("write_bytes_per_day", token.limits.write_bytes_per_day);
  }
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  void add(std::string_view lead, std::string_view key, const std::string& value) {
    text_.append(indent_).append(lead).append(key).append(value.empty() ? ":" : ": ");
    text_.append(value).append("\n");
  }
  void add_number(std::string_view key, std::uint32_t number) {
    if (number > 0) {
      add("  ", key, std::to_string(number));
    }
  }
  void add_size(std::string_view key, ByteCount size) {
    if (size > 0) {
      add("  ", key, format_byte_count(size));
    }
  }
  void add_grant(const AuthGrant& grant) {
    std::string scopes = "[";
    for (const AuthScope scope : grant.scopes) {
      scopes.append(scopes.size() > 1 ? ", " : "").append(to_string(scope));
    }
    add("    - ", "scopes", scopes + "]");
    if (!grant.spaces.empty()) {
      add("      ", "spaces", bracketed(grant.spaces));
    }
    if (!grant.projects.empty()) {
      add("      ", "projects", bracketed(grant.projects));
    }
  }

  std::string_view indent_;
  std::string text_;
};

/// What stands in front of the dash with which a token begins; nothing when its line begins with
/// something else.
std::optional<std::string> indent_of(const std::string& line) {
  const std::size_t dash = line.find_first_not_of(' ');
  return dash != std::string::npos && line[dash] == '-' ? std::optional(line.substr(0, dash))
                                                        : std::nullopt;
}

/// The line of the key `tokens` without anything in it, but perhaps "[]" or a comment.
bool is_empty_list(std::string_view line) {
  if (!line.starts_with(kTokensKey)) {
    return false;
  }
  line.remove_prefix(kTokensKey.size());
  line = line.substr(0, line.find('#'));
  std::string rest(line);
  std::erase_if(rest, [](char c) { return c == ' ' || c == '\r' || c == '\n'; });
  return rest.empty() || rest == "[]";
}

/// Puts `token` behind the last one; false when there is no place for it that we understand.
bool insert(std::vector<std::string>& lines, const ReadAuthFile& read, const AuthToken& token) {
  if (!lines.empty() && !lines.back().ends_with('\n')) {
    lines.back() += '\n';
  }
  if (!read.lines.empty()) {
    const auto indent = indent_of(lines[read.lines.back().first - 1]);
    if (!indent) {
      return false;
    }
    lines.insert(lines.begin() + static_cast<std::ptrdiff_t>(read.lines.back().last),
                 TokenText(token, *indent).text());
    return true;
  }
  const std::string text = TokenText(token, "  ").text();
  const auto empty_list = std::ranges::find_if(lines, is_empty_list);
  if (empty_list != lines.end()) {
    const std::size_t brackets = empty_list->find("[]");
    if (brackets < empty_list->find('#')) {
      empty_list->erase(brackets, 2);
    }
    lines.insert(empty_list + 1, text);
    return true;
  }
  if (lines.empty()) {
    lines.emplace_back(kPreamble);
  }
  lines.push_back(std::string(kTokensKey) + "\n" + text);
  return true;
}

/// `text`, if it reads as `expected`.
std::expected<std::string, Problems> checked(const ConfigFile& file,
                                             std::string text,
                                             const AuthFile& expected) {
  const auto read = parse_auth_file({.path = file.path, .text = text});
  if (read && *read == expected) {
    return text;
  }
  return std::unexpected(
      Problems{file.path + ": is written in a way that this command cannot edit: do it by hand"});
}

std::expected<std::string, Problems> unnamed(const ConfigFile& file,
                                             std::string_view name,
                                             std::string_view what) {
  return std::unexpected(
      Problems{file.path + ": " + std::string(what) + " token named " + quoted(name)});
}

} // namespace

std::expected<std::string, Problems> with_token(const ConfigFile& file, const AuthToken& token) {
  const auto read = read_auth_file(file);
  if (!read) {
    return std::unexpected(read.error());
  }
  if (std::ranges::find(read->file.tokens, token.name, &AuthToken::name) !=
      read->file.tokens.end()) {
    return unnamed(file, token.name, "there is already a");
  }
  std::vector<std::string> lines = lines_of(file.text);
  const bool inserted = insert(lines, *read, token);
  AuthFile expected = read->file;
  expected.tokens.push_back(token);
  return checked(file, inserted ? joined(lines) : "", expected);
}

std::expected<std::string, Problems> without_token(const ConfigFile& file, std::string_view name) {
  const auto read = read_auth_file(file);
  if (!read) {
    return std::unexpected(read.error());
  }
  const auto found = std::ranges::find(read->file.tokens, name, &AuthToken::name);
  if (found == read->file.tokens.end()) {
    return unnamed(file, name, "there is no");
  }
  const auto index = found - read->file.tokens.begin();
  const TokenLines place = read->lines[static_cast<std::size_t>(index)];
  std::vector<std::string> lines = lines_of(file.text);
  const bool alone = indent_of(lines[place.first - 1]).has_value();
  lines.erase(lines.begin() + static_cast<std::ptrdiff_t>(place.first - 1),
              lines.begin() + static_cast<std::ptrdiff_t>(place.last));
  AuthFile expected = read->file;
  expected.tokens.erase(expected.tokens.begin() + index);
  // Without a dash the rest might still read well, by what the lines above make of it.
  return checked(file, alone ? joined(lines) : file.text, expected);
}

} // namespace pkc::config
