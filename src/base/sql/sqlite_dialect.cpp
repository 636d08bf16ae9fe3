#include "dialect.hpp"

#include <string>
#include <string_view>

namespace pkc::sql {
namespace {

class SqliteDialect final : public Dialect {
 public:
  [[nodiscard]] Engine engine() const override { return Engine::sqlite; }
  // AUTOINCREMENT: without it the number of the last row is given again when that row goes.
  [[nodiscard]] std::string_view row_number() const override {
    return "INTEGER PRIMARY KEY AUTOINCREMENT";
  }
  [[nodiscard]] std::string_view integer() const override { return "INTEGER"; }
  [[nodiscard]] std::string short_text(unsigned /*bytes*/) const override { return "TEXT"; }
  [[nodiscard]] std::string_view long_text() const override { return "TEXT"; }
  [[nodiscard]] std::string_view blob() const override { return "BLOB"; }
  [[nodiscard]] std::string_view table_options() const override { return " STRICT"; }
  // Every index ends with the row's number by itself.
  [[nodiscard]] std::string_view index_tail() const override { return ""; }
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
