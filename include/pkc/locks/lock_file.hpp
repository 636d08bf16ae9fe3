// LockFile: locks between the processes of one machine that open the same file.
#pragma once

#include "pkc/base/result.hpp"
#include "pkc/base/unique_handle.hpp"

#include <cstdint>
#include <string>
#include <utility>

namespace pkc::locks {

/// Every byte offset of the file, which stays empty, is one readers-writer lock between those who
/// opened it. The threads of one owner do not lock each other out (KeyLocks does that), and
/// unlock() ends whatever this owner holds of the byte. Thread-safe. The kernel releases everything
/// when the owner ends, however it ends.
///
/// These are OFD locks (Linux): they belong to the open file, so each process has to open() for
/// itself, and a descriptor that was inherited would lock nobody out.
class LockFile {
 public:
  enum class Mode : std::uint8_t {
    shared,
    exclusive,
  };
  static constexpr std::uint64_t kBytes = std::uint64_t{1} << 62U;

  /// Creates the file when it is absent. Errors: io, also when its file system has no such locks.
  static Result<LockFile> open(const std::string& path);

  /// Waits until no other owner holds `byte`, which is below kBytes, in the way of `mode`. Blocks
  /// as long as they do. Errors: io.
  Result<void> lock(std::uint64_t byte, Mode mode);
  /// Does not block on a local file system.
  void unlock(std::uint64_t byte);

 private:
  explicit LockFile(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
};

} // namespace pkc::locks
