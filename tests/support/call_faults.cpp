#include "support/call_faults.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <optional>

namespace pkc::test {
namespace {

std::atomic<CallFault> armed{CallFault::none};
std::atomic<bool> counting{false};
std::atomic<std::uint64_t> fatal{0};
std::atomic<std::uint64_t> made{0};

enum class Kind : std::uint8_t {
  reads,
  writes,
};

[[noreturn]] void die() {
  ::syscall(SYS_kill, ::syscall(SYS_getpid), SIGKILL);
  for (;;) {
    ::syscall(SYS_pause);
  }
}

/// What the next call does: nothing for its work, an error number, or -1 for a half.
std::optional<int> verdict(Kind kind) {
  if (!counting) {
    return std::nullopt;
  }
  const std::uint64_t number = made++;
  const CallFault fault = armed;
  if (fault == CallFault::no_space) {
    return number >= fatal && kind == Kind::writes ? std::optional(ENOSPC) : std::nullopt;
  }
  if (fault == CallFault::none || number != fatal) {
    return std::nullopt;
  }
  if (fault == CallFault::io_error) {
    return EIO;
  }
  if (fault == CallFault::kill) {
    die();
  }
  return -1;
}

/// `call` is told how much of a write is to be done, in percent.
template <typename Call>
auto judged(Kind kind, const Call& call) -> decltype(call(100)) {
  const std::optional<int> answer = verdict(kind);
  if (!answer) {
    return call(100);
  }
  if (*answer < 0) {
    static_cast<void>(call(50));
    die();
  }
  errno = *answer;
  return -1;
}

int open_file(const char* path, int flags, unsigned mode) {
  const Kind kind = (flags & O_CREAT) != 0 ? Kind::writes : Kind::reads;
  return judged(kind, [&](int) {
    return static_cast<int>(::syscall(SYS_openat, AT_FDCWD, path, flags, mode));
  });
}

unsigned mode_of(int flags, std::va_list arguments) {
  return (flags & O_CREAT) != 0 ? va_arg(arguments, unsigned) : 0U;
}

} // namespace

void arm_call_fault(CallFault fault, std::uint64_t n) {
  made = 0;
  fatal = n;
  armed = fault;
  counting = true;
}

std::uint64_t disarm_call_fault() {
  counting = false;
  armed = CallFault::none;
  return made;
}

} // namespace pkc::test

// What the C library calls these, found before its own by everybody in this process.
extern "C" {

using pkc::test::judged;
using pkc::test::Kind;

int open(const char* path, int flags, ...) {
  std::va_list arguments;
  va_start(arguments, flags);
  const unsigned mode = pkc::test::mode_of(flags, arguments);
  va_end(arguments);
  return pkc::test::open_file(path, flags, mode);
}

int open64(const char* path, int flags, ...) {
  std::va_list arguments;
  va_start(arguments, flags);
  const unsigned mode = pkc::test::mode_of(flags, arguments);
  va_end(arguments);
  return pkc::test::open_file(path, flags, mode);
}

ssize_t pread(int fd, void* to, size_t size, off_t at) {
  return judged(Kind::reads, [&](int) { return ::syscall(SYS_pread64, fd, to, size, at); });
}

ssize_t pread64(int fd, void* to, size_t size, off64_t at) {
  return judged(Kind::reads, [&](int) { return ::syscall(SYS_pread64, fd, to, size, at); });
}

ssize_t pwrite64(int fd, const void* from, size_t size, off64_t at) {
  return judged(Kind::writes, [&](int percent) {
    return ::syscall(SYS_pwrite64, fd, from, size * static_cast<size_t>(percent) / 100, at);
  });
}

int ftruncate64(int fd, off64_t size) noexcept {
  return judged(Kind::writes,
                [&](int) { return static_cast<int>(::syscall(SYS_ftruncate, fd, size)); });
}

// The power does not fail here, so nothing has to wait for a disk.

int fsync(int /*fd*/) {
  return judged(Kind::writes, [](int) { return 0; });
}

int fdatasync(int /*fd*/) {
  return judged(Kind::writes, [](int) { return 0; });
}

int rename(const char* from, const char* to) noexcept {
  return judged(Kind::writes,
                [&](int) { return static_cast<int>(::syscall(SYS_rename, from, to)); });
}

int unlink(const char* path) noexcept {
  return judged(Kind::reads, [&](int) { return static_cast<int>(::syscall(SYS_unlink, path)); });
}
}
