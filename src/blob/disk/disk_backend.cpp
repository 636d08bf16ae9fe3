#include "quarantine.hpp"
#include "shards.hpp"
#include "uploads.hpp"

#include "pkc/base/assert.hpp"
#include "pkc/base/guarded.hpp"
#include "pkc/blob/disk.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <cstddef>
#include <iterator>
#include <system_error>
#include <unordered_set>
#include <utility>

namespace pkc::blob {

namespace {

/// The disk begins with a large upload while it still comes in, so that little is left to wait for.
constexpr ByteCount kWriteBehind = 4 * kMiB;

/// A file in tmp/ that goes away with its owner unless it was renamed.
class TempFile {
 public:
  static Result<TempFile> create(FileSystem& file_system, std::string path) {
    TRY_ASSIGN(auto file, file_system.create(path));
    return TempFile(file_system, std::move(path), std::move(file));
  }
  TempFile(const TempFile&) = delete;
  TempFile& operator=(const TempFile&) = delete;
  TempFile(TempFile&&) = default;
  TempFile& operator=(TempFile&&) = delete;
  ~TempFile() {
    if (file_) {
      // A failure leaves the file for the sweep at the next start; there is nobody to tell.
      [[maybe_unused]] const auto ignored = file_system_.remove(path_);
    }
  }

  [[nodiscard]] File& file() { return *file_; }
  [[nodiscard]] std::shared_ptr<File> shared_file() const { return file_; }

  /// Takes the name away now. Who holds the file goes on using it.
  Result<std::shared_ptr<File>> lose_name() {
    TRY(file_system_.remove(path_));
    return std::exchange(file_, nullptr);
  }

  Result<void> rename_to(const std::string& target) {
    TRY(file_system_.rename(path_, target));
    file_.reset();
    return {};
  }

 private:
  TempFile(FileSystem& file_system, std::string path, std::unique_ptr<File> file)
      : file_system_(file_system), path_(std::move(path)), file_(std::move(file)) {}
  FileSystem& file_system_;
  std::string path_;
  std::shared_ptr<File> file_; // null once the name is not ours
};

/// The characters of the names of spaces.
bool is_space_name(std::string_view name) {
  constexpr std::size_t kMin = 3;
  constexpr std::size_t kMax = 32;
  return name.size() >= kMin && name.size() <= kMax && name.front() >= 'a' && name.front() <= 'z' &&
         name != "tmp" && name != "quarantine" &&
         name.find_first_not_of("0123456789abcdefghijklmnopqrstuvwxyz_-") == std::string_view::npos;
}

/// What the backends of one directory have in common.
struct DiskStorage {
  DiskStorage(FileSystem& disk, DiskOptions given, std::unique_ptr<File> held)
      : file_system(disk),
        options(std::move(given)),
        lock(std::move(held)),
        quarantine(disk, options.root) {}

  FileSystem& file_system;
  const DiskOptions options;
  const std::unique_ptr<File> lock; // null beside a server
  Quarantine quarantine;
  std::atomic<std::uint64_t> next_temp{0};
};

class DiskBackend final : public Backend {
 public:
  /// `space` is empty for the names that lie in the root.
  DiskBackend(std::shared_ptr<DiskStorage> storage, std::string space)
      : storage_(std::move(storage)),
        file_system_(storage_->file_system),
        options_(storage_->options),
        space_(std::move(space)),
        directory_(space_.empty() ? options_.root : options_.root + '/' + space_) {}

  Result<std::unique_ptr<Upload>> begin_upload() override;
  Result<std::shared_ptr<File>> make_scratch() override;
  Result<std::unique_ptr<Backend>> make_space(std::string_view space) override;
  Result<std::unique_ptr<File>> open(std::string_view name) override {
    return file_system_.open(blob_path(name));
  }
  Result<std::optional<FileStat>> stat(std::string_view name) override;
  Result<std::optional<std::string>> read_sidecar(std::string_view name, ByteCount limit) override;
  Result<void> quarantine(std::string_view name, std::string_view note) override;
  Result<bool> remove(std::string_view name) override;
  Result<std::vector<std::string>> list_shards() override {
    return blob::list_shards(file_system_, directory_);
  }
  Result<ShardListing> list_shard(std::string_view shard) override {
    return blob::list_shard(file_system_, directory_, shard);
  }
  Result<std::optional<FileStat>> stat_shard(std::string_view shard) override {
    return file_system_.stat(shard_path(directory_, shard).inner);
  }
  Result<DiskSpace> space() override { return file_system_.space(options_.root); }
  Result<std::size_t> sweep_uploads(const Uploads& alive) override;
  Result<void> probe() override;
  [[nodiscard]] int lock_descriptor() const override {
    return storage_->lock ? storage_->lock->descriptor() : -1;
  }

  Result<void> publish(TempFile& blob, std::string_view name, std::string_view sidecar);
  void begin_sync(TempFile& blob) const {
    if (options_.durability != Durability::none) {
      blob.file().begin_sync();
    }
  }

 private:
  [[nodiscard]] ShardPath shard(std::string_view name) const {
    return shard_path(directory_, name);
  }
  [[nodiscard]] std::string blob_path(std::string_view name) const {
    return shard(name).inner.append("/").append(name).append(kBlobSuffix);
  }
  [[nodiscard]] std::string sidecar_path(std::string_view name) const {
    return shard(name).inner.append("/").append(name).append(kSidecarSuffix);
  }
  [[nodiscard]] std::string temp_directory() const { return options_.root + "/tmp"; }
  Result<TempFile> make_temp();
  Result<void> prepare_space();
  Result<void> prepare_shard(const ShardPath& shard);
  Result<void> rename_pair(TempFile& blob, TempFile& sidecar, std::string_view name);
  Result<void> rename_into(const ShardPath& target,
                           TempFile& blob,
                           TempFile& sidecar,
                           std::string_view name);

  const std::shared_ptr<DiskStorage> storage_;
  FileSystem& file_system_;
  const DiskOptions& options_;
  const std::string space_;
  const std::string directory_; ///< the root, or that of the space
  /// Inner shard directories, and that of the space, whose names are known to be on stable storage
  /// since this start.
  Guarded<std::unordered_set<std::string>> prepared_;
};

class DiskUpload final : public Upload {
 public:
  DiskUpload(DiskBackend& backend, TempFile blob) : backend_(backend), blob_(std::move(blob)) {}

  Result<void> write(ByteSpan bytes) override {
    written_ += bytes.size();
    if (written_ >= kWriteBehind) {
      written_ = 0;
      backend_.begin_sync(blob_);
    }
    return blob_.file().write(bytes);
  }
  Result<void> replay(ByteSink& target) override;
  [[nodiscard]] std::shared_ptr<File> file() const override { return blob_.shared_file(); }
  Result<void> publish(std::string_view name, std::string_view sidecar) override {
    return backend_.publish(blob_, name, sidecar);
  }

 private:
  DiskBackend& backend_;
  TempFile blob_;
  ByteCount written_ = 0; ///< since the disk was last told to begin
};

Result<void> DiskUpload::replay(ByteSink& target) {
  const auto buffer = std::make_unique_for_overwrite<std::byte[]>(kStreamBufferSize);
  for (ByteCount offset = 0;;) {
    TRY_ASSIGN(const std::size_t count,
               blob_.file().read_at(offset, {buffer.get(), kStreamBufferSize}));
    if (count == 0) {
      return {};
    }
    TRY(target.write({buffer.get(), count}));
    offset += count;
  }
}

Result<TempFile> DiskBackend::make_temp() {
  // The lock keeps others out but for a process that hands over to us, whose number is another;
  // what an earlier process of our number left was swept at the start.
  const std::string path =
      temp_directory() + '/' + temp_name(options_.process, storage_->next_temp.fetch_add(1));
  auto temp = TempFile::create(file_system_, path);
  if (!temp && temp.error().code == Errc::io) {
    // Somebody may have emptied the storage directory under us; one second try with the folder made
    // anew.
    TRY(file_system_.make_directory(temp_directory()));
    return TempFile::create(file_system_, path);
  }
  return temp;
}

Result<std::unique_ptr<Upload>> DiskBackend::begin_upload() {
  TRY_ASSIGN(auto temp, make_temp());
  return std::make_unique<DiskUpload>(*this, std::move(temp));
}

Result<std::shared_ptr<File>> DiskBackend::make_scratch() {
  TRY_ASSIGN(TempFile temp, make_temp());
  return temp.lose_name();
}

Result<std::unique_ptr<Backend>> DiskBackend::make_space(std::string_view space) {
  PKC_ASSERT(is_space_name(space));
  return std::make_unique<DiskBackend>(storage_, std::string(space));
}

Result<std::optional<FileStat>> DiskBackend::stat(std::string_view name) {
  TRY_ASSIGN(auto stat, file_system_.stat(blob_path(name)));
  if (stat && stat->is_directory) {
    stat.reset();
  }
  return stat;
}

Result<std::optional<std::string>> DiskBackend::read_sidecar(std::string_view name,
                                                             ByteCount limit) {
  TRY_ASSIGN(const auto file, file_system_.open(sidecar_path(name)));
  if (!file) {
    return std::nullopt;
  }
  const FileStat stat = file->opened_stat();
  if (stat.size > limit) {
    return fail(Errc::too_large, "sidecar of " + std::to_string(stat.size) + " bytes");
  }
  std::string text(stat.size, '\0');
  TRY_ASSIGN(const std::size_t count, file->read_at(0, std::as_writable_bytes(std::span(text))));
  text.resize(count);
  return text;
}

/// The root was made ready when the storage was.
Result<void> DiskBackend::prepare_space() {
  if (space_.empty() || prepared_.lock()->contains(directory_)) {
    return {};
  }
  TRY(file_system_.make_directory(directory_));
  if (options_.durability == Durability::full) {
    TRY(file_system_.sync_directory(options_.root));
  }
  prepared_.lock()->insert(directory_);
  return {};
}

Result<void> DiskBackend::prepare_shard(const ShardPath& shard) {
  if (prepared_.lock()->contains(shard.inner)) {
    return {};
  }
  TRY(prepare_space());
  TRY(file_system_.make_directory(shard.outer));
  TRY(file_system_.make_directory(shard.inner));
  if (options_.durability == Durability::full) {
    // Also when they existed: the process that made them may have died, or a sibling thread be just
    // before its sync.
    TRY(file_system_.sync_directory(shard.outer));
    TRY(file_system_.sync_directory(directory_));
  }
  prepared_.lock()->insert(shard.inner);
  return {};
}

Result<void> DiskBackend::rename_pair(TempFile& blob, TempFile& sidecar, std::string_view name) {
  const std::string sidecar_target = sidecar_path(name);
  TRY(sidecar.rename_to(sidecar_target));
  if (auto renamed = blob.rename_to(blob_path(name)); !renamed) {
    [[maybe_unused]] const auto ignored = file_system_.remove(sidecar_target);
    return renamed;
  }
  return {};
}

/// As rename_pair, after whatever is missing of the shard was made.
Result<void> DiskBackend::rename_into(const ShardPath& target,
                                      TempFile& blob,
                                      TempFile& sidecar,
                                      std::string_view name) {
  TRY(prepare_shard(target));
  auto renamed = rename_pair(blob, sidecar, name);
  if (renamed) {
    return renamed;
  }
  {
    const auto prepared = prepared_.lock();
    prepared->erase(target.inner);
    prepared->erase(directory_);
  }
  const auto shard = file_system_.stat(target.inner);
  if (!shard || *shard) {
    return renamed;
  }
  // Somebody has removed the directory since it was made: once more, as if it had never been.
  TRY(prepare_shard(target));
  return rename_pair(blob, sidecar, name);
}

Result<void> DiskBackend::publish(TempFile& blob,
                                  std::string_view name,
                                  std::string_view sidecar_text) {
  const bool sync_contents = options_.durability != Durability::none;
  begin_sync(blob);
  TRY_ASSIGN(auto sidecar, make_temp());
  TRY(sidecar.file().write(as_bytes(sidecar_text)));
  if (sync_contents) {
    // Both are with the disk before either is waited for, and a journal takes both with one commit.
    begin_sync(sidecar);
    TRY(blob.file().sync());
    TRY(sidecar.file().sync());
  }

  const ShardPath target = shard(name);
  TRY(rename_into(target, blob, sidecar, name));
  if (options_.durability == Durability::full) {
    if (auto synced = file_system_.sync_directory(target.inner); !synced) {
      // Not durable, so it must not be seen either: the caller reports a failure.
      [[maybe_unused]] const auto no_blob = file_system_.remove(blob_path(name));
      [[maybe_unused]] const auto no_sidecar = file_system_.remove(sidecar_path(name));
      return synced;
    }
  }
  return {};
}

Result<void> DiskBackend::quarantine(std::string_view name, std::string_view note) {
  const std::string kept_as = std::string(space_).append(space_.empty() ? "" : "-").append(name);
  TRY(storage_->quarantine.take(kept_as, blob_path(name), sidecar_path(name), note));
  // The object is out of sight, whatever becomes of older ones: the next one will try again.
  [[maybe_unused]] const auto ignored = storage_->quarantine.trim(
      {.size_max = options_.quarantine_size_max, .objects_max = options_.quarantine_objects_max});
  return {};
}

Result<bool> DiskBackend::remove(std::string_view name) {
  TRY_ASSIGN(const bool had_blob, file_system_.remove(blob_path(name)));
  TRY_ASSIGN(const bool had_sidecar, file_system_.remove(sidecar_path(name)));
  return had_blob || had_sidecar;
}

Result<std::size_t> DiskBackend::sweep_uploads(const Uploads& alive) {
  TRY_ASSIGN(const auto entries, file_system_.list(temp_directory()));
  std::size_t swept = 0;
  if (!entries) {
    return swept;
  }
  for (const DirectoryEntry& entry : *entries) {
    const auto owner = owner_of(entry.name);
    const bool in_use = owner && alive(*owner);
    if (!entry.is_directory && entry.name.ends_with(kTempSuffix) && !in_use) {
      TRY_ASSIGN(const bool removed, file_system_.remove(temp_directory() + '/' + entry.name));
      swept += removed ? 1 : 0;
    }
  }
  return swept;
}

Result<void> DiskBackend::probe() {
  // One block: a full disk still has names to give.
  constexpr std::array<std::byte, 4 * kKiB> kBlock{};
  TRY_ASSIGN(TempFile temp, make_temp());
  TRY(temp.file().write(kBlock));
  return options_.durability == Durability::none ? Result<void>{} : temp.file().sync();
}

Result<std::unique_ptr<File>> take_lock(FileSystem& file_system, DiskOptions& options) {
  const std::string path = options.root + '/' + std::string(kLockFile);
  if (options.inherited_lock) {
    TRY_ASSIGN(auto joined, file_system.join_lock(path, std::move(options.inherited_lock)));
    if (joined) {
      return joined;
    }
  }
  return file_system.try_lock(path);
}

std::string parent_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) {
    return ".";
  }
  return slash == 0 ? "/" : path.substr(0, slash);
}

/// Makes a directory and those above it. Each new name is on stable storage when this returns: what
/// is stored below would be lost with it.
Result<void> make_directories(FileSystem& file_system, const std::string& path) {
  auto made = file_system.make_directory(path);
  if (!made && parent_of(path) != path &&
      !file_system.stat(parent_of(path)).value_or(std::nullopt)) {
    TRY(make_directories(file_system, parent_of(path)));
    made = file_system.make_directory(path);
  }
  if (!made) {
    return std::unexpected(std::move(made).error());
  }
  const auto synced = file_system.sync_directory(parent_of(path));
  // A directory that was there before may lie in one that we cannot read; whoever made it has
  // answered for its name.
  return *made ? synced : Result<void>{};
}

} // namespace

Result<std::unique_ptr<Backend>> make_disk_backend(FileSystem& file_system, DiskOptions options) {
  options.root = without_slashes(std::move(options.root));
  TRY(make_directories(file_system, options.root));
  TRY_ASSIGN(auto lock, take_lock(file_system, options));
  if (!lock) {
    return fail(Errc::unavailable,
                "another polykit-cache process uses " + options.root +
                    "; stop it, or choose another directory");
  }
  TRY(file_system.make_directory(options.root + "/tmp"));
  return std::make_unique<DiskBackend>(
      std::make_shared<DiskStorage>(file_system, std::move(options), std::move(lock)),
      std::string());
}

Result<std::unique_ptr<Backend>> open_disk_backend(FileSystem& file_system, DiskOptions options) {
  options.root = without_slashes(std::move(options.root));
  // A list follows a symbolic link, which may lead to the disk where the objects are.
  TRY_ASSIGN(const auto entries, file_system.list(options.root));
  if (!entries) {
    return fail(Errc::io, "there is no directory " + options.root);
  }
  return std::make_unique<DiskBackend>(
      std::make_shared<DiskStorage>(file_system, std::move(options), nullptr), std::string());
}

} // namespace pkc::blob
