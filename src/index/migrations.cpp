#include "migrations.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

namespace pkc::index {
namespace {

using sql::Dialect;
using sql::Query;
using sql::Type;

const Query kVersion{"SELECT max(version) FROM schema_steps", {}, {Type::integer}};
const Query kNoteStep{
    "INSERT INTO schema_steps (version, applied_at) VALUES (:version, :applied_at)",
    {Type::integer, Type::integer}};

/// "name type NOT NULL" for each.
std::vector<std::string> columns(std::string_view type, const std::vector<std::string>& names) {
  std::vector<std::string> texts;
  for (const std::string& name : names) {
    texts.push_back(name + " " + std::string(type) + " NOT NULL");
  }
  return texts;
}

void append(std::vector<std::string>& all, std::vector<std::string> more) {
  for (std::string& text : more) {
    all.push_back(std::move(text));
  }
}

Dialect::Table spaces_table(const Dialect& dialect) {
  Dialect::Table table{.name = "spaces",
                       .columns = {"id " + std::string(dialect.row_number()),
                                   "name " + dialect.short_text(255) + " NOT NULL UNIQUE"}};
  for (const char* sum : {"objects", "size", "disk_size", "pinned_objects", "pinned_disk_size"}) {
    table.columns.push_back(std::string(sum) + " " + std::string(dialect.integer()) +
                            " NOT NULL DEFAULT 0");
  }
  return table;
}

/// Each index serves a question in the order of its answer: who was used longest ago, who was
/// stored longest ago, who is biggest. Pinned objects stand apart, so that no number of them is in
/// the way of eviction.
Dialect::Table objects_table(const Dialect& dialect) {
  Dialect::Table table{.name = "objects",
                       .columns = {"id " + std::string(dialect.row_number())},
                       .indexes = {{"objects_accessed", "space_id, pinned, accessed_at"},
                                   {"objects_stored", "space_id, pinned, stored_at"},
                                   {"objects_size", "space_id, size"}}};
  append(table.columns, columns(dialect.integer(), {"space_id"}));
  append(table.columns, columns(dialect.short_text(255), {"object_key"}));
  append(table.columns,
         columns(dialect.integer(),
                 {"size", "disk_size", "stored_at", "accessed_at", "hits", "pinned", "noted_at"}));
  table.columns.emplace_back("UNIQUE (space_id, object_key)");
  return table;
}

Step first_step(const Dialect& dialect) {
  const std::string integer(dialect.integer());
  Step step = dialect.create(spaces_table(dialect));
  append(step, dialect.create(objects_table(dialect)));
  append(step,
         dialect.create({.name = "facts",
                         .columns = {"name " + dialect.short_text(64) + " PRIMARY KEY",
                                     "value " + std::string(dialect.long_text()) + " NOT NULL"}}));
  append(step,
         dialect.create({.name = "writers",
                         .columns = {"process " + integer + " PRIMARY KEY",
                                     "noted_until " + integer + " NOT NULL"}}));
  if (dialect.engine() == sql::Engine::sqlite) {
    step.push_back("PRAGMA application_id = " + std::to_string(kSqliteApplicationId));
  }
  return step;
}

Dialect::Table sources_table(const Dialect& dialect) {
  const std::string integer(dialect.integer());
  Dialect::Table table{.name = "sources",
                       .columns = {"id " + std::string(dialect.row_number()),
                                   "object_id " + integer + " NOT NULL UNIQUE"},
                       .indexes = {{"sources_url", "space_id, url_head"},
                                   {"sources_size", "space_id, file_size, object_id"},
                                   {"sources_age", "space_id, first_cached_at, object_id"},
                                   {"sources_content", "space_id, content_hash, object_id"}}};
  append(table.columns, columns(integer, {"space_id"}));
  append(table.columns, columns(dialect.short_text(8192), {"source_url"}));
  append(table.columns, columns(dialect.short_text(255), {"url_head"}));
  append(table.columns, columns(dialect.short_text(64), {"content_hash"}));
  append(table.columns, columns(dialect.short_text(255), {"storage_path"}));
  append(table.columns, columns(integer, {"file_size"}));
  append(table.columns, columns(dialect.long_text(), {"content_type"}));
  append(table.columns, columns(integer, {"first_cached_at"}));
  return table;
}

/// What the records of downloads say, which is read from them once the step is taken.
Step second_step(const Dialect& dialect) {
  return dialect.create(sources_table(dialect));
}

Dialect::Table source_totals_table(const Dialect& dialect) {
  const std::string integer(dialect.integer());
  Dialect::Table table{.name = "source_totals",
                       .columns = {"space_id " + integer + " PRIMARY KEY"}};
  for (const char* sum : {"sources", "file_size", "accesses"}) {
    table.columns.push_back(std::string(sum) + " " + integer + " NOT NULL DEFAULT 0");
  }
  return table;
}

/// Totals of downloads, which had been summed up for each who asked. A table of its own, as not
/// every engine adds a column only where it is not there; emptied first, as the step may be taken
/// a second time.
Step third_step(const Dialect& dialect) {
  Step step = dialect.create(source_totals_table(dialect));
  step.emplace_back("DELETE FROM source_totals");
  step.emplace_back(
      "INSERT INTO source_totals (space_id, sources, file_size, accesses) SELECT sources.space_id, "
      "count(*), sum(file_size), sum(hits) FROM sources JOIN objects ON objects.id = "
      "sources.object_id GROUP BY sources.space_id");
  return step;
}

Result<std::int64_t> read_number(sql::Session& session, const Query& query, sql::Values values) {
  std::int64_t number = 0;
  TRY(session.each(query, values, [&](const sql::Row& row) { number = row.integer(0); }));
  return number;
}

/// 0: there is no schema yet.
Result<std::size_t> current_version(sql::Session& session) {
  const Query count{
      std::string(sql::dialect(session.engine()).count_tables()), {Type::text}, {Type::integer}};
  TRY_ASSIGN(const std::int64_t tables, read_number(session, count, {"schema_steps"}));
  if (tables == 0) {
    return 0;
  }
  TRY_ASSIGN(const std::int64_t version, read_number(session, kVersion, {}));
  return static_cast<std::size_t>(version);
}

Result<void> refuse_newer(std::size_t version, std::size_t newest_known) {
  if (version > newest_known) {
    return fail(Errc::conflict,
                "the database has schema version " + std::to_string(version) + ", newer than " +
                    std::to_string(newest_known) + ", the newest that this program knows");
  }
  return {};
}

/// Takes the next step, unless another process has meanwhile.
Result<void> take_step(sql::Session& session,
                       std::span<const Step> steps,
                       std::size_t version,
                       const Clock& clock) {
  const Dialect& dialect = sql::dialect(session.engine());
  TRY_ASSIGN(sql::Txn txn, sql::Txn::begin(session));
  TRY_ASSIGN(const std::size_t now, current_version(session));
  if (now != version) {
    return {};
  }
  if (version == 0) {
    const std::string integer(dialect.integer());
    for (const std::string& text :
         dialect.create({.name = "schema_steps",
                         .columns = {"version " + integer + " PRIMARY KEY",
                                     "applied_at " + integer + " NOT NULL"}})) {
      TRY(session.execute(text));
    }
  }
  for (const std::string& text : steps[version]) {
    TRY(session.execute(text));
  }
  TRY(session.run(kNoteStep,
                  {static_cast<std::int64_t>(version + 1),
                   std::int64_t{clock.wall_now_ms().time_since_epoch().count()}}));
  return txn.commit();
}

} // namespace

std::vector<Step> schema_steps(const Dialect& dialect) {
  return {first_step(dialect), second_step(dialect), third_step(dialect)};
}

Result<void> migrate(sql::Session& session, std::span<const Step> steps, const Clock& clock) {
  for (;;) {
    TRY_ASSIGN(const std::size_t version, current_version(session));
    TRY(refuse_newer(version, steps.size()));
    if (version == steps.size()) {
      return {};
    }
    TRY(take_step(session, steps, version, clock));
  }
}

Result<void> check_version(sql::Session& session, std::size_t newest_known) {
  TRY_ASSIGN(const std::int64_t version, read_number(session, kVersion, {}));
  return refuse_newer(static_cast<std::size_t>(version), newest_known);
}

} // namespace pkc::index
