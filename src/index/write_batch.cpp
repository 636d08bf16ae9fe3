#include "source_tables.hpp"
#include "tables.hpp"

#include "pkc/base/assert.hpp"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <utility>

namespace pkc::index {
namespace {

std::int64_t number(Time time) {
  return time.time_since_epoch().count();
}

std::int64_t number(std::uint64_t count) {
  PKC_ASSERT(count <= std::uint64_t{std::numeric_limits<std::int64_t>::max()});
  return static_cast<std::int64_t>(count);
}

/// What changes of a space's totals.
struct Delta {
  std::int64_t objects = 0;
  std::int64_t size = 0;
  std::int64_t disk_size = 0;
  std::int64_t pinned_objects = 0;
  std::int64_t pinned_disk_size = 0;
  friend bool operator==(const Delta&, const Delta&) = default;
};

/// A row as it is.
struct Known {
  std::int64_t id = 0;
  std::int64_t size = 0;
  std::int64_t disk_size = 0;
  std::int64_t pinned = 0;
  std::int64_t noted_at = 0;
  std::int64_t stored_at = 0;
  std::int64_t hits = 0;
  std::optional<std::int64_t> file_size; ///< what its source says, where that is known
};

Result<std::optional<Known>> read_known(sql::Session& session,
                                        const Statements& statements,
                                        std::int64_t space,
                                        std::string_view key) {
  std::optional<Known> known;
  TRY(session.each(statements.known, {space, key}, [&](const sql::Row& row) {
    known = {.id = row.integer(0),
             .size = row.integer(1),
             .disk_size = row.integer(2),
             .pinned = row.integer(3),
             .noted_at = row.integer(4),
             .stored_at = row.integer(5),
             .hits = row.integer(6),
             .file_size = row.integer(7) > 0 ? std::optional(row.integer(8)) : std::nullopt};
  }));
  return known;
}

/// Writes into one space.
class SpaceWriter {
 public:
  SpaceWriter(sql::Session& session, const Statements& statements, Time now)
      : session_(session), statements_(statements), now_(number(now)) {}

  /// False when there is no such space, and it is not to be made.
  enum class Make : std::uint8_t {
    no,
    yes,
  };
  Result<bool> open(std::string_view space, Make make) {
    TRY_ASSIGN(const bool there, find(space));
    if (there || make == Make::no) {
      return there;
    }
    TRY(session_.run(statements_.insert_space, {space}));
    return find(space);
  }

  Result<void> write(std::string_view key, const Note& note) {
    if (note.kind == Note::Kind::read) {
      TRY(touch(key, note.hits, note.accessed_at));
      return write_source_of(key, note);
    }
    TRY_ASSIGN(auto known, read_known(session_, statements_, id_, key));
    if (known && known->noted_at > number(note.noted_at) && known->noted_at <= now_) {
      return {};
    }
    if (known && (note.kind == Note::Kind::removed || note.afresh)) {
      TRY(erase(*known));
      known.reset();
    }
    if (note.kind == Note::Kind::removed) {
      return {};
    }
    if (!known) {
      TRY(insert(key, note));
    } else if (note.kind == Note::Kind::stored) {
      TRY(renew(*known, key, note));
    } else {
      TRY(adjust(*known, key, note));
    }
    return write_source_of(key, note);
  }

  Result<void> pin(const Known& known, Pinned pinned) {
    const std::int64_t value = pinned == Pinned::yes ? 1 : 0;
    if (known.pinned != value) {
      const std::int64_t sign = value == 1 ? 1 : -1;
      delta_.pinned_objects += sign;
      delta_.pinned_disk_size += sign * known.disk_size;
      TRY(session_.run(statements_.pin, {value, known.id}));
    }
    return {};
  }

  Result<std::optional<Known>> known(std::string_view key) {
    return read_known(session_, statements_, id_, key);
  }

  Result<void> close() {
    if (delta_ != Delta()) {
      TRY(session_.run(statements_.add_totals,
                       {delta_.objects,
                        delta_.size,
                        delta_.disk_size,
                        delta_.pinned_objects,
                        delta_.pinned_disk_size,
                        id_}));
    }
    if (source_delta_ != SourceDelta()) {
      TRY(add_to_source_totals(session_, statements_, id_, source_delta_));
    }
    return {};
  }

 private:
  Result<bool> find(std::string_view space) {
    bool there = false;
    TRY(session_.each(statements_.space_id, {space}, [&](const sql::Row& row) {
      id_ = row.integer(0);
      there = true;
    }));
    if (there) {
      TRY(session_.each(statements_.sources.has_totals, {id_}, [&](const sql::Row& /*row*/) {
        has_sources_ = true;
      }));
    }
    return there;
  }

  /// Most spaces have no sources: there it takes no look at what is read.
  Result<void> touch(std::string_view key, std::uint64_t hits, Time time) {
    if (hits == 0) {
      return {};
    }
    if (has_sources_) {
      TRY_ASSIGN(const auto known, read_known(session_, statements_, id_, key));
      source_delta_.accesses += known && known->file_size ? number(hits) : 0;
    }
    const std::int64_t used = number(time);
    TRY(session_.run(statements_.touch, {number(hits), now_, used, used, id_, key}));
    return {};
  }

  Result<void> erase(Known& known) {
    delta_.objects -= 1;
    delta_.size -= known.size;
    delta_.disk_size -= known.disk_size;
    delta_.pinned_objects -= known.pinned;
    delta_.pinned_disk_size -= known.pinned * known.disk_size;
    TRY(session_.run(statements_.erase, {known.id}));
    return erase_source(known);
  }

  /// The files have changed since it was said.
  Result<void> erase_source(Known& known) {
    if (!known.file_size) {
      return {};
    }
    source_delta_.sources -= 1;
    source_delta_.file_size -= *known.file_size;
    source_delta_.accesses -= known.hits;
    known.file_size.reset();
    TRY(session_.run(statements_.sources.erase, {known.id}));
    return {};
  }

  /// What was said of an object that is gone, or was stored by somebody else since, is void.
  Result<void> write_source_of(std::string_view key, const Note& note) {
    if (!note.source) {
      return {};
    }
    TRY_ASSIGN(const auto known, read_known(session_, statements_, id_, key));
    if (!known || (known->noted_at > number(note.noted_at) && known->noted_at <= now_)) {
      return {};
    }
    source_delta_.sources += known->file_size ? 0 : 1;
    source_delta_.file_size += number(note.source->file_size) - known->file_size.value_or(0);
    source_delta_.accesses += known->file_size ? 0 : known->hits;
    has_sources_ = true;
    return write_source(session_, statements_, id_, known->id, *note.source);
  }

  Result<void> insert(std::string_view key, const Note& note) {
    delta_.objects += 1;
    delta_.size += number(note.size);
    delta_.disk_size += number(note.disk_size);
    TRY(session_.run(statements_.insert,
                     {id_,
                      key,
                      number(note.size),
                      number(note.disk_size),
                      number(note.stored_at),
                      number(note.used_at()),
                      number(note.hits),
                      number(note.noted_at)}));
    return {};
  }

  void resize(const Known& known, const Note& note) {
    delta_.size += number(note.size) - known.size;
    delta_.disk_size += number(note.disk_size) - known.disk_size;
    delta_.pinned_disk_size += known.pinned * (number(note.disk_size) - known.disk_size);
  }

  Result<void> renew(Known& known, std::string_view key, const Note& note) {
    const bool had_source = known.file_size.has_value();
    TRY(erase_source(known));
    if (!note.plain && (had_source || note.record)) {
      return adjust(known, key, note);
    }
    resize(known, note);
    TRY(session_.run(statements_.renew,
                     {number(note.size),
                      number(note.disk_size),
                      number(note.stored_at),
                      number(note.used_at()),
                      number(note.hits),
                      number(note.noted_at),
                      known.id}));
    return {};
  }

  Result<void> adjust(Known& known, std::string_view key, const Note& note) {
    if (known.size != number(note.size) || known.disk_size != number(note.disk_size) ||
        known.stored_at != number(note.stored_at)) {
      resize(known, note);
      TRY(session_.run(statements_.adjust,
                       {number(note.size),
                        number(note.disk_size),
                        number(note.stored_at),
                        number(note.noted_at),
                        known.id}));
    }
    TRY(erase_source(known));
    return touch(key, note.early_hits + note.hits, std::max(note.early_at, note.accessed_at));
  }

  sql::Session& session_;
  const Statements& statements_;
  std::int64_t now_;
  std::int64_t id_ = 0;
  Delta delta_;
  SourceDelta source_delta_;
  bool has_sources_ = false; ///< or had some
};

} // namespace

Result<void> write_batch(sql::Session& session,
                         const Statements& statements,
                         const Batch& batch,
                         Time now) {
  // Spaces by name: two processes that lock several rows do it in the same order.
  std::map<std::string_view, std::vector<const Batch::value_type*>> spaces;
  for (const auto& entry : batch) {
    spaces[entry.first.space].push_back(&entry);
  }
  for (const auto& [space, entries] : spaces) {
    SpaceWriter writer(session, statements, now);
    const bool grows = std::ranges::any_of(entries, [](const auto* entry) {
      return entry->second.kind == Note::Kind::stored || entry->second.kind == Note::Kind::found;
    });
    using Make = SpaceWriter::Make;
    TRY_ASSIGN(const bool there, writer.open(space, grows ? Make::yes : Make::no));
    if (!there) {
      continue;
    }
    for (const auto* entry : entries) {
      TRY(writer.write(entry->first.key, entry->second));
    }
    TRY(writer.close());
  }
  return {};
}

Result<bool> write_pin(sql::Session& session,
                       const Statements& statements,
                       NameView name,
                       Pinned pinned) {
  SpaceWriter writer(session, statements, Time());
  TRY_ASSIGN(const bool there, writer.open(name.space, SpaceWriter::Make::no));
  if (!there) {
    return false;
  }
  TRY_ASSIGN(const auto known, writer.known(name.key));
  if (!known) {
    return false;
  }
  TRY(writer.pin(*known, pinned));
  TRY(writer.close());
  return true;
}

} // namespace pkc::index
