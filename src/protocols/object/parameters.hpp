// The parameters behind the "?" of a request.
#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <map>
#include <string>
#include <string_view>

namespace pkc::protocols::object {

using Parameters = std::map<std::string, std::string, std::less<>>;

/// What is wrong with a parameter; may be shown to whoever sent it.
struct WrongParameter {
  std::string name;
  std::string message;
};

enum class Plus : std::uint8_t {
  is_blank, ///< as HTML forms write it
  is_plus,
};

/// Parses "limit=5&prefix=a%20b". Refuses broken percent-encoding and a name that comes twice.
/// Pure.
std::expected<Parameters, WrongParameter> parse_parameters(std::string_view query, Plus plus);

} // namespace pkc::protocols::object
