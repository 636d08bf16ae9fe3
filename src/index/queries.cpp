#include "cursor.hpp"
#include "tables.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace pkc::index {
namespace {

Time time_of(std::int64_t number) {
  return Time(std::chrono::milliseconds(number));
}

std::uint64_t count_of(std::int64_t number) {
  return static_cast<std::uint64_t>(number);
}

Object object_of(const sql::Row& row, std::string_view space) {
  return {.space = std::string(space),
          .key = std::string(row.text(0)),
          .size = count_of(row.integer(1)),
          .disk_size = count_of(row.integer(2)),
          .stored_at = time_of(row.integer(3)),
          .accessed_at = time_of(row.integer(4)),
          .hits = count_of(row.integer(5)),
          .pinned = row.integer(6) != 0};
}

Totals totals_of(const sql::Row& row, std::size_t first) {
  return {.objects = count_of(row.integer(first)),
          .size = count_of(row.integer(first + 1)),
          .disk_size = count_of(row.integer(first + 2)),
          .pinned_objects = count_of(row.integer(first + 3)),
          .pinned_disk_size = count_of(row.integer(first + 4))};
}

/// An object of a page, with what orders it.
struct Listed {
  Object object;
  std::int64_t id = 0;
};

/// Reads up to limit + 1 objects of a query, so that it is known whether there are more.
class PageReader {
 public:
  PageReader(sql::Session& session,
             const Statements& statements,
             const ListQuery& query,
             const std::optional<Cursor>& cursor)
      : session_(session),
        query_(query),
        cursor_(cursor),
        walk_(statements.walk(query.sort, query.order, !query.key_prefix.empty())),
        high_(behind_prefix(query.key_prefix)) {}

  Result<std::vector<Listed>> read(std::int64_t space) {
    if (!is_by_time(query_.sort)) {
      TRY(read_scope({space}));
      return std::move(found_);
    }
    // Two indexes side by side, as pinned objects stand apart.
    std::vector<Listed> all;
    for (const std::int64_t pinned : {std::int64_t{0}, std::int64_t{1}}) {
      TRY(read_scope({space, pinned}));
      std::ranges::move(found_, std::back_inserter(all));
      found_.clear();
    }
    std::ranges::sort(all, [this](const Listed& one, const Listed& other) {
      const auto rank = [this](const Listed& listed) {
        return std::tuple(value_of(listed.object, query_.sort), listed.id);
      };
      return query_.order == Order::ascending ? rank(one) < rank(other) : rank(one) > rank(other);
    });
    return all;
  }

 private:
  using Scope = std::vector<sql::Value>;

  Result<void> read_scope(const Scope& scope) {
    if (!cursor_) {
      return run(walk_.first, scope, {});
    }
    if (query_.sort == Sort::key) {
      return run(walk_.behind, scope, {cursor_->key});
    }
    TRY(run(walk_.among, scope, {cursor_->value, cursor_->id}));
    return run(walk_.behind, scope, {cursor_->value});
  }

  Result<void> run(const sql::Query& query, const Scope& scope, const Scope& position) {
    if (found_.size() > query_.limit) {
      return {};
    }
    Scope values = scope;
    std::ranges::copy(position, std::back_inserter(values));
    if (!query_.key_prefix.empty()) {
      values.emplace_back(query_.key_prefix);
      values.emplace_back(high_);
    }
    values.emplace_back(static_cast<std::int64_t>(query_.limit + 1 - found_.size()));
    return session_.each(query, values, [this](const sql::Row& row) {
      found_.push_back({.object = object_of(row, query_.space), .id = row.integer(7)});
    });
  }

  sql::Session& session_;
  const ListQuery& query_;
  const std::optional<Cursor>& cursor_;
  const Walk& walk_;
  std::string high_;
  std::vector<Listed> found_;
};

} // namespace

Result<Totals> read_totals(sql::Session& session,
                           const Statements& statements,
                           std::string_view space) {
  Totals totals;
  TRY(session.each(
      statements.totals, {space}, [&](const sql::Row& row) { totals = totals_of(row, 0); }));
  return totals;
}

Result<std::vector<SpaceTotals>> read_spaces(sql::Session& session, const Statements& statements) {
  std::vector<SpaceTotals> spaces;
  TRY(session.each(statements.all_totals, {}, [&](const sql::Row& row) {
    spaces.push_back({.space = std::string(row.text(0)), .totals = totals_of(row, 1)});
  }));
  return spaces;
}

Result<std::vector<Object>> read_objects(sql::Session& session,
                                         const sql::Query& query,
                                         std::string_view space,
                                         sql::Values values) {
  std::vector<Object> objects;
  TRY(session.each(
      query, values, [&](const sql::Row& row) { objects.push_back(object_of(row, space)); }));
  return objects;
}

Result<std::optional<std::string>> read_text(sql::Session& session,
                                             const sql::Query& query,
                                             sql::Values values) {
  std::optional<std::string> text;
  TRY(session.each(query, values, [&](const sql::Row& row) { text = std::string(row.text(0)); }));
  return text;
}

Result<Page> read_page(sql::Session& session,
                       const Statements& statements,
                       const ListQuery& query) {
  TRY_ASSIGN(const std::optional<Cursor> cursor, parse_cursor(query));
  std::optional<std::int64_t> space;
  TRY(session.each(statements.space_number, {query.space}, [&](const sql::Row& row) {
    space = row.integer(0);
  }));
  if (!space) {
    return Page();
  }
  PageReader reader(session, statements, query, cursor);
  TRY_ASSIGN(std::vector<Listed> listed, reader.read(*space));
  Page page;
  if (listed.size() > query.limit) {
    const Listed& last = listed[query.limit - 1];
    page.next = format_cursor(
        {.value = value_of(last.object, query.sort), .id = last.id, .key = last.object.key},
        query.sort,
        query.order);
    listed.resize(query.limit);
  }
  page.objects.reserve(listed.size());
  for (Listed& entry : listed) {
    page.objects.push_back(std::move(entry.object));
  }
  return page;
}

Result<std::vector<WrongSums>> compare_sums(sql::Session& session, const Statements& statements) {
  std::vector<WrongSums> wrong;
  TRY(session.each(statements.sums, {}, [&](const sql::Row& row) {
    if (totals_of(row, 1) != totals_of(row, 6)) {
      wrong.push_back({.space = std::string(row.text(0)),
                       .totals = totals_of(row, 1),
                       .sums = totals_of(row, 6)});
    }
  }));
  return wrong;
}

Result<void> correct_sums(sql::Session& session, const Statements& statements) {
  TRY_ASSIGN(const std::vector<WrongSums> wrong, compare_sums(session, statements));
  for (const auto& [space, totals, sums] : wrong) {
    std::int64_t id = 0;
    TRY(session.each(
        statements.space_id, {space}, [&](const sql::Row& row) { id = row.integer(0); }));
    // Both are numbers of this machine's, so their difference fits.
    const auto more = [](std::uint64_t is, std::uint64_t should) {
      return static_cast<std::int64_t>(should - is);
    };
    TRY(session.run(statements.add_totals,
                    {more(totals.objects, sums.objects),
                     more(totals.size, sums.size),
                     more(totals.disk_size, sums.disk_size),
                     more(totals.pinned_objects, sums.pinned_objects),
                     more(totals.pinned_disk_size, sums.pinned_disk_size),
                     id}));
  }
  return {};
}

} // namespace pkc::index
