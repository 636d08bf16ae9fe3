#include "pkc/base/assert.hpp"

#include <execinfo.h>

#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>

namespace pkc {

void assertion_failed(const char* condition, const char* file, int line) {
  // backtrace_symbols_fd and not <stacktrace>: it allocates nothing, and a broken heap may be why
  // we are here.
  std::fprintf(stderr, "%s:%d: assertion failed: %s\n", file, line, condition);
  std::array<void*, 64> frames{};
  const int depth = backtrace(frames.data(), static_cast<int>(frames.size()));
  backtrace_symbols_fd(frames.data(), depth, STDERR_FILENO);
  std::abort();
}

} // namespace pkc
