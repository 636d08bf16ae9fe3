#include "splice_pipe.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

namespace pkc::http {

namespace {

/// Four blocks of a store: more gains nothing, and of what the client does not take the work is
/// lost.
constexpr int kCapacity = 512 * 1024;

} // namespace

bool SplicePipe::open() {
  if (output_) {
    return true;
  }
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK) != 0) {
    return false;
  }
  UniqueFd output(ends[0]);
  UniqueFd input(ends[1]);
  if (::fcntl(input.get(), F_SETPIPE_SZ, kCapacity) < kCapacity) {
    return false;
  }
  output_ = std::move(output);
  input_ = std::move(input);
  return true;
}

Result<ByteCount> SplicePipe::add(int file, ByteCount offset, ByteCount length) {
  for (;;) {
    auto position = static_cast<off_t>(offset);
    const ssize_t count =
        ::splice(file, &position, input_.get(), nullptr, length, SPLICE_F_NONBLOCK);
    const int error_number = errno;
    if (count >= 0) {
      size_ += static_cast<ByteCount>(count);
      return static_cast<ByteCount>(count);
    }
    if (error_number == EAGAIN) { // full
      return 0;
    }
    if (error_number != EINTR) {
      return error_number == EIO ? fail(Errc::corrupt, "read: unreadable sector")
                                 : fail_errno(error_number, "read");
    }
  }
}

void SplicePipe::clear() {
  if (size_ > 0) { // cheaper than to read them
    size_ = 0;
    input_.reset();
    output_.reset();
  }
}

} // namespace pkc::http
