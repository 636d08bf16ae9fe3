// The statements about sources, in the words of one dialect.
#pragma once

#include "pkc/base/sql.hpp"
#include "pkc/index/sources.hpp"

#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pkc::index {

/// As much of a URL as every engine can have in an index: those with the same head are compared as
/// a whole.
inline std::string_view url_head(std::string_view url) {
  constexpr std::size_t kHeadSize = 255;
  return url.substr(0, kHeadSize);
}

/// Goes through sources in an order: from the beginning, behind a value, and behind a second value
/// among those of one value. By URL these are its head and the URL; else a number and an object's
/// id. `scope`: the number of the space and, sorted by access, whether pinned. `prefix`: the URL's
/// two limits and, sorted by URL, those of its head.
struct SourceWalk {
  sql::Query first;  ///< scope, [prefix,] limit
  sql::Query behind; ///< scope, value, [prefix,] limit
  sql::Query among;  ///< scope, value, second value, [prefix,] limit
};

/// Immutable; part of Statements.
struct SourceStatements {
  explicit SourceStatements(const sql::Dialect& dialect);

  sql::Query put;     ///< object_id, space_id, url, head, hash, path, size, type, first_cached_at
  sql::Query erase;   ///< object_id
  sql::Query find;    ///< space, key
  sql::Query of;      ///< space, hash, limit
  sql::Query totals;  ///< space: the three
  sql::Query without; ///< space, from, limit: keys

  sql::Query has_totals;   ///< space_id: a row if it has totals
  sql::Query begin_totals; ///< space_id; leaves those that are there alone
  sql::Query add_totals;   ///< what to add to each of the three, space_id
  sql::Query sums;         ///< space name, the three as they are, and as they should be

  [[nodiscard]] const SourceWalk& walk(SourceSort sort, Order order, bool prefixed) const {
    return walks_[place(sort, order, prefixed)];
  }
  /// With names.
  void append_to(std::vector<std::pair<std::string, const sql::Query*>>& all) const;

 private:
  static std::size_t place(SourceSort sort, Order order, bool prefixed) {
    return (static_cast<std::size_t>(sort) * 2 + static_cast<std::size_t>(order)) * 2 +
           (prefixed ? 1 : 0);
  }
  std::array<SourceWalk, 16> walks_;
};

} // namespace pkc::index
