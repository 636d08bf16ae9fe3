// What may be kept as a fact.
#pragma once

#include "pkc/base/result.hpp"

#include <string>
#include <string_view>

namespace pkc::index {

/// Facts whose names begin with this are the index's own.
constexpr std::string_view kOwnFacts = "index.";

/// Errors: invalid_argument, as Index::put_fact() says.
inline Result<void> check_fact(std::string_view name, std::string_view value) {
  constexpr std::size_t kNameMax = 64;
  constexpr std::size_t kValueMax = 1024;
  if (name.empty() || name.size() > kNameMax || name.starts_with(kOwnFacts) ||
      value.size() > kValueMax) {
    return fail(Errc::invalid_argument, "no such fact can be kept: " + std::string(name));
  }
  return {};
}

} // namespace pkc::index
