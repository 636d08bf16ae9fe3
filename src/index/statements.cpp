#include "statements.hpp"

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

std::vector<Type> integers(std::size_t count) {
  return std::vector<Type>(count, kInteger);
}

/// Columns of an Object and, last, its id.
constexpr std::string_view kObject =
    "SELECT object_key, objects.size, objects.disk_size, stored_at, accessed_at, hits, pinned, "
    "objects.id FROM objects";

const std::vector<Type>& object_columns() {
  static const std::vector<Type> types{
      kText, kInteger, kInteger, kInteger, kInteger, kInteger, kInteger, kInteger};
  return types;
}

/// The number of the space as a value, so that every engine sees a constant there and not a join.
constexpr std::string_view kInSpace =
    " WHERE space_id = (SELECT id FROM spaces WHERE name = :space)";

Query objects(std::string_view conditions, std::vector<Type> parameters) {
  return {std::string(kObject) + std::string(kInSpace) + std::string(conditions),
          std::move(parameters),
          object_columns()};
}

std::string_view column_of(Sort sort) {
  switch (sort) {
    case Sort::key:
      return "object_key";
    case Sort::stored:
      return "stored_at";
    case Sort::accessed:
      return "accessed_at";
    case Sort::size:
      return "size";
  }
  std::unreachable();
}

Walk make_walk(Sort sort, Order order, bool with_prefix) {
  const std::string column = "objects." + std::string(column_of(sort));
  const std::string compare = order == Order::ascending ? " > " : " < ";
  const std::string direction = order == Order::ascending ? "" : " DESC";
  const Type value = sort == Sort::key ? kText : kInteger;
  std::string scope = std::string(kObject) + " WHERE space_id = :space";
  std::vector<Type> scope_types{kInteger};
  if (is_by_time(sort)) {
    scope += " AND pinned = :pinned";
    scope_types.push_back(kInteger);
  }
  std::string tail = with_prefix ? " AND object_key >= :low AND object_key < :high" : "";
  tail += " ORDER BY " + column + direction;
  tail += sort == Sort::key ? "" : ", objects.id" + direction;
  tail += " LIMIT :count";
  const auto query = [&](const std::string& condition, std::vector<Type> more) {
    Query made{scope + condition + tail, scope_types, object_columns()};
    if (with_prefix) {
      more.insert(more.end(), {kText, kText});
    }
    more.push_back(kInteger);
    made.parameters.insert(made.parameters.end(), more.begin(), more.end());
    return made;
  };
  return {.first = query("", {}),
          .behind = query(" AND " + column + compare + ":value", {value}),
          .among = query(" AND " + column + " = :value AND objects.id" + compare + ":id",
                         {value, kInteger})};
}

constexpr std::string_view kFive = "objects, size, disk_size, pinned_objects, pinned_disk_size";

void make_totals(Statements& made, const sql::Dialect& dialect) {
  made.insert_space = {dialect.upsert({"spaces", {"name"}, {}}), {kText}};
  made.space_id = {"SELECT id FROM spaces WHERE name = :name" + std::string(dialect.locking()),
                   {kText},
                   {kInteger}};
  made.add_totals = {
      "UPDATE spaces SET objects = objects + :objects, size = size + :size, "
      "disk_size = disk_size + :disk_size, pinned_objects = pinned_objects + :pinned_objects, "
      "pinned_disk_size = pinned_disk_size + :pinned_disk_size WHERE id = :id",
      integers(6)};
  made.totals = {
      "SELECT " + std::string(kFive) + " FROM spaces WHERE name = :name", {kText}, integers(5)};
  made.all_totals = {"SELECT name, " + std::string(kFive) + " FROM spaces ORDER BY name",
                     {},
                     {kText, kInteger, kInteger, kInteger, kInteger, kInteger}};
  made.sums = {
      "SELECT spaces.name, spaces.objects, spaces.size, spaces.disk_size, spaces.pinned_objects, "
      "spaces.pinned_disk_size, count(objects.id), coalesce(sum(objects.size), 0), "
      "coalesce(sum(objects.disk_size), 0), coalesce(sum(objects.pinned), 0), "
      "coalesce(sum(objects.pinned * objects.disk_size), 0) FROM spaces LEFT JOIN objects ON "
      "objects.space_id = spaces.id GROUP BY spaces.id, spaces.name, spaces.objects, spaces.size, "
      "spaces.disk_size, spaces.pinned_objects, spaces.pinned_disk_size ORDER BY spaces.name",
      {},
      {kText,
       kInteger,
       kInteger,
       kInteger,
       kInteger,
       kInteger,
       kInteger,
       kInteger,
       kInteger,
       kInteger,
       kInteger}};
}

void make_changes(Statements& made) {
  made.known = {
      "SELECT objects.id, size, disk_size, pinned, noted_at, stored_at, hits, object_id, file_size "
      "FROM objects LEFT JOIN sources ON object_id = objects.id WHERE objects.space_id = :space "
      "AND object_key = :object_key",
      {kInteger, kText},
      integers(9)};
  made.insert = {
      "INSERT INTO objects (space_id, object_key, size, disk_size, stored_at, accessed_at, hits, "
      "pinned, noted_at) VALUES (:space, :object_key, :size, :disk_size, :stored_at, :accessed_at, "
      ":hits, 0, :noted_at)",
      {kInteger, kText, kInteger, kInteger, kInteger, kInteger, kInteger, kInteger}};
  made.renew = {
      "UPDATE objects SET size = :size, disk_size = :disk_size, stored_at = :stored_at, "
      "accessed_at = :accessed_at, hits = :hits, noted_at = :noted_at WHERE id = :id",
      integers(7)};
  made.adjust = {
      "UPDATE objects SET size = :size, disk_size = :disk_size, stored_at = :stored_at, "
      "noted_at = :noted_at WHERE id = :id",
      integers(5)};
  made.erase = {"DELETE FROM objects WHERE id = :id", integers(1)};
  // A time in the future is what a clock left that was set back. Otherwise the later use stays:
  // another process may have written it already.
  made.touch = {
      "UPDATE objects SET hits = hits + :hits, accessed_at = CASE WHEN accessed_at > :now OR "
      "accessed_at < :later THEN :accessed_at ELSE accessed_at END WHERE space_id = :space AND "
      "object_key = :object_key",
      {kInteger, kInteger, kInteger, kInteger, kInteger, kText}};
  made.pin = {"UPDATE objects SET pinned = :pinned WHERE id = :id", integers(2)};
}

void make_questions(Statements& made) {
  made.find = objects(" AND object_key = :object_key", {kText, kText});
  made.oldest =
      objects(" AND pinned = 0 ORDER BY accessed_at, objects.id LIMIT :count", {kText, kInteger});
  made.stored_before =
      objects(" AND pinned = 0 AND stored_at < :time ORDER BY stored_at, objects.id LIMIT :count",
              {kText, kInteger, kInteger});
  made.shard = objects(" AND object_key >= :low AND object_key < :high ORDER BY object_key",
                       {kText, kText, kText});
  made.first_key = {"SELECT object_key FROM objects" + std::string(kInSpace) +
                        " AND object_key >= :low ORDER BY object_key LIMIT 1",
                    {kText, kText},
                    {kText}};
  made.space_number = {"SELECT id FROM spaces WHERE name = :name", {kText}, {kInteger}};
}

} // namespace

Statements::Statements(const sql::Dialect& dialect) : sources(dialect) {
  make_totals(*this, dialect);
  make_changes(*this);
  make_questions(*this);
  get_fact = {"SELECT value FROM facts WHERE name = :name", {kText}, {kText}};
  put_fact = {dialect.upsert({"facts", {"name"}, {"value"}}), {kText, kText}};
  put_writer = {dialect.upsert({"writers", {"process"}, {"noted_until"}}), integers(2)};
  remove_writer = {"DELETE FROM writers WHERE process = :process", integers(1)};
  writers = {"SELECT process, noted_until FROM writers ORDER BY process", {}, integers(2)};
  for (const Sort sort : {Sort::key, Sort::stored, Sort::accessed, Sort::size}) {
    for (const Order order : {Order::ascending, Order::descending}) {
      for (const bool prefixed : {false, true}) {
        walks_[(static_cast<std::size_t>(sort) * 2 + static_cast<std::size_t>(order)) * 2 +
               (prefixed ? 1 : 0)] = make_walk(sort, order, prefixed);
      }
    }
  }
}

std::vector<std::pair<std::string, const Query*>> Statements::all() const {
  std::vector<std::pair<std::string, const Query*>> named{
      {"insert_space", &insert_space},
      {"space_id", &space_id},
      {"add_totals", &add_totals},
      {"totals", &totals},
      {"all_totals", &all_totals},
      {"known", &known},
      {"insert", &insert},
      {"renew", &renew},
      {"adjust", &adjust},
      {"erase", &erase},
      {"touch", &touch},
      {"pin", &pin},
      {"find", &find},
      {"oldest", &oldest},
      {"stored_before", &stored_before},
      {"shard", &shard},
      {"first_key", &first_key},
      {"space_number", &space_number},
      {"get_fact", &get_fact},
      {"put_fact", &put_fact},
      {"put_writer", &put_writer},
      {"remove_writer", &remove_writer},
      {"writers", &writers},
      {"sums", &sums},
  };
  for (std::size_t i = 0; i < walks_.size(); ++i) {
    const std::string number = std::to_string(i);
    named.emplace_back("walk " + number + " first", &walks_[i].first);
    named.emplace_back("walk " + number + " behind", &walks_[i].behind);
    named.emplace_back("walk " + number + " among", &walks_[i].among);
  }
  sources.append_to(named);
  return named;
}

} // namespace pkc::index
