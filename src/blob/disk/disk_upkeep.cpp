#include "quarantine.hpp"
#include "shards.hpp"
#include "uploads.hpp"

#include "pkc/blob/disk.hpp"
#include "pkc/blob/upkeep.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace pkc::blob {

namespace {

/// The files in the root that are ours. Those of the index have suffixes of its database besides.
constexpr std::array kRootFiles = {kLockFile, kKeyLockFile, kScrubFile, kTokenUsageFile};
constexpr std::string_view kIndexPrefix = "index.db";

bool belongs_in_root(const DirectoryEntry& entry) {
  if (entry.is_directory) {
    return entry.name.size() > kShardSize / 2;
  }
  return entry.name.starts_with(kIndexPrefix) ||
         std::ranges::find(kRootFiles, entry.name) != kRootFiles.end();
}

class DiskUpkeep final : public Upkeep {
 public:
  DiskUpkeep(FileSystem& file_system, std::string root)
      : file_system_(file_system), root_(std::move(root)), quarantine_(file_system, root_) {}

  Result<std::unique_ptr<File>> try_lock() override {
    return file_system_.try_lock(root_ + '/' + std::string(kLockFile));
  }
  Result<std::vector<std::string>> list_strangers(std::string_view space) override;
  Result<std::vector<PendingUpload>> list_uploads() override;
  Result<bool> remove_upload(std::string_view name) override {
    return file_system_.remove(temp_directory() + '/' + std::string(name));
  }
  Result<bool> remove_shard(std::string_view space, std::string_view shard) override;
  Result<std::vector<Quarantined>> list_quarantined() override { return quarantine_.list(); }

 private:
  [[nodiscard]] std::string temp_directory() const { return root_ + "/tmp"; }
  [[nodiscard]] std::string directory_of(std::string_view space) const {
    return space.empty() ? root_ : root_ + '/' + std::string(space);
  }
  Result<void> add_strangers_in(const std::string& outer, std::vector<std::string>& strangers);

  FileSystem& file_system_;
  std::string root_;
  Quarantine quarantine_;
};

Result<std::vector<std::string>> DiskUpkeep::list_strangers(std::string_view space) {
  const std::string directory = directory_of(space);
  TRY_ASSIGN(const auto entries, file_system_.list(directory));
  if (!entries && space.empty()) {
    return fail(Errc::io, root_ + " is no directory");
  }
  std::vector<std::string> strangers;
  std::vector<std::string> outers;
  for (const DirectoryEntry& entry : entries ? *entries : std::vector<DirectoryEntry>{}) {
    const std::string path = directory + '/' + entry.name;
    if (is_shard_half(entry)) {
      outers.push_back(path);
    } else if (!space.empty() || !belongs_in_root(entry)) {
      strangers.push_back(path);
    }
  }
  for (const std::string& outer : outers) {
    TRY(add_strangers_in(outer, strangers));
  }
  std::ranges::sort(strangers);
  return strangers;
}

/// What lies in an outer directory and is no inner one.
Result<void> DiskUpkeep::add_strangers_in(const std::string& outer,
                                          std::vector<std::string>& strangers) {
  TRY_ASSIGN(const auto entries, file_system_.list(outer));
  for (const DirectoryEntry& entry : entries ? *entries : std::vector<DirectoryEntry>{}) {
    if (!is_shard_half(entry)) {
      strangers.push_back(outer + '/' + entry.name);
    }
  }
  return {};
}

Result<std::vector<PendingUpload>> DiskUpkeep::list_uploads() {
  TRY_ASSIGN(const auto entries, file_system_.list(temp_directory()));
  std::vector<PendingUpload> uploads;
  for (const DirectoryEntry& entry : entries ? *entries : std::vector<DirectoryEntry>{}) {
    if (entry.is_directory || !entry.name.ends_with(kTempSuffix)) {
      continue;
    }
    TRY_ASSIGN(const auto stat, file_system_.stat(temp_directory() + '/' + entry.name));
    if (stat) {
      uploads.push_back({.name = entry.name, .process = owner_of(entry.name), .stat = *stat});
    }
  }
  std::ranges::sort(uploads, {}, &PendingUpload::name);
  return uploads;
}

Result<bool> DiskUpkeep::remove_shard(std::string_view space, std::string_view shard) {
  const ShardPath path = shard_path(directory_of(space), shard);
  TRY_ASSIGN(const auto entries, file_system_.list(path.inner));
  if (!entries || !entries->empty()) {
    return false;
  }
  TRY_ASSIGN(const bool removed, file_system_.remove(path.inner));
  TRY_ASSIGN(const auto siblings, file_system_.list(path.outer));
  if (siblings && siblings->empty()) {
    TRY(file_system_.remove(path.outer));
  }
  return removed;
}

} // namespace

std::unique_ptr<Upkeep> make_disk_upkeep(FileSystem& file_system, std::string root) {
  return std::make_unique<DiskUpkeep>(file_system, without_slashes(std::move(root)));
}

} // namespace pkc::blob
