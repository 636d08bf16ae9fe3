#include "dialect.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace pkc::sql {
namespace {

class PostgresqlDialect final : public Dialect {
 public:
  [[nodiscard]] Engine engine() const override { return Engine::postgresql; }
  [[nodiscard]] std::string_view row_number() const override {
    return "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY";
  }
  [[nodiscard]] std::string_view integer() const override { return "BIGINT"; }
  // The database's own collation may ignore case or punctuation; "C" compares bytes.
  [[nodiscard]] std::string short_text(unsigned bytes) const override {
    return "VARCHAR(" + std::to_string(bytes) + ") COLLATE \"C\"";
  }
  [[nodiscard]] std::string_view long_text() const override { return "TEXT"; }
  [[nodiscard]] std::string_view blob() const override { return "BYTEA"; }
  [[nodiscard]] std::string_view count_tables() const override {
    return "SELECT count(*) FROM information_schema.tables WHERE table_schema = current_schema() "
           "AND "
           "table_name = :name";
  }
  [[nodiscard]] std::vector<std::string> create(const Table& table) const override {
    std::vector<std::string> texts = index_texts(table, ", id");
    texts.insert(texts.begin(), create_text(table) + ")");
    return texts;
  }
  [[nodiscard]] std::string_view begin() const override { return "BEGIN"; }
  [[nodiscard]] std::string_view locking() const override { return " FOR UPDATE"; }
  [[nodiscard]] std::string upsert(const Upsert& row) const override {
    return insert_text(row) + on_conflict(row);
  }
};

} // namespace

const Dialect& postgresql_dialect() {
  static const PostgresqlDialect dialect;
  return dialect;
}

} // namespace pkc::sql
