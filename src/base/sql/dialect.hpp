// The dialects, one file each, and what they share.
#pragma once

#include "pkc/base/sql.hpp"

#include <string>

namespace pkc::sql {

const Dialect& sqlite_dialect();
const Dialect& postgresql_dialect();
const Dialect& mysql_dialect();

/// "INSERT INTO table (a, b) VALUES (:a, :b)".
std::string insert_text(const Dialect::Upsert& row);

/// Adds " ON CONFLICT …", as SQLite and PostgreSQL write it.
std::string on_conflict(const Dialect::Upsert& row);

} // namespace pkc::sql
