// PKC_ASSERT: programmer errors, checked in release builds too.
#pragma once

namespace pkc {

/// Prints the failed condition with file, line and stack trace to standard error and aborts.
[[noreturn]] void assertion_failed(const char* condition, const char* file, int line);

} // namespace pkc

/// Aborts when a condition that only a bug can break is false. Data from outside is validated,
/// never asserted.
#define PKC_ASSERT(condition)                                  \
  do {                                                         \
    if (!(condition)) [[unlikely]] {                           \
      ::pkc::assertion_failed(#condition, __FILE__, __LINE__); \
    }                                                          \
  } while (false)
