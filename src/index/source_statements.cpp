#include "source_statements.hpp"

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pkc::index {
namespace {

using sql::Query;
using sql::Type;

constexpr auto kInteger = Type::integer;
constexpr auto kText = Type::text;

/// Columns of a SourceRow and, last, the id of its object.
constexpr std::string_view kSource =
    "SELECT object_key, source_url, content_hash, storage_path, file_size, content_type, "
    "first_cached_at, accessed_at, hits, objects.id FROM sources JOIN objects ON objects.id = "
    "sources.object_id WHERE ";

const std::vector<Type>& source_columns() {
  static const std::vector<Type> types{
      kText, kText, kText, kText, kInteger, kText, kInteger, kInteger, kInteger, kInteger};
  return types;
}

constexpr std::string_view kSpace = "(SELECT id FROM spaces WHERE name = :space)";

/// What an order compares first, and then among equals.
struct Columns {
  std::string_view value;
  std::string_view second;
};

Columns columns_of(SourceSort sort) {
  switch (sort) {
    case SourceSort::url:
      return {"url_head", "source_url"};
    case SourceSort::size:
      return {"file_size", "object_id"};
    case SourceSort::age:
      return {"first_cached_at", "object_id"};
    case SourceSort::access:
      return {"accessed_at", "objects.id"};
  }
  std::unreachable();
}

SourceWalk make_walk(SourceSort sort, Order order, bool with_prefix) {
  const auto [value, second] = columns_of(sort);
  const bool by_url = sort == SourceSort::url;
  const std::string compare = order == Order::ascending ? " > " : " < ";
  const std::string direction = order == Order::ascending ? "" : " DESC";
  std::string scope(kSource);
  std::vector<Type> scope_types{kInteger};
  if (sort == SourceSort::access) { // of its index, pinned objects have their own part
    scope += "objects.space_id = :space AND pinned = :pinned";
    scope_types.push_back(kInteger);
  } else {
    scope += "sources.space_id = :space";
  }
  std::string tail;
  std::vector<Type> tail_types;
  if (with_prefix) {
    tail += " AND source_url >= :low AND source_url < :high";
    tail_types.insert(tail_types.end(), {kText, kText});
    if (by_url) {
      tail += " AND url_head >= :low_head AND url_head < :high_head";
      tail_types.insert(tail_types.end(), {kText, kText});
    }
  }
  tail.append(" ORDER BY ").append(value).append(direction);
  tail.append(", ").append(second).append(direction).append(" LIMIT :count");
  tail_types.push_back(kInteger);
  const auto query = [&](const std::string& condition, const std::vector<Type>& more) {
    Query made{scope + condition + tail, scope_types, source_columns()};
    made.parameters.insert(made.parameters.end(), more.begin(), more.end());
    made.parameters.insert(made.parameters.end(), tail_types.begin(), tail_types.end());
    return made;
  };
  const Type type = by_url ? kText : kInteger;
  const std::string name(value);
  const std::string among(second);
  return {.first = query("", {}),
          .behind = query(" AND " + name + compare + ":value", {type}),
          .among =
              query(" AND " + name + " = :value AND " + among + compare + ":second", {type, type})};
}

void make_totals(SourceStatements& made, const sql::Dialect& dialect) {
  made.totals = {"SELECT sources, file_size, accesses FROM source_totals WHERE space_id = " +
                     std::string(kSpace),
                 {kText},
                 {kInteger, kInteger, kInteger}};
  made.has_totals = {
      "SELECT sources FROM source_totals WHERE space_id = :space", {kInteger}, {kInteger}};
  made.begin_totals = {dialect.upsert({"source_totals", {"space_id"}, {}}), {kInteger}};
  made.add_totals = {
      "UPDATE source_totals SET sources = sources + :sources, file_size = file_size + :file_size, "
      "accesses = accesses + :accesses WHERE space_id = :space",
      {kInteger, kInteger, kInteger, kInteger}};
  made.sums = {
      "SELECT name, coalesce(source_totals.sources, 0), coalesce(source_totals.file_size, 0), "
      "coalesce(source_totals.accesses, 0), coalesce(summed.sources, 0), "
      "coalesce(summed.file_size, 0), coalesce(summed.accesses, 0) FROM spaces LEFT JOIN "
      "source_totals ON source_totals.space_id = spaces.id LEFT JOIN (SELECT sources.space_id AS "
      "space_id, count(*) AS sources, sum(file_size) AS file_size, sum(hits) AS accesses FROM "
      "sources JOIN objects ON objects.id = sources.object_id GROUP BY sources.space_id) AS summed "
      "ON summed.space_id = spaces.id ORDER BY name",
      {},
      {kText, kInteger, kInteger, kInteger, kInteger, kInteger, kInteger}};
}

} // namespace

SourceStatements::SourceStatements(const sql::Dialect& dialect) {
  put = {dialect.upsert({"sources",
                         {"object_id"},
                         {"space_id",
                          "source_url",
                          "url_head",
                          "content_hash",
                          "storage_path",
                          "file_size",
                          "content_type",
                          "first_cached_at"}}),
         {kInteger, kInteger, kText, kText, kText, kText, kInteger, kText, kInteger}};
  erase = {"DELETE FROM sources WHERE object_id = :id", {kInteger}};
  const std::string source(kSource);
  const std::string space(kSpace);
  find = {source + "objects.space_id = " + space + " AND object_key = :object_key",
          {kText, kText},
          source_columns()};
  of = {source + "sources.space_id = " + space +
            " AND content_hash = :hash ORDER BY sources.object_id LIMIT :count",
        {kText, kText, kInteger},
        source_columns()};
  make_totals(*this, dialect);
  without = {"SELECT object_key FROM objects WHERE space_id = " + space +
                 " AND object_key > :low AND NOT EXISTS (SELECT 1 FROM sources WHERE object_id = "
                 "objects.id) ORDER BY object_key LIMIT :count",
             {kText, kText, kInteger},
             {kText}};
  for (const auto sort : {SourceSort::url, SourceSort::size, SourceSort::age, SourceSort::access}) {
    for (const Order order : {Order::ascending, Order::descending}) {
      for (const bool prefixed : {false, true}) {
        walks_[place(sort, order, prefixed)] = make_walk(sort, order, prefixed);
      }
    }
  }
}

void SourceStatements::append_to(std::vector<std::pair<std::string, const Query*>>& all) const {
  all.emplace_back("put_source", &put);
  all.emplace_back("erase_source", &erase);
  all.emplace_back("find_source", &find);
  all.emplace_back("sources_of", &of);
  all.emplace_back("source_totals", &totals);
  all.emplace_back("has_source_totals", &has_totals);
  all.emplace_back("begin_source_totals", &begin_totals);
  all.emplace_back("add_source_totals", &add_totals);
  all.emplace_back("source_sums", &sums);
  all.emplace_back("without_source", &without);
  for (std::size_t i = 0; i < walks_.size(); ++i) {
    const std::string number = std::to_string(i);
    all.emplace_back("source walk " + number + " first", &walks_[i].first);
    all.emplace_back("source walk " + number + " behind", &walks_[i].behind);
    all.emplace_back("source walk " + number + " among", &walks_[i].among);
  }
}

} // namespace pkc::index
