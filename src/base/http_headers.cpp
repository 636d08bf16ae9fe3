#include "pkc/base/http_headers.hpp"

#include "pkc/base/http_text.hpp"

#include <algorithm>

namespace pkc {

std::optional<std::string_view> HttpHeaders::get(std::string_view name) const {
  for (const auto& [field, value] : fields_) {
    if (equals_ignoring_case(field, name)) {
      return value;
    }
  }
  return std::nullopt;
}

void HttpHeaders::add(std::string_view name, std::string_view value) {
  if (fields_.empty()) {
    fields_.reserve(8); // as many as nearly all messages have
  }
  fields_.emplace_back(name, value);
}

void HttpHeaders::set(std::string_view name, std::string_view value) {
  const auto named = [name](const auto& field) { return equals_ignoring_case(field.first, name); };
  if (std::ranges::none_of(fields_, named)) {
    add(name, value);
    return;
  }
  // The copy comes first: both views may be of a field that is about to go.
  std::pair<std::string, std::string> field(name, value);
  std::erase_if(fields_,
                [&](const auto& other) { return equals_ignoring_case(other.first, field.first); });
  fields_.push_back(std::move(field));
}

} // namespace pkc
