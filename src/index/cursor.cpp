#include "cursor.hpp"

#include <charconv>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace pkc::index {
namespace {

std::string head(Sort sort, Order order) {
  std::string text;
  switch (sort) {
    case Sort::key:
      text = 'k';
      break;
    case Sort::stored:
      text = 's';
      break;
    case Sort::accessed:
      text = 'a';
      break;
    case Sort::size:
      text = 'z';
      break;
  }
  text += order == Order::ascending ? 'u' : 'd';
  return text + '.';
}

std::optional<std::int64_t> parse_number(std::string_view text) {
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size() ? std::optional(number)
                                                                  : std::nullopt;
}

} // namespace

std::int64_t value_of(const Object& object, Sort sort) {
  switch (sort) {
    case Sort::key:
      return 0;
    case Sort::stored:
      return object.stored_at.time_since_epoch().count();
    case Sort::accessed:
      return object.accessed_at.time_since_epoch().count();
    case Sort::size:
      return static_cast<std::int64_t>(object.size);
  }
  std::unreachable();
}

std::string format_cursor(const Cursor& cursor, Sort sort, Order order) {
  if (sort == Sort::key) {
    return head(sort, order) + cursor.key;
  }
  return head(sort, order) + std::to_string(cursor.value) + "." + std::to_string(cursor.id);
}

Result<std::optional<Cursor>> parse_cursor(const ListQuery& query) {
  if (query.limit == 0 || query.limit > ListQuery::kLimitMax) {
    return fail(Errc::invalid_argument,
                "limit: 1 to " + std::to_string(ListQuery::kLimitMax) + " is allowed");
  }
  if (query.cursor.empty()) {
    return std::nullopt;
  }
  std::string_view text = query.cursor;
  const std::string expected = head(query.sort, query.order);
  if (text.starts_with(expected)) {
    text.remove_prefix(expected.size());
    if (query.sort == Sort::key) {
      return Cursor{.value = 0, .id = 0, .key = std::string(text)};
    }
    const std::size_t dot = text.find('.');
    const auto value = parse_number(text.substr(0, dot));
    const auto id =
        dot == std::string_view::npos ? std::nullopt : parse_number(text.substr(dot + 1));
    if (value && id) {
      return Cursor{.value = *value, .id = *id, .key = {}};
    }
  }
  return fail(Errc::invalid_argument, "cursor: not one of a list in this order");
}

} // namespace pkc::index
