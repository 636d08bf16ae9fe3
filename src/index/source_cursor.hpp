// Cursor of the pages of sources.
#pragma once

#include "pkc/base/result.hpp"
#include "pkc/index/sources.hpp"

#include <cstdint>
#include <optional>
#include <string>

namespace pkc::index {

/// The last source of a page. As text: "U" for sorting by URL, "Z" size, "G" age or "A" access,
/// then "u" for upwards or "d"; then "." and the URL in base64url, or "." value "." id.
struct SourceCursor {
  std::int64_t value = 0;
  std::int64_t id = 0; ///< of the object
  std::string url;

  friend bool operator==(const SourceCursor&, const SourceCursor&) = default;
};

/// What an order compares; 0 for that by URL.
std::int64_t value_of(const Source& source, Time accessed_at, SourceSort sort);
std::string format_source_cursor(const SourceCursor& cursor, SourceSort sort, Order order);

/// Nothing for an empty one. Errors: invalid_argument when it is not of a query sorted like this,
/// or the query's limit is out of range.
Result<std::optional<SourceCursor>> parse_source_cursor(const SourceQuery& query);

} // namespace pkc::index
