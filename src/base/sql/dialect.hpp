// The dialects, one file each, and what they share.
#pragma once

#include "pkc/base/sql.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace pkc::sql {

const Dialect& sqlite_dialect();
const Dialect& postgresql_dialect();
const Dialect& mysql_dialect();

/// "CREATE TABLE IF NOT EXISTS name (columns" without the bracket at the end.
std::string create_text(const Dialect::Table& table);

/// CREATE INDEX for each, with `tail` behind its columns.
std::vector<std::string> index_texts(const Dialect::Table& table, std::string_view tail);

/// "INSERT INTO table (a, b) VALUES (:a, :b)".
std::string insert_text(const Dialect::Upsert& row);

/// Adds " ON CONFLICT …", as SQLite and PostgreSQL write it.
std::string on_conflict(const Dialect::Upsert& row);

} // namespace pkc::sql
