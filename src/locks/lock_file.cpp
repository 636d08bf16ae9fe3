#include "pkc/locks/lock_file.hpp"

#include "pkc/base/assert.hpp"

#include <fcntl.h>

#include <cerrno>

namespace pkc::locks {

namespace {

/// The kernel wants the process id of an OFD lock to be 0.
struct flock range_of(std::uint64_t byte, short type) {
  struct flock range{};
  range.l_type = type;
  range.l_whence = SEEK_SET;
  range.l_start = static_cast<off_t>(byte);
  range.l_len = 1;
  return range;
}

} // namespace

Result<LockFile> LockFile::open(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666));
  if (!fd) {
    return fail_errno(errno, "open " + path);
  }
  // A question instead of a lock: it fails at once where such locks are not to be had.
  struct flock question = range_of(0, F_WRLCK);
  if (::fcntl(fd.get(), F_OFD_GETLK, &question) != 0) {
    return fail_errno(errno, "lock " + path);
  }
  return LockFile(std::move(fd));
}

Result<void> LockFile::lock(std::uint64_t byte, Mode mode) {
  PKC_ASSERT(byte < kBytes);
  struct flock range = range_of(byte, mode == Mode::shared ? F_RDLCK : F_WRLCK);
  while (::fcntl(fd_.get(), F_OFD_SETLKW, &range) != 0) {
    if (const int error_number = errno; error_number != EINTR) {
      return fail_errno(error_number, "lock a key against other processes");
    }
  }
  return {};
}

void LockFile::unlock(std::uint64_t byte) {
  PKC_ASSERT(byte < kBytes);
  struct flock range = range_of(byte, F_UNLCK);
  // To release the middle of a range may take memory; a range of one byte has no middle.
  const int status = ::fcntl(fd_.get(), F_OFD_SETLK, &range);
  PKC_ASSERT(status == 0);
}

} // namespace pkc::locks
