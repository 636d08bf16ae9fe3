#include "pkc/index/reconcile.hpp"

#include "cursor.hpp"

#include "pkc/base/assert.hpp"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

namespace pkc::index {

Drift compare(const std::vector<Object>& rows, const std::vector<FileFacts>& files) {
  PKC_ASSERT(std::ranges::is_sorted(rows, {}, &Object::key));
  PKC_ASSERT(std::ranges::is_sorted(files, {}, &FileFacts::key));
  Drift drift;
  auto row = rows.begin();
  for (const FileFacts& file : files) {
    for (; row != rows.end() && row->key < file.key; ++row) {
      drift.gone.push_back(row->key);
    }
    if (row == rows.end() || row->key != file.key) {
      drift.unknown.push_back(file);
      continue;
    }
    if (row->size != file.size || row->disk_size != file.disk_size) {
      drift.changed.push_back(file);
    }
    ++row;
  }
  for (; row != rows.end(); ++row) {
    drift.gone.push_back(row->key);
  }
  return drift;
}

Result<std::vector<std::string>> shards_with_rows(Index& index,
                                                  std::string_view space,
                                                  std::size_t width) {
  std::vector<std::string> shards;
  std::string from;
  for (;;) {
    TRY_ASSIGN(const std::optional<std::string> key, index.first_key(space, from));
    if (!key) {
      return shards;
    }
    shards.push_back(key->substr(0, width));
    from = behind_prefix(shards.back());
  }
}

Result<void> Reconciler::found(const FileFacts& file) {
  index_.note_found({.space = space_,
                     .key = file.key,
                     .size = file.size,
                     .disk_size = file.disk_size,
                     .stored_at = file.stored_at});
  return count();
}

Result<void> Reconciler::gone(std::string_view key) {
  index_.note_removed(space_, key);
  return count();
}

Result<void> Reconciler::finish() {
  noted_ = 0;
  return index_.flush();
}

Result<void> Reconciler::count() {
  return ++noted_ < Index::kFoundBatch ? Result<void>() : finish();
}

} // namespace pkc::index
