// FileSystem: the one door to the disk, so that tests can make every call fail and "lose power" at
// any step.
#pragma once

#include "pkc/base/bytes.hpp"
#include "pkc/base/result.hpp"
#include "pkc/base/stream.hpp"
#include "pkc/base/unique_handle.hpp"

#include <compare>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace pkc {

/// What a file is and when it last changed. Two equal FileStats of one name mean the bytes have not
/// changed, as far as the kernel can tell: every write moves ctime, every replacement changes the
/// inode.
struct FileStat {
  bool is_directory = false;
  ByteCount size = 0;
  std::uint64_t inode = 0;
  std::int64_t mtime_ns = 0;
  std::int64_t ctime_ns = 0;

  friend bool operator==(const FileStat&, const FileStat&) = default;
};

/// An open file. One thread at a time, but for read_at(), opened_stat() and descriptor(), which are
/// thread-safe, also beside a write(). Closed on destruction.
class File : public ByteSink {
 public:
  /// Reads up to buffer.size() bytes at `offset`; less only at the end of the file. Errors also:
  /// corrupt when the medium cannot give the bytes back (EIO).
  virtual Result<std::size_t> read_at(ByteCount offset, MutableByteSpan buffer) = 0;
  /// Appends all of `bytes` (files opened with create() only).
  Result<void> write(ByteSpan bytes) override = 0;
  /// Lets the disk begin with what was written, so that a later sync() waits for less. Promises
  /// nothing and cannot fail.
  virtual void begin_sync() = 0;
  /// Waits until content and size are on stable storage (fdatasync).
  virtual Result<void> sync() = 0;
  /// Whether the kernel has the beginning of the file in memory, as far as it tells.
  [[nodiscard]] virtual bool is_cached() const { return true; }
  /// Lets the kernel forget the bytes, for a reader that wants to push nobody else's out of memory.
  virtual void drop_cached() {}
  /// What the file was when it was opened; of a file made by create(), try_lock() or join_lock()
  /// nothing but zeros.
  [[nodiscard]] virtual FileStat opened_stat() const = 0;
  /// The descriptor for sendfile, or -1 for a file system that has none. Stays owned by the File.
  [[nodiscard]] virtual int descriptor() const = 0;
};

/// Bytes that lie one behind the other in a file.
struct FilePiece {
  std::shared_ptr<File> file; ///< others read it too: read_at() and descriptor() only
  ByteCount file_offset = 0;
  ByteCount length = 0;
};

struct DirectoryEntry {
  std::string name;
  bool is_directory = false;
};

/// What a file system has room for. `available`: for a process without privileges.
struct DiskSpace {
  ByteCount size = 0;
  ByteCount available = 0;
  std::uint64_t files = 0; ///< 0 where the file system has no limit of its own
  std::uint64_t files_available = 0;
};

/// Everything we do with files. Thread-safe. Paths are as the operating system takes them. Every
/// failure that is not absence is Errc::io or Errc::no_space; nothing is retried but EINTR and
/// partial transfers.
///
/// After a crash: what was written to a file is kept only if sync() returned; a name that was
/// created, renamed or removed is kept for certain only if sync_directory() of its directory
/// returned. Anything else may be there or not.
class FileSystem {
 public:
  virtual ~FileSystem() = default;

  /// Opens for reading; null when the name does not exist or names a directory.
  virtual Result<std::unique_ptr<File>> open(const std::string& path) = 0;
  /// Creates a new file for writing, and for reading back; an existing name is an error.
  virtual Result<std::unique_ptr<File>> create(const std::string& path) = 0;
  /// Atomically gives `from` the name `to`, replacing it.
  virtual Result<void> rename(const std::string& from, const std::string& to) = 0;
  /// Removes a file or an empty directory; false when there was none.
  virtual Result<bool> remove(const std::string& path) = 0;
  /// Nothing when the name does not exist.
  virtual Result<std::optional<FileStat>> stat(const std::string& path) = 0;
  /// Makes one directory (its parent exists); false when it existed already.
  virtual Result<bool> make_directory(const std::string& path) = 0;
  /// Entries without "." and "..", in no order; nothing when the directory does not exist.
  virtual Result<std::optional<std::vector<DirectoryEntry>>> list(const std::string& path) = 0;
  /// Waits until the names in the directory are on stable storage.
  virtual Result<void> sync_directory(const std::string& path) = 0;
  /// What is left on the file system that `path` lies on. May be slow where that is a network's.
  virtual Result<DiskSpace> space(const std::string& path) = 0;
  /// Takes an exclusive advisory lock on `path`, created when absent; held until the File is
  /// destroyed or the process ends, however it ends. Null when another holder has it.
  virtual Result<std::unique_ptr<File>> try_lock(const std::string& path) = 0;
  /// Becomes a further holder of the lock on `path` that another process took with try_lock() and
  /// whose descriptor was `inherited`; the lock ends with its last holder. Null when that
  /// descriptor is not of the file that has the name now, or its lock is gone to somebody else.
  virtual Result<std::unique_ptr<File>> join_lock(const std::string& path, UniqueFd inherited) = 0;
};

/// Where a path leads that an operator gave us. FileSystem::open() follows no symbolic link, as
/// nothing of ours is one; but a certificate of Let's Encrypt or a file of a Kubernetes volume
/// comes as one. A path that leads nowhere is returned as it is.
std::string follow_links(const std::string& path);

/// The machine's file system. The returned object lives as long as the program and holds no state.
FileSystem& posix_file_system();

} // namespace pkc
