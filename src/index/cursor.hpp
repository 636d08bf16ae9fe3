// Cursor: where a page of Index::list() ended.
#pragma once

#include "pkc/base/result.hpp"
#include "pkc/index/index.hpp"

#include <cstdint>
#include <optional>
#include <string>

namespace pkc::index {

/// The last object of a page. As text: "k" for sorting by key, "s" stored, "a" accessed or "z"
/// size, then "u" for upwards or "d"; then "." and the key, or "." value "." id.
struct Cursor {
  std::int64_t value = 0;
  std::int64_t id = 0;
  std::string key;

  friend bool operator==(const Cursor&, const Cursor&) = default;
};

/// What the query's order compares in an object, and behind which one it goes on.
std::int64_t value_of(const Object& object, Sort sort);
std::string format_cursor(const Cursor& cursor, Sort sort, Order order);

/// Nothing for an empty one. Errors: invalid_argument when it is not of a query sorted like this,
/// or the query's limit is out of range.
Result<std::optional<Cursor>> parse_cursor(const ListQuery& query);

/// Keys are printable ASCII, so this stands behind all that begin with `prefix`.
inline std::string behind_prefix(std::string_view prefix) {
  return std::string(prefix) + '\x7f';
}

} // namespace pkc::index
