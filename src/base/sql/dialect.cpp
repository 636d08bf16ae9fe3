#include "dialect.hpp"

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pkc::sql {
namespace {

void append_list(std::string& text, const std::vector<std::string>& names, std::string_view mark) {
  for (const std::string& name : names) {
    if (!text.ends_with('(')) {
      text += ", ";
    }
    text += mark;
    text += name;
  }
}

} // namespace

std::string_view to_string(Engine engine) {
  switch (engine) {
    case Engine::sqlite:
      return "sqlite";
    case Engine::postgresql:
      return "postgresql";
    case Engine::mysql:
      return "mysql";
  }
  std::unreachable();
}

const Dialect& dialect(Engine engine) {
  switch (engine) {
    case Engine::sqlite:
      return sqlite_dialect();
    case Engine::postgresql:
      return postgresql_dialect();
    case Engine::mysql:
      return mysql_dialect();
  }
  std::unreachable();
}

std::string create_text(const Dialect::Table& table) {
  std::string text = "CREATE TABLE IF NOT EXISTS " + table.name + " (";
  append_list(text, table.columns, "");
  return text;
}

std::vector<std::string> index_texts(const Dialect::Table& table, std::string_view tail) {
  std::vector<std::string> texts;
  texts.reserve(table.indexes.size());
  for (const Dialect::Index& index : table.indexes) {
    texts.push_back("CREATE INDEX IF NOT EXISTS " + index.name + " ON " + table.name + " (" +
                    index.columns + std::string(tail) + ")");
  }
  return texts;
}

std::string insert_text(const Dialect::Upsert& row) {
  std::string text = "INSERT INTO " + row.table + " (";
  append_list(text, row.keys, "");
  append_list(text, row.values, "");
  text += ") VALUES (";
  append_list(text, row.keys, ":");
  append_list(text, row.values, ":");
  return text + ")";
}

std::string on_conflict(const Dialect::Upsert& row) {
  std::string text = " ON CONFLICT (";
  append_list(text, row.keys, "");
  text += row.values.empty() ? ") DO NOTHING" : ") DO UPDATE SET ";
  std::string_view comma;
  for (const std::string& name : row.values) {
    text += comma;
    text += name;
    text += " = excluded.";
    text += name;
    comma = ", ";
  }
  return text;
}

} // namespace pkc::sql
