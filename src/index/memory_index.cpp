#include "pkc/index/memory_index.hpp"

#include "cursor.hpp"
#include "fact.hpp"
#include "source_cursor.hpp"

#include "pkc/base/assert.hpp"
#include "pkc/base/guarded.hpp"

#include <algorithm>
#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pkc::index {
namespace {

struct Row {
  Object object;
  std::int64_t id = 0;
  // NOLINTNEXTLINE(readability-redundant-member-init): g++ warns where it is left out otherwise
  Source source{};
  bool has_source = false;
};

SourceRow source_row_of(const Row& row) {
  return {.key = row.object.key,
          .source = row.source,
          .last_accessed_at = row.object.accessed_at,
          .access_count = row.object.hits};
}

/// Where a source stands in an order: by URL no two stand in one place.
struct SourceRank {
  std::int64_t value = 0;
  std::string_view url;
  std::int64_t id = 0;

  friend auto operator<=>(const SourceRank&, const SourceRank&) = default;
};

SourceRank rank_of(const Row& row, SourceSort sort) {
  const bool by_url = sort == SourceSort::url;
  return {.value = value_of(row.source, row.object.accessed_at, sort),
          .url = by_url ? std::string_view(row.source.source_url) : std::string_view(),
          .id = by_url ? 0 : row.id};
}

/// A place in an order: equals by age.
struct Rank {
  std::int64_t value = 0;
  std::int64_t id = 0;
  const Row* row = nullptr;

  friend bool operator<(const Rank& one, const Rank& other) {
    return std::pair(one.value, one.id) < std::pair(other.value, other.id);
  }
};

using Ranking = std::set<Rank>;

/// The objects of a space, in every order that is asked for, and their totals.
class Space {
 public:
  using Rows = std::map<std::string, Row, std::less<>>;

  Object* find(std::string_view key) {
    const auto found = rows_.find(key);
    return found == rows_.end() ? nullptr : &found->second.object;
  }

  void insert(Object object, std::int64_t id) {
    std::string key = object.key;
    const auto [place, fresh] = rows_.emplace(std::move(key), Row{std::move(object), id});
    PKC_ASSERT(fresh);
    enter(place->second);
  }

  void erase(std::string_view key) {
    if (const auto found = rows_.find(key); found != rows_.end()) {
      leave(found->second);
      rows_.erase(found);
    }
  }

  /// Changes an object that is there.
  template <typename Change>
  void change(std::string_view key, const Change& change) {
    Row& row = rows_.find(key)->second;
    leave(row);
    change(row.object);
    enter(row);
  }

  void set_source(std::string_view key, std::optional<Source> source) {
    if (const auto found = rows_.find(key); found != rows_.end()) {
      leave(found->second);
      found->second.has_source = source.has_value();
      found->second.source = std::move(source).value_or(Source());
      enter(found->second);
    }
  }

  [[nodiscard]] const Rows& rows() const { return rows_; }
  [[nodiscard]] const Totals& totals() const { return totals_; }
  [[nodiscard]] const SourceTotals& source_totals() const { return source_totals_; }
  [[nodiscard]] const Ranking& ranking(Sort sort, bool pinned) const {
    return rankings_[place(sort, pinned)];
  }

 private:
  /// By size, pinned objects stand among the others.
  static std::size_t place(Sort sort, bool pinned) {
    PKC_ASSERT(sort != Sort::key);
    const std::size_t group = pinned && sort != Sort::size ? 1 : 0;
    return (static_cast<std::size_t>(sort) - 1) * 2 + group;
  }

  template <typename Action>
  void for_each_ranking(const Row& row, const Action& action) {
    for (const Sort sort : {Sort::stored, Sort::accessed, Sort::size}) {
      action(rankings_[place(sort, row.object.pinned)],
             Rank{.value = value_of(row.object, sort), .id = row.id, .row = &row});
    }
  }

  void enter(const Row& row) {
    for_each_ranking(row, [](Ranking& ranking, const Rank& rank) { ranking.insert(rank); });
    count(row, [](std::uint64_t& sum, std::uint64_t part) { sum += part; });
  }

  void leave(const Row& row) {
    for_each_ranking(row, [](Ranking& ranking, const Rank& rank) { ranking.erase(rank); });
    count(row, [](std::uint64_t& sum, std::uint64_t part) { sum -= part; });
  }

  template <typename Change>
  void count(const Row& row, const Change& change) {
    const Object& object = row.object;
    change(totals_.objects, 1);
    change(totals_.size, object.size);
    change(totals_.disk_size, object.disk_size);
    change(totals_.pinned_objects, object.pinned ? 1 : 0);
    change(totals_.pinned_disk_size, object.pinned ? object.disk_size : 0);
    change(source_totals_.sources, row.has_source ? 1 : 0);
    change(source_totals_.file_size, row.source.file_size);
    change(source_totals_.accesses, row.has_source ? object.hits : 0);
  }

  Rows rows_;
  std::array<Ranking, 6> rankings_;
  Totals totals_;
  SourceTotals source_totals_;
};

/// Appends rows of a range whose keys have the prefix, as many as a page shows and one.
template <typename Iterator, typename ToRow>
void collect(std::vector<const Row*>& rows,
             std::pair<Iterator, Iterator> range,
             const ListQuery& query,
             const ToRow& to_row) {
  std::size_t left = query.limit + 1;
  for (auto at = range.first; at != range.second && left > 0; ++at) {
    const Row& row = to_row(*at);
    if (row.object.key.starts_with(query.key_prefix)) {
      rows.push_back(&row);
      --left;
    }
  }
}

void collect_by_key(std::vector<const Row*>& rows,
                    const Space& space,
                    const ListQuery& query,
                    const std::optional<Cursor>& cursor) {
  const Space::Rows& all = space.rows();
  const auto to_row = [](const Space::Rows::value_type& entry) -> const Row& {
    return entry.second;
  };
  const std::string& prefix = query.key_prefix;
  const bool up = query.order == Order::ascending;
  auto low = all.lower_bound(prefix);
  auto high = prefix.empty() ? all.end() : all.lower_bound(behind_prefix(prefix));
  // A cursor outside of the prefix is one of another query: what is behind it may be nothing.
  if (cursor && up && cursor->key >= prefix) {
    low = prefix.empty() || cursor->key.starts_with(prefix) ? all.upper_bound(cursor->key) : high;
  }
  if (cursor && !up && (prefix.empty() || cursor->key < behind_prefix(prefix))) {
    high = cursor->key < prefix ? low : all.lower_bound(cursor->key);
  }
  if (up) {
    collect(rows, std::pair(low, high), query, to_row);
  } else {
    collect(rows,
            std::pair(std::make_reverse_iterator(high), std::make_reverse_iterator(low)),
            query,
            to_row);
  }
}

void collect_by_rank(std::vector<const Row*>& rows,
                     const Ranking& ranking,
                     const ListQuery& query,
                     const std::optional<Cursor>& cursor) {
  const auto to_row = [](const Rank& rank) -> const Row& { return *rank.row; };
  Rank from;
  if (cursor) {
    from = {.value = cursor->value, .id = cursor->id, .row = nullptr};
  }
  if (query.order == Order::ascending) {
    const auto first = cursor ? ranking.upper_bound(from) : ranking.begin();
    collect(rows, std::pair(first, ranking.end()), query, to_row);
  } else {
    const auto last = cursor ? ranking.lower_bound(from) : ranking.end();
    collect(rows, std::pair(std::make_reverse_iterator(last), ranking.rend()), query, to_row);
  }
}

void sort_rows(std::vector<const Row*>& rows, const ListQuery& query) {
  std::ranges::sort(rows, [&query](const Row* one, const Row* other) {
    const auto rank = [&query](const Row* row) {
      return std::pair(value_of(row->object, query.sort), row->id);
    };
    return query.order == Order::ascending ? rank(one) < rank(other) : rank(other) < rank(one);
  });
}

class MemoryIndex final : public Index {
 public:
  explicit MemoryIndex(const Clock& clock) : clock_(clock) {}

  void note_stored(std::string_view space,
                   std::string_view key,
                   ByteCount size,
                   ByteCount disk_size) override {
    const Time now = clock_.wall_now_ms();
    store({.space = std::string(space),
           .key = std::string(key),
           .size = size,
           .disk_size = disk_size,
           .stored_at = now,
           .accessed_at = now});
  }

  void note_read(std::string_view space, std::string_view key) override {
    const Time now = clock_.wall_now_ms();
    auto spaces = spaces_.lock();
    if (Space* const known = space_of(*spaces, space); known != nullptr && known->find(key)) {
      known->change(key, [now](Object& object) {
        ++object.hits;
        object.accessed_at = std::max(object.accessed_at, now);
      });
    }
  }

  void note_removed(std::string_view space, std::string_view key) override {
    auto spaces = spaces_.lock();
    if (Space* const known = space_of(*spaces, space); known != nullptr) {
      known->erase(key);
    }
  }

  void note_found(const Found& found) override {
    {
      auto spaces = spaces_.lock();
      Space* const known = space_of(*spaces, found.space);
      if (known != nullptr && known->find(found.key)) {
        known->change(found.key, [&found](Object& object) {
          object.size = found.size;
          object.disk_size = found.disk_size;
          object.stored_at = found.stored_at;
        });
        known->set_source(found.key, std::nullopt);
        return;
      }
    }
    store({.space = std::string(found.space),
           .key = std::string(found.key),
           .size = found.size,
           .disk_size = found.disk_size,
           .stored_at = found.stored_at,
           .accessed_at = found.stored_at});
  }

  Result<void> flush() override { return {}; }

  Result<Totals> totals(std::string_view space) override {
    auto spaces = spaces_.lock();
    const Space* const known = space_of(*spaces, space);
    return known == nullptr ? Totals() : known->totals();
  }

  Result<std::vector<SpaceTotals>> spaces() override {
    auto spaces = spaces_.lock();
    std::vector<SpaceTotals> all;
    for (const auto& [name, space] : *spaces) {
      all.push_back({.space = name, .totals = space.totals()});
    }
    return all;
  }

  Result<std::optional<Object>> find(std::string_view space, std::string_view key) override {
    auto spaces = spaces_.lock();
    Space* const known = space_of(*spaces, space);
    const Object* const object = known == nullptr ? nullptr : known->find(key);
    return object == nullptr ? std::nullopt : std::optional(*object);
  }

  Result<std::vector<Object>> oldest(std::string_view space, std::size_t limit) override {
    return first_of(space, Sort::accessed, Time::max(), limit);
  }

  Result<std::vector<Object>> stored_before(std::string_view space,
                                            Time time,
                                            std::size_t limit) override {
    return first_of(space, Sort::stored, time, limit);
  }

  Result<std::vector<Object>> with_prefix(std::string_view space,
                                          std::string_view prefix) override {
    auto spaces = spaces_.lock();
    std::vector<Object> objects;
    if (const Space* const known = space_of(*spaces, space); known != nullptr) {
      for (auto at = known->rows().lower_bound(prefix);
           at != known->rows().end() && at->first.starts_with(prefix);
           ++at) {
        objects.push_back(at->second.object);
      }
    }
    return objects;
  }

  Result<std::optional<std::string>> first_key(std::string_view space,
                                               std::string_view from) override {
    auto spaces = spaces_.lock();
    if (const Space* const known = space_of(*spaces, space); known != nullptr) {
      if (const auto at = known->rows().lower_bound(from); at != known->rows().end()) {
        return at->first;
      }
    }
    return std::nullopt;
  }

  Result<Page> list(const ListQuery& query) override;

  Result<bool> set_pinned(std::string_view space, std::string_view key, Pinned pinned) override {
    auto spaces = spaces_.lock();
    Space* const known = space_of(*spaces, space);
    if (known == nullptr || known->find(key) == nullptr) {
      return false;
    }
    known->change(key, [pinned](Object& object) { object.pinned = pinned == Pinned::yes; });
    return true;
  }

  Result<std::optional<std::string>> get_fact(std::string_view name) override {
    TRY(check_fact(name, {}));
    auto facts = facts_.lock();
    const auto fact = facts->find(name);
    return fact == facts->end() ? std::nullopt : std::optional(fact->second);
  }

  Result<void> put_fact(std::string_view name, std::string_view value) override {
    TRY(check_fact(name, value));
    facts_.lock()->insert_or_assign(std::string(name), std::string(value));
    return {};
  }

  void note_source(std::string_view space, std::string_view key, const Source& source) override {
    auto spaces = spaces_.lock();
    if (Space* const known = space_of(*spaces, space); known != nullptr) {
      known->set_source(key, source);
    }
  }

  Result<SourcePage> list_sources(const SourceQuery& query) override;

  Result<std::optional<SourceRow>> find_source(std::string_view space,
                                               std::string_view key) override {
    auto spaces = spaces_.lock();
    if (const Space* const known = space_of(*spaces, space); known != nullptr) {
      if (const auto row = known->rows().find(key);
          row != known->rows().end() && row->second.has_source) {
        return source_row_of(row->second);
      }
    }
    return std::nullopt;
  }

  Result<std::vector<SourceRow>> sources_of(std::string_view space,
                                            std::string_view content_hash,
                                            std::size_t limit) override {
    std::map<std::int64_t, SourceRow> by_id;
    auto spaces = spaces_.lock();
    each_source(*spaces, space, [&](const Row& row) {
      if (row.source.content_hash == content_hash) {
        by_id.emplace(row.id, source_row_of(row));
      }
    });
    std::vector<SourceRow> found;
    for (auto at = by_id.begin(); at != by_id.end() && found.size() < limit; ++at) {
      found.push_back(std::move(at->second));
    }
    return found;
  }

  Result<SourceTotals> source_totals(std::string_view space) override {
    auto spaces = spaces_.lock();
    const Space* const known = space_of(*spaces, space);
    return known == nullptr ? SourceTotals() : known->source_totals();
  }

  Result<std::vector<std::string>> without_source(std::string_view space,
                                                  std::string_view from,
                                                  std::size_t limit) override {
    auto spaces = spaces_.lock();
    std::vector<std::string> keys;
    if (const Space* const known = space_of(*spaces, space); known != nullptr) {
      for (auto at = known->rows().upper_bound(from);
           at != known->rows().end() && keys.size() < limit;
           ++at) {
        if (!at->second.has_source) {
          keys.push_back(at->first);
        }
      }
    }
    return keys;
  }

  [[nodiscard]] State state() const override { return *state_.lock(); }

  Result<bool> mark_complete(const State& seen) override {
    auto state = state_.lock();
    state->complete = seen.damages == state->damages;
    return state->complete;
  }

  Result<void> mark_incomplete(Time since) override {
    auto state = state_.lock();
    if (state->complete || state->since) {
      state->since = state->complete ? since : std::min(*state->since, since);
    }
    state->complete = false;
    ++state->damages;
    return {};
  }

  Result<std::size_t> await_others() override { return 0; }
  Result<std::vector<std::string>> check() override { return std::vector<std::string>(); }
  Result<void> repair() override { return {}; }

 private:
  using Spaces = std::map<std::string, Space, std::less<>>;

  static Space* space_of(Spaces& spaces, std::string_view name) {
    const auto found = spaces.find(name);
    return found == spaces.end() ? nullptr : &found->second;
  }

  /// Of this index, questions about single sources look at all of them.
  template <typename Take>
  static void each_source(Spaces& spaces, std::string_view space, const Take& take) {
    if (const Space* const known = space_of(spaces, space); known != nullptr) {
      for (const auto& [key, row] : known->rows()) {
        if (row.has_source) {
          take(row);
        }
      }
    }
  }

  /// A pin stays, and so does the age among equals.
  void store(Object object) {
    auto spaces = spaces_.lock();
    Space& space = (*spaces)[object.space];
    if (space.find(object.key) == nullptr) {
      space.insert(std::move(object), ++last_id_);
      return;
    }
    const std::string key = object.key;
    const bool is_record = space.rows().find(key)->second.has_source;
    space.change(key, [&object, is_record](Object& known) {
      object.pinned = known.pinned;
      object.hits = is_record ? known.hits : object.hits;
      object.accessed_at = is_record ? known.accessed_at : object.accessed_at;
      known = std::move(object);
    });
    space.set_source(key, std::nullopt);
  }

  Result<std::vector<Object>> first_of(std::string_view space,
                                       Sort sort,
                                       Time before,
                                       std::size_t limit) {
    auto spaces = spaces_.lock();
    std::vector<Object> objects;
    if (const Space* const known = space_of(*spaces, space); known != nullptr) {
      for (const Rank& rank : known->ranking(sort, false)) {
        if (objects.size() == limit || rank.value >= before.time_since_epoch().count()) {
          break;
        }
        objects.push_back(rank.row->object);
      }
    }
    return objects;
  }

  const Clock& clock_;
  Guarded<Spaces> spaces_;
  std::int64_t last_id_ = 0; // under the lock of spaces_
  Guarded<std::map<std::string, std::string, std::less<>>> facts_;
  mutable Guarded<State> state_{
      State{.available = true, .complete = false, .since = {}, .damages = 1}};
};

Result<Page> MemoryIndex::list(const ListQuery& query) {
  TRY_ASSIGN(const std::optional<Cursor> cursor, parse_cursor(query));
  auto spaces = spaces_.lock();
  Page page;
  const Space* const space = space_of(*spaces, query.space);
  if (space == nullptr) {
    return page;
  }
  std::vector<const Row*> rows;
  if (query.sort == Sort::key) {
    collect_by_key(rows, *space, query, cursor);
  } else {
    collect_by_rank(rows, space->ranking(query.sort, false), query, cursor);
    if (query.sort != Sort::size) {
      collect_by_rank(rows, space->ranking(query.sort, true), query, cursor);
      sort_rows(rows, query);
    }
  }
  if (rows.size() > query.limit) {
    const Row& last = *rows[query.limit - 1];
    page.next = format_cursor(
        {.value = value_of(last.object, query.sort), .id = last.id, .key = last.object.key},
        query.sort,
        query.order);
    rows.resize(query.limit);
  }
  for (const Row* row : rows) {
    page.objects.push_back(row->object);
  }
  return page;
}

Result<SourcePage> MemoryIndex::list_sources(const SourceQuery& query) {
  TRY_ASSIGN(const std::optional<SourceCursor> cursor, parse_source_cursor(query));
  const bool up = query.order == Order::ascending;
  const SourceCursor at = cursor.value_or(SourceCursor());
  const SourceRank from{.value = at.value, .url = at.url, .id = at.id};
  auto spaces = spaces_.lock();
  std::vector<const Row*> rows;
  each_source(*spaces, query.space, [&](const Row& row) {
    const SourceRank rank = rank_of(row, query.sort);
    if (row.source.source_url.starts_with(query.url_prefix) &&
        (!cursor || (up ? from < rank : rank < from))) {
      rows.push_back(&row);
    }
  });
  std::ranges::sort(rows, [&](const Row* one, const Row* other) {
    const auto [first, second] = std::pair(rank_of(*one, query.sort), rank_of(*other, query.sort));
    return up ? first < second : second < first;
  });
  SourcePage page;
  if (rows.size() > query.limit) {
    const Row& last = *rows[query.limit - 1];
    page.next =
        format_source_cursor({.value = value_of(last.source, last.object.accessed_at, query.sort),
                              .id = last.id,
                              .url = last.source.source_url},
                             query.sort,
                             query.order);
    rows.resize(query.limit);
  }
  for (const Row* row : rows) {
    page.sources.push_back(source_row_of(*row));
  }
  return page;
}

} // namespace

std::unique_ptr<Index> make_memory_index(const Clock& clock) {
  return std::make_unique<MemoryIndex>(clock);
}

} // namespace pkc::index
