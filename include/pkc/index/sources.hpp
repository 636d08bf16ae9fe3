// Sources: which objects of a space came from where, and what they say of it.
#pragma once

#include "pkc/base/bytes.hpp"
#include "pkc/base/result.hpp"
#include "pkc/index/order.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pkc::index {

/// What the record of a download says. The object is the record; its key is made of the URL, so
/// that a space has each URL once.
struct Source {
  std::string source_url;   ///< printable ASCII, up to 8192 characters
  std::string content_hash; ///< up to 64 characters
  std::string storage_path; ///< of the content, below the storage directory; up to 255 characters
  ByteCount file_size = 0;  ///< of the content
  std::string content_type; ///< empty: not known
  // NOLINTNEXTLINE(readability-redundant-member-init): g++ warns where it is left out otherwise
  Time first_cached_at{};

  friend bool operator==(const Source&, const Source&) = default;
};

/// A source, and how often its object was read.
struct SourceRow {
  std::string key;
  Source source;
  // NOLINTNEXTLINE(readability-redundant-member-init): as above
  Time last_accessed_at{}; ///< when it was stored, until the first read
  std::uint64_t access_count = 0;

  friend bool operator==(const SourceRow&, const SourceRow&) = default;
};

enum class SourceSort : std::uint8_t {
  url,
  size,   ///< by file_size
  age,    ///< by first_cached_at
  access, ///< by last_accessed_at
};

struct SourceQuery {
  static constexpr std::size_t kLimitMax = 1000;

  // NOLINTBEGIN(readability-redundant-member-init): g++ warns where one is left out otherwise
  std::string space{};
  /// Empty: all. Costs O(limit) when sorted by URL, else O(sources) at worst.
  std::string url_prefix{};
  SourceSort sort = SourceSort::url;
  Order order = Order::ascending;
  std::size_t limit = 100; ///< 1 to kLimitMax
  /// SourcePage::next of the page before, of the same query; empty: from the start.
  std::string cursor{};
  // NOLINTEND(readability-redundant-member-init)
};

/// Sources that neither came, went nor changed between two pages are shown exactly once.
struct SourcePage {
  std::vector<SourceRow> sources;
  std::string next; ///< opaque, safe in a URL; empty: this was the last page
};

/// Sums over the sources of a space. Content that several have counts for each of them.
struct SourceTotals {
  std::uint64_t sources = 0;
  ByteCount file_size = 0;
  std::uint64_t accesses = 0;

  friend bool operator==(const SourceTotals&, const SourceTotals&) = default;
};

/// The part of an index that knows where objects came from. Thread-safe.
class Sources {
 public:
  virtual ~Sources() = default;

  /// The object, which has just been stored or found, is the record of this. Never blocks. Of an
  /// unknown object nothing is remembered. Whatever is noted of the object but that it was read
  /// ends what is known of its source: without_source() then names it until this is called again,
  /// as it does when a note found no room. An object of which it is known keeps its accesses when
  /// it is stored again: only what the record says is new.
  virtual void note_source(std::string_view space, std::string_view key, const Source& source) = 0;

  /// Queries see what was flushed, and have the errors of all queries of an index.
  ///
  /// One page. Errors also: invalid_argument for a limit out of range and a foreign cursor.
  virtual Result<SourcePage> list_sources(const SourceQuery& query) = 0;
  /// Nothing when the key is not known, or not where it came from.
  virtual Result<std::optional<SourceRow>> find_source(std::string_view space,
                                                       std::string_view key) = 0;
  /// Those that have this content, the longest known first. O(limit).
  virtual Result<std::vector<SourceRow>> sources_of(std::string_view space,
                                                    std::string_view content_hash,
                                                    std::size_t limit) = 0;
  /// Of an unknown space: zeros. O(1).
  virtual Result<SourceTotals> source_totals(std::string_view space) = 0;
  /// Objects behind the key `from` of which no source is known, by key: their records have to be
  /// read. O(objects of the space).
  virtual Result<std::vector<std::string>> without_source(std::string_view space,
                                                          std::string_view from,
                                                          std::size_t limit) = 0;
};

} // namespace pkc::index
