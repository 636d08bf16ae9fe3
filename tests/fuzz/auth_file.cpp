// Fuzz target: the auth file, read and edited.
#include "pkc/config/auth_file.hpp"

#include "fuzz.hpp"

#include <cstddef>
#include <cstdint>
#include <string>

namespace {

using pkc::config::AuthFile;
using pkc::config::AuthToken;
using pkc::fuzz::require;

/// Problems are for a terminal: present, bounded in number and length, without control bytes.
void check_problems(const pkc::config::Problems& problems) {
  require(!problems.empty() && problems.size() <= 101);
  for (const std::string& problem : problems) {
    require(problem.size() <= 500 && !problem.contains('\x1b'));
  }
}

/// A token goes in and out again, and the rest stays.
void check_edits(const pkc::config::ConfigFile& file, const AuthFile& before) {
  AuthToken token;
  token.name = "of-the-test";
  token.digest = pkc::sha256(pkc::as_bytes("of the test"));
  token.grants = {{.scopes = {pkc::config::AuthScope::read}, .spaces = {"a"}, .projects = {"b/c"}}};
  const auto more = pkc::config::with_token(file, token);
  if (!more) {
    check_problems(more.error());
    return;
  }
  const auto grown = pkc::config::parse_auth_file({.path = "f", .text = *more});
  require(grown && grown->tokens.size() == before.tokens.size() + 1);
  const auto less = pkc::config::without_token({.path = "f", .text = *more}, token.name);
  if (less) {
    require(pkc::config::parse_auth_file({.path = "f", .text = *less}) == before);
  }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const pkc::config::ConfigFile file{.path = "f",
                                     .text = std::string(pkc::fuzz::text_of(data, size))};

  const auto parsed = pkc::config::parse_auth_file(file);

  if (!parsed) {
    check_problems(parsed.error());
    return 0;
  }
  for (const AuthToken& token : parsed->tokens) {
    require(pkc::config::check_token_name(token.name).has_value() && !token.grants.empty());
  }
  check_edits(file, *parsed);
  return 0;
}
