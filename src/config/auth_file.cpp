// Reading: from YAML to tokens. The places that can be wrong are all here.
#include "pkc/config/auth_file.hpp"

#include "auth_lines.hpp"
#include "document.hpp"
#include "quote.hpp"
#include "yaml_tree.hpp"

#include "pkc/config/reference.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>

namespace pkc::config {
namespace {

constexpr std::size_t kProblemsMax = 100;

constexpr std::array<std::string_view, 4> kScopeNames = {"read", "write", "metrics", "admin"};
constexpr std::array<std::string_view, 3> kFileKeys = {"tokens", "anonymous", "anonymous_limits"};
constexpr std::array<std::string_view, 3> kGrantKeys = {"scopes", "spaces", "projects"};
constexpr std::array<std::string_view, 10> kTokenKeys = {"name",
                                                         "hash",
                                                         "grants",
                                                         "expires",
                                                         "user",
                                                         "requests_per_second",
                                                         "requests_burst",
                                                         "read_bytes_per_second",
                                                         "write_bytes_per_second",
                                                         "write_bytes_per_day"};
constexpr std::span kLimitKeys = std::span(kTokenKeys).subspan(5);

/// Names that log lines give to those who have no token.
constexpr std::array<std::string_view, 3> kReservedNames = {"anonymous", "unknown", "local"};

constexpr std::string_view kHashPrefix = "sha256:";
constexpr std::uint64_t kRateMax = 1'000'000;

bool is_letter_or_digit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool consists_of(std::string_view text, std::string_view more, std::size_t size_max) {
  return !text.empty() && text.size() <= size_max && std::ranges::all_of(text, [&](char c) {
    return is_letter_or_digit(c) || more.contains(c);
  });
}

/// Turns a tree into an AuthFile and collects what is wrong with it. Used once.
class Reader {
 public:
  Reader(const std::string& path, Problems& problems) : path_(path), problems_(problems) {}

  void read(const YamlNode& root);
  AuthFile take_file() { return std::move(file_); }
  std::vector<TokenLines> take_lines() { return std::move(lines_); }

 private:
  void report(const YamlNode& node, const std::string& problem) {
    problems_.push_back(file_place(path_, node.line) + ": " + problem);
  }
  /// The members of a list; none after a report. A value that is absent is an empty list.
  std::span<const YamlNode> list_of(const YamlNode& node, std::string_view what);
  bool is_map_of(const YamlNode& node,
                 std::string_view what,
                 std::span<const std::string_view> keys);
  static const YamlNode* find(const YamlNode& map, std::string_view key);
  std::optional<std::string> text_of(const YamlNode& node);
  std::vector<std::string> texts_of(const YamlNode& node, Result<void> (*check)(std::string_view));
  std::uint32_t number_of(const YamlNode& map, std::string_view key);
  ByteCount size_of(const YamlNode& map, std::string_view key, ByteCount min);
  AuthLimits read_limits(const YamlNode& map);
  AuthGrant read_grant(const YamlNode& node);
  std::vector<AuthScope> read_scopes(const YamlNode& node);
  void read_token(const YamlNode& node);
  void read_name(const YamlNode& node, AuthToken& token);
  void read_hash(const YamlNode& node, AuthToken& token);
  void read_rest(const YamlNode& node, AuthToken& token);
  void check_unique(const YamlNode& node, const AuthToken& token);

  const std::string& path_;
  Problems& problems_;
  AuthFile file_;
  std::vector<TokenLines> lines_;                      ///< of file_.tokens
  std::unordered_map<std::string, std::size_t> names_; ///< with their lines
  std::unordered_map<std::string, std::size_t> hashes_;
};

std::span<const YamlNode> Reader::list_of(const YamlNode& node, std::string_view what) {
  if (node.kind == YamlNode::Kind::list) {
    return node.members;
  }
  if (node.kind != YamlNode::Kind::nothing && node.kind != YamlNode::Kind::other) {
    report(node, std::string(what) + " must be a list: lines that begin with a dash");
  }
  return {};
}

bool Reader::is_map_of(const YamlNode& node,
                       std::string_view what,
                       std::span<const std::string_view> keys) {
  if (node.kind == YamlNode::Kind::other) {
    return false; // is reported
  }
  if (node.kind != YamlNode::Kind::map) {
    report(node, std::string(what) + " must be a group of `key: value` lines");
    return false;
  }
  for (const YamlNode& member : node.members) {
    if (!member.key.empty() && std::ranges::find(keys, member.key) == keys.end()) {
      const std::string_view nearest = nearest_name(member.key, {keys.begin(), keys.end()});
      report(member,
             "unknown key " + quoted(member.key) + " in " + std::string(what) +
                 (nearest.empty() ? "" : "; did you mean " + std::string(nearest) + "?"));
    }
  }
  return true;
}

const YamlNode* Reader::find(const YamlNode& map, std::string_view key) {
  const auto found = std::ranges::find(map.members, key, &YamlNode::key);
  return found == map.members.end() ? nullptr : &*found;
}

std::optional<std::string> Reader::text_of(const YamlNode& node) {
  if (node.kind == YamlNode::Kind::text) {
    return node.text;
  }
  if (node.kind != YamlNode::Kind::other) {
    report(node, node.key + " must be text");
  }
  return std::nullopt;
}

/// A list of texts, or one text for a list of one.
std::vector<std::string> Reader::texts_of(const YamlNode& node,
                                          Result<void> (*check)(std::string_view)) {
  std::vector<std::string> texts;
  const auto take = [&](const YamlNode& element) {
    if (element.kind != YamlNode::Kind::text) {
      report(element, node.key + " must be a list of texts");
    } else if (const auto checked = check(element.text); !checked) {
      report(element, node.key + ": " + quoted(element.text) + " " + checked.error().message);
    } else {
      texts.push_back(element.text);
    }
  };
  if (node.kind == YamlNode::Kind::list && !node.members.empty()) {
    std::ranges::for_each(node.members, take);
  } else if (node.kind == YamlNode::Kind::text) {
    take(node);
  } else if (node.kind != YamlNode::Kind::other) {
    report(node, node.key + " has no value; leave the key out if all are meant");
  }
  return texts;
}

std::uint32_t Reader::number_of(const YamlNode& map, std::string_view key) {
  const YamlNode* const node = find(map, key);
  if (node == nullptr) {
    return 0;
  }
  std::uint64_t number = 0;
  const char* const end = node->text.data() + node->text.size();
  const auto [rest, error] = std::from_chars(node->text.data(), end, number);
  if (node->text.empty() || error != std::errc{} || rest != end || number > kRateMax) {
    report(*node, node->key + " must be a whole number up to " + std::to_string(kRateMax));
    return 0;
  }
  return static_cast<std::uint32_t>(number);
}

ByteCount Reader::size_of(const YamlNode& map, std::string_view key, ByteCount min) {
  const YamlNode* const node = find(map, key);
  if (node == nullptr) {
    return 0;
  }
  const auto bytes = parse_byte_count(node->text);
  if (!bytes || (*bytes > 0 && *bytes < min)) {
    report(*node,
           node->key + " must be a size such as 10GiB" +
               (min > 1 ? ", and at least " + format_byte_count(min) : ""));
    return 0;
  }
  return *bytes;
}

AuthLimits Reader::read_limits(const YamlNode& map) {
  if (const YamlNode* const burst = find(map, "requests_burst");
      burst != nullptr && find(map, "requests_per_second") == nullptr) {
    report(*burst, "requests_burst needs requests_per_second");
  }
  return {.requests_per_second = number_of(map, "requests_per_second"),
          .requests_burst = number_of(map, "requests_burst"),
          .read_bytes_per_second = size_of(map, "read_bytes_per_second", kByteRateMin),
          .write_bytes_per_second = size_of(map, "write_bytes_per_second", kByteRateMin),
          .write_bytes_per_day = size_of(map, "write_bytes_per_day", 0)};
}

std::vector<AuthScope> Reader::read_scopes(const YamlNode& node) {
  std::vector<AuthScope> scopes;
  for (const std::string& text : texts_of(node, [](std::string_view name) -> Result<void> {
         TRY(parse_auth_scope(name));
         return {};
       })) {
    scopes.push_back(*parse_auth_scope(text));
  }
  return scopes;
}

AuthGrant Reader::read_grant(const YamlNode& node) {
  AuthGrant grant;
  if (!is_map_of(node, "a grant", kGrantKeys)) {
    return grant;
  }
  if (const YamlNode* const scopes = find(node, "scopes")) {
    grant.scopes = read_scopes(*scopes);
  } else {
    report(node, "a grant without scopes");
  }
  if (const YamlNode* const spaces = find(node, "spaces")) {
    grant.spaces = texts_of(*spaces, check_space_name);
  }
  if (const YamlNode* const projects = find(node, "projects")) {
    grant.projects = texts_of(*projects, check_project_name);
  }
  return grant;
}

void Reader::read_name(const YamlNode& node, AuthToken& token) {
  const YamlNode* const name = find(node, "name");
  if (name == nullptr) {
    report(node, "a token without a name");
  } else if (const auto text = text_of(*name)) {
    token.name = *text;
    if (const auto checked = check_token_name(*text); !checked) {
      report(*name, "name: " + quoted(*text) + " " + checked.error().message);
    }
  }
}

void Reader::read_hash(const YamlNode& node, AuthToken& token) {
  const YamlNode* const hash = find(node, "hash");
  if (hash == nullptr) {
    report(node, "a token without a hash");
    return;
  }
  const std::string_view text = hash->text;
  const auto digest = text.starts_with(kHashPrefix)
                          ? Sha256::from_hex(text.substr(kHashPrefix.size()))
                          : std::nullopt;
  if (!digest) {
    report(*hash,
           "hash must be sha256: and 64 hexadecimal digits; the token itself has no place "
           "here");
    return;
  }
  token.digest = *digest;
}

void Reader::read_rest(const YamlNode& node, AuthToken& token) {
  if (const YamlNode* const expires = find(node, "expires")) {
    token.expires = parse_utc(expires->text);
    if (!token.expires) {
      report(*expires, "expires must be a time such as 2027-01-31T12:00:00Z, or a date");
    }
  }
  if (const YamlNode* const user = find(node, "user")) {
    token.user = text_of(*user).value_or("");
    if (const auto checked = check_user_name(token.user); !checked) {
      report(*user, "user: " + quoted(token.user) + " " + checked.error().message);
    }
  }
  token.limits = read_limits(node);
}

void Reader::check_unique(const YamlNode& node, const AuthToken& token) {
  const auto first_line = [&](std::unordered_map<std::string, std::size_t>& seen,
                              std::string text) {
    const auto [place, fresh] = seen.try_emplace(std::move(text), node.line);
    return fresh ? std::string() : std::to_string(place->second);
  };
  if (const std::string line = first_line(names_, token.name);
      !line.empty() && !token.name.empty()) {
    report(node, "two tokens are named " + quoted(token.name) + ", the first on line " + line);
  } else if (const std::string same = first_line(hashes_, token.digest.hex());
             !same.empty() && token.digest != Sha256{}) {
    report(node, "this token has the hash of the one on line " + same);
  }
}

void Reader::read_token(const YamlNode& node) {
  AuthToken token;
  if (is_map_of(node, "a token", kTokenKeys)) {
    read_name(node, token);
    read_hash(node, token);
    const YamlNode* const grants = find(node, "grants");
    const auto list = grants == nullptr ? std::span<const YamlNode>() : list_of(*grants, "grants");
    if (list.empty()) {
      report(node, "a token without grants");
    }
    for (const YamlNode& grant : list) {
      token.grants.push_back(read_grant(grant));
    }
    read_rest(node, token);
    check_unique(node, token);
  }
  file_.tokens.push_back(std::move(token));
  lines_.push_back({.first = node.line, .last = node.end_line});
}

void Reader::read(const YamlNode& root) {
  if (root.kind == YamlNode::Kind::nothing || !is_map_of(root, "the file", kFileKeys)) {
    return;
  }
  if (const YamlNode* const anonymous = find(root, "anonymous")) {
    for (const YamlNode& node : list_of(*anonymous, "anonymous")) {
      file_.anonymous.push_back(read_grant(node));
      if (std::ranges::find(file_.anonymous.back().scopes, AuthScope::admin) !=
          file_.anonymous.back().scopes.end()) {
        report(node, "nobody can be admin without a token");
      }
    }
  }
  if (const YamlNode* const limits = find(root, "anonymous_limits");
      limits != nullptr && is_map_of(*limits, "anonymous_limits", kLimitKeys)) {
    file_.anonymous_limits = read_limits(*limits);
  }
  if (const YamlNode* const tokens = find(root, "tokens")) {
    for (const YamlNode& node : list_of(*tokens, "tokens")) {
      read_token(node);
    }
  }
}

Problems first_of(Problems problems) {
  if (problems.size() > kProblemsMax) {
    const std::size_t more = problems.size() - kProblemsMax;
    problems.resize(kProblemsMax);
    problems.push_back("and " + std::to_string(more) + " more problems");
  }
  return problems;
}

} // namespace

std::string_view to_string(AuthScope scope) {
  return kScopeNames.at(static_cast<std::size_t>(scope));
}

Result<AuthScope> parse_auth_scope(std::string_view text) {
  const auto* const found = std::ranges::find(kScopeNames, text);
  if (found == kScopeNames.end()) {
    return fail(Errc::invalid_argument, "is none of read, write, metrics, admin");
  }
  return static_cast<AuthScope>(found - kScopeNames.begin());
}

Result<void> check_token_name(std::string_view text) {
  if (!consists_of(text, "._@-", 64)) {
    return fail(Errc::invalid_argument, "is not 1 to 64 letters, digits and ._@-");
  }
  if (std::ranges::find(kReservedNames, text) != kReservedNames.end()) {
    return fail(Errc::invalid_argument, "stands for somebody without a token");
  }
  return {};
}

Result<void> check_space_name(std::string_view text) {
  return consists_of(text, "_-", 32)
             ? Result<void>{}
             : fail(Errc::invalid_argument, "is not 1 to 32 letters, digits and _-");
}

Result<void> check_user_name(std::string_view text) {
  const bool sound = !text.empty() && text.size() <= 128 && std::ranges::none_of(text, [](char c) {
    return static_cast<unsigned char>(c) < ' ' || c == '\x7f' || c == ':' || c == '"' || c == '\\';
  });
  return sound ? Result<void>{}
               : fail(Errc::invalid_argument,
                      "is not 1 to 128 characters without colons, quotes and \\");
}

Result<void> check_project_name(std::string_view text) {
  const bool sound = !text.empty() && text.size() <= 256 && std::ranges::all_of(text, [](char c) {
    return c > ' ' && c <= '~' && c != '"' && c != '\\' && c != ',';
  });
  return sound ? Result<void>{}
               : fail(Errc::invalid_argument,
                      "is not 1 to 256 printable characters without blanks, quotes, commas and \\");
}

std::expected<ReadAuthFile, Problems> read_auth_file(const ConfigFile& file) {
  Problems problems;
  if (file.text.size() > kConfigFileSizeMax) {
    return std::unexpected(
        Problems{file.path + ": the file is larger than " + format_byte_count(kConfigFileSizeMax)});
  }
  const auto root = read_yaml(file, problems);
  Reader reader(file.path, problems);
  if (root) {
    reader.read(*root);
  }
  if (!problems.empty()) {
    return std::unexpected(first_of(std::move(problems)));
  }
  return ReadAuthFile{.file = reader.take_file(), .lines = reader.take_lines()};
}

std::expected<AuthFile, Problems> parse_auth_file(const ConfigFile& file) {
  auto read = read_auth_file(file);
  if (!read) {
    return std::unexpected(std::move(read).error());
  }
  return std::move(read->file);
}

} // namespace pkc::config
