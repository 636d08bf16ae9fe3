#include "source_cursor.hpp"

#include "pkc/base/bytes.hpp"
#include "pkc/base/codec.hpp"
#include "pkc/base/number.hpp"

#include <string_view>
#include <utility>

namespace pkc::index {
namespace {

std::string head(SourceSort sort, Order order) {
  constexpr std::string_view kSorts = "UZGA";
  std::string text(1, kSorts[static_cast<std::size_t>(sort)]);
  text += order == Order::ascending ? 'u' : 'd';
  return text + '.';
}

std::optional<SourceCursor> parse(std::string_view text, SourceSort sort) {
  if (sort == SourceSort::url) {
    auto url = decode_base64(text);
    return url ? std::optional(SourceCursor{.value = 0, .id = 0, .url = *std::move(url)})
               : std::nullopt;
  }
  const std::size_t dot = text.find('.');
  if (dot == std::string_view::npos) {
    return std::nullopt;
  }
  const auto value = parse_number<std::int64_t>(text.substr(0, dot));
  const auto id = parse_number<std::int64_t>(text.substr(dot + 1));
  return value && id ? std::optional(SourceCursor{.value = *value, .id = *id, .url = {}})
                     : std::nullopt;
}

} // namespace

std::int64_t value_of(const Source& source, Time accessed_at, SourceSort sort) {
  switch (sort) {
    case SourceSort::url:
      return 0;
    case SourceSort::size:
      return static_cast<std::int64_t>(source.file_size);
    case SourceSort::age:
      return source.first_cached_at.time_since_epoch().count();
    case SourceSort::access:
      return accessed_at.time_since_epoch().count();
  }
  std::unreachable();
}

std::string format_source_cursor(const SourceCursor& cursor, SourceSort sort, Order order) {
  if (sort == SourceSort::url) {
    return head(sort, order) + encode_base64url(as_bytes(cursor.url));
  }
  return head(sort, order) + std::to_string(cursor.value) + "." + std::to_string(cursor.id);
}

Result<std::optional<SourceCursor>> parse_source_cursor(const SourceQuery& query) {
  if (query.limit == 0 || query.limit > SourceQuery::kLimitMax) {
    return fail(Errc::invalid_argument,
                "limit: 1 to " + std::to_string(SourceQuery::kLimitMax) + " is allowed");
  }
  if (query.cursor.empty()) {
    return std::nullopt;
  }
  std::string_view text = query.cursor;
  const std::string expected = head(query.sort, query.order);
  if (text.starts_with(expected)) {
    text.remove_prefix(expected.size());
    if (auto cursor = parse(text, query.sort)) {
      return cursor;
    }
  }
  return fail(Errc::invalid_argument, "cursor: not one of a list in this order");
}

} // namespace pkc::index
