#include "source_tables.hpp"

#include "cursor.hpp"
#include "source_cursor.hpp"

#include <algorithm>
#include <chrono>
#include <iterator>
#include <string>
#include <tuple>
#include <utility>

namespace pkc::index {
namespace {

Time time_of(std::int64_t number) {
  return Time(std::chrono::milliseconds(number));
}

SourceRow row_of(const sql::Row& row) {
  return {.key = std::string(row.text(0)),
          .source = {.source_url = std::string(row.text(1)),
                     .content_hash = std::string(row.text(2)),
                     .storage_path = std::string(row.text(3)),
                     .file_size = static_cast<ByteCount>(row.integer(4)),
                     .content_type = std::string(row.text(5)),
                     .first_cached_at = time_of(row.integer(6))},
          .last_accessed_at = time_of(row.integer(7)),
          .access_count = static_cast<std::uint64_t>(row.integer(8))};
}

SourceTotals totals_of(const sql::Row& row, std::size_t first) {
  return {.sources = static_cast<std::uint64_t>(row.integer(first)),
          .file_size = static_cast<ByteCount>(row.integer(first + 1)),
          .accesses = static_cast<std::uint64_t>(row.integer(first + 2))};
}

/// A source of a page, with what orders it among equals.
struct Listed {
  SourceRow row;
  std::int64_t id = 0;
};

/// Reads up to limit + 1 sources of a query, so that it is known whether there are more.
class PageReader {
 public:
  PageReader(sql::Session& session, const Statements& statements, const SourceQuery& query)
      : session_(session),
        query_(query),
        walk_(statements.sources.walk(query.sort, query.order, !query.url_prefix.empty())),
        high_(behind_prefix(query.url_prefix)),
        high_head_(behind_prefix(url_head(query.url_prefix))) {}

  Result<std::vector<Listed>> read(std::int64_t space, const std::optional<SourceCursor>& cursor) {
    if (query_.sort != SourceSort::access) {
      TRY(read_scope({space}, cursor));
      return std::move(found_);
    }
    std::vector<Listed> all; // two parts of an index side by side
    for (const std::int64_t pinned : {std::int64_t{0}, std::int64_t{1}}) {
      TRY(read_scope({space, pinned}, cursor));
      std::ranges::move(found_, std::back_inserter(all));
      found_.clear();
    }
    std::ranges::sort(all, [this](const Listed& one, const Listed& other) {
      const auto rank = [this](const Listed& listed) {
        return std::tuple(value_of(listed.row.source, listed.row.last_accessed_at, query_.sort),
                          listed.id);
      };
      return query_.order == Order::ascending ? rank(one) < rank(other) : rank(one) > rank(other);
    });
    return all;
  }

 private:
  using Scope = std::vector<sql::Value>;

  Result<void> read_scope(const Scope& scope, const std::optional<SourceCursor>& cursor) {
    if (!cursor) {
      return run(walk_.first, scope, {});
    }
    if (query_.sort == SourceSort::url) {
      const std::string_view head = url_head(cursor->url);
      TRY(run(walk_.among, scope, {head, cursor->url}));
      return run(walk_.behind, scope, {head});
    }
    TRY(run(walk_.among, scope, {cursor->value, cursor->id}));
    return run(walk_.behind, scope, {cursor->value});
  }

  Result<void> run(const sql::Query& query, const Scope& scope, const Scope& position) {
    if (found_.size() > query_.limit) {
      return {};
    }
    Scope values = scope;
    std::ranges::copy(position, std::back_inserter(values));
    if (!query_.url_prefix.empty()) {
      values.emplace_back(query_.url_prefix);
      values.emplace_back(high_);
      if (query_.sort == SourceSort::url) {
        values.emplace_back(url_head(query_.url_prefix));
        values.emplace_back(high_head_);
      }
    }
    values.emplace_back(static_cast<std::int64_t>(query_.limit + 1 - found_.size()));
    return session_.each(query, values, [this](const sql::Row& row) {
      found_.push_back({.row = row_of(row), .id = row.integer(9)});
    });
  }

  sql::Session& session_;
  const SourceQuery& query_;
  const SourceWalk& walk_;
  std::string high_;
  std::string high_head_;
  std::vector<Listed> found_;
};

} // namespace

Result<void> write_source(sql::Session& session,
                          const Statements& statements,
                          std::int64_t space,
                          std::int64_t object,
                          const Source& source) {
  TRY(session.run(statements.sources.put,
                  {object,
                   space,
                   source.source_url,
                   url_head(source.source_url),
                   source.content_hash,
                   source.storage_path,
                   static_cast<std::int64_t>(source.file_size),
                   source.content_type,
                   std::int64_t{source.first_cached_at.time_since_epoch().count()}}));
  return {};
}

Result<void> add_to_source_totals(sql::Session& session,
                                  const Statements& statements,
                                  std::int64_t space,
                                  const SourceDelta& delta) {
  TRY(session.run(statements.sources.begin_totals, {space}));
  TRY(session.run(statements.sources.add_totals,
                  {delta.sources, delta.file_size, delta.accesses, space}));
  return {};
}

Result<SourceTotals> read_source_totals(sql::Session& session,
                                        const Statements& statements,
                                        std::string_view space) {
  SourceTotals totals;
  TRY(session.each(statements.sources.totals, {space}, [&](const sql::Row& row) {
    totals = totals_of(row, 0);
  }));
  return totals;
}

Result<std::vector<WrongSourceSums>> compare_source_sums(sql::Session& session,
                                                         const Statements& statements) {
  std::vector<WrongSourceSums> wrong;
  TRY(session.each(statements.sources.sums, {}, [&](const sql::Row& row) {
    if (totals_of(row, 1) != totals_of(row, 4)) {
      wrong.push_back({.space = std::string(row.text(0)),
                       .totals = totals_of(row, 1),
                       .sums = totals_of(row, 4)});
    }
  }));
  return wrong;
}

Result<void> correct_source_sums(sql::Session& session, const Statements& statements) {
  TRY_ASSIGN(const auto wrong, compare_source_sums(session, statements));
  for (const auto& [space, totals, sums] : wrong) {
    std::int64_t id = 0;
    TRY(session.each(
        statements.space_id, {space}, [&](const sql::Row& row) { id = row.integer(0); }));
    // Both are numbers of this machine's, so their difference fits.
    const auto more = [](std::uint64_t is, std::uint64_t should) {
      return static_cast<std::int64_t>(should - is);
    };
    TRY(add_to_source_totals(session,
                             statements,
                             id,
                             {.sources = more(totals.sources, sums.sources),
                              .file_size = more(totals.file_size, sums.file_size),
                              .accesses = more(totals.accesses, sums.accesses)}));
  }
  return {};
}

Result<std::vector<SourceRow>> read_sources(sql::Session& session,
                                            const sql::Query& query,
                                            sql::Values values) {
  std::vector<SourceRow> sources;
  TRY(session.each(query, values, [&](const sql::Row& row) { sources.push_back(row_of(row)); }));
  return sources;
}

Result<SourcePage> read_source_page(sql::Session& session,
                                    const Statements& statements,
                                    const SourceQuery& query) {
  TRY_ASSIGN(const auto cursor, parse_source_cursor(query));
  std::optional<std::int64_t> space;
  TRY(session.each(statements.space_number, {query.space}, [&](const sql::Row& row) {
    space = row.integer(0);
  }));
  if (!space) {
    return SourcePage();
  }
  PageReader reader(session, statements, query);
  TRY_ASSIGN(std::vector<Listed> listed, reader.read(*space, cursor));
  SourcePage page;
  if (listed.size() > query.limit) {
    const Listed& last = listed[query.limit - 1];
    const auto& [row, id] = last;
    page.next =
        format_source_cursor({.value = value_of(row.source, row.last_accessed_at, query.sort),
                              .id = id,
                              .url = row.source.source_url},
                             query.sort,
                             query.order);
    listed.resize(query.limit);
  }
  page.sources.reserve(listed.size());
  for (Listed& entry : listed) {
    page.sources.push_back(std::move(entry.row));
  }
  return page;
}

} // namespace pkc::index
