// The tables of the index, read and written through one session.
#pragma once

#include "pending.hpp"
#include "statements.hpp"

#include "pkc/base/result.hpp"
#include "pkc/base/sql.hpp"
#include "pkc/index/index.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pkc::index {

/// Errors of all functions: those of Session.

/// Writes the notes and what they change of the totals. Inside a transaction. `now`: later times
/// in the database are of a clock that was set back since.
///
/// A row that was written with a later note than the one at hand stays as it is: in a hand-over the
/// other process may have been faster to write.
Result<void> write_batch(sql::Session& session,
                         const Statements& statements,
                         const Batch& batch,
                         Time now);

/// Inside a transaction.
Result<bool> write_pin(sql::Session& session,
                       const Statements& statements,
                       NameView name,
                       Pinned pinned);

Result<Totals> read_totals(sql::Session& session,
                           const Statements& statements,
                           std::string_view space);
Result<std::vector<SpaceTotals>> read_spaces(sql::Session& session, const Statements& statements);
/// The objects that a query of objects finds in `space`.
Result<std::vector<Object>> read_objects(sql::Session& session,
                                         const sql::Query& query,
                                         std::string_view space,
                                         sql::Values values);
Result<std::optional<std::string>> read_text(sql::Session& session,
                                             const sql::Query& query,
                                             sql::Values values);
/// Errors also: invalid_argument, as of Index::list().
Result<Page> read_page(sql::Session& session, const Statements& statements, const ListQuery& query);
/// A space whose totals are not the sums over its objects.
struct WrongSums {
  std::string space;
  Totals totals;
  Totals sums;
};
Result<std::vector<WrongSums>> compare_sums(sql::Session& session, const Statements& statements);
/// Makes the totals the sums. Inside a transaction.
Result<void> correct_sums(sql::Session& session, const Statements& statements);

} // namespace pkc::index
