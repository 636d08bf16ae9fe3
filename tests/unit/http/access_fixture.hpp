// What the tests of access control share: tokens by name, and rules made of them.
#pragma once

#include "pkc/base/bytes.hpp"
#include "pkc/base/digest.hpp"
#include "pkc/http/auth.hpp"

#include <string>
#include <utility>
#include <vector>

namespace pkc::http::test {

/// The token that a rule made by token_rule(name, …) is about.
inline std::string token_of(const std::string& name) {
  return "pkc_" + name + "-of-the-test";
}

inline Grant grant(Scopes scopes,
                   std::vector<std::string> spaces = {},
                   std::vector<std::string> projects = {}) {
  return {.scopes = scopes, .spaces = std::move(spaces), .projects = std::move(projects)};
}

inline TokenRule token_rule(const std::string& name,
                            std::vector<Grant> grants,
                            const TokenLimits& limits = {}) {
  return {.name = name,
          .digest = sha256(as_bytes(token_of(name))),
          .grants = std::move(grants),
          .expires = {},
          .user = {},
          .limits = limits};
}

/// "reader" and "writer" of everything.
inline AccessRules plain_rules() {
  return {.tokens = {token_rule("reader", {grant({Scope::read})}),
                     token_rule("writer", {grant({Scope::read, Scope::write})})},
          .anonymous = {}};
}

} // namespace pkc::http::test
