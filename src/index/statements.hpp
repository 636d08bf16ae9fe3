// Every statement of the index, in the words of one dialect.
#pragma once

#include "source_statements.hpp"

#include "pkc/base/sql.hpp"
#include "pkc/index/index.hpp"

#include <array>
#include <cstddef>
#include <string_view>
#include <utility>
#include <vector>

namespace pkc::index {

/// Statements that go through objects in an order: from the beginning, behind a value, and behind
/// an id among those of one value. By key there are no equals.
struct Walk {
  sql::Query first;  ///< scope, [from, to,] limit
  sql::Query behind; ///< scope, value, [from, to,] limit
  sql::Query among;  ///< scope, value, id, [from, to,] limit
};

/// Immutable; lives longer than the sessions that prepare these. `scope` is the number of the space
/// and, for orders by time, whether pinned.
struct Statements {
  explicit Statements(const sql::Dialect& dialect);

  sql::Query insert_space; ///< name; leaves one that is there alone
  sql::Query space_id;     ///< name; keeps other writers of the space away
  sql::Query add_totals;   ///< what to add to each of the five, id
  sql::Query totals;       ///< name
  sql::Query all_totals;   ///< name and the five, by name

  /// space_id, key: id, size, disk_size, pinned, noted_at, stored_at, hits, id of the object or 0
  /// for one without a source, file_size of the source
  sql::Query known;
  sql::Query insert; ///< space_id, key, size, disk_size, stored_at, accessed_at, hits, noted_at
  sql::Query renew;  ///< size, disk_size, stored_at, accessed_at, hits, noted_at, id
  sql::Query adjust; ///< size, disk_size, stored_at, noted_at, id
  sql::Query erase;  ///< id
  sql::Query touch;  ///< hits, now, accessed_at, accessed_at, space_id, key
  sql::Query pin;    ///< pinned, id

  sql::Query find;          ///< space, key
  sql::Query oldest;        ///< space, limit
  sql::Query stored_before; ///< space, time, limit
  sql::Query shard;         ///< space, from, to
  sql::Query first_key;     ///< space, from
  sql::Query space_number;  ///< name

  sql::Query get_fact;      ///< name
  sql::Query put_fact;      ///< name, value
  sql::Query put_writer;    ///< process, noted_until
  sql::Query remove_writer; ///< process
  sql::Query writers;       ///< process, noted_until

  SourceStatements sources;

  sql::Query sums; ///< space name, the five as they are, and as they should be

  /// For Index::list().
  [[nodiscard]] const Walk& walk(Sort sort, Order order, bool prefixed) const {
    return walks_[(static_cast<std::size_t>(sort) * 2 + static_cast<std::size_t>(order)) * 2 +
                  (prefixed ? 1 : 0)];
  }
  /// All of them, with names, for tests and to see whether a database has all they need.
  [[nodiscard]] std::vector<std::pair<std::string, const sql::Query*>> all() const;

 private:
  std::array<Walk, 16> walks_;
};

/// Whether Walk's scope has `pinned` in it.
constexpr bool is_by_time(Sort sort) {
  return sort == Sort::stored || sort == Sort::accessed;
}

} // namespace pkc::index
