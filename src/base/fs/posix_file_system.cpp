// All system calls for files: EINTR, partial transfers and what each errno means.
#include "pkc/base/file_system.hpp"
#include "pkc/base/unique_handle.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <system_error>

namespace pkc {

namespace {

/// Repeats a call that fails with -1 while a signal interrupts it.
template <typename Call>
auto retry_interrupted(Call call) {
  auto result = call();
  while (result == -1 && errno == EINTR) {
    result = call();
  }
  return result;
}

FileStat to_file_stat(const struct stat& raw) {
  constexpr std::int64_t kNanosecondsPerSecond = 1'000'000'000;
  return FileStat{.is_directory = S_ISDIR(raw.st_mode),
                  .size = static_cast<ByteCount>(raw.st_size),
                  .inode = raw.st_ino,
                  .mtime_ns = raw.st_mtim.tv_sec * kNanosecondsPerSecond + raw.st_mtim.tv_nsec,
                  .ctime_ns = raw.st_ctim.tv_sec * kNanosecondsPerSecond + raw.st_ctim.tv_nsec};
}

class PosixFile final : public File {
 public:
  explicit PosixFile(UniqueFd fd, const FileStat& opened = {})
      : fd_(std::move(fd)), opened_(opened) {}

  Result<std::size_t> read_at(ByteCount offset, MutableByteSpan buffer) override {
    std::size_t done = 0;
    while (done < buffer.size()) {
      const ssize_t count = retry_interrupted([&] {
        return ::pread(fd_.get(),
                       buffer.data() + done,
                       buffer.size() - done,
                       static_cast<off_t>(offset + done));
      });
      if (count < 0) {
        const int error_number = errno;
        // EIO: the medium has lost the bytes, which is damage of this object and not of the server.
        return error_number == EIO ? fail(Errc::corrupt, "read: unreadable sector")
                                   : fail_errno(error_number, "read");
      }
      if (count == 0) {
        break;
      }
      done += static_cast<std::size_t>(count);
    }
    return done;
  }

  Result<void> write(ByteSpan bytes) override {
    while (!bytes.empty()) {
      const ssize_t count =
          retry_interrupted([&] { return ::write(fd_.get(), bytes.data(), bytes.size()); });
      if (count < 0) {
        return fail_errno(errno, "write");
      }
      bytes = bytes.subspan(static_cast<std::size_t>(count));
    }
    return {};
  }

  void begin_sync() override {
    // Not every file system can; an error of the disk is for sync() to tell.
    static_cast<void>(::sync_file_range(fd_.get(), 0, 0, SYNC_FILE_RANGE_WRITE));
  }

  Result<void> sync() override {
    // After a failed fsync the kernel may have dropped the pages: never retried, the upload fails.
    if (::fdatasync(fd_.get()) != 0) {
      return fail_errno(errno, "fdatasync");
    }
    return {};
  }

  [[nodiscard]] bool is_cached() const override {
    std::byte first{};
    struct iovec piece{.iov_base = &first, .iov_len = 1};
    return ::preadv2(fd_.get(), &piece, 1, 0, RWF_NOWAIT) >= 0;
  }

  void drop_cached() override {
    static_cast<void>(::posix_fadvise(fd_.get(), 0, 0, POSIX_FADV_DONTNEED));
  }

  [[nodiscard]] FileStat opened_stat() const override { return opened_; }

  [[nodiscard]] int descriptor() const override { return fd_.get(); }

 private:
  UniqueFd fd_;
  FileStat opened_;
};

struct DirTraits {
  using Type = DIR*;
  static constexpr Type kInvalid = nullptr;
  static void close(DIR* dir) noexcept { ::closedir(dir); }
};

/// A name below something that is not a directory does not exist either.
bool is_absent(int error_number) {
  return error_number == ENOENT || error_number == ENOTDIR;
}

class PosixFileSystem final : public FileSystem {
 public:
  Result<std::unique_ptr<File>> open(const std::string& path) override {
    // O_NONBLOCK: a FIFO put where a blob should be must not hang us; it does nothing to regular
    // files.
    UniqueFd fd(retry_interrupted(
        [&] { return ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK); }));
    if (!fd) {
      const int error_number = errno;
      // ELOOP: a symbolic link, which is never ours.
      if (is_absent(error_number) || error_number == ELOOP) {
        return nullptr;
      }
      return fail_errno(error_number, "open " + path);
    }
    struct stat raw{};
    if (::fstat(fd.get(), &raw) != 0) {
      return fail_errno(errno, "fstat " + path);
    }
    if (!S_ISREG(raw.st_mode)) {
      return nullptr;
    }
    return std::make_unique<PosixFile>(std::move(fd), to_file_stat(raw));
  }

  Result<std::unique_ptr<File>> create(const std::string& path) override {
    UniqueFd fd(retry_interrupted(
        [&] { return ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666); }));
    if (!fd) {
      return fail_errno(errno, "create " + path);
    }
    return std::make_unique<PosixFile>(std::move(fd));
  }

  Result<void> rename(const std::string& from, const std::string& to) override {
    if (std::rename(from.c_str(), to.c_str()) != 0) {
      return fail_errno(errno, "rename " + from + " to " + to);
    }
    return {};
  }

  Result<bool> remove(const std::string& path) override {
    if (std::remove(path.c_str()) != 0) {
      const int error_number = errno;
      if (is_absent(error_number)) {
        return false;
      }
      return fail_errno(error_number, "remove " + path);
    }
    return true;
  }

  Result<std::optional<FileStat>> stat(const std::string& path) override {
    struct stat raw{};
    if (::lstat(path.c_str(), &raw) != 0) {
      const int error_number = errno;
      if (is_absent(error_number)) {
        return std::nullopt;
      }
      return fail_errno(error_number, "stat " + path);
    }
    return to_file_stat(raw);
  }

  Result<bool> make_directory(const std::string& path) override {
    if (::mkdir(path.c_str(), 0777) == 0) {
      return true;
    }
    const int error_number = errno;
    struct stat raw{};
    // stat and not lstat: an operator may put a symbolic link to a larger disk where the storage
    // directory is.
    if (error_number == EEXIST && ::stat(path.c_str(), &raw) == 0 && S_ISDIR(raw.st_mode)) {
      return false;
    }
    if (error_number == EEXIST) {
      return fail(Errc::io,
                  "create directory " + path +
                      ": a file has that name, or a link that leads to no directory");
    }
    return fail_errno(error_number, "create directory " + path);
  }

  Result<std::optional<std::vector<DirectoryEntry>>> list(const std::string& path) override {
    const UniqueHandle<DirTraits> dir(::opendir(path.c_str()));
    if (!dir) {
      const int error_number = errno;
      if (is_absent(error_number)) {
        return std::nullopt;
      }
      return fail_errno(error_number, "list " + path);
    }
    std::vector<DirectoryEntry> entries;
    while (true) {
      errno = 0;
      const dirent* entry =
          ::readdir(dir.get()); // NOLINT(concurrency-mt-unsafe): own DIR, glibc's is safe then
      if (entry == nullptr) {
        if (const int error_number = errno; error_number != 0) {
          return fail_errno(error_number, "list " + path);
        }
        return entries;
      }
      const std::string_view name(static_cast<const char*>(entry->d_name));
      if (name == "." || name == "..") {
        continue;
      }
      entries.push_back({std::string(name), is_directory(path, *entry)});
    }
  }

  Result<DiskSpace> space(const std::string& path) override {
    struct statvfs found{};
    if (retry_interrupted([&] { return ::statvfs(path.c_str(), &found); }) != 0) {
      const int error_number = errno;
      return fail_errno(error_number, "statvfs " + path);
    }
    return DiskSpace{.size = ByteCount{found.f_blocks} * found.f_frsize,
                     .available = ByteCount{found.f_bavail} * found.f_frsize,
                     .files = found.f_files,
                     .files_available = found.f_favail};
  }

  Result<void> sync_directory(const std::string& path) override {
    const UniqueFd fd(retry_interrupted(
        [&] { return ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); }));
    if (!fd) {
      return fail_errno(errno, "open directory " + path);
    }
    if (::fsync(fd.get()) != 0) {
      return fail_errno(errno, "fsync directory " + path);
    }
    return {};
  }

  Result<std::unique_ptr<File>> try_lock(const std::string& path) override {
    UniqueFd fd(retry_interrupted(
        [&] { return ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666); }));
    if (!fd) {
      return fail_errno(errno, "open " + path);
    }
    return lock(std::move(fd), path);
  }

  Result<std::unique_ptr<File>> join_lock(const std::string& path, UniqueFd inherited) override {
    struct stat named{};
    struct stat held{};
    if (::stat(path.c_str(), &named) != 0 || ::fstat(inherited.get(), &held) != 0 ||
        named.st_dev != held.st_dev || named.st_ino != held.st_ino) {
      return nullptr;
    }
    // The lock belongs to the open file that both processes have, so this finds it held and agrees.
    return lock(std::move(inherited), path);
  }

 private:
  static Result<std::unique_ptr<File>> lock(UniqueFd fd, const std::string& path) {
    if (retry_interrupted([&] { return ::flock(fd.get(), LOCK_EX | LOCK_NB); }) != 0) {
      const int error_number = errno;
      if (error_number == EWOULDBLOCK) {
        return nullptr;
      }
      return fail_errno(error_number, "lock " + path);
    }
    return std::make_unique<PosixFile>(std::move(fd));
  }

  /// Some file systems give no type with the entry.
  static bool is_directory(const std::string& parent, const dirent& entry) {
    if (entry.d_type != DT_UNKNOWN) {
      return entry.d_type == DT_DIR;
    }
    struct stat raw{};
    const std::string path = parent + "/" + static_cast<const char*>(entry.d_name);
    return ::lstat(path.c_str(), &raw) == 0 && S_ISDIR(raw.st_mode);
  }
};

} // namespace

std::string follow_links(const std::string& path) {
  std::error_code error;
  const auto target = std::filesystem::canonical(path, error);
  return error ? path : target.string();
}

FileSystem& posix_file_system() {
  static PosixFileSystem file_system;
  return file_system;
}

} // namespace pkc
