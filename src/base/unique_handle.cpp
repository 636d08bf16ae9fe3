#include "pkc/base/unique_handle.hpp"

#include <unistd.h>

namespace pkc {

void FdTraits::close(int fd) noexcept {
  // The result is of no use: Linux releases the descriptor whatever it says, and whoever needs the
  // data on disk has called sync.
  ::close(fd);
}

} // namespace pkc
