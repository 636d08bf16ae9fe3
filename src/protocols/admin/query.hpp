// Query: the parameters behind the "?" of an admin request, each checked and none overlooked.
#pragma once

#include "pkc/base/bytes.hpp"
#include "pkc/base/result.hpp"

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace pkc::protocols::admin {

/// The parameters of one request. One thread at a time.
class Query {
 public:
  /// Of "limit=5&prefix=a%20b" (a "+" is a blank). Errors: invalid_argument for broken percent
  /// encoding and for a name that comes twice.
  static Result<Query> parse(std::string_view text);

  // Each take_x() removes the parameter. Absent, or empty: nothing. Errors: invalid_argument, whose
  // message names the parameter and what it takes.
  std::optional<std::string> take_text(std::string_view name);
  Result<std::optional<std::uint64_t>> take_number(std::string_view name,
                                                   std::uint64_t min,
                                                   std::uint64_t max);
  Result<std::optional<ByteCount>> take_size(std::string_view name);
  Result<std::optional<std::chrono::milliseconds>> take_duration(std::string_view name);

  /// Which page of a list, and in which order: order (asc, desc), limit, cursor.
  template <typename List>
  Result<void> take_page(List& list) {
    TRY_ASSIGN(const bool descending, take_descending());
    using Order = decltype(list.order);
    list.order = descending ? Order::descending : Order::ascending;
    TRY_ASSIGN(const auto limit, take_number("limit", 1, List::kLimitMax));
    list.limit = limit.value_or(list.limit);
    TRY_ASSIGN(list.cursor, take_cursor());
    return {};
  }

  /// Errors: invalid_argument, naming a parameter that nobody took.
  [[nodiscard]] Result<void> finish() const;

 private:
  Result<bool> take_descending();
  Result<std::string> take_cursor();

  std::map<std::string, std::string, std::less<>> values_;
};

} // namespace pkc::protocols::admin
