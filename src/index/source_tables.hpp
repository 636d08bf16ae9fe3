// The table of sources, read and written through one session.
#pragma once

#include "statements.hpp"

#include "pkc/base/result.hpp"
#include "pkc/base/sql.hpp"
#include "pkc/index/sources.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace pkc::index {

/// Errors of all functions: those of Session.

/// Inside a transaction.
Result<void> write_source(sql::Session& session,
                          const Statements& statements,
                          std::int64_t space,
                          std::int64_t object,
                          const Source& source);

/// What changes of the totals of a space's sources.
struct SourceDelta {
  std::int64_t sources = 0;
  std::int64_t file_size = 0;
  std::int64_t accesses = 0;
  friend bool operator==(const SourceDelta&, const SourceDelta&) = default;
};

/// Inside a transaction that keeps other writers of the space away.
Result<void> add_to_source_totals(sql::Session& session,
                                  const Statements& statements,
                                  std::int64_t space,
                                  const SourceDelta& delta);
Result<SourceTotals> read_source_totals(sql::Session& session,
                                        const Statements& statements,
                                        std::string_view space);
/// A space whose totals of sources are not the sums over them.
struct WrongSourceSums {
  std::string space;
  SourceTotals totals;
  SourceTotals sums;
};
Result<std::vector<WrongSourceSums>> compare_source_sums(sql::Session& session,
                                                         const Statements& statements);
/// Makes the totals the sums. Inside a transaction.
Result<void> correct_source_sums(sql::Session& session, const Statements& statements);

/// What a query of sources finds.
Result<std::vector<SourceRow>> read_sources(sql::Session& session,
                                            const sql::Query& query,
                                            sql::Values values);
/// Errors also: invalid_argument, as of Sources::list_sources().
Result<SourcePage> read_source_page(sql::Session& session,
                                    const Statements& statements,
                                    const SourceQuery& query);

} // namespace pkc::index
