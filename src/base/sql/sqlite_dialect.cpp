#include "dialect.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace pkc::sql {
namespace {

class SqliteDialect final : public Dialect {
 public:
  [[nodiscard]] Engine engine() const override { return Engine::sqlite; }
  // Without AUTOINCREMENT, which costs a second table: the number of the last row may be given
  // again when that row goes, but a new row always has the greatest.
  [[nodiscard]] std::string_view row_number() const override { return "INTEGER PRIMARY KEY"; }
  [[nodiscard]] std::string_view integer() const override { return "INTEGER"; }
  [[nodiscard]] std::string short_text(unsigned /*bytes*/) const override { return "TEXT"; }
  [[nodiscard]] std::string_view long_text() const override { return "TEXT"; }
  [[nodiscard]] std::string_view blob() const override { return "BLOB"; }
  [[nodiscard]] std::string_view count_tables() const override {
    return "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = :name";
  }
  [[nodiscard]] std::vector<std::string> create(const Table& table) const override {
    // Every index ends with the row's number by itself.
    std::vector<std::string> texts = index_texts(table, "");
    texts.insert(texts.begin(), create_text(table) + ") STRICT");
    return texts;
  }
  // A transaction that turns from reading to writing half-way fails at once when another writes;
  // one that is to write from the beginning waits.
  [[nodiscard]] std::string_view begin() const override { return "BEGIN IMMEDIATE"; }
  [[nodiscard]] std::string_view locking() const override { return ""; }
  [[nodiscard]] std::string upsert(const Upsert& row) const override {
    return insert_text(row) + on_conflict(row);
  }
};

} // namespace

const Dialect& sqlite_dialect() {
  static const SqliteDialect dialect;
  return dialect;
}

} // namespace pkc::sql
