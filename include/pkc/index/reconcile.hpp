// Reconcile: what it takes to bring an index into line with the files, but for the walk through
// them.
#pragma once

#include "pkc/base/bytes.hpp"
#include "pkc/base/result.hpp"
#include "pkc/index/index.hpp"

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pkc::index {

/// An object as its files are.
struct FileFacts {
  std::string key;
  ByteCount size = 0;
  ByteCount disk_size = 0;
  // NOLINTNEXTLINE(readability-redundant-member-init): g++ warns where it is left out otherwise
  Time stored_at{};
};

/// Where rows and files disagree, by key.
struct Drift {
  std::vector<FileFacts> unknown; ///< files without a row
  std::vector<FileFacts> changed; ///< of another size than the row says
  std::vector<std::string> gone;  ///< rows without files

  [[nodiscard]] bool is_none() const { return unknown.empty() && changed.empty() && gone.empty(); }
};

/// Compares the rows of a shard with its files. Pure. REQUIRES: both by key, in byte order. In a
/// store that is in use, the finding is a suspicion: look at each key again under its lock.
Drift compare(const std::vector<Object>& rows, const std::vector<FileFacts>& files);

/// The shards (first `width` characters of keys) in which a space has rows, in byte order: those
/// that have no directory any more must be compared too. Errors: those of Index's queries. Blocks
/// for O(shards) queries of some microseconds.
Result<std::vector<std::string>> shards_with_rows(Index& index,
                                                  std::string_view space,
                                                  std::size_t width);

/// Notes what was found, and flushes often enough that nothing is dropped. One thread at a time.
class Reconciler {
 public:
  /// `index` outlives it.
  Reconciler(Index& index, std::string space) : index_(index), space_(std::move(space)) {}

  /// Blocks on the database for each batch. The caller holds the lock of the key, if anybody else
  /// may change it. Errors: those of Index::flush(); then go on later or begin again.
  Result<void> found(const FileFacts& file);
  Result<void> gone(std::string_view key);
  /// Writes the rest.
  Result<void> finish();

 private:
  Result<void> count();

  Index& index_;
  std::string space_;
  std::size_t noted_ = 0;
};

} // namespace pkc::index
