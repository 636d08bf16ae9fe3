// Index: what is known of all objects together, without asking the files one by one.
#pragma once

#include "pkc/base/bytes.hpp"
#include "pkc/base/result.hpp"
#include "pkc/index/order.hpp"
#include "pkc/index/sources.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pkc::index {

/// A row of the index.
struct Object {
  std::string space; ///< "polykit", "cas", …
  std::string key;
  ByteCount size = 0;      ///< of the blob
  ByteCount disk_size = 0; ///< what blob and sidecar take of the disk, as a quota counts it
  // NOLINTNEXTLINE(readability-redundant-member-init): g++ warns where it is left out otherwise
  Time stored_at{};
  // NOLINTNEXTLINE(readability-redundant-member-init): as above
  Time accessed_at{}; ///< stored_at until the first read
  std::uint64_t hits = 0;
  bool pinned = false;

  friend bool operator==(const Object&, const Object&) = default;
};

/// What the files say of one object. Names are views: they live during the call.
struct Found {
  std::string_view space;
  std::string_view key;
  ByteCount size = 0;
  ByteCount disk_size = 0;
  // NOLINTNEXTLINE(readability-redundant-member-init): g++ warns where it is left out otherwise
  Time stored_at{};
};

/// Sums over a space.
struct Totals {
  std::uint64_t objects = 0;
  ByteCount size = 0;
  ByteCount disk_size = 0;
  std::uint64_t pinned_objects = 0;
  ByteCount pinned_disk_size = 0; ///< part of disk_size that eviction cannot free

  friend bool operator==(const Totals&, const Totals&) = default;
};

struct SpaceTotals {
  std::string space;
  Totals totals;

  friend bool operator==(const SpaceTotals&, const SpaceTotals&) = default;
};

enum class Pinned : std::uint8_t {
  no,
  yes,
};

enum class Sort : std::uint8_t {
  key,
  stored,   ///< by stored_at
  accessed, ///< by accessed_at
  size,
};

struct ListQuery {
  static constexpr std::size_t kLimitMax = 1000;

  // NOLINTBEGIN(readability-redundant-member-init): g++ warns where one is left out otherwise
  std::string space{};
  /// Empty: all. Costs O(limit) when sorted by key, else O(objects) at worst.
  std::string key_prefix{};
  Sort sort = Sort::key;
  Order order = Order::ascending;
  std::size_t limit = 100; ///< 1 to kLimitMax
  /// Page::next of the page before, of the same query; empty: from the start.
  std::string cursor{};
  // NOLINTEND(readability-redundant-member-init)
};

/// Objects that neither came, went nor were used between two pages are shown exactly once.
struct Page {
  std::vector<Object> objects;
  std::string next; ///< opaque, safe in a URL; empty: this was the last page
};

/// How far the index can be believed.
struct State {
  /// The database is open and its last transaction went well. Otherwise queries fail with
  /// unavailable until it is, and what is noted waits.
  bool available = false;
  /// Every object is known. False after an unclean end, with a fresh or replaced database, and when
  /// notes had to be dropped: then somebody must compare with the files, and mark_complete().
  bool complete = false;
  /// When not complete: directories that have not changed since then need no comparison. Nothing:
  /// all of them do. A margin for slow publishing and clocks is in it already.
  std::optional<Time> since;
  /// Grows with everything that makes the index incomplete.
  std::uint64_t damages = 0;
};

/// The files are the truth; the index makes questions about many of them cheap, and can be deleted
/// and rebuilt at any time, but for pins, access times and hits, which nobody else keeps.
/// Thread-safe. Owned by app; one of each process, two while a server hands over to the next.
///
/// note_*() never block on the database and never fail. They are collected per key (the last word
/// wins, hits add up) and written in one transaction every flush interval, or earlier when there
/// are many. Notes of one key are taken in the order of the calls: callers hold the lock of the key
/// over what they do to the file and over its note (a read needs none). While the database is busy
/// or broken, notes wait, up to a limit; then reads are dropped first, and dropping anything else
/// makes the index incomplete.
///
/// After a crash the database holds all notes up to some instant and nothing that was noted later;
/// State::since tells which instant. After a clean end it holds all of them.
class Index : public Sources {
 public:
  /// Writes what is noted, as far as the database lets it within a few seconds, and marks the clean
  /// end.
  ~Index() override = default;

  /// The object was published, now. One that is known already starts anew, with no hits; a pin
  /// stays.
  virtual void note_stored(std::string_view space,
                           std::string_view key,
                           ByteCount size,
                           ByteCount disk_size) = 0;
  /// The object was read, now. Of an unknown one nothing is remembered. The hot path: a hash, a
  /// lock of one of many shards, and mostly no allocation.
  virtual void note_read(std::string_view space, std::string_view key) = 0;
  /// The object is gone, and its pin with it.
  virtual void note_removed(std::string_view space, std::string_view key) = 0;
  /// The object was seen by somebody who compares with the files: known or not, sizes and
  /// stored_at become these; accessed_at, hits and pin of a known one stay. Whoever notes many
  /// calls flush() at least every kFoundBatch, or notes are dropped.
  virtual void note_found(const Found& found) = 0;
  static constexpr std::size_t kFoundBatch = 5000;

  /// Blocks until everything noted before is in the database, at most as long as a query may take.
  /// Errors: unavailable (busy, or not open yet), no_space, io.
  virtual Result<void> flush() = 0;

  /// Queries see what was flushed. Each blocks on the database, up to a limit. Errors of all:
  /// unavailable (also when the limit passed), no_space, io; corrupt, after which the database is
  /// replaced by a fresh one.
  ///
  /// O(1). Of an unknown space: zeros.
  virtual Result<Totals> totals(std::string_view space) = 0;
  /// All spaces that ever had an object, by name.
  virtual Result<std::vector<SpaceTotals>> spaces() = 0;
  /// Nothing when the key is not known.
  virtual Result<std::optional<Object>> find(std::string_view space, std::string_view key) = 0;
  /// Unpinned objects, least recently used first; of the same millisecond, the one that the index
  /// has known longer comes first. O(limit).
  virtual Result<std::vector<Object>> oldest(std::string_view space, std::size_t limit) = 0;
  /// Unpinned objects with stored_at < time, by stored_at. O(limit).
  virtual Result<std::vector<Object>> stored_before(std::string_view space,
                                                    Time time,
                                                    std::size_t limit) = 0;
  /// All objects whose keys begin with `prefix`, by key in byte order: those of one shard, to be
  /// compared with its directory. O(result).
  virtual Result<std::vector<Object>> with_prefix(std::string_view space,
                                                  std::string_view prefix) = 0;
  /// The first key at or behind `from` in byte order, to go through all shards that have rows.
  /// Nothing when there is none. O(1).
  virtual Result<std::optional<std::string>> first_key(std::string_view space,
                                                       std::string_view from) = 0;
  /// One page. Errors also: invalid_argument for a limit out of range and a foreign cursor.
  virtual Result<Page> list(const ListQuery& query) = 0;
  /// Sees everything noted before. False when the key is not known.
  virtual Result<bool> set_pinned(std::string_view space, std::string_view key, Pinned pinned) = 0;

  /// Small facts of the server's own (where the scrub is, …): name up to 64 characters, value up
  /// to 1 KiB, else invalid_argument, as for names that begin with "index.". Nothing when there is
  /// none of that name.
  virtual Result<std::optional<std::string>> get_fact(std::string_view name) = 0;
  virtual Result<void> put_fact(std::string_view name, std::string_view value) = 0;

  /// Does not block.
  [[nodiscard]] virtual State state() const = 0;
  /// Somebody compared all that state() asked for. `seen`: what state() said before that began.
  /// False when something new has gone wrong meanwhile, and the index stays incomplete.
  virtual Result<bool> mark_complete(const State& seen) = 0;
  /// Somebody who keeps no books has changed files since then, or may have: makes the index
  /// incomplete since that time, for every process that uses it.
  virtual Result<void> mark_incomplete(Time since) = 0;
  /// Blocks until what other processes have noted before now is in the database as well; that may
  /// take them twice a flush interval. Returns how many there are. Errors: unavailable when one
  /// of them does not write in time; those of queries.
  virtual Result<std::size_t> await_others() = 0;
  /// What the database itself finds wrong with its own structure and with the totals, a sentence
  /// each; empty is good. O(objects): for fsck and tests.
  virtual Result<std::vector<std::string>> check() = 0;
  /// Heals what check() finds: sums the totals up anew, or, where that does not help, moves the
  /// database aside and begins a fresh one, which knows nothing. O(objects).
  virtual Result<void> repair() = 0;
};

} // namespace pkc::index
