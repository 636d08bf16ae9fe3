#include "dialect.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace pkc::sql {
namespace {

class MysqlDialect final : public Dialect {
 public:
  [[nodiscard]] Engine engine() const override { return Engine::mysql; }
  [[nodiscard]] std::string_view row_number() const override {
    return "BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY";
  }
  [[nodiscard]] std::string_view integer() const override { return "BIGINT"; }
  // The default collations ignore case.
  [[nodiscard]] std::string short_text(unsigned bytes) const override {
    return "VARCHAR(" + std::to_string(bytes) + ") CHARACTER SET ascii COLLATE ascii_bin";
  }
  [[nodiscard]] std::string_view long_text() const override {
    return "LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin";
  }
  [[nodiscard]] std::string_view blob() const override { return "LONGBLOB"; }
  [[nodiscard]] std::string_view count_tables() const override {
    return "SELECT count(*) FROM information_schema.tables WHERE table_schema = DATABASE() AND "
           "table_name = :name";
  }
  [[nodiscard]] std::vector<std::string> create(const Table& table) const override {
    // In one statement, as there is no CREATE INDEX IF NOT EXISTS, and each statement about tables
    // commits by itself. InnoDB ends every index with the primary key.
    std::string text = create_text(table);
    for (const Index& index : table.indexes) {
      text += ", INDEX " + index.name + " (" + index.columns + ")";
    }
    return {text + ") ENGINE=InnoDB"};
  }
  [[nodiscard]] std::string_view begin() const override { return "START TRANSACTION"; }
  [[nodiscard]] std::string_view locking() const override { return " FOR UPDATE"; }

  // VALUES() and not a row alias: MariaDB has no alias here. Setting a key to itself changes
  // nothing, while INSERT IGNORE would also swallow values that do not fit.
  [[nodiscard]] std::string upsert(const Upsert& row) const override {
    std::string text = insert_text(row) + " ON DUPLICATE KEY UPDATE ";
    if (row.values.empty()) {
      return text + row.keys.front() + " = " + row.keys.front();
    }
    std::string_view comma;
    for (const std::string& name : row.values) {
      text += comma;
      text += name;
      text += " = VALUES(";
      text += name;
      text += ')';
      comma = ", ";
    }
    return text;
  }
};

} // namespace

const Dialect& mysql_dialect() {
  static const MysqlDialect dialect;
  return dialect;
}

} // namespace pkc::sql
