// Note: what has happened to one object since the database was written, in one word.
#pragma once

#include "pkc/base/bytes.hpp"
#include "pkc/index/index.hpp"

#include <algorithm>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace pkc::index {

/// Whom a note is about.
struct Name {
  std::string space;
  std::string key;
};

struct NameView {
  std::string_view space;
  std::string_view key;
  std::size_t hash; ///< of both, as it is needed twice

  NameView(std::string_view in_space, std::string_view of_key)
      : space(in_space),
        key(of_key),
        hash(std::hash<std::string_view>()(of_key) * 31 + std::hash<std::string_view>()(in_space)) {
  }
  // NOLINTNEXTLINE(google-explicit-constructor): a view of a Name, as string_view of a string
  NameView(const Name& name) : NameView(name.space, name.key) {}
};

struct NameHash {
  using is_transparent = void;
  std::size_t operator()(const Name& name) const { return NameView(name).hash; }
  std::size_t operator()(const NameView& name) const { return name.hash; }
};

struct NameEqual {
  using is_transparent = void;
  /// The two kinds of names, in any combination.
  template <typename One, typename Other>
  bool operator()(const One& one, const Other& other) const {
    return one.key == other.key && one.space == other.space;
  }
};

struct Note {
  enum class Kind : std::uint8_t {
    read,
    stored,
    removed,
    found,
  };
  Kind kind = Kind::read;
  /// What was known of the key before is void, its pin too: it was removed in between.
  bool afresh = false;
  // NOLINTBEGIN(readability-redundant-member-init): g++ warns where one is left out otherwise
  std::uint64_t hits = 0;
  Time accessed_at{}; ///< of the last read, when there were hits
  /// Stored again over a record whose source was known: its use goes on.
  bool record = false;
  /// Stored again over something else: its use ends, whatever the database knows.
  bool plain = false;
  /// Reads before the object was found, or a record stored again: they count if it was known all
  /// along.
  std::uint64_t early_hits = 0;
  Time early_at{};
  ByteCount size = 0;
  ByteCount disk_size = 0;
  Time stored_at{};
  Time used_first{}; ///< when it counts as used last if it was never read
  Time noted_at{};   ///< of the last word that was not a read
  /// Where it came from, as was said after all words that were no reads; noted_at is of this where
  /// there were none.
  std::shared_ptr<const Source> source{};
  std::uint64_t order = 0; ///< of the first word that was not a read, among all notes
  // NOLINTEND(readability-redundant-member-init)

  /// When the object was used last.
  [[nodiscard]] Time used_at() const {
    return hits > 0 ? std::max(used_first, accessed_at) : used_first;
  }
  friend bool operator==(const Note&, const Note&) = default;
};

/// Both as one, as if nothing had been written in between.
Note combine(const Note& older, const Note& newer);

} // namespace pkc::index
