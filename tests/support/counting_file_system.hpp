// CountingFileSystem: a file system that knows at every moment how much its files take.
#pragma once

#include "pkc/base/bytes.hpp"
#include "pkc/base/file_system.hpp"
#include "pkc/base/guarded.hpp"

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <utility>

namespace pkc::test {

/// Passes everything on to another file system, and counts each file that was made through it in
/// whole blocks of 4 KiB, as a disk would. Thread-safe.
class CountingFileSystem final : public FileSystem {
 public:
  explicit CountingFileSystem(FileSystem& inner) : inner_(inner) {}

  /// The most that all files together ever took.
  [[nodiscard]] ByteCount most() { return books_->lock()->most; }
  [[nodiscard]] ByteCount now() { return books_->lock()->sum; }

  Result<std::unique_ptr<File>> open(const std::string& path) override { return inner_.open(path); }
  Result<std::unique_ptr<File>> create(const std::string& path) override {
    TRY_ASSIGN(auto file, inner_.create(path));
    auto size = std::make_shared<ByteCount>(0);
    books_->lock()->files.insert_or_assign(path, size);
    return std::make_unique<CountedFile>(books_, std::move(file), std::move(size));
  }
  Result<void> rename(const std::string& from, const std::string& to) override {
    auto books = books_->lock();
    TRY(inner_.rename(from, to));
    if (auto moved = books->files.extract(from)) {
      books->forget(to);
      moved.key() = to;
      books->files.insert(std::move(moved));
    }
    return {};
  }
  Result<bool> remove(const std::string& path) override {
    TRY_ASSIGN(const bool removed, inner_.remove(path));
    books_->lock()->forget(path);
    return removed;
  }
  Result<std::optional<FileStat>> stat(const std::string& path) override {
    return inner_.stat(path);
  }
  Result<bool> make_directory(const std::string& path) override {
    return inner_.make_directory(path);
  }
  Result<std::optional<std::vector<DirectoryEntry>>> list(const std::string& path) override {
    return inner_.list(path);
  }
  Result<void> sync_directory(const std::string& path) override {
    return inner_.sync_directory(path);
  }
  Result<DiskSpace> space(const std::string& path) override { return inner_.space(path); }
  Result<std::unique_ptr<File>> try_lock(const std::string& path) override {
    return inner_.try_lock(path);
  }
  Result<std::unique_ptr<File>> join_lock(const std::string& path, UniqueFd inherited) override {
    return inner_.join_lock(path, std::move(inherited));
  }

 private:
  static ByteCount blocks_of(ByteCount size) {
    constexpr ByteCount kBlock = 4 * kKiB;
    return (size + kBlock - 1) / kBlock * kBlock;
  }

  struct Books {
    std::map<std::string, std::shared_ptr<ByteCount>> files;
    ByteCount sum = 0;
    ByteCount most = 0;

    void grow(ByteCount& file, ByteCount by) {
      sum += blocks_of(file + by) - blocks_of(file);
      file += by;
      most = std::max(most, sum);
    }
    void forget(const std::string& path) {
      if (const auto gone = files.extract(path)) {
        sum -= blocks_of(*gone.mapped());
      }
    }
  };

  class CountedFile final : public File {
   public:
    CountedFile(std::shared_ptr<Guarded<Books>> books,
                std::unique_ptr<File> file,
                std::shared_ptr<ByteCount> size)
        : books_(std::move(books)), file_(std::move(file)), size_(std::move(size)) {}
    Result<std::size_t> read_at(ByteCount offset, MutableByteSpan buffer) override {
      return file_->read_at(offset, buffer);
    }
    Result<void> write(ByteSpan bytes) override {
      books_->lock()->grow(*size_, bytes.size());
      return file_->write(bytes);
    }
    void begin_sync() override { file_->begin_sync(); }
    Result<void> sync() override { return file_->sync(); }
    [[nodiscard]] FileStat opened_stat() const override { return file_->opened_stat(); }
    [[nodiscard]] int descriptor() const override { return file_->descriptor(); }

   private:
    std::shared_ptr<Guarded<Books>> books_;
    std::unique_ptr<File> file_;
    std::shared_ptr<ByteCount> size_;
  };

  FileSystem& inner_;
  std::shared_ptr<Guarded<Books>> books_ = std::make_shared<Guarded<Books>>();
};

} // namespace pkc::test
