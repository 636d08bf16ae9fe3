// What SqlIndex knows of where objects came from.
#include "source_tables.hpp"
#include "sql_index.hpp"

#include <memory>
#include <utility>

namespace pkc::index {

void SqlIndex::note_source(std::string_view space, std::string_view key, const Source& source) {
  add({space, key},
      {.kind = Note::Kind::read,
       .noted_at = clock_.wall_now_ms(),
       .source = std::make_shared<const Source>(source)});
}

Result<SourcePage> SqlIndex::list_sources(const SourceQuery& query) {
  return ask([&](sql::Session& session) { return read_source_page(session, statements_, query); });
}

Result<std::optional<SourceRow>> SqlIndex::find_source(std::string_view space,
                                                       std::string_view key) {
  return ask([&](sql::Session& session) -> Result<std::optional<SourceRow>> {
    TRY_ASSIGN(auto found, read_sources(session, statements_.sources.find, {space, key}));
    return found.empty() ? std::nullopt : std::optional(std::move(found.front()));
  });
}

Result<std::vector<SourceRow>> SqlIndex::sources_of(std::string_view space,
                                                    std::string_view content_hash,
                                                    std::size_t limit) {
  return ask([&](sql::Session& session) {
    return read_sources(
        session, statements_.sources.of, {space, content_hash, static_cast<std::int64_t>(limit)});
  });
}

Result<SourceTotals> SqlIndex::source_totals(std::string_view space) {
  return ask(
      [&](sql::Session& session) { return read_source_totals(session, statements_, space); });
}

Result<std::vector<std::string>> SqlIndex::without_source(std::string_view space,
                                                          std::string_view from,
                                                          std::size_t limit) {
  return ask([&](sql::Session& session) -> Result<std::vector<std::string>> {
    std::vector<std::string> keys;
    TRY(session.each(statements_.sources.without,
                     {space, from, static_cast<std::int64_t>(limit)},
                     [&](const sql::Row& row) { keys.emplace_back(row.text(0)); }));
    return keys;
  });
}

} // namespace pkc::index
