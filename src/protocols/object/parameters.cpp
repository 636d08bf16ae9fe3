#include "object/parameters.hpp"

#include "pkc/base/codec.hpp"

#include <algorithm>
#include <optional>
#include <utility>

namespace pkc::protocols::object {

namespace {

std::optional<std::string> decode(std::string_view text, Plus plus) {
  if (plus == Plus::is_plus) {
    return decode_percent(text);
  }
  std::string spaced(text); // before "%2B" becomes a plus
  std::ranges::replace(spaced, '+', ' ');
  return decode_percent(spaced);
}

} // namespace

std::expected<Parameters, WrongParameter> parse_parameters(std::string_view query, Plus plus) {
  Parameters parameters;
  while (!query.empty()) {
    const std::string_view pair = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(pair.size() + 1, query.size()));
    if (pair.empty()) {
      continue;
    }
    const std::size_t equals = std::min(pair.find('='), pair.size());
    const auto name = decode(pair.substr(0, equals), plus);
    const auto value = decode(pair.substr(std::min(equals + 1, pair.size())), plus);
    if (!name || !value) {
      return std::unexpected(
          WrongParameter{std::string(pair.substr(0, equals)), "has broken percent-encoding"});
    }
    if (!parameters.try_emplace(*name, *value).second) {
      return std::unexpected(WrongParameter{*name, "is given twice"});
    }
  }
  return parameters;
}

} // namespace pkc::protocols::object
