// The table of sources, read and written through one session.
#pragma once

#include "statements.hpp"

#include "pkc/base/result.hpp"
#include "pkc/base/sql.hpp"
#include "pkc/index/sources.hpp"

#include <cstdint>
#include <vector>

namespace pkc::index {

/// Errors of all functions: those of Session.

/// Inside a transaction.
Result<void> write_source(sql::Session& session,
                          const Statements& statements,
                          std::int64_t space,
                          std::int64_t object,
                          const Source& source);

/// What a query of sources finds.
Result<std::vector<SourceRow>> read_sources(sql::Session& session,
                                            const sql::Query& query,
                                            sql::Values values);
/// Errors also: invalid_argument, as of Sources::list_sources().
Result<SourcePage> read_source_page(sql::Session& session,
                                    const Statements& statements,
                                    const SourceQuery& query);

} // namespace pkc::index
